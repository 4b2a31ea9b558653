//! Makes the requests of the way over HTTPS on a thread of its own, so that a slow one delays no datagram.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, sync_channel};
use std::time::Duration;

use rustls::{CertificateError, RootCertStore};
use serde_json::Value;
use ureq::config::IpFamily;
use ureq::tls::PemItem;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::Connector;
use ureq::{Agent, Error};
use zeroize::Zeroizing;

use super::Base;
use super::tls::TimeTold;
use super::tls::driver::{Cargo, TlsDialer};
use super::wire::driver::Dialer;
use crate::base::{Clock, Moment, WallTime};
use crate::heartbeat::client::token_file::driver::Draft;
use crate::heartbeat::datagram::SHORT_OCTETS;
use crate::heartbeat::token::Token;

/// How long a request may take in all: two of them fit between the first silence over UDP and the end of the 17 s.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(4);
/// How long an idle connection is used again: less than servers and middle boxes keep it.
const IDLE_MAX: Duration = Duration::from_secs(25);
/// Requests that may wait for the one under way: a beat, the endpoints twice, a new token.
const JOBS_MAX: usize = 4;
/// Longest answer in words that is read, octets.
const WORDS_OCTETS_MAX: u64 = 16 * 1024;

/// What is to be asked.
#[derive(Debug)]
pub(in crate::heartbeat::client) enum Job {
    /// Carry a datagram, by the family of the UDP socket if possible, so that both ways show one address.
    Beat { octets: Vec<u8>, is_v4: Option<bool> },
    /// Which endpoints are there?
    Hello,
    /// Exchange this token, which stands in this file, for a new one.
    Renew { token: Token, file: PathBuf },
}

/// What came of it.
#[derive(Debug)]
pub(in crate::heartbeat::client) enum Done {
    /// The datagram in the answer.
    Answered(Vec<u8>),
    /// Why there was none.
    Failed(String),
    /// `HOST:PORT` of the heartbeat sockets.
    Endpoints(Vec<String>),
    /// The new token; it stands in the file.
    Renewed(Token),
    /// Why the old one stays.
    NotRenewed(String),
}

/// How requests leave.
#[derive(Clone, Debug)]
pub(in crate::heartbeat::client) struct Settings {
    /// The server.
    pub(in crate::heartbeat::client) base: Base,
    /// Only certificates of these authorities, or exactly these, are believed; otherwise those of Mozilla.
    pub(in crate::heartbeat::client) ca_file: Option<PathBuf>,
    /// Own address.
    pub(in crate::heartbeat::client) bind: Option<IpAddr>,
}

/// A list of 16 MiB on a line with 1 Mbit/s upwards.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(180);

/// The thread that asks.
#[derive(Debug)]
pub(in crate::heartbeat::client) struct Asker {
    jobs: SyncSender<Job>,
    done: Receiver<Done>,
    told: Arc<TimeTold>,
}

/// What makes requests, and to whom. A connection for datagrams never carries a secret: it may have been opened when
/// nobody knew the time.
struct Agents {
    datagrams: Agent,
    words: Agent,
    base: Base,
}

impl Asker {
    /// # Errors
    /// An unusable CA file, or no thread left.
    pub(in crate::heartbeat::client) fn start(settings: &Settings) -> std::io::Result<Self> {
        let told = Arc::default();
        let agents = Agents {
            datagrams: agent(settings, Cargo::Datagrams, &told)?,
            words: agent(settings, Cargo::Words, &told)?,
            base: settings.base.clone(),
        };
        let (jobs, todo) = sync_channel(JOBS_MAX);
        let (tell, done) = std::sync::mpsc::channel();
        std::thread::Builder::new().name("https".to_owned()).spawn(move || work(&agents, &todo, &tell))?;
        Ok(Self { jobs, done, told })
    }

