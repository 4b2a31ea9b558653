//! A running site over fakes, and a client that speaks just enough HTTP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pulsemx::account::{AccountError, AccountStore, ApiTokens, Change, DirectoryHandle, SignInLink};
use pulsemx::base::{AccountId, PersonId};
use pulsemx::liveness::LineState;
use pulsemx::store::MemoryStore;
use pulsemx::survey::Look;
use pulsemx::web::beat::join::JoinCodes;
use pulsemx::web::{AccountKeeper, JoinRooms, NameRooms, Readiness, Settings, WebError, WebRooms, WebServer, sign_in};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::alerts::{self, FakeAlerts};
use crate::drill::Stage;
use crate::fakes::{self, FakeAccounts, FakeFlushes, FakeLines, FakeLog, FakeNames, FakeSpool};
use crate::verdicts::FakeVerdicts;

pub struct Site {
    pub stage: Arc<Stage>,
    pub origin: String,
    pub accounts: Arc<FakeAccounts>,
    pub lines: Arc<FakeLines>,
    pub log: Arc<FakeLog>,
    pub spool: Arc<FakeSpool>,
    pub names: Arc<FakeNames>,
    pub alerts: Arc<FakeAlerts>,
    pub codes: Arc<JoinCodes>,
    pub flushes: Arc<FakeFlushes>,
    pub stored: broadcast::Sender<AccountId>,
    pub verdicts: Arc<FakeVerdicts>,
    pub readiness: Arc<Readiness>,
    pub shutdown: CancellationToken,
    pub server: WebServer,
    address: SocketAddr,
}

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// What follows `begin` up to the next quote.
    pub fn attribute(&self, begin: &str) -> String {
        let at = self.body.find(begin).unwrap_or_else(|| panic!("{begin} is not on the page")) + begin.len();
        self.body[at..].split('"').next().unwrap().to_owned()
    }
}

/// Reads the accounts again, as the server's keeper does.
struct Keeper {
    store: MemoryStore,
    directory: DirectoryHandle,
}

#[async_trait::async_trait]
impl AccountKeeper for Keeper {
    async fn reload(&self) -> Result<(), AccountError> {
        self.directory.replace(self.store.load_directory(fakes::ago(0)).await?);
        Ok(())
    }
}

async fn tokens_of(store: Option<&MemoryStore>) -> Option<Arc<ApiTokens>> {
    Some(Arc::new(ApiTokens::load(Arc::new(store?.clone())).await.unwrap()))
}

impl Site {
    /// Firma is online, nothing is held.
    pub async fn open() -> Self {
        Self::with(Settings::default()).await
    }

    /// Firma is offline with fourteen messages and a history.
    pub async fn busy() -> Self {
        let site = Self::open().await;
        site.go_offline();
        site
    }

    pub fn go_offline(&self) {
        *self.lines.line.lock().unwrap() = Some(fakes::line(LineState::Offline, 74));
        let messages = fakes::busy_spool();
        *self.accounts.audit.lock().unwrap() = fakes::audit(messages[4].row.id);
        *self.spool.messages.lock().unwrap() = messages;
        *self.log.rows.lock().unwrap() = fakes::history(Some(69));
        *self.log.days.lock().unwrap() = fakes::days();
        *self.flushes.view.lock().unwrap() = fakes::flushed();
    }

    pub async fn with(settings: Settings) -> Self {
        Self::listen("127.0.0.1:0", settings, None, None, None).await.unwrap()
    }

    /// With somebody who looks at domains.
    pub async fn looking(look: Arc<impl Look + 'static>) -> Self {
        Self::listen("127.0.0.1:0", Settings::default(), None, None, Some(look)).await.unwrap()
    }

    /// With accounts and people in a store with all its rules.
    pub async fn over(store: &MemoryStore, settings: Settings) -> Self {
        Self::listen("127.0.0.1:0", settings, None, Some(store), None).await.unwrap()
    }

    pub async fn try_listen(address: &str, tls: Option<Arc<rustls::ServerConfig>>) -> Result<Self, WebError> {
        Self::listen(address, Settings::default(), tls, None, None).await
    }

    async fn listen(
        address: &str,
        settings: Settings,
        tls: Option<Arc<rustls::ServerConfig>>,
        store: Option<&MemoryStore>,
        surveys: Option<Arc<dyn Look>>,
    ) -> Result<Self, WebError> {
        let (accounts, lines, log, spool, flushes) = fakes::fakes();
        let names: Arc<FakeNames> = Arc::default();
        let alerts: Arc<FakeAlerts> = Arc::default();
        let codes: Arc<JoinCodes> = Arc::default();
        let shutdown = CancellationToken::new();
        let office = alerts::office(&alerts, &shutdown).await;
        let readiness = Arc::new(Readiness::new(&["store"]));
        let stored = broadcast::channel(64).0;
        let verdicts: Arc<FakeVerdicts> = Arc::default();
        let (drills, stage) = Stage::set((&lines, &spool, &flushes), &stored, &shutdown).await;
        let directory = DirectoryHandle::new(match store {
            Some(store) => store.load_directory(fakes::ago(0)).await.unwrap(),
            None => fakes::directory(),
        });
        let keeper = store.map(|store| Keeper { store: store.clone(), directory: directory.clone() });
        let rooms = WebRooms {
            updates: None,
            recipients: None,
            names: Some(NameRooms { store: names.clone(), dns: None }),
            directory,
            accounts: store.map_or_else(|| accounts.clone() as _, |store| Arc::new(store.clone()) as _),
            passkeys: Arc::new(store.cloned().unwrap_or_default()),
            people: Arc::new(store.cloned().unwrap_or_default()),
            keeper: keeper.map(|keeper| Arc::new(keeper) as _),
            lines: lines.clone(),
            log: log.clone(),
            spool: spool.clone(),
            flushes: flushes.clone(),
            stored: stored.clone(),
            readiness: readiness.clone(),
            beats: None,
            drills: Some(drills),
            alerts: Some(office),
            challenges: None,
            tokens: tokens_of(store).await,
            api: None,
            surveys,
            verdicts: Some(verdicts.clone()),
            badge_key: Some(pulsemx::web::public::BadgeKey::of(&pulsemx::account::SealKey::new([7; 32]))),
            joins: Some(JoinRooms {
                codes: codes.clone(),
                url: "https://mx2.example".to_owned(),
                udp: vec!["mx2.example:5525".to_owned()],
            }),
        };

        let listener = std::net::TcpListener::bind(address).unwrap();
        let server = WebServer::start(settings, vec![listener], rooms, tls, &shutdown)?;
        let address = server.addresses()[0];
        let origin = format!("http://{address}");
        Ok(Self {
            stage,
            origin,
            accounts,
            lines,
            log,
            spool,
            names,
            alerts,
            codes,
            flushes,
            stored,
            verdicts,
            readiness,
            shutdown,
            server,
            address,
        })
    }

