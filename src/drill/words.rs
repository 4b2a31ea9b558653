//! A drill in words, in both languages: each step, the result in one line, why none begins.

use std::fmt::Write as _;

use super::docket::Refusal;
use super::names::{Judgement, NamesSeen};
use super::record::{End, Gate, Record, Step};
use crate::alert::Language;
use crate::alert::Language::{De, En};
use crate::liveness::LineState;

/// What a step says once it was reached.
#[must_use]
pub const fn step(step: Step, language: Language) -> &'static str {
    match (step, language) {
        (Step::Cut, En) => "mail path cut for this account; heartbeats and names are left alone",
        (Step::Cut, De) => "Postweg dieses Kontos getrennt; Lebenszeichen und Namen bleiben unberührt",
        (Step::Sent, En) => "test message taken by our port 25",
        (Step::Sent, De) => "Testnachricht von unserem Port 25 angenommen",
        (Step::Held, En) => "test message held in the spool",
        (Step::Held, De) => "Testnachricht liegt im Spool",
        (Step::Mended, En) => "mail path open again; your server is called",
        (Step::Mended, De) => "Postweg wieder offen; Ihr Server wird angerufen",
        (Step::Delivered, En) => "test message delivered to your server",
        (Step::Delivered, De) => "Testnachricht an Ihren Server zugestellt",
    }
}

/// Milliseconds as tenths of a second.
#[must_use]
pub fn seconds(ms: u64, language: Language) -> String {
    let tenths = ms.saturating_add(50) / 100;
    let comma = match language {
        De => ',',
        En => '.',
    };
    format!("{}{comma}{} s", tenths / 10, tenths % 10)
}

/// The whole drill in one line; while it runs, what it waits for.
#[must_use]
pub fn result(record: &Record, language: Language) -> String {
    match (&record.end, language) {
        (None, En) => "The drill is running.".to_owned(),
        (None, De) => "Die Probe läuft.".to_owned(),
        (Some(End::Passed { proof, key }), _) => match &record.dns {
            Some(seen) if seen.judgement == Judgement::Bad => misled(record, seen, language),
            seen => passed(record, (proof, key.as_deref()), seen.as_ref(), language),
        },
        (Some(End::Failed { gate, reason }), En) => {
            format!("The drill failed: {}: {reason}. {}", at_gate(*gate, En), advice(*gate, En))
        }
        (Some(End::Failed { gate, reason }), De) => {
            format!("Die Probe ist gescheitert: {}: {reason}. {}", at_gate(*gate, De), advice(*gate, De))
        }
        (Some(End::Interrupted), En) => "The service was restarted during the drill; start it again.".to_owned(),
        (Some(End::Interrupted), De) => {
            "Der Dienst wurde während der Probe neu gestartet; bitte noch einmal starten.".to_owned()
        }
    }
}

/// The message arrived, and the mail of others would not.
fn misled(record: &Record, seen: &NamesSeen, language: Language) -> String {
    let held = seconds(record.reached_ms(Step::Held).unwrap_or_default(), language);
    let delivered = seconds(record.delivered_after_ms().unwrap_or_default(), language);
    let (domain, says) = (&seen.domain, seen.says(language).trim_end_matches('.'));
    match language {
        En => format!(
            "The drill failed: the DNS of {domain}: {says}. The test message itself was held after {held} and delivered {delivered} after the return."
        ),
        De => format!(
            "Die Probe ist gescheitert: das DNS von {domain}: {says}. Die Testnachricht selbst wurde nach {held} gehalten und {delivered} nach der Rückkehr zugestellt."
        ),
    }
}

fn passed(record: &Record, (proof, key): (&str, Option<&str>), seen: Option<&NamesSeen>, language: Language) -> String {
    let held = seconds(record.reached_ms(Step::Held).unwrap_or_default(), language);
    let delivered = seconds(record.delivered_after_ms().unwrap_or_default(), language);
    let mut line = match language {
        En => format!(
            "Your backup works: held after {held}, delivered {delivered} after the return, identity proven by {proof}"
        ),
        De => format!(
            "Ihr Backup funktioniert: nach {held} gehalten, {delivered} nach der Rückkehr zugestellt, Identität belegt durch {}",
            german_proof(proof)
        ),
    };
    // Writing to a String does not fail.
    let _ = match (key, language) {
        (Some(key), En) => write!(line, "; its key is pinned: {key}."),
        (Some(key), De) => write!(line, "; sein Schlüssel ist festgehalten: {key}."),
        (None, En) => write!(line, "; it has no pinned key: switch TLS on, so that nobody can take its place."),
        (None, De) => {
            write!(line, "; kein Schlüssel ist festgehalten: TLS einschalten, damit niemand seinen Platz einnimmt.")
        }
    };
    if let Some(seen) = seen {
        let (domain, says) = (&seen.domain, seen.says(language).trim_end_matches('.'));
        let _ = match language {
            En => write!(line, " In the DNS of {domain}: {says}."),
            De => write!(line, " Im DNS von {domain}: {says}."),
        };
    }
    line
}

