//! The primary is there: it is asked while the sender waits, and whatever goes wrong on the way is stored.
#![expect(clippy::wildcard_enum_match_arm, reason = "what a test does not name is answered politely")]

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::{Beats, Primary, Sender, Server, mail, now, wait_for};

const SOON: Duration = Duration::from_secs(15);

// ---- the words of the primary are the sender's ----

#[test]
fn what_the_primary_takes_leaves_an_envelope_and_no_content() {
    let (server, primary, _beats) = online("127.0.14.1", polite);
    let mut sender = Sender::connect(server.smtp).unwrap();
    for n in 0..5 {
        let reply = sender.send("a@sender.example", "info@firma.example", &mail(&format!("m{n}"))).unwrap();
        assert_eq!(reply, "250 2.0.0 taken as 77");
    }
    assert_eq!(primary.count("MAIL"), 5);
    assert!(primary.connections() <= 2, "a connection is used again");
    let content = primary.contents().pop().unwrap();
    assert!(content.starts_with("Received: ") && content.ends_with(&mail("m4")), "{content}");
    let proof = wait_for("it is counted", SOON, || {
        let proof = server.command(&["account", "proof", "firma"]);
        (proof["delivered"] == 5).then_some(proof)
    });
    assert_eq!((&proof["accepted"], &proof["balanced"]), (&5.into(), &true.into()), "{proof}");
    let listed = server.command(&["queue", "list", "--state", "delivered"]);
    assert_eq!(listed["messages"].as_array().unwrap().len(), 5);
    assert_eq!(listed["messages"][0]["recipients"][0]["last_reply"], "250 2.0.0 taken as 77");
    let known = server.command(&["recipient", "check", "firma", "info@firma.example"]);
    assert!(known.to_string().contains("the mail server accepted it"), "{known}");
    assert_eq!(chunks(&server), 0, "no content is kept");
}

#[test]
fn a_large_message_goes_through_the_spools_pieces_and_leaves_none() {
    let (server, primary, _beats) = online("127.0.14.2", polite);
    let body = format!("Subject: large\r\n\r\n{}", "x".repeat(70).repeat(14).replace('x', "y") + "\r\n");
    let large = format!("{body}{}", ".dots and more\r\n".repeat(40_000));
    let mut sender = Sender::connect(server.smtp).unwrap();
    let reply = sender.send("a@sender.example", "info@firma.example", &large).unwrap();
    assert_eq!(reply, "250 2.0.0 taken as 77");
    assert!(primary.contents()[0].ends_with(&large), "byte for byte");
    wait_for("its pieces are gone", SOON, || (chunks(&server) == 0).then_some(()));
    assert!(server.is_balanced("firma"));
}

#[test]
fn a_refusal_of_the_primary_is_the_senders_for_recipient_and_content() {
    let (server, primary, _beats) = online("127.0.14.3", |heard| match heard {
        Heard::Line(line) if line.contains("nobody@") => say("550 5.1.1 there is no such user"),
        Heard::Content(text) if text.contains("Subject: spam") => say("554 5.7.1 this is spam"),
        heard => polite(heard),
    });
    let mut sender = Sender::connect(server.smtp).unwrap();
    let reply = sender.send("a@sender.example", "nobody@firma.example", &mail("x")).unwrap();
    assert_eq!(reply, "550 5.1.1 there is no such user");
    sender.ask("RSET").unwrap();
    let asked = primary.count("RCPT");
    let reply = sender.send("a@sender.example", "nobody@firma.example", &mail("x")).unwrap();
    assert!(reply.starts_with("550 5.1.1"), "{reply}");
    assert_eq!(primary.count("RCPT"), asked, "the primary is not asked again within two hours");
    sender.ask("RSET").unwrap();
    let reply = sender.send("a@sender.example", "info@firma.example", &mail("spam")).unwrap();
    assert_eq!(reply, "554 5.7.1 this is spam");
    let reply = sender.send("a@sender.example", "info@firma.example", &mail("ham")).unwrap();
    assert_eq!(reply, "250 2.0.0 taken as 77");
    assert_eq!(server.account("firma")["held"], 0);
    assert!(server.is_balanced("firma"));
}

