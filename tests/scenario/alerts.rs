//! An outage is told by a signed webhook, also over a `kill -9`; a hostile receiver costs nothing but its own alerts.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::support::{Beats, Server, wait_for};

/// Retries rest for seconds; a busy machine for longer.
const PATIENCE: Duration = Duration::from_secs(90);

/// A request as it came.
#[derive(Clone, Debug)]
struct Told {
    path: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Told {
    fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn kind(&self) -> (String, String) {
        let word = |field: &str| self.json()[field].as_str().unwrap().to_owned();
        (word("kind"), word("phase"))
    }
}

/// An HTTP server that records and answers with whatever `answer` makes of the number of the request; `None` never
/// answers.
struct Sink {
    address: SocketAddr,
    told: Arc<Mutex<Vec<Told>>>,
    open: Arc<AtomicBool>,
}

type Answer = dyn Fn(usize) -> Option<String> + Send + Sync;

fn ok() -> String {
    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned()
}

impl Sink {
    fn listen(answer: impl Fn(usize) -> Option<String> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let sink = Self { address: listener.local_addr().unwrap(), told: Arc::default(), open: Arc::new(true.into()) };
        let (told, open, answer) = (Arc::clone(&sink.told), Arc::clone(&sink.open), Arc::new(answer) as Arc<Answer>);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if !open.load(Ordering::SeqCst) {
                    return Ok(());
                }
                let (told, answer) = (Arc::clone(&told), Arc::clone(&answer));
                std::thread::spawn(move || serve(stream?, &told, &*answer));
            }
            Ok::<(), std::io::Error>(())
        });
        sink
    }

    fn told(&self) -> Vec<Told> {
        self.told.lock().unwrap().clone()
    }

    fn wait_for(&self, count: usize) -> Vec<Told> {
        wait_for(&format!("{count} alerts"), PATIENCE, || Some(self.told()).filter(|told| told.len() >= count))
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.open.store(false, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(stream: TcpStream, told: &Mutex<Vec<Told>>, answer: &Answer) -> std::io::Result<()> {
    let mut read = BufReader::new(stream);
    let mut line = String::new();
    read.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or("").to_owned();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        read.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let mut body = vec![0; length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0)];
    read.read_exact(&mut body)?;
    let number = {
        let mut told = told.lock().unwrap();
        told.push(Told { path, headers, body: String::from_utf8(body).unwrap() });
        told.len()
    };
    match answer(number) {
        Some(answer) => read.get_mut().write_all(answer.as_bytes()),
        // Never answers; ends when the other side gives up.
        None => read.read(&mut [0]).map(drop),
    }
}

const KEY: &str = "a-key-of-at-least-24-characters";

fn add(server: &Server, url: &str, more: &[&str]) -> i64 {
    let file = server.folder().join("hook.key");
    std::fs::write(&file, format!("{KEY}\n")).unwrap();
    let file = file.display().to_string();
    let mut words = vec!["alert", "add", "firma", url, "--secret-file", &file];
    words.extend(more);
    let added = server.command(&words);
    assert!(added["key"].is_null(), "a key that was brought is not repeated: {added}");
    added["id"].as_i64().unwrap()
}

fn channel(server: &Server, id: i64) -> Value {
    let listed = server.command(&["alert", "list"]);
    let found = listed["channels"].as_array().unwrap().iter().find(|channel| channel["id"] == id);
    found.unwrap_or_else(|| panic!("{listed}")).clone()
}

fn assert_signed(told: &Told) {
    let expected = pulsemx::alert::request::signature(KEY.as_bytes(), told.header("Pulsemx-Timestamp"), &told.body);
    assert_eq!(told.header("Pulsemx-Signature"), format!("v1={expected}"));
    assert_eq!(told.header("Pulsemx-Id"), told.json()["id"]);
}

#[test]
fn an_outage_and_its_end_are_told_once_and_signed_and_no_kill_loses_them() {
    // Nothing gets through before the server was killed.
    let works = Arc::new(AtomicBool::new(false));
    let up = Arc::clone(&works);
    let sink = Sink::listen(move |_| {
        Some(if up.load(Ordering::SeqCst) {
            ok()
        } else {
            "HTTP/1.1 500 x\r\nContent-Length: 4\r\n\r\nbusy".to_owned()
        })
    });
    let mut server = Server::start("1s", "");
    let token = server.add_account("firma", 25);
    let id = add(&server, &format!("webhook:http://{}/hook", sink.address), &["--delay", "0s", "--language", "de"]);
    let beats = Beats::start(&server, "firma", &token, "127.0.16.1", None);
    server.wait_state("firma", "online", PATIENCE);
    beats.kill();
    server.wait_state("firma", "offline", PATIENCE);
    let first = sink.wait_for(1).remove(0);
    assert_eq!((first.path.as_str(), first.kind()), ("/hook", ("silent".to_owned(), "begin".to_owned())));
    assert_signed(&first);
    wait_for("the failure is shown", PATIENCE, || (channel(&server, id)["failures"] != 0).then_some(()));
    let shown = channel(&server, id);
    assert_eq!(shown["last_error"], "answers 500 busy");
    assert_eq!((&shown["waiting"], &shown["last_sent_at"]), (&Value::from(1), &Value::Null));
    assert_eq!(server.command(&["status"])["alerts_unreached"], serde_json::json!(["firma"]));

    server.kill();
    works.store(true, Ordering::SeqCst);
    let before = sink.told().len();
    server.run();
    let again = sink.wait_for(before + 1).pop().unwrap();
    assert_signed(&again);
    assert_eq!(again.json()["id"], first.json()["id"], "the same alert, so that a receiver can tell");
    assert!(again.json()["title"].as_str().unwrap().contains("Mailserver ist ausgefallen"), "{again:?}");
    wait_for("it counts as sent", PATIENCE, || (channel(&server, id)["waiting"] == 0).then_some(()));
    assert_eq!(server.command(&["status"])["alerts_unreached"], serde_json::json!([]));

    let _beats = Beats::start(&server, "firma", &token, "127.0.16.1", None);
    server.wait_state("firma", "online", PATIENCE);
    let end = sink.wait_for(before + 2).pop().unwrap();
    assert_eq!(end.kind(), ("silent".to_owned(), "end".to_owned()));
    assert_signed(&end);
    server.stop();
    server.run();
    server.wait_state("firma", "online", PATIENCE);
    assert_eq!(sink.told().len(), before + 2, "a restart tells nothing twice");
    let database = std::fs::read(server.data().join("pulsemx.db")).unwrap();
    assert!(!database.windows(KEY.len()).any(|octets| octets == KEY.as_bytes()), "the key is sealed");
    assert!(!server.log().contains(KEY));
    assert!(!server.command(&["alert", "list"]).to_string().contains(KEY));
}

#[test]
fn hostile_receivers_are_left_alone_after_one_answer() {
    let inner = Sink::listen(|_| Some(ok()));
    let server = Server::start("1s", "");
    server.add_account("firma", 25);
    let target = inner.address;
    let huge = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "a".repeat(200_000));
    let endless = format!("HTTP/1.1 500 x\r\nConnection: close\r\n\r\n{}", "b\u{1b}[2J\r\n".repeat(100_000));
    let elsewhere = format!("HTTP/1.1 302 x\r\nLocation: http://{target}/\r\nContent-Length: 0\r\n\r\n");
    for (answer, words) in [
        (Some(huge), "header"),
        (Some(endless), "answers 500 b"),
        (Some(elsewhere), "answers 302 with another address"),
        (Some("garbage\r\n\r\n".to_owned()), ""),
        (Some(String::new()), ""),
        (None, "no answer within 15 s"),
    ] {
        let sink = Sink::listen(move |_| answer.clone());
        let id = add(&server, &format!("webhook:http://{}/", sink.address), &[]);
        let (good, _, err) = server.raw(&["alert", "test", &id.to_string()]);
        assert!(!good && err.contains("did not get through") && err.contains(words), "{words}: {err}");
        let shown = channel(&server, id);
        let error = shown["last_error"].as_str().unwrap();
        assert!(error.len() < 400 && !error.contains(char::is_control), "{error:?}");
        assert_eq!(sink.told().len(), 1, "asked once");
        server.command(&["alert", "rm", &id.to_string()]);
    }
    assert!(inner.told().is_empty(), "no redirect is followed");
    assert_eq!(server.command(&["alert", "list"])["channels"], serde_json::json!([]));
}