/// The words of [`Proof::words`](crate::delivery::identity::Proof::words).
fn german_proof(proof: &str) -> &str {
    match proof {
        "its pinned key" => "seinen festgehaltenen Schlüssel",
        "a certificate for its name" => "ein Zertifikat auf seinen Namen",
        "the signed word of its client for the key" => "das signierte Wort seines Clients für den Schlüssel",
        "its heartbeats alone" => "seine Lebenszeichen allein",
        "the operator's word" => "das Wort des Betreibers",
        other => other,
    }
}

const fn at_gate(gate: Gate, language: Language) -> &'static str {
    match (gate, language) {
        (Gate::Door, En) => "our own port 25",
        (Gate::Door, De) => "unser eigener Port 25",
        (Gate::Spool, En) => "the spool",
        (Gate::Spool, De) => "der Spool",
        (Gate::Line, En) => "the heartbeats",
        (Gate::Line, De) => "die Lebenszeichen",
        (Gate::Port, En) => "the connection to your server",
        (Gate::Port, De) => "die Verbindung zu Ihrem Server",
        (Gate::Identity, En) => "the identity of your server",
        (Gate::Identity, De) => "die Identität Ihres Servers",
        (Gate::Size, En) => "the size limit of your server",
        (Gate::Size, De) => "die Größengrenze Ihres Servers",
        (Gate::Greylisting, En) => "your server puts us off",
        (Gate::Greylisting, De) => "Ihr Server vertröstet uns",
        (Gate::Deferred, En) => "your server takes no mail just now",
        (Gate::Deferred, De) => "Ihr Server nimmt gerade keine Post an",
        (Gate::Mailbox, En) => "the mailbox",
        (Gate::Mailbox, De) => "das Postfach",
        (Gate::Refused, En) => "your server refuses the message",
        (Gate::Refused, De) => "Ihr Server lehnt die Nachricht ab",
        (Gate::Silence, En) => "no outcome in time",
        (Gate::Silence, De) => "kein Ergebnis in der Zeit",
        (Gate::Person, En) => "the message",
        (Gate::Person, De) => "die Nachricht",
        (Gate::Service, En) => "this service",
        (Gate::Service, De) => "dieser Dienst",
    }
}

