//! A server with one account, tokens for it, and a client that holds every answer to the description.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};

use crate::schema;
use crate::support::Server;

pub fn description() -> &'static Value {
    static READ: OnceLock<Value> = OnceLock::new();
    READ.get_or_init(|| serde_json::from_str(include_str!("../../web/openapi.json")).unwrap())
}

/// One answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The name of the problem, `not-found`.
    pub fn problem(&self) -> String {
        self.json()["type"].as_str().unwrap().strip_prefix("urn:pulsemx:problem:").unwrap().to_owned()
    }
}

/// One request.
#[derive(Clone, Debug, Default)]
pub struct Asks<'a> {
    pub token: &'a str,
    pub headers: Vec<(&'a str, String)>,
    pub body: Vec<u8>,
}

impl<'a> Asks<'a> {
    pub fn with(token: &'a str) -> Self {
        Self { token, ..Self::default() }
    }

    pub fn json(mut self, body: &Value) -> Self {
        self.headers.push(("Content-Type", "application/json".to_owned()));
        self.body = body.to_string().into_bytes();
        self
    }

    pub fn text(mut self, body: &str) -> Self {
        self.headers.push(("Content-Type", "text/plain; charset=utf-8".to_owned()));
        self.body = body.as_bytes().to_vec();
        self
    }

    pub fn header(mut self, name: &'a str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

pub struct Site {
    pub server: Server,
    /// Opens everything that the operator may give.
    pub admin: String,
}

pub const OPERATORS: &str = "status,dns,spool:read,spool:write,admin";

impl Site {
    /// The account `firma` with the domain `firma.example`; its server was never heard.
    pub fn open() -> Self {
        Self::of(Server::start_with_names(""))
    }

    pub fn of(server: Server) -> Self {
        server.add_account("firma", 25);
        let admin = token(&server, "firma", OPERATORS);
        Self { server, admin }
    }

    pub fn token(&self, scopes: &str) -> String {
        token(&self.server, "firma", scopes)
    }

    /// Stores one message for `firma` and returns its spool id.
    pub fn hold(&self, subject: &str) -> String {
        let mut sender = crate::support::Sender::connect(self.server.smtp).unwrap();
        let content = format!("Subject: {subject}\r\nFrom: Anna <anna@elsewhere.example>\r\n\r\nhello {subject}\r\n");
        let reply = sender.send("anna@elsewhere.example", "info@firma.example", &content).unwrap();
        assert!(reply.starts_with("250"), "{reply}");
        let all = self.server.command(&["queue", "list", "--account", "firma", "--limit", "1000"]);
        all["messages"].as_array().unwrap().last().unwrap()["id"].as_str().unwrap().to_owned()
    }

    pub fn get(&self, path: &str, token: &str) -> Answer {
        self.ask("GET", path, Asks::with(token))
    }

    pub fn post(&self, path: &str, token: &str, body: &Value) -> Answer {
        self.ask("POST", path, Asks::with(token).json(body))
    }

    /// Asks, and holds the answer to the description: status, type of content, body.
    pub fn ask(&self, method: &str, path: &str, asks: Asks<'_>) -> Answer {
        let answer = self.send(method, path, &asks);
        hold_to_description(method, path, &answer);
        answer
    }

    pub fn send(&self, method: &str, path: &str, asks: &Asks<'_>) -> Answer {
        let mut stream = self.begin(method, path, asks);
        let mut octets = Vec::new();
        // A server that refuses a long body may reset the connection behind its answer.
        let _ = stream.read_to_end(&mut octets);
        let text = String::from_utf8_lossy(&octets).into_owned();
        let (head, body) =
            text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer to {method} {path}: {text}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }

    pub fn begin(&self, method: &str, path: &str, asks: &Asks<'_>) -> TcpStream {
        let mut stream = TcpStream::connect(self.server.web).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut head = format!("{method} {path} HTTP/1.0\r\nHost: {}\r\n", self.server.web);
        if !asks.token.is_empty() {
            head.push_str(&format!("Authorization: Bearer {}\r\n", asks.token));
        }
        for (name, value) in &asks.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !asks.body.is_empty() || method != "GET" {
            head.push_str(&format!("Content-Length: {}\r\n", asks.body.len()));
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let _ = stream.write_all(&asks.body);
        stream
    }
}

pub fn token(server: &Server, account: &str, scopes: &str) -> String {
    let made = server.command(&["token", "new", account, "--scope", scopes, "--label", "test"]);
    made["token"].as_str().unwrap().to_owned()
}

/// The operation of a path, with its template.
pub fn operation(method: &str, path: &str) -> Option<&'static Value> {
    let path: Vec<&str> = path.split('?').next().unwrap().split('/').collect();
    let fits = |template: &str| {
        let parts: Vec<&str> = template.split('/').collect();
        parts.len() == path.len() && parts.iter().zip(&path).all(|(part, given)| part.starts_with('{') || part == given)
    };
    let paths = description()["paths"].as_object().unwrap();
    // A fixed name goes before a parameter.
    let mut templates: Vec<&String> = paths.keys().filter(|template| fits(template)).collect();
    templates.sort_by_key(|template| template.matches('{').count());
    paths[templates.first().copied()?].get(method.to_ascii_lowercase())
}

pub fn hold_to_description(method: &str, path: &str, answer: &Answer) {
    let document = description();
    let told = |what: &str| panic!("{method} {path}: {what}: {answer:?}");
    let Some(operation) = operation(method, path) else {
        assert!(matches!(answer.status, 404 | 405), "{method} {path} is described nowhere: {answer:?}");
        return;
    };
    let described = &operation["responses"][answer.status.to_string()];
    if described.is_null() {
        told("a status that is not described");
    }
    let described = schema::resolved(document, described);
    let Some(content) = described["content"].as_object() else {
        assert!(answer.body.is_empty(), "{method} {path} has a body that is not described: {answer:?}");
        return;
    };
    let kind = answer.header("content-type").unwrap_or_default().split(';').next().unwrap().trim().to_owned();
    let Some(media) = content.get(&kind) else { return told("a type of content that is not described") };
    if kind.ends_with("json") {
        let faults = schema::faults(document, &media["schema"], &answer.json());
        assert!(faults.is_empty(), "{method} {path}: {faults:#?}: {answer:?}");
    }
    if answer.status >= 400 {
        assert_eq!(answer.json()["status"], json!(answer.status));
    }
}