#[test]
fn a_greylisting_primary_that_knows_the_sender_judges_him() {
    let greylists = |xclient: bool| {
        move |heard: &Heard| match heard {
            Heard::Line(line) if line.starts_with("EHLO") && xclient => {
                say("250-primary\r\n250-XCLIENT ADDR HELO\r\n250 PIPELINING")
            }
            Heard::Line(line) if line.starts_with("XCLIENT") => say("220 primary again"),
            Heard::Line(line) if line.starts_with("RCPT") => say("451 4.7.1 greylisted, come again in 300 s"),
            heard => polite(heard),
        }
    };
    let (server, primary, _beats) = online("127.0.14.4", greylists(true));
    let mut sender = Sender::connect(server.smtp).unwrap();
    let reply = sender.send("a@sender.example", "info@firma.example", &mail("x")).unwrap();
    assert_eq!(reply, "451 4.7.1 greylisted, come again in 300 s");
    assert_eq!(primary.count("XCLIENT ADDR=127.0.0.1 HELO=sender.example"), 1);
    assert_eq!(server.account("firma")["held"], 0);

    let (server, _primary, _beats) = online("127.0.14.5", greylists(false));
    let mut sender = Sender::connect(server.smtp).unwrap();
    let reply = sender.send("a@sender.example", "info@firma.example", &mail("x")).unwrap();
    assert!(reply.starts_with("250") && reply.contains("stored"), "it greylists us, not him: {reply}");
    assert_eq!(server.account("firma")["held"], 1);
}

// ---- everything else is stored ----

#[test]
fn a_primary_that_is_lost_in_the_middle_costs_nothing() {
    for (ip, word) in
        [("127.0.14.6", "RCPT"), ("127.0.14.7", "DATA"), ("127.0.14.8", "content"), ("127.0.14.9", "MAIL")]
    {
        let fails = Arc::new(Mutex::new(true));
        let until = Arc::clone(&fails);
        let (server, primary, _beats) = online(ip, move |heard| {
            let is_now = match heard {
                Heard::Line(line) => line.starts_with(word),
                Heard::Content(_) => word == "content",
                Heard::Connect => false,
            };
            if is_now && *until.lock().unwrap() { Act::Close } else { polite(heard) }
        });
        let mut sender = Sender::connect(server.smtp).unwrap();
        let reply = sender.send("a@sender.example", "info@firma.example", &mail("x")).unwrap();
        assert!(reply.starts_with("250") && reply.contains("stored, on its way"), "{word}: {reply}");
        *fails.lock().unwrap() = false;
        wait_for("the stored copy arrives", Duration::from_secs(30), || {
            (server.account("firma")["held"] == 0).then_some(())
        });
        assert!(primary.contents().last().unwrap().ends_with(&mail("x")));
        assert!(server.is_balanced("firma"), "{word}");
    }
}

#[test]
fn two_accounts_in_one_transaction_are_stored_and_each_gets_its_copy() {
    let (server, one, _beats) = online("127.0.14.10", polite);
    let two = Scripted::listen("127.0.14.11", polite);
    let token = server.add_account("zwei", two.address.port());
    let _two = Beats::start(&server, "zwei", &token, "127.0.14.11", Some("1s"));
    server.wait_state("zwei", "online", SOON);
    let mut sender = Sender::connect(server.smtp).unwrap();
    for line in ["MAIL FROM:<>", "RCPT TO:<a@firma.example>", "RCPT TO:<b@zwei.example>"] {
        assert!(sender.ask(line).unwrap().starts_with("250"), "{line}");
    }
    assert!(sender.ask("DATA").unwrap().starts_with("354"));
    let reply = sender.ask("Subject: both\r\n\r\nx\r\n.").unwrap();
    assert!(reply.contains("stored"), "{reply}");
    wait_for("each gets its copy", SOON, || (one.contents().len() == 1 && two.contents().len() == 1).then_some(()));
}

#[test]
fn a_slow_sender_does_not_hold_the_primarys_session() {
    let (server, primary, _beats) = online("127.0.14.12", polite);
    let mut sender = Sender::connect(server.smtp).unwrap();
    for line in ["MAIL FROM:<>", "RCPT TO:<a@firma.example>"] {
        assert!(sender.ask(line).unwrap().starts_with("250"), "{line}");
    }
    assert!(sender.ask("DATA").unwrap().starts_with("354"));
    wait_for("the session is given back", Duration::from_secs(30), || (primary.count("RSET") == 1).then_some(()));
    let reply = sender.ask("Subject: slow\r\n\r\nx\r\n.").unwrap();
    assert!(reply.contains("stored, on its way"), "{reply}");
    wait_for("it arrives", SOON, || (primary.contents().len() == 1).then_some(()));
}