    /// The server's own time, from a reply that its key vouches for: certificates are checked against it.
    pub(in crate::heartbeat::client) fn handle_time(&self, time: WallTime, now: Moment) {
        self.told.handle_reply(time, now);
    }

    /// False if too many wait already.
    pub(in crate::heartbeat::client) fn ask(&self, job: Job) -> bool {
        self.jobs.try_send(job).is_ok()
    }

    /// What was done since the last call.
    pub(in crate::heartbeat::client) fn done(&self) -> Vec<Done> {
        self.done.try_iter().collect()
    }
}

/// What makes the requests of one command, at the time that the machine's clock shows.
fn agent_for_words(settings: &Settings) -> Result<Agent, String> {
    agent(settings, Cargo::Words, &Arc::default()).map_err(|error| error.to_string())
}

/// Builds what makes requests.
///
/// # Errors
/// An unusable CA file.
fn agent(settings: &Settings, cargo: Cargo, told: &Arc<TimeTold>) -> std::io::Result<Agent> {
    let mozilla = || RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let roots = settings.ca_file.as_deref().map_or_else(|| Ok(mozilla()), authorities)?;
    let tls = TlsDialer::new(roots, cargo, told).map_err(std::io::Error::other)?;
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .timeout_global(Some(REQUEST_TIMEOUT))
        .max_idle_age(IDLE_MAX)
        .user_agent(concat!("pulsemx-beat/", env!("CARGO_PKG_VERSION")))
        .build();
    let connector = Dialer(settings.bind).chain(tls);
    Ok(Agent::with_parts(config, connector, DefaultResolver::default()))
}

fn authorities(path: &Path) -> std::io::Result<RootCertStore> {
    let failed = |why: String| std::io::Error::other(format!("cannot use the CA file {}: {why}", path.display()));
    let text = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for item in ureq::tls::parse_pem(&text) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| failed(error.to_string()))? {
            roots.add(certificate.der().to_vec().into()).map_err(|error| failed(error.to_string()))?;
        }
    }
    if roots.is_empty() {
        return Err(failed("there is no certificate in it".to_owned()));
    }
    Ok(roots)
}

/// Until the client ends.
fn work(agents: &Agents, todo: &Receiver<Job>, tell: &Sender<Done>) {
    let Agents { datagrams, words, base } = agents;
    while let Ok(job) = todo.recv() {
        let done = match job {
            Job::Beat { octets, is_v4 } => {
                beat(datagrams, base, &octets, is_v4).map_or_else(Done::Failed, Done::Answered)
            }
            // Without an answer the endpoints stay what they are.
            Job::Hello => Done::Endpoints(hello(words, base).unwrap_or_default()),
            Job::Renew { token, file } => {
                renew(words, base, &token, &file).map_or_else(Done::NotRenewed, Done::Renewed)
            }
        };
        if tell.send(done).is_err() {
            return;
        }
    }
}

/// One datagram there and back. Whatever fails at once is tried once more without a choice of family and with a new
/// connection: an idle one may have been closed just now.
fn beat(agent: &Agent, base: &Base, octets: &[u8], is_v4: Option<bool>) -> Result<Vec<u8>, String> {
    let url = base.join("/hb");
    let ask = |family: IpFamily| {
        let request = agent.post(&url).config().ip_family(family).build();
        request.content_type("application/octet-stream").send(octets)
    };
    let first = match is_v4 {
        Some(true) => ask(IpFamily::Ipv4Only),
        Some(false) => ask(IpFamily::Ipv6Only),
        None => ask(IpFamily::Any),
    };
    let answer = match first {
        Err(Error::Timeout(_)) | Ok(_) => first,
        Err(_) => ask(IpFamily::Any),
    };
    let mut response = answer.map_err(|error| worded(&error, &url))?;
    if response.status() == 204 {
        return Err(format!("{url} does not know this token, or this datagram came too late"));
    }
    if response.status() != 200 {
        return Err(format!("{url} answers {}", response.status()));
    }
    let limit = u64::try_from(SHORT_OCTETS).unwrap_or(u64::MAX) + 1;
    response.body_mut().with_config().limit(limit).read_to_vec().map_err(|error| worded(&error, &url))
}

