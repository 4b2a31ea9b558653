//! What is found of one message.

use std::fmt::Write;

use pulsemx::verdict::question::driver::Resolver;
use pulsemx::verdict::{Finding, SenderCircumstances, Verdict, authenticates_sender};

use crate::dns::{Server, Zone};
use crate::mail::{Spool, ed25519, resolver, rsa, sealed, signed_ed25519, signed_rsa};

const PEER: &str = "192.0.2.25";
const SENDER: &str = "joe@sender.example";

fn content() -> String {
    let mut text = "From: Joe <joe@sender.example>\r\nSubject: a  test\r\nTo: a@firma.example\r\n\r\n".to_owned();
    // Blanks and empty lines in all places that canonicalisation knows, over several stored pieces.
    for number in 0..6_000 {
        write!(text, "line  {number} \t with blanks  \r\n{}", if number % 50 == 0 { "\r\n\r\n" } else { "" }).unwrap();
    }
    text + " \r\n\r\n\r\n"
}

fn zone() -> Zone {
    Zone::default()
        .txt("sender.example", "v=spf1 ip4:192.0.2.0/24 include:also.example -all")
        .txt("also.example", "v=spf1 ip6:2001:db8::/32 ?all")
        .txt("mail.sender.example", "v=spf1 a -all")
        .address("mail.sender.example", PEER)
        .pointer(PEER, "mail.sender.example.")
        .txt("_dmarc.sender.example", "v=DMARC1; p=reject")
}

async fn judge(server: &Server, peer: &str, sender: &str, content: &str) -> Verdict {
    let mut spool = Spool::new().await;
    let subject = spool.add(peer, sender, content).await;
    resolver(server).judge(&subject, false, &*spool.store).await
}

fn is_authenticated(verdict: &Verdict, sender: &str) -> bool {
    let sender = pulsemx::base::ReversePath::parse(sender, false).unwrap();
    authenticates_sender(verdict, &sender, SenderCircumstances { is_own_domain: false })
}

#[tokio::test]
async fn an_honest_sender_passes_everything() {
    let ((ed, ed_record), (rsa, rsa_record)) = (ed25519(), rsa());
    let zone = zone().txt("ed._domainkey.sender.example", &ed_record).txt("rsa._domainkey.sender.example", &rsa_record);
    let server = zone.serve().await;
    let content = signed_ed25519(ed, "sender.example", &signed_rsa(rsa, "sender.example", &content()));
    let verdict = judge(&server, PEER, SENDER, &content).await;
    assert_eq!(
        verdict.to_line(),
        "spf=pass (sender.example) helo=pass (mail.sender.example) dkim=pass (sender.example) dkim=pass (sender.example) \
         dmarc=pass (sender.example) arc=none iprev=pass (mail.sender.example)"
    );
    assert_eq!((verdict.dmarc.policy.as_str(), verdict.dmarc.is_by_dkim), ("reject", true));
    assert!(is_authenticated(&verdict, SENDER));
}

#[tokio::test]
async fn a_stranger_who_uses_the_name_fails() {
    let server = zone().pointer("198.51.100.9", "mail.sender.example.").serve().await;
    let verdict = judge(&server, "198.51.100.9", SENDER, &content()).await;
    assert_eq!(verdict.spf.finding, Finding::Fail);
    assert_eq!(verdict.helo.finding, Finding::Fail);
    assert_eq!(verdict.iprev.finding, Finding::Fail, "its name leads elsewhere");
    assert_eq!((verdict.dkim.as_slice(), verdict.dmarc.finding), (&[][..], Finding::Fail));
    assert!(!is_authenticated(&verdict, SENDER));
}

#[tokio::test]
async fn one_octet_of_the_body_breaks_a_signature() {
    let (ed, record) = ed25519();
    let server = zone().txt("ed._domainkey.sender.example", &record).serve().await;
    let content = signed_ed25519(ed, "sender.example", &content());
    for (from, to, expected) in [
        ("line  5999", "line  5998", Finding::Fail),
        ("a  test", "a test", Finding::Pass),
        ("a  test", "a toast", Finding::Fail),
    ] {
        let verdict = judge(&server, "198.51.100.9", SENDER, &content.replacen(from, to, 1)).await;
        assert_eq!(verdict.dkim[0].finding, expected, "{from} -> {to}");
        assert_eq!(is_authenticated(&verdict, SENDER), expected == Finding::Pass);
        let dmarc = if expected == Finding::Pass { Finding::Pass } else { Finding::Fail };
        assert_eq!(verdict.dmarc.finding, dmarc);
    }
}

#[tokio::test]
async fn a_bounce_is_judged_by_the_name_in_ehlo() {
    let server = zone().serve().await;
    let verdict = judge(&server, PEER, "", &content()).await;
    assert_eq!((verdict.spf.finding, verdict.spf.domain.as_str()), (Finding::Pass, "mail.sender.example"));
}