#[test]
fn mail_does_not_overtake_what_waits_and_an_account_may_choose() {
    let (server, primary, _beats) = online("127.0.14.13", polite);
    server.command(&["queue", "hold", "--account", "firma", "--reason", "moving house"]);
    let mut sender = Sender::connect(server.smtp).unwrap();
    let reply = sender.send("a@sender.example", "info@firma.example", &mail("one")).unwrap();
    assert!(reply.contains("stored"), "held: {reply}");
    assert_eq!(primary.count("MAIL"), 0);
    server.command(&["queue", "release", "--account", "firma"]);
    wait_for("it arrives", SOON, || (server.account("firma")["held"] == 0).then_some(()));
    assert_eq!(sender.send("a@sender.example", "info@firma.example", &mail("two")).unwrap(), "250 2.0.0 taken as 77");
    server.command(&["account", "online", "firma", "accept"]);
    assert_eq!(server.account("firma")["online_mode"], "accept");
    let reply = sender.send("a@sender.example", "info@firma.example", &mail("three")).unwrap();
    assert!(reply.contains("stored, on its way"), "{reply}");
    wait_for("it is relayed at once", SOON, || (primary.contents().len() == 3).then_some(()));
    server.command(&["account", "online", "firma", "defer"]);
    let reply = sender.send("a@sender.example", "info@firma.example", &mail("four")).unwrap();
    assert!(reply.contains("stored"), "nobody is sent away within two minutes of a change: {reply}");
    server.command(&["account", "online", "firma", "default"]);
    assert_eq!(server.account("firma")["online_mode"], serde_json::Value::Null);
}

#[test]
fn a_stranger_at_the_address_gets_no_octet_of_mail() {
    let server = Server::start("1s", "");
    let primary = Primary::listen_tls("127.0.14.14", 0);
    let port = primary.address.port();
    let token = server.add_account("firma", port);
    let _beats = Beats::start(&server, "firma", &token, "127.0.14.14", Some("1s"));
    server.wait_state("firma", "online", SOON);
    let mut sender = Sender::connect(server.smtp).unwrap();
    let reply = sender.send("a@sender.example", "info@firma.example", &mail("one")).unwrap();
    assert!(reply.starts_with("250"), "{reply}");
    wait_for("its key is known", SOON, || server.log().contains("alert=\"pin\"").then_some(()));
    drop(primary);
    // Another one answers at the same address and port, with another key.
    let stranger = Scripted::listen_at("127.0.14.14", port, polite);
    let said = |sender: &mut Sender| sender.send("a@sender.example", "info@firma.example", &mail("two")).unwrap();
    let reply = said(&mut sender);
    assert!(reply.contains("stored"), "{reply}");
    wait_for("the stranger is told of", SOON, || server.account("firma")["doubt"].is_string().then_some(()));
    assert_eq!((stranger.count("MAIL"), stranger.count("RCPT"), stranger.contents().len()), (0, 0, 0));
    assert_eq!(server.account("firma")["held"], 1);
}

#[test]
fn a_primary_that_refuses_us_from_the_first_word_refuses_no_mail() {
    let (server, _primary, _beats) = online("127.0.14.15", |heard| match heard {
        Heard::Connect => say("554 5.7.1 you are blocked"),
        heard => polite(heard),
    });
    let mut sender = Sender::connect(server.smtp).unwrap();
    let reply = sender.send("a@sender.example", "info@firma.example", &mail("x")).unwrap();
    assert!(reply.contains("stored"), "{reply}");
    assert_eq!(server.account("firma")["held"], 1);
}

#[test]
fn a_primary_without_a_listener_makes_nobody_wait_long() {
    let server = Server::start("1s", "");
    let token = server.add_account("firma", 9);
    let _beats = Beats::start(&server, "firma", &token, "127.0.14.16", Some("1s"));
    server.wait_state("firma", "online", SOON);
    let mut sender = Sender::connect(server.smtp).unwrap();
    let began = now();
    for n in 0..20 {
        let reply = sender.send("a@sender.example", "info@firma.example", &mail(&format!("m{n}"))).unwrap();
        assert!(reply.contains("stored"), "{reply}");
    }
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert_eq!(server.account("firma")["held"], 20);
}

