//! The customer renews the certificate of his mail server: its key is another one, and no mail is held for long, since
//! the client beside it says so in a signed beat.

use std::net::UdpSocket;
use std::time::Duration;

use ed25519_dalek::SigningKey;
use pulsemx::heartbeat::datagram::{BootId, ClientBody, ClientDatagram, ClientFlags, Header, ServerDatagram};
use pulsemx::heartbeat::token::Token;

use crate::support::{Primary, Sender, Server, mail, wait_for};

/// A client in a few lines: one datagram at a time, and the answer to a challenge.
struct Client {
    socket: UdpSocket,
    token: Token,
    seq: u32,
    echo: u32,
}

impl Client {
    fn new(server: &Server, token: &str, ip: &str) -> Self {
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        socket.connect(server.heartbeat).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        Self { socket, token: Token::parse(token).unwrap(), seq: 0, echo: 0 }
    }

    /// Sends it and takes in what comes back; true if that is a reply.
    fn say(&mut self, body: ClientBody, signer: Option<&SigningKey>) -> bool {
        self.seq += 1;
        let header = Header {
            locator: self.token.locator(),
            boot: BootId(7),
            seq: self.seq,
            path: 0,
            copy: 0,
            flags: ClientFlags(ClientFlags::MAIL_KNOWN.0 | ClientFlags::MAIL_OK.0 | ClientFlags::KEEPS.0),
            interval_cs: 100,
            greeting_ms: 1,
            echo: self.echo,
            hold_ms: 0,
            greeting_code: 220,
            absence_min: 0,
            replies_lost: 0,
            version_max: 1,
            build: 1,
        };
        let octets = ClientDatagram { header, body }.encode(&self.token.client_to_server(), signer);
        self.socket.send(&octets).unwrap();
        let mut buffer = [0; 64];
        let Ok(64) = self.socket.recv(&mut buffer) else { return false };
        match ServerDatagram::decode(&buffer) {
            Some(ServerDatagram::Reply(reply)) => {
                self.echo = reply.server_time;
                true
            }
            Some(ServerDatagram::Challenge(challenge)) => {
                self.echo = challenge.server_time;
                let (cookie, seen) = (challenge.cookie, challenge.observed.ip());
                let signer = self.token.move_key();
                self.say(ClientBody::Answer { cookie, seen, signature: [0; 64] }, Some(&signer));
                false
            }
            None => false,
        }
    }

    fn report(&mut self, digest: [u8; 32], signer: Option<&SigningKey>) {
        wait_for("a reply to the report", Duration::from_secs(10), || {
            self.say(ClientBody::ServerKey { digest, signature: [0; 64] }, signer).then_some(())
        });
    }

    /// Beats until it is so.
    fn until(&mut self, what: &str, mut is_so: impl FnMut() -> bool) {
        wait_for(what, Duration::from_secs(20), || {
            self.say(ClientBody::Beat, None);
            is_so().then_some(())
        });
    }
}

fn send(server: &Server, subject: &str) {
    let mut sender = Sender::connect(server.smtp).unwrap();
    let reply = sender.send("a@sender.example", "x@firma.example", &mail(subject)).unwrap();
    assert!(reply.starts_with("250"), "{reply}");
}

#[test]
fn the_signed_word_of_the_client_moves_the_pin_to_the_renewed_key_and_an_unsigned_one_does_not() {
    let server = Server::start("1s", "");
    let primary = Primary::listen_tls("127.0.41.1", 0);
    let token = server.add_account("firma", primary.address.port());
    let token = std::fs::read_to_string(token).unwrap();
    let mut client = Client::new(&server, token.trim(), "127.0.41.1");
    send(&server, "one");
    client.until("the first delivery", || primary.arrived().len() == 1);
    let pin = || server.command(&["account", "pin", "show", "firma"]);
    client.until("the pin", || pin()["pinned"].is_string());
    let old = pin()["pinned"].clone();
    // His families stand on the list of the account, each with its proof.
    let families = server.account("firma")["families"].clone();
    assert_eq!((families[0]["address"].as_str(), families.as_array().unwrap().len()), (Some("127.0.41.1"), 1));
    assert!(families[0]["proven_since"].is_string() && families[0]["goes_after_ms"].is_u64(), "{families}");

    let port = primary.address.port();
    drop(primary);
    let renewed = Primary::listen_tls("127.0.41.1", port);
    send(&server, "two");
    client.until("another key is seen", || pin()["shown_instead"].is_string());
    let shown = pin()["shown_instead"].as_str().unwrap().to_owned();
    let digest = data_encoding::HEXLOWER.decode(shown.strip_prefix("sha256:").unwrap().as_bytes()).unwrap();
    let digest: [u8; 32] = digest.try_into().unwrap();
    client.report(digest, Some(&SigningKey::from_bytes(&[5; 32])));
    client.report([9; 32], Some(&client.token.move_key()));
    // Both were looked at, in this order.
    client.until("the word for a key that nobody shows", || pin()["vouched"].is_string());
    assert_ne!(pin()["vouched"].as_str(), Some(shown.as_str()));
    assert_eq!((renewed.arrived().len(), &pin()["pinned"]), (0, &old));

    client.report(digest, Some(&client.token.move_key()));
    client.until("the second delivery", || renewed.arrived().len() == 1);
    client.until("the pin has moved", || pin()["pinned"].as_str() == Some(shown.as_str()));
    assert!(pin()["vouched"].is_null() && pin()["doubt"].is_null(), "{}", pin());
}