fn hello(agent: &Agent, base: &Base) -> Result<Vec<String>, String> {
    let url = base.join("/hb/hello");
    let said = words(agent.get(&url).call(), &url)?;
    Ok(texts(&said, "udp"))
}

fn texts(said: &Value, field: &str) -> Vec<String> {
    let list = said.get(field).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The JSON of an answer, or in whose words it was refused.
fn words(answer: Result<ureq::http::Response<ureq::Body>, Error>, url: &str) -> Result<Value, String> {
    let mut response = answer.map_err(|error| worded(&error, url))?;
    let status = response.status();
    let body = response.body_mut().with_config().limit(WORDS_OCTETS_MAX).read_to_vec();
    let body = Zeroizing::new(body.map_err(|error| worded(&error, url))?);
    if status != 200 {
        let text = String::from_utf8_lossy(&body);
        let line: String = text.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).collect();
        return Err(format!("{url} answers {status}: {line}"));
    }
    serde_json::from_slice(&body).map_err(|error| format!("{url} answers something else: {error}"))
}

fn worded(error: &Error, url: &str) -> String {
    let inner = if let Error::Io(error) = error { error.get_ref() } else { None };
    match inner.and_then(|inner| inner.downcast_ref()) {
        Some(rustls::Error::InvalidCertificate(CertificateError::NotValidYetContext { .. })) => {
            let clock = Clock.wall().format("%Y-%m-%d %H:%M");
            format!(
                "{url}: the server's certificate is not valid yet; does this machine's clock go right ({clock} UTC)?"
            )
        }
        _ => format!("{url}: {error}"),
    }
}

/// What a one-time code was exchanged for.
pub(in crate::heartbeat::client) struct Joined {
    /// The account's name.
    pub(in crate::heartbeat::client) account: String,
    /// Its new token.
    pub(in crate::heartbeat::client) token: Token,
    /// `HOST:PORT` of the heartbeat sockets.
    pub(in crate::heartbeat::client) udp: Vec<String>,
    /// Address of the pages.
    pub(in crate::heartbeat::client) https: Option<String>,
}

/// Exchanges the one-time code in `base` (`https://HOST/join/CODE`) for a token.
///
/// # Errors
/// The reason in words.
pub(in crate::heartbeat::client) fn join(settings: &Settings) -> Result<Joined, String> {
    let agent = agent_for_words(settings)?;
    let url = settings.base.join("");
    let said = words(agent.post(&url).send_empty(), &url)?;
    let text = |field: &str| said.get(field).and_then(Value::as_str);
    let token = text("token").and_then(|token| Token::parse(token).ok()).ok_or("the server sent no token")?;
    Ok(Joined {
        account: text("account").unwrap_or_default().to_owned(),
        token,
        udp: texts(&said, "udp"),
        https: said.get("https").and_then(Value::as_str).map(str::to_owned),
    })
}

/// How a line stands at the server.
pub(in crate::heartbeat::client) struct LineStatus {
    /// For people.
    pub(in crate::heartbeat::client) text: String,
    /// As the server said it, on one line.
    pub(in crate::heartbeat::client) json: String,
    /// Whether beats come.
    pub(in crate::heartbeat::client) is_up: bool,
}