#[test]
fn what_no_alert_may_go_to_is_refused_with_a_sentence() {
    let server = Server::start("1s", "");
    server.add_account("firma", 25);
    for (words, sentence) in [
        (&["alert", "add", "firma", "command:/bin/true"][..], "operator alone"),
        (&["alert", "add", "--operator", "command:/bin/true"], "configuration file"),
        (&["alert", "add", "firma", "mailto:chef@firma.example"], "taken here"),
        (&["alert", "add", "firma", "mailto:chef@elsewhere.example"], "outbound.from"),
        (&["alert", "add", "firma", "ntfy:https://10.0.0.1/topic"], "not a public address"),
        (&["alert", "add", "firma", "gotify:https://push.example/"], "--secret-file"),
        (&["alert", "add", "firma", "ntfy:https://n.example/t", "--zone", "Mars"], "no time zone"),
        (&["alert", "add", "nobody", "ntfy:https://n.example/t"], "no account"),
        (&["alert", "rm", "77"], "no such channel"),
    ] {
        let (good, _, err) = server.raw(words);
        assert!(!good && err.contains(sentence), "{words:?}: {err}");
    }
    let made = server.command(&["alert", "add", "firma", "webhook:https://hooks.example/x"]);
    assert_eq!(made["key"].as_str().unwrap().len(), 64, "a key is drawn and shown once");
}

#[test]
fn the_operator_is_told_by_a_program_of_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("alerts");
    let url = format!("command:/usr/bin/tee -a {}#lang=en&kinds=all", file.display());
    let server = Server::start("1s", &format!("[alerts]\noperator = [\"{url}\"]"));
    let token = server.add_account("firma", 25);
    let beats = Beats::start(&server, "firma", &token, "127.0.16.2", None);
    server.wait_state("firma", "online", PATIENCE);
    beats.kill();
    let text = wait_for("the program was started", PATIENCE, || {
        std::fs::read_to_string(&file).ok().filter(|text| text.ends_with("example.\n"))
    });
    assert!(text.starts_with("firma: mail server is down\nMail server firma.dyn.example has sent no"), "{text}");
}