    /// The cookie of a new session.
    pub fn signed_in(&self, person: PersonId) -> String {
        let (text, hash) = sign_in::new_secret().unwrap();
        self.accounts.sessions.lock().unwrap().insert(hash, (person, fakes::ago(-3_600)));
        format!("pulsemx={text}")
    }

    /// The secret of a new link.
    pub async fn link(&self, person: PersonId) -> String {
        let (text, secret_hash) = sign_in::new_secret().unwrap();
        let link = SignInLink { secret_hash, person, expires_at: fakes::ago(-3_600) };
        let change = Change { at: fakes::ago(0), who: "operator".to_owned() };
        self.accounts.add_link(link, change).await.unwrap();
        text
    }

    /// The form token of a session, as its page shows it.
    pub async fn token(&self, cookie: &str) -> String {
        self.get("/", cookie).await.attribute("name=\"csrf\" value=\"")
    }

    pub async fn get(&self, path: &str, cookie: &str) -> Reply {
        self.send("GET", path, cookie, &[], "").await
    }

    pub async fn post(&self, path: &str, cookie: &str, body: &str) -> Reply {
        self.post_from(&self.origin, path, cookie, body).await
    }

    pub async fn post_from(&self, origin: &str, path: &str, cookie: &str, body: &str) -> Reply {
        self.send("POST", path, cookie, &[("Origin", origin)], body).await
    }

    /// The cookie that an answer sets for the session.
    pub fn cookie_of(reply: &Reply) -> String {
        let cookie = reply.header("set-cookie").unwrap_or_else(|| panic!("no cookie: {}", reply.head));
        cookie.split(';').next().unwrap().to_owned()
    }

    pub async fn send(&self, method: &str, path: &str, cookie: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let mut stream = self.request(method, path, cookie, headers, body).await;
        let mut octets = Vec::new();
        // A server that refuses a long body may reset the connection behind its answer.
        let _ = stream.read_to_end(&mut octets).await;
        let text = String::from_utf8(octets).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Reply { status, head: head.to_owned(), body: body.to_owned() }
    }

    /// A POST from a page of `origin`, by a browser that knows the site as `host`.
    pub async fn send_to(&self, host: &str, path: &str, cookie: &str, origin: &str, body: &str) -> Reply {
        self.send("POST", path, cookie, &[("Host", host), ("Origin", origin)], body).await
    }

    async fn request(&self, method: &str, path: &str, cookie: &str, headers: &[(&str, &str)], body: &str) -> TcpStream {
        let own = if headers.iter().any(|(name, _)| *name == "Host") {
            String::new()
        } else {
            format!("Host: {}\r\n", self.address)
        };
        let mut head = format!("{method} {path} HTTP/1.0\r\n{own}");
        if !cookie.is_empty() {
            head.push_str(&format!("Cookie: {cookie}\r\n"));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if method == "POST" {
            let form = "Content-Type: application/x-www-form-urlencoded";
            head.push_str(&format!("{form}\r\nContent-Length: {}\r\n", body.len()));
        }
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
        let _ = stream.write_all(body.as_bytes()).await;
        stream
    }

    /// Opens an event stream.
    pub async fn stream(&self, path: &str, cookie: &str) -> EventStream {
        let stream = self.request("GET", path, cookie, &[], "").await;
        let mut stream = EventStream { stream, buffer: String::new() };
        let head = stream.until("\r\n\r\n").await;
        assert!(head.contains("text/event-stream"), "{head}");
        stream
    }
}

pub struct EventStream {
    stream: TcpStream,
    buffer: String,
}

impl EventStream {
    async fn until(&mut self, end: &str) -> String {
        loop {
            if let Some(at) = self.buffer.find(end) {
                let rest = self.buffer.split_off(at + end.len());
                return std::mem::replace(&mut self.buffer, rest);
            }
            let mut octets = vec![0; 64 * 1024];
            let n = self.stream.read(&mut octets).await.unwrap();
            assert!(n > 0, "the stream ended");
            self.buffer.push_str(std::str::from_utf8(&octets[..n]).unwrap());
        }
    }

    pub async fn event(&mut self) -> serde_json::Value {
        let text = self.until("\n\n").await;
        let data = text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
        serde_json::from_str(data).unwrap()
    }

    pub async fn event_within_300_ms(&mut self) -> serde_json::Value {
        tokio::time::timeout(Duration::from_millis(300), self.event()).await.expect("news within 300 ms")
    }
}