// ---- a primary that answers as the test says ----

/// Pieces of content that the server keeps.
fn chunks(server: &Server) -> i64 {
    let db = rusqlite::Connection::open_with_flags(
        server.data().join("pulsemx.db"),
        rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY,
    )
    .unwrap();
    db.query_row("SELECT count(*) FROM chunk", [], |row| row.get(0)).unwrap()
}

enum Heard {
    Connect,
    Line(String),
    Content(String),
}

enum Act {
    Say(String),
    Close,
}

fn say(text: &str) -> Act {
    Act::Say(format!("{text}\r\n"))
}

fn polite(heard: &Heard) -> Act {
    match heard {
        Heard::Connect => say("220 primary ESMTP"),
        Heard::Content(_) => say("250 2.0.0 taken as 77"),
        Heard::Line(line) if line.starts_with("EHLO") => say("250-primary\r\n250 PIPELINING"),
        Heard::Line(line) if line == "DATA" => say("354 go"),
        Heard::Line(line) if line == "QUIT" => say("221 bye"),
        Heard::Line(_) => say("250 2.1.0 ok"),
    }
}

#[derive(Default)]
struct Log {
    lines: Vec<String>,
    contents: Vec<String>,
    connections: usize,
}

struct Scripted {
    address: SocketAddr,
    log: Arc<Mutex<Log>>,
}

type Manner = Arc<dyn Fn(&Heard) -> Act + Send + Sync>;

impl Scripted {
    fn listen(ip: &str, manner: impl Fn(&Heard) -> Act + Send + Sync + 'static) -> Self {
        Self::listen_at(ip, 0, manner)
    }

    fn listen_at(ip: &str, port: u16, manner: impl Fn(&Heard) -> Act + Send + Sync + 'static) -> Self {
        let listener = wait_for("the port", SOON, || TcpListener::bind((ip, port)).ok());
        let scripted = Self { address: listener.local_addr().unwrap(), log: Arc::default() };
        let (log, manner) = (Arc::clone(&scripted.log), Arc::new(manner) as Manner);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (log, manner) = (Arc::clone(&log), Arc::clone(&manner));
                std::thread::spawn(move || {
                    let _ = talk(stream?, &log, &manner);
                    Ok::<(), std::io::Error>(())
                });
            }
        });
        scripted
    }

    fn count(&self, prefix: &str) -> usize {
        self.log.lock().unwrap().lines.iter().filter(|line| line.starts_with(prefix)).count()
    }

    fn contents(&self) -> Vec<String> {
        self.log.lock().unwrap().contents.clone()
    }

    fn connections(&self) -> usize {
        self.log.lock().unwrap().connections
    }
}

fn talk(stream: TcpStream, log: &Mutex<Log>, manner: &Manner) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut read = BufReader::new(stream);
    let mut heard = Heard::Connect;
    loop {
        let is_content = match manner(&heard) {
            Act::Close => return Ok(()),
            Act::Say(text) => {
                read.get_mut().write_all(text.as_bytes())?;
                text.starts_with("354")
            }
        };
        let mut content = String::new();
        loop {
            let mut line = String::new();
            if read.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if !is_content {
                let line = line.trim_end().to_owned();
                let mut log = log.lock().unwrap();
                log.connections += usize::from(line.starts_with("EHLO"));
                log.lines.push(line.clone());
                heard = Heard::Line(line);
                break;
            }
            if line == ".\r\n" {
                log.lock().unwrap().contents.push(content.clone());
                heard = Heard::Content(content);
                break;
            }
            content.push_str(line.strip_prefix('.').unwrap_or(&line));
        }
    }
}

/// A server, and an account that is ONLINE with such a primary.
fn online(ip: &str, manner: impl Fn(&Heard) -> Act + Send + Sync + 'static) -> (Server, Scripted, Beats) {
    let server = Server::start("1s", "");
    let primary = Scripted::listen(ip, manner);
    let token = server.add_account("firma", primary.address.port());
    let beats = Beats::start(&server, "firma", &token, ip, Some("1s"));
    server.wait_state("firma", "online", SOON);
    // The call of the return is no connection of a test's.
    primary.log.lock().unwrap().connections = 0;
    (server, primary, beats)
}