/// Asks how the line of `token` stands. Counts as no beat and disturbs no running client.
///
/// # Errors
/// The reason in words.
pub(in crate::heartbeat::client) fn status(settings: &Settings, token: &Token) -> Result<LineStatus, String> {
    let agent = agent_for_words(settings)?;
    let url = settings.base.join("/hb/status");
    let said = words(agent.get(&url).header("Authorization", bearer(token).as_str()).call(), &url)?;
    // What a server says is shown, so control characters are left out.
    let text = |field: &str| {
        let shown = match said.get(field) {
            None | Some(Value::Null) => "-".to_owned(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        shown.chars().filter(|c| !c.is_control()).collect::<String>()
    };
    let is_up = matches!(text("state").as_str(), "online" | "returning");
    let rows = [
        ("account", text("account")),
        ("state", format!("{} since {}", text("state"), text("since"))),
        ("absence until", text("holiday_until")),
        ("fire drill", if said.get("drill") == Some(&Value::Bool(true)) { "running" } else { "-" }.to_owned()),
        ("address", text("address")),
        ("last beat", text("last_beat")),
        ("mail waiting", text("waiting")),
        ("mail server greets", text("mail_ok")),
        ("lost going there, %", text("loss_percent")),
        ("unanswered, %", text("unanswered_percent")),
    ];
    let lines: Vec<String> = rows.iter().map(|(name, value)| format!("{name:<20}{value}")).collect();
    Ok(LineStatus { text: lines.join("\n"), json: said.to_string(), is_up })
}

/// Begins a fire drill, to this address or to none in particular; without that, asks how it goes.
///
/// # Errors
/// The reason in words, the server's own where no drill begins.
pub(in crate::heartbeat::client) fn drill(
    settings: &Settings,
    token: &Token,
    begin: Option<Option<&str>>,
) -> Result<Value, String> {
    let agent = agent_for_words(settings)?;
    let url = settings.base.join("/hb/drill");
    let answer = match begin {
        None => agent.get(&url).header("Authorization", bearer(token).as_str()).call(),
        Some(to) => {
            let request = agent.post(&url).header("Authorization", bearer(token).as_str());
            match to {
                Some(to) => request.query("to", to).send_empty(),
                None => request.send_empty(),
            }
        }
    };
    words(answer, &url)
}

/// Gives a list of recipients to the server. What it took, in words.
///
/// # Errors
/// The reason in words, the server's own for a wrong line.
pub(in crate::heartbeat::client) fn upload_recipients(
    settings: &Settings,
    token: &Token,
    list: &str,
    domain: Option<&str>,
    hash_key: Option<&str>,
) -> Result<String, String> {
    let agent = agent_for_words(settings)?;
    let url = settings.base.join("/hb/recipients");
    let request = agent.put(&url).config().timeout_global(Some(UPLOAD_TIMEOUT)).build();
    let mut request = request.header("Authorization", bearer(token).as_str()).content_type("text/plain");
    if let Some(domain) = domain {
        request = request.query("domain", domain);
    }
    if let Some(key) = hash_key {
        request = request.header("Pulsemx-Hash-Key", key);
    }
    let said = words(request.send(list), &url)?;
    let listed = said.get("listed").and_then(Value::as_object).ok_or("the server does not say what it took")?;
    let told = listed.iter().map(|(domain, count)| format!("{count} of {domain}"));
    Ok(told.collect::<Vec<_>>().join(", ").chars().filter(|c| !c.is_control()).collect())
}

fn bearer(token: &Token) -> Zeroizing<String> {
    Zeroizing::new(format!("Bearer {}", *token.text()))
}

/// Exchanges `token` for a new one and keeps that. If it cannot be kept it is forgotten, and the old one stays good.
fn renew(agent: &Agent, base: &Base, token: &Token, file: &Path) -> Result<Token, String> {
    let failed = |error: std::io::Error| format!("cannot write {}: {error}", file.display());
    let draft = Draft::begin(file).map_err(failed)?;
    let url = base.join("/hb/rotate");
    let said = words(agent.post(&url).header("Authorization", bearer(token).as_str()).send_empty(), &url)?;
    let new = said.get("token").and_then(Value::as_str).and_then(|token| Token::parse(token).ok());
    let new = new.ok_or("the server sent no token")?;
    draft.keep(&new).map_err(failed)?;
    Ok(new)
}
