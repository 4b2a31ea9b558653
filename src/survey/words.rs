//! Each finding in words, German and English side by side: what is so, why it matters, what to do.

use std::fmt::Display;

use super::matter::Matter;
use crate::alert::Language;

/// The sentences of one finding.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Words {
    /// What was found; may hold names that strangers chose, cleaned.
    pub what: String,
    /// Why it matters; empty where all is well.
    pub why: &'static str,
    /// What to do; empty where all is well.
    pub fix: &'static str,
}

fn list(items: &[impl Display]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// What, why and what to do.
#[must_use]
pub fn of(matter: &Matter, language: Language) -> Words {
    let (what, why, fix) = match language {
        Language::En => (english(matter), why_en(matter), fix_en(matter)),
        Language::De => (german(matter), why_de(matter), fix_de(matter)),
    };
    Words { what, why, fix }
}

fn english(matter: &Matter) -> String {
    match matter {
        Matter::NoDomain => "the domain does not exist in the public DNS".to_owned(),
        Matter::DnsSilent => "nobody answers for the domain".to_owned(),
        Matter::Delegated(servers) => format!("delegated to {}", list(servers)),
        Matter::DelegatedElsewhere(servers) => format!("the zone is hosted here, but delegated to {}", list(servers)),
        Matter::NullMx => "the domain says that it takes no mail (null MX)".to_owned(),
        Matter::NoMx => "the domain has no MX record".to_owned(),
        Matter::Today(hosts) => format!("not served here yet; its mail goes to {}", list(hosts)),
        Matter::MxGood => "MX records: the mail server first, this service after it".to_owned(),
        Matter::WeAreMissing => "this service is not among the MX records".to_owned(),
        Matter::WeComeFirst => "this service comes before the mail server in the MX records, or beside it".to_owned(),
        Matter::PrimaryMissing(host) => format!("the mail server {host} is not among the MX records"),
        Matter::ForeignMx { host, is_before_us: true } => format!("another MX, {host}, comes before this service"),
        Matter::ForeignMx { host, is_before_us: false } => format!("another MX, {host}, is there besides"),
        Matter::MxIsAlias(host) => format!("MX {host} is an alias (CNAME)"),
        Matter::MxIsAddress(host) => format!("MX {host} is an address and not a name"),
        Matter::MxTtl(ttl) => format!("MX records are kept for {ttl} s"),
        Matter::NoAddress(host) => format!("{host} has no address"),
        Matter::HostSilent(host) => format!("nobody answers for {host}"),
        Matter::Resolves { host, addresses } => format!("{host} leads to {}", list(addresses)),
        Matter::Elsewhere { host, found, wanted } => {
            format!("{host} leads to {} instead of {}", list(found), list(wanted))
        }
        Matter::NameTtl(host, ttl) => format!("the address of {host} is kept for {ttl} s"),
        Matter::PointerGood(address) => format!("our address {address} has our name"),
        Matter::PointerOdd(address, Some(name)) => format!("our address {address} has the name {name}"),
        Matter::PointerOdd(address, None) => format!("our address {address} has no name (PTR)"),
        Matter::OwnSpfGood => "our own name has an SPF record".to_owned(),
        Matter::OwnSpfMissing => "our own name has no SPF record".to_owned(),
        Matter::PortGood(host, address) => {
            format!("{host} ({address}) takes mail on port 25, with a valid certificate")
        }
        Matter::PortClosed(host, address, why) => format!("port 25 of {host} ({address}) cannot be reached: {why}"),
        Matter::PortOdd(host, address, said) => {
            format!("no mail server greets on port 25 of {host} ({address}): {said}")
        }
        Matter::PortPlain(host, address) => format!("{host} ({address}) offers no STARTTLS"),
        Matter::TlsFails(host, address, why) => format!("STARTTLS of {host} ({address}) fails: {why}"),
        Matter::CertificateUnvouched(host) => format!("no public authority vouches for the certificate of {host}"),
        Matter::CertificateEnded(host) => format!("the certificate of {host} has ended"),
        Matter::StsGood => "the MTA-STS policy covers all mail servers".to_owned(),
        Matter::StsUnread(why) => format!("the MTA-STS policy cannot be read: {why}"),
        Matter::StsLacks { host, .. } => format!("the MTA-STS policy does not name {host}"),
        Matter::TlsaLacks(host) => format!("{host} has no TLSA record, while another MX has one"),
        Matter::SpfGood => "the domain has an SPF record".to_owned(),
        Matter::SpfMissing => "the domain has no SPF record".to_owned(),
        Matter::SpfSeveral => "the domain has several SPF records".to_owned(),
    }
}

fn german(matter: &Matter) -> String {
    match matter {
        Matter::NoDomain => "die Domain gibt es im öffentlichen DNS nicht".to_owned(),
        Matter::DnsSilent => "für die Domain antwortet niemand".to_owned(),
        Matter::Delegated(servers) => format!("delegiert an {}", list(servers)),
        Matter::DelegatedElsewhere(servers) => {
            format!("die Zone liegt bei uns, delegiert ist sie an {}", list(servers))
        }
        Matter::NullMx => "die Domain sagt, dass sie keine Post annimmt (Null-MX)".to_owned(),
        Matter::NoMx => "die Domain hat keinen MX-Eintrag".to_owned(),
        Matter::Today(hosts) => format!("noch nicht bei uns; ihre Post geht an {}", list(hosts)),
        Matter::MxGood => "MX-Einträge: zuerst der Mailserver, danach dieser Dienst".to_owned(),
        Matter::WeAreMissing => "dieser Dienst fehlt in den MX-Einträgen".to_owned(),
        Matter::WeComeFirst => "dieser Dienst steht in den MX-Einträgen vor dem Mailserver oder daneben".to_owned(),
        Matter::PrimaryMissing(host) => format!("der Mailserver {host} fehlt in den MX-Einträgen"),
        Matter::ForeignMx { host, is_before_us: true } => format!("ein fremder MX, {host}, steht vor diesem Dienst"),
        Matter::ForeignMx { host, is_before_us: false } => format!("ein fremder MX, {host}, steht noch daneben"),
        Matter::MxIsAlias(host) => format!("MX {host} ist ein Alias (CNAME)"),
        Matter::MxIsAddress(host) => format!("MX {host} ist eine Adresse und kein Name"),
        Matter::MxTtl(ttl) => format!("MX-Einträge gelten {ttl} s lang"),
        Matter::NoAddress(host) => format!("{host} hat keine Adresse"),
        Matter::HostSilent(host) => format!("für {host} antwortet niemand"),
        Matter::Resolves { host, addresses } => format!("{host} zeigt auf {}", list(addresses)),
        Matter::Elsewhere { host, found, wanted } => {
            format!("{host} zeigt auf {} statt auf {}", list(found), list(wanted))
        }
        Matter::NameTtl(host, ttl) => format!("die Adresse von {host} gilt {ttl} s lang"),
        Matter::PointerGood(address) => format!("unsere Adresse {address} trägt unseren Namen"),
        Matter::PointerOdd(address, Some(name)) => format!("unsere Adresse {address} trägt den Namen {name}"),
        Matter::PointerOdd(address, None) => format!("unsere Adresse {address} hat keinen Namen (PTR)"),
        Matter::OwnSpfGood => "unser eigener Name hat einen SPF-Eintrag".to_owned(),
        Matter::OwnSpfMissing => "unser eigener Name hat keinen SPF-Eintrag".to_owned(),
        Matter::PortGood(host, address) => {
            format!("{host} ({address}) nimmt Post auf Port 25 an, mit gültigem Zertifikat")
        }
        Matter::PortClosed(host, address, why) => format!("Port 25 von {host} ({address}) ist nicht erreichbar: {why}"),
        Matter::PortOdd(host, address, said) => {
            format!("auf Port 25 von {host} ({address}) grüßt kein Mailserver: {said}")
        }
        Matter::PortPlain(host, address) => format!("{host} ({address}) bietet kein STARTTLS an"),
        Matter::TlsFails(host, address, why) => format!("STARTTLS von {host} ({address}) scheitert: {why}"),
        Matter::CertificateUnvouched(host) => format!("für das Zertifikat von {host} bürgt keine öffentliche Stelle"),
        Matter::CertificateEnded(host) => format!("das Zertifikat von {host} ist abgelaufen"),
        Matter::StsGood => "die MTA-STS-Richtlinie nennt alle Mailserver".to_owned(),
        Matter::StsUnread(why) => format!("die MTA-STS-Richtlinie ist nicht lesbar: {why}"),
        Matter::StsLacks { host, .. } => format!("die MTA-STS-Richtlinie nennt {host} nicht"),
        Matter::TlsaLacks(host) => format!("{host} hat keinen TLSA-Eintrag, ein anderer MX aber schon"),
        Matter::SpfGood => "die Domain hat einen SPF-Eintrag".to_owned(),
        Matter::SpfMissing => "die Domain hat keinen SPF-Eintrag".to_owned(),
        Matter::SpfSeveral => "die Domain hat mehrere SPF-Einträge".to_owned(),
    }
}

const fn why_en(matter: &Matter) -> &'static str {
    match matter {
        Matter::NoDomain => "nobody can write to it",
        Matter::DnsSilent => "senders cannot find the mail server and wait",
        Matter::DelegatedElsewhere(_) => "nobody asks this service, so an outage changes nothing for senders",
        Matter::NullMx => "every sender refuses to send",
        Matter::NoMx => "senders fall back to the address of the domain itself, and never come here in an outage",
        Matter::WeAreMissing => "in an outage no sender finds this service",
        Matter::WeComeFirst => "all mail comes here even while the mail server is there",
        Matter::PrimaryMissing(_) => "no sender goes to the mail server itself",
        Matter::ForeignMx { .. } => {
            "mail that goes there is lost to the heartbeats: it waits or bounces at another place"
        }
        Matter::MxIsAlias(_) => "some senders refuse it (RFC 2181 §10.3)",
        Matter::MxIsAddress(_) => "senders look it up as a name and find nothing",
        Matter::MxTtl(_) => "a change of the MX records is seen that much later",
        Matter::NoAddress(_) => "senders cannot connect to it",
        Matter::HostSilent(_) => "senders cannot find it just now",
        Matter::Elsewhere { .. } => "senders connect to the wrong machine",
        Matter::NameTtl(..) => "in an outage senders go on to the old address that much longer",
        Matter::PointerOdd(..) => {
            "receivers distrust mail from an address without its own name; reports to senders may be refused"
        }
        Matter::OwnSpfMissing => {
            "receivers check the HELO name of mail without a sender; reports to senders may be refused"
        }
        Matter::PortClosed(..) => "neither senders nor this service can deliver",
        Matter::PortOdd(..) => "something else answers there: a router, a filter, another machine",
        Matter::PortPlain(..) => "mail is sent in the clear, and no key can be pinned",
        Matter::TlsFails(..) => "senders that insist on TLS do not deliver",
        Matter::CertificateUnvouched(_) => "senders that check certificates do not deliver; others do",
        Matter::CertificateEnded(_) => "senders that check certificates do not deliver",
        Matter::StsUnread(_) => "senders do without it, or go on with an old one",
        Matter::StsLacks { is_enforced: true, .. } => "senders that obey the policy never deliver there",
        Matter::StsLacks { is_enforced: false, .. } => "once the policy is enforced, senders never deliver there",
        Matter::TlsaLacks(_) => "DANE protects only one of the ways",
        Matter::SpfMissing => "anybody can write in its name",
        Matter::SpfSeveral => "receivers take that as an error (RFC 7208 §4.5)",
        Matter::Delegated(_)
        | Matter::Today(_)
        | Matter::MxGood
        | Matter::Resolves { .. }
        | Matter::PointerGood(_)
        | Matter::OwnSpfGood
        | Matter::PortGood(..)
        | Matter::StsGood
        | Matter::SpfGood => "",
    }
}