#[tokio::test]
async fn endless_records_end_and_missing_ones_say_nothing() {
    let zone = zone()
        .txt("endless.example", "v=spf1 include:endless.example -all")
        .txt("circle.example", "v=spf1 redirect=wheel.example")
        .txt("wheel.example", "v=spf1 redirect=circle.example");
    let server = zone.serve().await;
    for domain in ["endless.example", "circle.example"] {
        let verdict = judge(&server, PEER, &format!("a@{domain}"), &content()).await;
        assert_eq!(verdict.spf.finding, Finding::PermError, "{domain}");
    }
    let verdict = judge(&server, PEER, "a@nothing.example", &content()).await;
    assert_eq!(verdict.spf.finding, Finding::None);
}

#[tokio::test]
async fn a_forwarder_is_not_judged_in_the_place_of_its_senders() {
    let (ed, record) = ed25519();
    let server = zone().txt("ed._domainkey.sender.example", &record).serve().await;
    let mut spool = Spool::new().await;
    for (content, dmarc) in
        [(signed_ed25519(ed, "sender.example", &content()), Finding::Pass), (content(), Finding::Neutral)]
    {
        let subject = spool.add("198.51.100.9", SENDER, &content).await;
        let verdict = resolver(&server).judge(&subject, true, &*spool.store).await;
        assert_eq!((verdict.spf.finding, verdict.iprev.finding), (Finding::None, Finding::None));
        assert_eq!(verdict.dmarc.finding, dmarc);
        assert!(verdict.is_forwarded && is_authenticated(&verdict, SENDER) == (dmarc == Finding::Pass));
    }
}

#[tokio::test]
async fn a_list_says_listed_and_neither_silence_nor_its_refusal_does() {
    let listed = |name: &str, answer: &str| (format!("25.2.0.192.{name}"), answer.to_owned());
    let mut zone = zone().address("9.100.51.198.bad.example", "127.0.0.2");
    for (name, answer) in [
        listed("bad.example", "127.0.0.4"),
        listed("blocked.example", "127.255.255.254"),
        listed("itself.example", "127.0.0.1"),
        listed("hijacked.example", "203.0.113.1"),
    ] {
        zone = zone.address(&name, &answer);
    }
    let server = zone.serve().await;
    let lists = ["blocked", "bad", "itself", "hijacked", "unknown"];
    let settings = pulsemx::verdict::Settings {
        lists: lists.map(|list| pulsemx::base::DomainName::parse(&format!("{list}.example")).unwrap()).to_vec(),
        ..crate::mail::settings(&server)
    };
    let resolver = Resolver::new(&settings, crate::mail::hostname()).unwrap();
    let mut spool = Spool::new().await;
    for (peer, expected) in [(PEER, vec!["bad.example"]), ("203.0.113.7", vec![]), ("2001:db8::1", vec![])] {
        let subject = spool.add(peer, SENDER, &content()).await;
        let verdict = resolver.judge(&subject, false, &*spool.store).await;
        assert_eq!(verdict.listed_in, expected, "{peer}");
    }
}

#[tokio::test]
async fn a_chain_of_seals_is_checked_whole() {
    let (ed, record) = ed25519();
    let server = zone().txt("ed._domainkey.list.example", &record).serve().await;
    let content = sealed(ed, "list.example", &content());
    assert_eq!(judge(&server, PEER, SENDER, &content).await.arc, Finding::Pass);
    let broken = content.replacen("mx.list.example", "mx.liar.example", 1);
    assert_eq!(judge(&server, PEER, SENDER, &broken).await.arc, Finding::Fail);
}

#[tokio::test]
async fn odd_content_is_judged_without_harm() {
    let server = zone().serve().await;
    let signature = "DKIM-Signature: v=1; a=rsa-sha256; d=sender.example; s=s; h=from; bh=AAAA; b=AAAA\r\n";
    for (content, dmarc) in [
        (String::new(), Finding::PermError),
        ("no colon at all\r\n".to_owned(), Finding::PermError),
        ("X: y\r\n".repeat(100_000), Finding::PermError),
        (signature.repeat(500) + &content(), Finding::Pass),
        ("DKIM-Signature: ;;;=\r\nARC-Seal: x\r\nFrom: @@\r\n\r\n".to_owned(), Finding::None),
        ("\r\nbody without a header\r\n".to_owned(), Finding::PermError),
    ] {
        let verdict = judge(&server, PEER, SENDER, &content).await;
        assert_eq!(verdict.dmarc.finding, dmarc, "{:?}", content.get(..40));
        assert!(verdict.dkim.len() <= 16);
    }
}