/// What to do.
const fn advice(gate: Gate, language: Language) -> &'static str {
    match (gate, language) {
        (Gate::Door, En) => {
            "If the mailbox is missing in your list of recipients, upload the list again or name another address."
        }
        (Gate::Door, De) => {
            "Fehlt das Postfach in Ihrer Empfängerliste, laden Sie die Liste neu hoch oder nennen Sie eine andere Adresse."
        }
        (Gate::Spool, En) => {
            "Start the drill again; if it fails again, the operator has to look at `pulsemx queue list`."
        }
        (Gate::Spool, De) => {
            "Starten Sie die Probe noch einmal; scheitert sie wieder, muss der Betreiber `pulsemx queue list` ansehen."
        }
        (Gate::Line, En) => "Look after the line and the heartbeat client, then start the drill again.",
        (Gate::Line, De) => "Sehen Sie nach Leitung und Heartbeat-Client und starten Sie die Probe dann noch einmal.",
        (Gate::Port, En) => {
            "See that the mail server runs, that its port is forwarded in the router, and that no firewall or block list keeps us out."
        }
        (Gate::Port, De) => {
            "Prüfen Sie, ob der Mailserver läuft, sein Port im Router weitergeleitet ist und keine Firewall oder Sperrliste uns aussperrt."
        }
        (Gate::Identity, En) => {
            "If the server got a new key, accept it on this page or with `pulsemx account pin accept`; if not, somebody else answers at its address."
        }
        (Gate::Identity, De) => {
            "Hat der Server einen neuen Schlüssel, bestätigen Sie ihn auf dieser Seite oder mit `pulsemx account pin accept`; sonst antwortet dort jemand anders."
        }
        (Gate::Size, En) => "Raise the message size limit of your server: even this small message was too big.",
        (Gate::Size, De) => "Erhöhen Sie die Größengrenze Ihres Servers: Schon diese kleine Nachricht war zu groß.",
        (Gate::Greylisting, En) => "Exempt our addresses from greylisting and reputation checks on your server.",
        (Gate::Greylisting, De) => {
            "Nehmen Sie unsere Adressen auf Ihrem Server von Greylisting und Reputationsprüfung aus."
        }
        (Gate::Deferred, En) => {
            "Read the log of your server at this time; after an outage, mail is tried again until it takes it."
        }
        (Gate::Deferred, De) => {
            "Lesen Sie das Protokoll Ihres Servers zu dieser Zeit; nach einem Ausfall wird weiter zugestellt, bis er annimmt."
        }
        (Gate::Mailbox, En) => {
            "Create the mailbox (RFC 5321 §4.5.1 wants a postmaster), or name another address for the drill."
        }
        (Gate::Mailbox, De) => {
            "Legen Sie das Postfach an (RFC 5321 §4.5.1 verlangt postmaster) oder nennen Sie eine andere Adresse für die Probe."
        }
        (Gate::Refused, En) => "Let our addresses pass the filters of your server: it would refuse held mail as well.",
        (Gate::Refused, De) => {
            "Lassen Sie unsere Adressen durch die Filter Ihres Servers: Gehaltene Post würde er ebenso ablehnen."
        }
        (Gate::Silence, En) => "See whether the mail server answers at all, and how long it makes others wait.",
        (Gate::Silence, De) => {
            "Prüfen Sie, ob der Mailserver überhaupt antwortet und wie lange er andere warten lässt."
        }
        (Gate::Person, En) => "Start the drill again and leave its message alone.",
        (Gate::Person, De) => "Starten Sie die Probe noch einmal und lassen Sie die Nachricht in Ruhe.",
        (Gate::Service, En) => "Start the drill again a little later.",
        (Gate::Service, De) => "Starten Sie die Probe etwas später noch einmal.",
    }
}

const fn state(state: LineState, language: Language) -> &'static str {
    match (state, language) {
        (LineState::New, En) => "was never heard",
        (LineState::New, De) => "wurde noch nie gehört",
        (LineState::Online, _) => "ONLINE",
        (LineState::Suspect, En) => "missed a heartbeat",
        (LineState::Suspect, De) => "hat ein Lebenszeichen ausgelassen",
        (LineState::Offline, En) => "is OFFLINE",
        (LineState::Offline, De) => "ist OFFLINE",
        (LineState::Returning, En) => "is just returning",
        (LineState::Returning, De) => "kehrt gerade zurück",
    }
}