const fn why_de(matter: &Matter) -> &'static str {
    match matter {
        Matter::NoDomain => "niemand kann dorthin schreiben",
        Matter::DnsSilent => "Absender finden den Mailserver nicht und warten",
        Matter::DelegatedElsewhere(_) => "niemand fragt diesen Dienst, also ändert ein Ausfall für Absender nichts",
        Matter::NullMx => "jeder Absender lehnt es ab, zu senden",
        Matter::NoMx => {
            "Absender weichen auf die Adresse der Domain selbst aus und kommen bei einem Ausfall nie hierher"
        }
        Matter::WeAreMissing => "bei einem Ausfall findet kein Absender diesen Dienst",
        Matter::WeComeFirst => "alle Post kommt hierher, auch wenn der Mailserver da ist",
        Matter::PrimaryMissing(_) => "kein Absender geht zum Mailserver selbst",
        Matter::ForeignMx { .. } => {
            "Post, die dorthin geht, sehen wir nicht: Sie wartet oder scheitert an anderer Stelle"
        }
        Matter::MxIsAlias(_) => "manche Absender lehnen das ab (RFC 2181 §10.3)",
        Matter::MxIsAddress(_) => "Absender schlagen sie als Namen nach und finden nichts",
        Matter::MxTtl(_) => "um diese Zeit wird eine Änderung der MX-Einträge später gesehen",
        Matter::NoAddress(_) => "Absender können sich nicht verbinden",
        Matter::HostSilent(_) => "Absender finden ihn gerade nicht",
        Matter::Elsewhere { .. } => "Absender verbinden sich mit der falschen Maschine",
        Matter::NameTtl(..) => "bei einem Ausfall gehen Absender um diese Zeit länger zur alten Adresse",
        Matter::PointerOdd(..) => {
            "Empfänger misstrauen Post von einer Adresse ohne eigenen Namen; Berichte an Absender werden vielleicht abgelehnt"
        }
        Matter::OwnSpfMissing => {
            "Empfänger prüfen den HELO-Namen von Post ohne Absender; Berichte an Absender werden vielleicht abgelehnt"
        }
        Matter::PortClosed(..) => "weder Absender noch dieser Dienst können zustellen",
        Matter::PortOdd(..) => "dort antwortet etwas anderes: ein Router, ein Filter, eine andere Maschine",
        Matter::PortPlain(..) => "Post geht unverschlüsselt, und kein Schlüssel kann festgehalten werden",
        Matter::TlsFails(..) => "Absender, die auf TLS bestehen, stellen nicht zu",
        Matter::CertificateUnvouched(_) => "Absender, die Zertifikate prüfen, stellen nicht zu; andere schon",
        Matter::CertificateEnded(_) => "Absender, die Zertifikate prüfen, stellen nicht zu",
        Matter::StsUnread(_) => "Absender verzichten darauf oder richten sich nach einer alten",
        Matter::StsLacks { is_enforced: true, .. } => "Absender, die der Richtlinie folgen, stellen dort nie zu",
        Matter::StsLacks { is_enforced: false, .. } => {
            "sobald die Richtlinie erzwungen wird, stellen Absender dort nie zu"
        }
        Matter::TlsaLacks(_) => "DANE schützt nur einen der Wege",
        Matter::SpfMissing => "jeder kann in ihrem Namen schreiben",
        Matter::SpfSeveral => "Empfänger halten das für einen Fehler (RFC 7208 §4.5)",
        Matter::Delegated(_)
        | Matter::Today(_)
        | Matter::MxGood
        | Matter::Resolves { .. }
        | Matter::PointerGood(_)
        | Matter::OwnSpfGood
        | Matter::PortGood(..)
        | Matter::StsGood
        | Matter::SpfGood => "",
    }
}

