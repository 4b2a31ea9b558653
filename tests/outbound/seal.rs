//! A seal of ours is believed by whoever asks the DNS for our key.

use bytes::Bytes;
use mail_auth::common::crypto::Ed25519Key;
use mail_auth::hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use mail_auth::{AuthenticatedMessage, DkimResult, MessageAuthenticator};
use pulsemx::base::{DomainName, ReversePath, SpoolId, WallTime};
use pulsemx::outbound::seal::Sealer;
use pulsemx::outbound::vouch::results_line;
use pulsemx::spool::{BodyType, Claimed, MessageDsn, SpoolStore};
use pulsemx::store::MemoryStore;
use pulsemx::verdict::{Finding, SpfFinding, Verdict};

use crate::dns::Zone;

const CONTENT: &[u8] = b"From: a@sender.example\r\nTo: b@firma.example\r\nSubject: x\r\n\r\nfirst line \r\n\r\n\r\n";

fn message(octets: usize) -> Claimed {
    Claimed {
        id: SpoolId::from_i64(1),
        accepted_at: WallTime::UNIX_EPOCH,
        reverse_path: ReversePath::parse("a@sender.example", false).unwrap(),
        smtputf8: false,
        requires_tls: false,
        body: BodyType::SevenBit,
        dsn: MessageDsn::default(),
        trace: Bytes::new(),
        sha256: [0; 32],
        octets: octets as u64,
        chunks: 2,
        peer: "192.0.2.9".parse().unwrap(),
        helo: "mx.sender.example".to_owned(),
        recipients: Vec::new(),
    }
}

/// The seal of content that the spool has in two pieces.
async fn seal(sealer: &Sealer, content: &[u8]) -> Option<Vec<u8>> {
    let store = MemoryStore::new();
    let (first, second) = content.split_at(30);
    for (ordinal, piece) in [(0, first), (1, second)] {
        store.intake_chunk(SpoolId::from_i64(1), ordinal, Bytes::copy_from_slice(piece)).await.unwrap();
    }
    let authserv = DomainName::parse("k7.mx2.example").unwrap();
    sealer.seal(&message(content.len()), &verdict(), &authserv, &store).await
}

fn verdict() -> Verdict {
    Verdict { spf: SpfFinding { finding: Finding::Pass, domain: "sender.example".to_owned() }, ..Verdict::default() }
}

#[tokio::test]
async fn a_first_seal_verifies_and_a_changed_message_does_not() {
    let der = Ed25519Key::generate_pkcs8().unwrap();
    let public = data_encoding::BASE64.encode(&Ed25519Key::from_pkcs8_der(&der).unwrap().public_key());
    let pem =
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", data_encoding::BASE64.encode(&der));
    let sealer = Sealer::new(pem.as_bytes(), &DomainName::parse("mx2.example").unwrap(), "s1").unwrap();
    let lines = seal(&sealer, CONTENT).await.unwrap();
    let text = String::from_utf8(lines.clone()).unwrap();
    for words in ["ARC-Seal:", "ARC-Message-Signature:", "ARC-Authentication-Results:", "k7.mx2.example", "spf=pass"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!text.replace("\r\n", "").contains(['\r', '\n']), "no bare line end");

    let zone = Zone::default().txt("s1._domainkey.mx2.example", &format!("v=DKIM1; k=ed25519; p={public}"));
    let server = zone.serve().await;
    let mut connection = ConnectionConfig::udp();
    connection.port = server.address.port();
    let name_server = NameServerConfig::new(server.address.ip(), true, vec![connection]);
    let config = ResolverConfig::from_name_servers(vec![name_server]);
    let asker = MessageAuthenticator::new(config, ResolverOpts::default()).unwrap();
    let trace = results_line(
        &DomainName::parse("k7.mx2.example").unwrap(),
        &verdict(),
        &ReversePath::parse("a@sender.example", false).unwrap(),
        "192.0.2.9".parse().unwrap(),
    );
    for (content, is_whole) in [(CONTENT.to_vec(), true), ([CONTENT, b"more\r\n"].concat(), false)] {
        let whole = [trace.as_bytes(), &lines, b"Received: from x by mx2.example; now\r\n", &content].concat();
        let parsed = AuthenticatedMessage::parse(&whole).unwrap();
        let output = asker.verify_arc(&parsed).await;
        assert_eq!(matches!(output.result(), DkimResult::Pass), is_whole, "{:?}", output.result());
    }
    let chained = [&lines, CONTENT].concat();
    assert!(seal(&sealer, &chained).await.is_none(), "a chain is left alone");
}