/// Why no drill begins, and what to do.
#[must_use]
pub fn refusal(refusal: &Refusal, language: Language) -> String {
    match (refusal, language) {
        (Refusal::NotOnline { state: s }, En) => format!(
            "a drill needs a server that is there, and this one {}; mail is held for it anyway; start the drill once it is ONLINE",
            state(*s, En)
        ),
        (Refusal::NotOnline { state: s }, De) => format!(
            "eine Probe braucht einen Server, der da ist, und dieser {}; Post wird ohnehin für ihn gehalten; starten Sie die Probe, sobald er ONLINE ist",
            state(*s, De)
        ),
        (Refusal::NotActive, En) => "the account is suspended or ends, so nothing is delivered for it".to_owned(),
        (Refusal::NotActive, De) => "das Konto ist gesperrt oder endet; für es wird nichts zugestellt".to_owned(),
        (Refusal::Stopped { reason }, En) => {
            format!("the delivery of this account is stopped ({reason}); let it go on first")
        }
        (Refusal::Stopped { reason }, De) => {
            format!("die Zustellung dieses Kontos ist angehalten ({reason}); lassen Sie sie zuerst weiterlaufen")
        }
        (Refusal::Running, En) => "a drill of this account is running; wait for its end".to_owned(),
        (Refusal::Running, De) => "für dieses Konto läuft schon eine Probe; warten Sie ihr Ende ab".to_owned(),
        (Refusal::TooMany { after_s }, En) => {
            format!("six drills an hour are enough; the next may begin in {} min", after_s.div_ceil(60))
        }
        (Refusal::TooMany { after_s }, De) => {
            format!("sechs Proben in der Stunde genügen; die nächste ist in {} min möglich", after_s.div_ceil(60))
        }
        (Refusal::Busy, En) => "too many other drills are running; try again in a minute".to_owned(),
        (Refusal::Busy, De) => "zu viele andere Proben laufen; versuchen Sie es in einer Minute wieder".to_owned(),
        (Refusal::NoDomain, En) => "the account has no mail domain yet, so there is nobody to write to".to_owned(),
        (Refusal::NoDomain, De) => "das Konto hat noch keine Maildomain, also gibt es kein Ziel".to_owned(),
        (Refusal::NotOwn { address }, En) => {
            format!("{address} is no address in a mail domain of this account")
        }
        (Refusal::NotOwn { address }, De) => format!("{address} ist keine Adresse in einer Maildomain dieses Kontos"),
        (Refusal::NoAccount, En) => "there is no such account".to_owned(),
        (Refusal::NoAccount, De) => "dieses Konto gibt es nicht".to_owned(),
        (Refusal::Service { reason }, En) => format!("no drill can begin just now: {reason}"),
        (Refusal::Service { reason }, De) => format!("gerade kann keine Probe beginnen: {reason}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::identity::Proof;
    use crate::drill::record::Reached;

    fn record(end: Option<End>) -> Record {
        let steps = Step::ALL.into_iter().zip([0, 90, 120, 140, 1_440]);
        Record {
            started_at: chrono::DateTime::UNIX_EPOCH,
            to: "postmaster@firma.example".to_owned(),
            who: "operator".to_owned(),
            steps: steps.map(|(step, after_ms)| Reached { step, after_ms }).collect(),
            ended_at: None,
            end,
            dns: None,
        }
    }

    #[test]
    fn a_drill_that_passed_is_one_line_with_both_times_and_the_proof() {
        let end = |key: Option<&str>| {
            let key = key.map(str::to_owned);
            record(Some(End::Passed { proof: Proof::Pin.words().to_owned(), key }))
        };
        assert_eq!(
            result(&end(Some("sha256:ab")), En),
            "Your backup works: held after 0.1 s, delivered 1.3 s after the return, identity proven by its pinned key; \
             its key is pinned: sha256:ab."
        );
        let german = result(&end(None), De);
        assert!(
            german.starts_with("Ihr Backup funktioniert: nach 0,1 s gehalten, 1,3 s nach der Rückkehr"),
            "{german}"
        );
        assert!(german.contains("TLS einschalten"), "{german}");
    }

    #[test]
    fn what_the_dns_says_stands_in_the_same_line_and_decides_if_it_is_bad() {
        let drill = |judgement, english: &str, german: &str| Record {
            dns: Some(NamesSeen {
                domain: "firma.de".to_owned(),
                judgement,
                english: english.to_owned(),
                german: german.to_owned(),
            }),
            ..record(Some(End::Passed { proof: Proof::Pin.words().to_owned(), key: Some("sha256:ab".to_owned()) }))
        };
        let bad = drill(Judgement::Bad, "we are missing. Enter us.", "wir fehlen. Tragen Sie uns ein.");
        assert!(!bad.has_passed() && bad.has_arrived());
        assert_eq!(
            result(&bad, En),
            "The drill failed: the DNS of firma.de: we are missing. Enter us. The test message itself was held after 0.1 s \
             and delivered 1.3 s after the return."
        );
        for judgement in [Judgement::Good, Judgement::Doubtful, Judgement::Unknown] {
            let passed = drill(judgement, "so it is", "so ist es");
            assert!(passed.has_passed());
            let line = result(&passed, De);
            assert!(
                line.starts_with("Ihr Backup funktioniert") && line.ends_with("Im DNS von firma.de: so ist es."),
                "{line}"
            );
        }
    }

    #[test]
    fn every_proof_has_german_words() {
        let key = [0; 32];
        for proof in [
            Proof::Pin,
            Proof::Name { moves_pin_to: None },
            Proof::Client { key },
            Proof::Beat { key: None },
            Proof::Operator,
        ] {
            assert_ne!(german_proof(proof.words()), proof.words());
        }
    }

    #[test]
    fn a_failure_says_where_why_and_what_to_do() {
        let end = End::Failed { gate: Gate::Greylisting, reason: "451 4.7.1 Greylisted".to_owned() };
        let line = result(&record(Some(end)), En);
        assert_eq!(
            line,
            "The drill failed: your server puts us off: 451 4.7.1 Greylisted. Exempt our addresses from greylisting and \
             reputation checks on your server."
        );
    }
}