const fn fix_en(matter: &Matter) -> &'static str {
    match matter {
        Matter::NoDomain => "register the domain, or look at its spelling",
        Matter::DnsSilent => "ask the DNS provider; if all domains are silent, look at the resolver (checks.resolvers)",
        Matter::DelegatedElsewhere(_) => "enter our name servers at the registrar",
        Matter::NullMx | Matter::NoMx | Matter::PrimaryMissing(_) | Matter::WeAreMissing | Matter::WeComeFirst => {
            "enter these records at the DNS provider, in place of the MX records that are there"
        }
        Matter::ForeignMx { .. } => "take it out, unless it takes mail for you on purpose; these are enough",
        Matter::MxIsAlias(_) => "let the MX name the host that the alias leads to, or give it addresses of its own",
        Matter::MxIsAddress(_) => "write a name there; these records have names",
        Matter::MxTtl(_) => "set the TTL to 3600 before anything else is changed",
        Matter::NoAddress(_) => "give it an A or AAAA record, or take its MX out",
        Matter::HostSilent(_) => "ask again in a minute; then look at the name servers of that name",
        Matter::Elsewhere { .. } => {
            "mend its A and AAAA records; a dynamic name is mended by its heartbeats or updates"
        }
        Matter::NameTtl(..) => "set its TTL to 60 or less",
        Matter::PointerOdd(..) => "have the network provider set the PTR of the address to our name",
        Matter::OwnSpfMissing => "enter this record",
        Matter::PortClosed(..) => "open port 25 in the router and ask the line's provider whether it is blocked",
        Matter::PortOdd(..) => "forward port 25 to the mail server itself",
        Matter::PortPlain(..) => "switch STARTTLS on; a self-signed certificate is enough",
        Matter::TlsFails(..) => "look into the mail server's log; often the chain or the key is missing",
        Matter::CertificateUnvouched(_) => "get a certificate for this very name, by ACME for example",
        Matter::CertificateEnded(_) => "renew it, and see why that did not happen by itself",
        Matter::StsUnread(_) => {
            "make https://mta-sts.DOMAIN/.well-known/mta-sts.txt readable, or remove the record _mta-sts"
        }
        Matter::StsLacks { .. } => "add an mx line for it, then change the id in the record _mta-sts",
        Matter::TlsaLacks(_) => "publish TLSA for all of them or for none",
        Matter::SpfMissing => "enter one that names who sends for the domain; this one fits if that is its mail server",
        Matter::SpfSeveral => "join them into one",
        Matter::Delegated(_)
        | Matter::Today(_)
        | Matter::MxGood
        | Matter::Resolves { .. }
        | Matter::PointerGood(_)
        | Matter::OwnSpfGood
        | Matter::PortGood(..)
        | Matter::StsGood
        | Matter::SpfGood => "",
    }
}

