//! Signed messages, and a spool that has them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use data_encoding::BASE64;
use mail_auth::arc::ArcSealer;
use mail_auth::common::crypto::{Ed25519Key, RsaKey, Sha256};
use mail_auth::common::headers::HeaderWriter;
use mail_auth::dkim::{Canonicalization, DkimSigner};
use mail_auth::{ArcOutput, AuthenticatedMessage, AuthenticationResults};
use pulsemx::account::{AccountStore, BeatKeyRecord, Change, NewAccount};
use pulsemx::base::{AccountId, Clock, DomainName, EndpointId, Mailbox, ReversePath, SpoolId};
use pulsemx::spool::{
    BodyType, CHUNK_OCTETS_MAX, HeaderSummary, MessageDsn, NewMessage, NewRecipient, RecipientDsn, SpoolStore,
};
use pulsemx::store::MemoryStore;
use pulsemx::verdict::question::driver::Resolver;
use pulsemx::verdict::{Settings, Subject};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;

use crate::dns::Server;

/// Key of the tests.
const RSA: &str = include_str!("rsa.pem");

pub(crate) fn ed25519() -> (Ed25519Key, String) {
    let key = Ed25519Key::from_pkcs8_der(&Ed25519Key::generate_pkcs8().unwrap()).unwrap();
    let record = format!("v=DKIM1; k=ed25519; p={}", BASE64.encode(&key.public_key()));
    (key, record)
}

pub(crate) fn rsa() -> (RsaKey<Sha256>, String) {
    let key = RsaKey::<Sha256>::from_key_der(PrivateKeyDer::from_pem_slice(RSA.as_bytes()).unwrap()).unwrap();
    let record = format!("v=DKIM1; k=rsa; p={}", BASE64.encode(&key.public_key()));
    (key, record)
}

pub(crate) fn signed_ed25519(key: Ed25519Key, domain: &str, content: &str) -> String {
    let signature = DkimSigner::from_key(key)
        .domain(domain)
        .selector("ed")
        .headers(["From", "Subject"])
        .body_canonicalization(Canonicalization::Relaxed)
        .sign(content.as_bytes())
        .unwrap();
    signature.to_header() + content
}

pub(crate) fn signed_rsa(key: RsaKey<Sha256>, domain: &str, content: &str) -> String {
    let signature = DkimSigner::from_key(key)
        .domain(domain)
        .selector("rsa")
        .headers(["From", "Subject"])
        .body_canonicalization(Canonicalization::Simple)
        .header_canonicalization(Canonicalization::Simple)
        .sign(content.as_bytes())
        .unwrap();
    signature.to_header() + content
}

pub(crate) fn sealed(key: Ed25519Key, domain: &str, content: &str) -> String {
    let message = AuthenticatedMessage::parse(content.as_bytes()).unwrap();
    let results = AuthenticationResults::new("mx.list.example");
    let sealer = ArcSealer::from_key(key).domain(domain).selector("ed").headers(["From", "Subject"]);
    sealer.seal(&message, &results, &ArcOutput::default()).unwrap().to_header() + content
}

pub(crate) fn settings(server: &Server) -> Settings {
    Settings {
        resolvers: vec![server.address],
        question_timeout: Duration::from_secs(5),
        message_timeout: Duration::from_secs(60),
        ..Settings::default()
    }
}

pub(crate) fn hostname() -> DomainName {
    DomainName::parse("mx.backup.example").unwrap()
}

pub(crate) fn resolver(server: &Server) -> Resolver {
    Resolver::new(&settings(server), hostname()).unwrap()
}

/// A spool with an account.
pub(crate) struct Spool {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) account: AccountId,
    next: i64,
}

impl Spool {
    pub(crate) async fn new() -> Self {
        let store = Arc::new(MemoryStore::new());
        let now = Clock.wall();
        let key = BeatKeyRecord {
            endpoint: EndpointId(0),
            locator: [1; 8],
            sealed_mac_keys: vec![1],
            move_key: [1; 32],
            bearer_verifier: [1; 32],
            created_at: now,
            expires_at: None,
        };
        let new = NewAccount {
            name: "firma".parse().unwrap(),
            host: DomainName::parse("firma.dyn.example").unwrap(),
            smtp_port: 25,
            domains: vec![DomainName::parse("firma.example").unwrap()],
            key,
        };
        let account = store.create_account(new, Change { at: now, who: "test".to_owned() }).await.unwrap().0;
        Self { store, account, next: 1 }
    }

    /// Stores `content` from `peer` that calls itself `mail.sender.example`.
    pub(crate) async fn add(&mut self, peer: &str, sender: &str, content: &str) -> Subject {
        let id = SpoolId::from_i64(self.next);
        self.next += 1;
        let tail: Vec<Bytes> = content.as_bytes().chunks(CHUNK_OCTETS_MAX).map(Bytes::copy_from_slice).collect();
        let reverse_path =
            if sender.is_empty() { ReversePath::Null } else { ReversePath::parse(sender, false).unwrap() };
        let subject = Subject {
            id,
            peer: peer.parse().unwrap(),
            helo: "mail.sender.example".to_owned(),
            reverse_path: reverse_path.clone(),
            accounts: vec![self.account],
            chunks: u32::try_from(tail.len()).unwrap(),
        };
        let mailbox = Mailbox::parse("a@firma.example", false).unwrap();
        let message = NewMessage {
            id,
            accepted_at: Clock.wall(),
            reverse_path,
            recipients: vec![NewRecipient { account: self.account, mailbox, dsn: RecipientDsn::default() }],
            smtputf8: false,
            requires_tls: false,
            body: BodyType::SevenBit,
            dsn: MessageDsn::default(),
            trace: Bytes::new(),
            sha256: [7; 32],
            octets: content.len() as u64,
            header: HeaderSummary::default(),
            peer: subject.peer,
            helo: subject.helo.clone(),
            tls: None,
            chunks_ahead: 0,
            tail,
        };
        self.store.intake_commit(message).await.unwrap();
        subject
    }
}
