//! What the scenarios share: the real binaries as processes, a blocking sender, a recording mail server, and waiting.
#![allow(dead_code, unreachable_pub, unused_imports, reason = "each scenario crate uses a part")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

mod client;
mod relay;

pub use client::{Client, Secure};
pub use relay::Relay;

use data_encoding::BASE64;
use serde_json::Value;

/// The server binary under test.
pub const PULSEMX: &str = env!("CARGO_BIN_EXE_pulsemx");
/// The client binary under test.
pub const PULSEMX_BEAT: &str = env!("CARGO_BIN_EXE_pulsemx-beat");

#[expect(clippy::disallowed_methods, reason = "a test measures real time")]
pub fn now() -> Instant {
    Instant::now()
}

/// Waits until `done` gives a value; panics with `what` after `limit`.
pub fn wait_for<T>(what: &str, limit: Duration, mut done: impl FnMut() -> Option<T>) -> T {
    let began = now();
    loop {
        if let Some(value) = done() {
            return value;
        }
        assert!(began.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A port that no outgoing connection takes between this question and the start of the server: below the range the
/// system hands out by itself, each asked for once in a run, and free in both protocols now.
pub fn free_port() -> u16 {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(97);
    loop {
        let port = 10_000 + ((start + ASKED.fetch_add(1, Ordering::Relaxed)) % 22_000) as u16;
        let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        if TcpListener::bind(any).is_ok() && UdpSocket::bind(any).is_ok() {
            return port;
        }
    }
}

/// A `pulsemx serve` process with a folder of its own. Killed when dropped.
pub struct Server {
    child: Option<Child>,
    folder: tempfile::TempDir,
    pub smtp: SocketAddr,
    pub heartbeat: SocketAddr,
    pub web: SocketAddr,
    /// Plain HTTP for updates alone.
    pub updates: SocketAddr,
    /// Names, once [`start_with_names`](Self::start_with_names) serves them.
    pub names: SocketAddr,
    wrapper: Vec<String>,
}

impl Server {
    /// Starts with beats of `interval` and further lines of configuration.
    pub fn start(interval: &str, more: &str) -> Self {
        Self::start_under(&[], interval, more)
    }

    /// Starts with the zone `dyn.example`, beats of 1 s and further lines of its section.
    pub fn start_with_names(more: &str) -> Self {
        Self::start_at_with("127.0.0.1", &[], "1s", &|names| {
            format!("[dns]\nzone = \"dyn.example\"\nlisten = \"{names}\"\nown = [\"127.0.0.25\", \"::1\"]\n{more}")
        })
    }

    /// Starts with all listeners on the IPv6 loopback address.
    pub fn start_on_ipv6(interval: &str) -> Self {
        Self::start_at("::1", &[], interval, "")
    }

    /// Starts with all listeners on `[::]`, which stands for both families.
    pub fn start_on_wildcards() -> Self {
        Self::start_at("::", &[], "1s", "")
    }

    /// Starts under a wrapping command such as strace.
    pub fn start_under(wrapper: &[&str], interval: &str, more: &str) -> Self {
        Self::start_at("127.0.0.1", wrapper, interval, more)
    }

    fn start_at(ip: &str, wrapper: &[&str], interval: &str, more: &str) -> Self {
        Self::start_at_with(ip, wrapper, interval, &|_| more.to_owned())
    }

    fn start_at_with(ip: &str, wrapper: &[&str], interval: &str, more: &dyn Fn(SocketAddr) -> String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ip: IpAddr = ip.parse().unwrap();
        let at = |port| SocketAddr::from((ip, port));
        let mut server = Self {
            child: None,
            smtp: at(free_port()),
            heartbeat: at(free_port()),
            web: at(free_port()),
            updates: at(free_port()),
            names: at(free_port()),
            folder,
            wrapper: wrapper.iter().map(ToString::to_string).collect(),
        };
        let more = more(server.names);
        let text = format!(
            "hostname = \"mx2.pulsemx.example\"\ndata_dir = \"{}\"\n[heartbeat]\nlisten = \"{}\"\ninterval = \"{interval}\"\n\
             [smtp]\nlisten = \"{}\"\nexempt_networks = [\"127.0.0.0/8\", \"::1/128\"]\n[web]\nlisten = \"{}\"\nupdate_listen = \"{}\"\n\
             [delivery]\nallow_loopback_targets = true\n{more}\n",
            server.data().display(),
            server.heartbeat,
            server.smtp,
            server.web,
            server.updates
        );
        fs::write(server.config(), text).unwrap();
        server.run();
        server
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn config(&self) -> PathBuf {
        self.folder.path().join("pulsemx.toml")
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the process and waits for its line `ready `.
    pub fn run(&mut self) {
        let mut words = self.wrapper.clone();
        words.extend([
            PULSEMX.to_owned(),
            "--config".to_owned(),
            self.config().display().to_string(),
            "serve".to_owned(),
        ]);
        let log = fs::OpenOptions::new().create(true).append(true).open(self.folder.path().join("log")).unwrap();
        let mut child = Command::new(&words[0])
            .args(&words[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        self.child = Some(child);
        let ready: Vec<String> =
            out.lines().map_while(Result::ok).take_while(|line| !line.starts_with("ready ")).collect();
        let alive = self.child.as_mut().unwrap().try_wait().unwrap().is_none();
        assert!(alive, "the server did not start: {ready:?}\n{}", self.log());
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// SIGTERM to the server below a wrapping strace, and waits for the end of both.
    pub fn stop_traced(&mut self) {
        let mut tracer = self.child.take().unwrap();
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", tracer.id())).unwrap();
        let pid: i32 = children.split_whitespace().next().expect("strace has a child").parse().unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), rustix::process::Signal::TERM)
            .unwrap();
        wait_for("the traced server ends", Duration::from_secs(90), || tracer.try_wait().unwrap());
    }

    /// SIGTERM, and waits for the orderly end.
    pub fn stop(&mut self) {
        let mut child = self.child.take().unwrap();
        terminate(&child);
        let status = wait_for("the server ends", Duration::from_secs(90), || child.try_wait().unwrap());
        assert!(status.success(), "{status}\n{}", self.log());
    }

    /// Runs `pulsemx --config F --json ...` and returns exit success, stdout and stderr.
    pub fn raw(&self, arguments: &[&str]) -> (bool, String, String) {
        let output =
            Command::new(PULSEMX).arg("--config").arg(self.config()).arg("--json").args(arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.success(), text(output.stdout), text(output.stderr))
    }

    /// Runs a command that has to succeed and parses its JSON.
    pub fn command(&self, arguments: &[&str]) -> Value {
        let (good, out, err) = self.raw(arguments);
        assert!(good, "{arguments:?}: {err}\n{}", self.log());
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("{arguments:?}: {e}: {out}"))
    }

    /// Adds an account whose mail server listens on `port`, and keeps its token in a file.
    pub fn add_account(&self, name: &str, port: u16) -> PathBuf {
        self.add_account_for(name, &format!("{name}.example"), &format!("{name}.dyn.example"), port)
    }

    /// As [`add_account`](Self::add_account), with this mail domain and this name of its server.
    pub fn add_account_for(&self, name: &str, domain: &str, host: &str, port: u16) -> PathBuf {
        let port = port.to_string();
        let added = self.command(&["account", "add", name, "--domain", domain, "--host", host, "--port", &port]);
        let path = self.folder.path().join(format!("{name}.token"));
        fs::write(&path, added["token"].as_str().unwrap()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    pub fn account(&self, name: &str) -> Value {
        self.command(&["account", "show", name])
    }

    pub fn state(&self, name: &str) -> String {
        self.account(name)["state"].as_str().unwrap().to_owned()
    }

    pub fn wait_state(&self, name: &str, state: &str, limit: Duration) {
        wait_for(&format!("{name} is {state}"), limit, || (self.state(name) == state).then_some(()));
    }

    pub fn is_balanced(&self, name: &str) -> bool {
        self.command(&["account", "proof", name])["balanced"] == true
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("log of the server:\n{}", self.log());
        }
        self.kill();
    }
}

fn terminate(child: &Child) {
    rustix::process::kill_process(rustix::process::Pid::from_child(child), rustix::process::Signal::TERM).unwrap();
}

/// A `pulsemx-beat run` process. Killed without a goodbye when dropped.
pub struct Beats {
    child: Child,
}

impl Beats {
    pub fn start(server: &Server, account: &str, token: &Path, from: &str, interval: Option<&str>) -> Self {
        let mut command = Command::new(PULSEMX_BEAT);
        command.args([
            "run",
            "--quiet",
            "--server",
            &server.heartbeat.to_string(),
            "--account",
            account,
            "--bind",
            from,
        ]);
        command.arg("--token-file").arg(token);
        if let Some(interval) = interval {
            command.args(["--interval", interval]);
        }
        Self { child: command.stdin(Stdio::null()).spawn().unwrap() }
    }

    /// `kill -9`: no goodbye.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; waits for the end.
    pub fn goodbye(mut self) {
        terminate(&self.child);
        wait_for("the client ends", Duration::from_secs(3), || self.child.try_wait().unwrap());
    }
}

impl Drop for Beats {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One message as a recording mail server got it.
#[derive(Clone, Debug)]
pub struct Arrived {
    pub from: String,
    pub to: Vec<String>,
    pub content: Vec<u8>,
    pub at: Instant,
}

/// A mail server that records; `answer` may refuse a recipient with a reply of its own.
pub struct Primary {
    pub address: SocketAddr,
    /// SHA-256 of the SubjectPublicKeyInfo in its certificate, if it has one.
    pub key: Option<[u8; 32]>,
    arrived: Arc<Mutex<Vec<Arrived>>>,
    refusal: Arc<Mutex<Option<String>>>,
    takes_everybody: Arc<std::sync::atomic::AtomicBool>,
    open: Arc<std::sync::atomic::AtomicBool>,
}

/// Whether it is an address that pulsemx makes up, to see whether a server takes everybody.
fn is_nobodys(path: &str) -> bool {
    let name = path.split('@').next().unwrap_or_default();
    name.len() == 24 && name.bytes().all(|octet| octet.is_ascii_lowercase() || (b'2'..=b'7').contains(&octet))
}

/// A connection of the recording mail server, in plain text or encrypted.
trait Line: Read + Write + Send {}
impl<T: Read + Write + Send> Line for T {}

impl Primary {
    pub fn listen(ip: &str, port: u16) -> Self {
        Self::listen_with(ip, port, None, None)
    }

    /// One that offers STARTTLS with a certificate that nobody vouches for.
    pub fn listen_tls(ip: &str, port: u16) -> Self {
        let own = rcgen::generate_simple_self_signed(vec!["primary.example".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key)
            .unwrap();
        let key =
            <sha2::Sha256 as sha2::Digest>::digest(rcgen::PublicKeyData::subject_public_key_info(&own.signing_key));
        Self::listen_with(ip, port, Some(Arc::new(config)), Some(key.into()))
    }

    fn listen_with(ip: &str, port: u16, tls: Option<Arc<rustls::ServerConfig>>, key: Option<[u8; 32]>) -> Self {
        let ip: IpAddr = ip.parse().unwrap();
        let listener = wait_for("the primary's port", Duration::from_secs(5), || TcpListener::bind((ip, port)).ok());
        let address = listener.local_addr().unwrap();
        let primary = Self {
            address,
            key,
            arrived: Arc::default(),
            refusal: Arc::default(),
            takes_everybody: Arc::default(),
            open: Arc::new(true.into()),
        };
        let (arrived, refusal, open) =
            (Arc::clone(&primary.arrived), Arc::clone(&primary.refusal), Arc::clone(&primary.open));
        let everybody = Arc::clone(&primary.takes_everybody);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if !open.load(std::sync::atomic::Ordering::SeqCst) {
                    return;
                }
                let (arrived, refusal, open) = (Arc::clone(&arrived), Arc::clone(&refusal), Arc::clone(&open));
                let (tls, everybody) = (tls.clone(), Arc::clone(&everybody));
                std::thread::spawn(move || {
                    let _ = converse(stream?, tls, &arrived, (&refusal, &everybody), &open);
                    Ok::<(), std::io::Error>(())
                });
            }
        });
        primary
    }

    pub fn arrived(&self) -> Vec<Arrived> {
        self.arrived.lock().unwrap().clone()
    }

    /// Refuses every recipient with this reply line, or accepts again.
    pub fn refuse(&self, reply: Option<&str>) {
        *self.refusal.lock().unwrap() = reply.map(str::to_owned);
    }

    /// It accepts addresses that nobody has, as well.
    pub fn take_everybody(&self) {
        self.takes_everybody.store(true, std::sync::atomic::Ordering::SeqCst);
    }
}

impl Drop for Primary {
    fn drop(&mut self) {
        self.open.store(false, std::sync::atomic::Ordering::SeqCst);
        // Wakes the accepting thread, which then ends.
        let _ = TcpStream::connect(self.address);
    }
}

fn converse(
    stream: TcpStream,
    tls: Option<Arc<rustls::ServerConfig>>,
    arrived: &Mutex<Vec<Arrived>>,
    (refusal, everybody): (&Mutex<Option<String>>, &std::sync::atomic::AtomicBool),
    open: &std::sync::atomic::AtomicBool,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = stream.try_clone()?;
    let mut read: BufReader<Box<dyn Line>> = BufReader::new(Box::new(stream));
    let mut is_encrypted = false;
    let (mut from, mut to) = (String::new(), Vec::new());
    read.get_mut().write_all(b"220 primary ESMTP\r\n")?;
    loop {
        let mut line = Vec::new();
        if read.read_until(b'\n', &mut line)? == 0 || !open.load(std::sync::atomic::Ordering::SeqCst) {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        let path = || text.split(['<', '>']).nth(1).unwrap_or("").to_owned();
        match text.get(..4).unwrap_or("").to_ascii_uppercase().as_str() {
            "EHLO" if tls.is_some() && !is_encrypted => read.get_mut().write_all(b"250-primary\r\n250 STARTTLS\r\n")?,
            "STAR" => {
                read.get_mut().write_all(b"220 go\r\n")?;
                let connection = rustls::ServerConnection::new(tls.clone().unwrap()).unwrap();
                read = BufReader::new(Box::new(rustls::StreamOwned::new(connection, socket.try_clone()?)));
                is_encrypted = true;
            }
            "EHLO" => read.get_mut().write_all(b"250-primary\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n")?,
            "MAIL" => {
                from = path();
                to.clear();
                read.get_mut().write_all(b"250 2.1.0 ok\r\n")?;
            }
            "RCPT" => {
                let is_nobody = is_nobodys(&path()) && !everybody.load(std::sync::atomic::Ordering::SeqCst);
                let refused =
                    refusal.lock().unwrap().clone().or_else(|| is_nobody.then(|| "550 5.1.1 nobody".to_owned()));
                match refused {
                    Some(reply) => read.get_mut().write_all(format!("{reply}\r\n").as_bytes())?,
                    None => {
                        to.push(path());
                        read.get_mut().write_all(b"250 2.1.5 ok\r\n")?;
                    }
                }
            }
            "DATA" if to.is_empty() => read.get_mut().write_all(b"503 5.5.1 no recipients\r\n")?,
            "DATA" => {
                read.get_mut().write_all(b"354 go\r\n")?;
                let mut content = Vec::new();
                loop {
                    let mut line = Vec::new();
                    if read.read_until(b'\n', &mut line)? == 0 {
                        return Ok(());
                    }
                    if line == b".\r\n" {
                        break;
                    }
                    content.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
                }
                arrived.lock().unwrap().push(Arrived {
                    from: from.clone(),
                    to: std::mem::take(&mut to),
                    content,
                    at: now(),
                });
                read.get_mut().write_all(b"250 2.0.0 taken\r\n")?;
            }
            "QUIT" => {
                read.get_mut().write_all(b"221 bye\r\n")?;
                return Ok(());
            }
            _ => read.get_mut().write_all(b"250 2.0.0 ok\r\n")?,
        }
    }
}

/// A blocking SMTP client.
pub struct Sender {
    read: BufReader<TcpStream>,
    write: TcpStream,
}

impl Sender {
    pub fn connect(server: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let mut sender = Self { write: stream.try_clone()?, read: BufReader::new(stream) };
        sender.reply()?;
        sender.ask("EHLO sender.example")?;
        Ok(sender)
    }

    /// One reply, lines joined by `|`.
    pub fn reply(&mut self) -> std::io::Result<String> {
        let mut whole = String::new();
        loop {
            let mut line = String::new();
            if self.read.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let last = line.get(3..4) != Some("-");
            whole.push_str(line.trim_end());
            if last {
                return Ok(whole);
            }
            whole.push('|');
        }
    }

    pub fn ask(&mut self, line: &str) -> std::io::Result<String> {
        self.write.write_all(format!("{line}\r\n").as_bytes())?;
        self.reply()
    }

    /// One transaction; the reply to the final dot, or the first that is no success.
    pub fn send(&mut self, from: &str, to: &str, content: &str) -> std::io::Result<String> {
        for (line, wanted) in
            [(format!("MAIL FROM:<{from}>"), "250"), (format!("RCPT TO:<{to}>"), "250"), ("DATA".to_owned(), "354")]
        {
            let reply = self.ask(&line)?;
            if !reply.starts_with(wanted) {
                return Ok(reply);
            }
        }
        let stuffed: String = content
            .split_inclusive("\r\n")
            .map(|l| if l.starts_with('.') { format!(".{l}") } else { l.to_owned() })
            .collect();
        self.ask(&format!("{stuffed}."))
    }
}

/// A small mail with a subject and a body.
pub fn mail(id: &str) -> String {
    format!(
        "From: <a@sender.example>\r\nSubject: {id}\r\nMessage-ID: <{id}@sender.example>\r\n\r\nBody of {id}.\r\n.\r\n..dots\r\n"
    )
}

/// Plain HTTP GET on loopback: status line and body.
pub fn http_get(server: SocketAddr, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(server).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

/// Status and body of a request as an old router makes it: HTTP/1.0, the host without its port.
pub fn ask(server: SocketAddr, target: &str, login: Option<(&str, &str)>) -> (u16, String) {
    let mut stream = TcpStream::connect(server).unwrap();
    let login = login.map(|(user, token)| BASE64.encode(format!("{user}:{token}").as_bytes()));
    let login = login.map(|text| format!("Authorization: Basic {text}\r\n")).unwrap_or_default();
    write!(stream, "GET {target} HTTP/1.0\r\nHost: 127.0.0.1\r\n{login}User-Agent: Fritz!Box DDNS/1.0.1\r\n\r\n")
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    if head.contains(" 401 ") {
        assert!(head.to_ascii_lowercase().contains("www-authenticate: basic"), "{head}");
    }
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}