const fn fix_de(matter: &Matter) -> &'static str {
    match matter {
        Matter::NoDomain => "registrieren Sie die Domain oder prüfen Sie die Schreibweise",
        Matter::DnsSilent => "fragen Sie den DNS-Anbieter; schweigen alle Domains, liegt es an unserem Resolver",
        Matter::DelegatedElsewhere(_) => "tragen Sie unsere Nameserver beim Registrar ein",
        Matter::NullMx | Matter::NoMx | Matter::PrimaryMissing(_) | Matter::WeAreMissing | Matter::WeComeFirst => {
            "tragen Sie diese Einträge beim DNS-Anbieter ein, anstelle der MX-Einträge, die dort stehen"
        }
        Matter::ForeignMx { .. } => {
            "nehmen Sie ihn heraus, wenn er nicht mit Absicht Post für Sie annimmt; diese genügen"
        }
        Matter::MxIsAlias(_) => {
            "tragen Sie im MX den Namen ein, auf den der Alias zeigt, oder geben Sie ihm eigene Adressen"
        }
        Matter::MxIsAddress(_) => "dort gehört ein Name hin; diese Einträge haben Namen",
        Matter::MxTtl(_) => "setzen Sie die TTL auf 3600, bevor Sie anderes ändern",
        Matter::NoAddress(_) => "geben Sie ihm einen A- oder AAAA-Eintrag, oder nehmen Sie seinen MX heraus",
        Matter::HostSilent(_) => "fragen Sie in einer Minute noch einmal; prüfen Sie dann die Nameserver dieses Namens",
        Matter::Elsewhere { .. } => {
            "berichtigen Sie seine A- und AAAA-Einträge; einen dynamischen Namen berichtigen seine Lebenszeichen"
        }
        Matter::NameTtl(..) => "setzen Sie seine TTL auf höchstens 60",
        Matter::PointerOdd(..) => "der Betreiber lässt den PTR der Adresse beim Netzanbieter auf unseren Namen setzen",
        Matter::OwnSpfMissing => "der Betreiber trägt diesen Eintrag ein",
        Matter::PortClosed(..) => {
            "öffnen Sie Port 25 im Router und fragen Sie den Anbieter der Leitung, ob er gesperrt ist"
        }
        Matter::PortOdd(..) => "leiten Sie Port 25 zum Mailserver selbst weiter",
        Matter::PortPlain(..) => "schalten Sie STARTTLS ein; ein selbst ausgestelltes Zertifikat genügt",
        Matter::TlsFails(..) => "sehen Sie ins Log des Mailservers; oft fehlt die Kette oder der Schlüssel",
        Matter::CertificateUnvouched(_) => "holen Sie ein Zertifikat für genau diesen Namen, zum Beispiel über ACME",
        Matter::CertificateEnded(_) => "erneuern Sie es und prüfen Sie, warum das nicht von selbst geschah",
        Matter::StsUnread(_) => {
            "machen Sie https://mta-sts.DOMAIN/.well-known/mta-sts.txt lesbar, oder entfernen Sie den Eintrag _mta-sts"
        }
        Matter::StsLacks { .. } => "fügen Sie eine mx-Zeile dafür an und ändern Sie danach die id im Eintrag _mta-sts",
        Matter::TlsaLacks(_) => "veröffentlichen Sie TLSA für alle oder für keinen",
        Matter::SpfMissing => {
            "tragen Sie einen ein, der nennt, wer für die Domain sendet; dieser passt, wenn es ihr Mailserver ist"
        }
        Matter::SpfSeveral => "machen Sie einen daraus",
        Matter::Delegated(_)
        | Matter::Today(_)
        | Matter::MxGood
        | Matter::Resolves { .. }
        | Matter::PointerGood(_)
        | Matter::OwnSpfGood
        | Matter::PortGood(..)
        | Matter::StsGood
        | Matter::SpfGood => "",
    }
}
