//! Runs the demo: builds the stage, tells the story, counts, and then lets the visitor play.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::line::Line;
use super::primary::{Mailroom, Manner, Primary};
use super::sender::{self, Mail, SendError};
use super::story::{Count, Story};
use crate::account::AccountName;
use crate::base::{Clock, DomainName};
use crate::config::{Config, ConfigError, Written, checked::Surroundings};
use crate::control::{CommandError, Reply, Request};
use crate::liveness::LineState;
use crate::server::{Extras, RunningServer, StartError};
use crate::web::settings::{DemoButton, DemoControls};

const ACCOUNT: &str = "firma";
const DOMAIN: &str = "firma.example";
/// The customer's addresses in turn. All of 127.0.0.0/8 is loopback on Linux.
const LINES: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::new(127, 0, 7, 1)), IpAddr::V4(Ipv4Addr::new(127, 0, 7, 2))];
/// For systems on which only 127.0.0.1 is configured: the address then does not change.
const ONLY_LINE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// No step of the story takes longer, the 20 s of a neutralisation included.
const STEP_MAX: Duration = Duration::from_secs(30);
/// How often a step looks whether it is done.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Time for the eyes between two scenes when somebody watches.
const SCENE: Duration = Duration::from_secs(4);
/// The same in the short version.
const SCENE_FAST: Duration = Duration::from_secs(1);
/// Mails during the outage.
const HELD: usize = 12;
/// Presses of buttons that wait.
const PRESSES_MAX: usize = 16;

/// How to tell the story.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct DemoOptions {
    /// Beat each second instead of every five: done in 20 seconds
    #[arg(long)]
    pub fast: bool,
    /// Exit with 0 if nothing was lost and 1 otherwise, instead of staying
    #[arg(long)]
    pub check: bool,
}

/// The demo could not be told to its end.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The server did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Its configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A command was refused.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The backup MX did not take a mail.
    #[error(transparent)]
    Send(#[from] SendError),
    /// A socket, file or process.
    #[error("{0}: {1}")]
    Io(&'static str, #[source] std::io::Error),
    /// Something did not happen in time.
    #[error("this did not happen in time: {0}")]
    Late(&'static str),
    /// Ctrl-C or SIGTERM before the end.
    #[error("interrupted before the story was told")]
    Interrupted,
    /// The story was told, and the count is wrong.
    #[error("the promise was broken: {0:?}")]
    Broken(Count),
}

struct Buttons {
    story: Arc<Story>,
    presses: mpsc::Sender<String>,
}

impl DemoControls for Buttons {
    fn buttons(&self) -> Vec<DemoButton> {
        [
            ("drop", "Drop the line"),
            ("address", "Come back with a new address"),
            ("mail", "Send five mails"),
            ("refuse-452", "Refuse with 452, disk full"),
            ("refuse-550", "Refuse with 550, reinstalled"),
            ("accept", "Accept again"),
        ]
        .map(|(id, label)| DemoButton { id: id.to_owned(), label: label.to_owned() })
        .to_vec()
    }

    fn press(&self, id: &str) {
        // A full queue means a visitor faster than the stage; the press is simply not taken.
        let _ = self.presses.try_send(id.to_owned());
    }

    fn story(&self) -> Vec<String> {
        self.story.newest()
    }
}

/// Everything on the stage.
struct Stage {
    story: Arc<Story>,
    server: RunningServer,
    folder: Folder,
    interval: &'static str,
    scene: Duration,
    lines: [IpAddr; 2],
    now_at: usize,
    smtp_port: u16,
    mailroom: Arc<Mailroom>,
    stranger_room: Arc<Mailroom>,
    primary: Option<Primary>,
    stranger: Option<Primary>,
    line: Option<Line>,
    acknowledged: Vec<Mail>,
    waves: usize,
}

/// A folder that goes with the demo.
struct Folder(PathBuf);

impl Folder {
    /// A new folder of a name nobody can guess, open to nobody else.
    fn make() -> std::io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let mut random = [0u8; 10];
        getrandom::fill(&mut random).map_err(|e| std::io::Error::other(e.to_string()))?;
        let name = format!("pulsemx-demo-{}", data_encoding::BASE32_NOPAD.encode(&random).to_ascii_lowercase());
        let path = std::env::temp_dir().join(name);
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Nobody is helped by an error about leftovers in the temporary folder.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Tells the story; returns after it with `check`, else stays until interrupted.
///
/// # Errors
/// [`DemoError::Broken`] when a mail was lost, doubled, changed or out of order; the others when it cannot be told.
pub async fn run(options: DemoOptions) -> Result<(), DemoError> {
    let story = Arc::new(Story::begin());
    let (presses, mut pressed) = mpsc::channel(PRESSES_MAX);
    let mut stage = Stage::build(options, Arc::clone(&story), presses).await?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|e| DemoError::Io("signals", e))?;
    let told = tokio::select! {
        told = stage.tell_story() => told,
        _ = tokio::signal::ctrl_c() => Err(DemoError::Interrupted),
        _ = terminate.recv() => Err(DemoError::Interrupted),
    };
    let result = match told {
        Ok(count) if count.is_perfect() => Ok(()),
        Ok(count) => Err(DemoError::Broken(count)),
        Err(error) => Err(error),
    };
    if result.is_ok() && !options.check {
        tokio::select! {
            () = stage.stay(&mut pressed) => {}
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
    }
    stage.clear().await;
    result
}

fn open_browser(url: &str) {
    let has_display = std::env::var_os("DISPLAY").is_some() || std::env::var_os("WAYLAND_DISPLAY").is_some();
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    if has_display || cfg!(target_os = "macos") {
        // The address is printed as well, so a machine without a browser loses nothing.
        let _ = std::process::Command::new(program)
            .arg(url)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn();
    }
}

fn config(folder: &std::path::Path, interval: &str) -> Result<Config, ConfigError> {
    let text = format!(
        "hostname = \"mx2.pulsemx.example\"\ndata_dir = {:?}\n[heartbeat]\nlisten = \"127.0.0.1:0\"\ninterval = \"{interval}\"\n\
         [smtp]\nlisten = \"127.0.0.1:0\"\n[web]\nlisten = \"127.0.0.1:0\"\n[delivery]\nallow_loopback_targets = true\n\
         per_account = 1\n",
        folder.display().to_string()
    );
    let written = Written::parse(&text, std::path::Path::new("the demo's own configuration"))?;
    Config::check(&written, &Surroundings::default())
}

impl Stage {
    async fn build(options: DemoOptions, story: Arc<Story>, presses: mpsc::Sender<String>) -> Result<Self, DemoError> {
        let folder = Folder::make().map_err(|e| DemoError::Io("temporary folder", e))?;
        let interval = if options.fast { "1s" } else { "5s" };
        let config = config(&folder.0, interval)?;
        let controls = Arc::new(Buttons { story: Arc::clone(&story), presses });
        let extras = Extras { demo_controls: if options.check { None } else { Some(controls) }, ..Extras::default() };
        let server = crate::server::start(config, extras).await?;
        let mailroom = Arc::new(Mailroom::default());
        let fault = |e| DemoError::Io("the demo's mail server", e);
        let (lines, primary) =
            match Primary::listen(SocketAddr::new(LINES[0], 0), "mail.firma.example", Arc::clone(&mailroom)).await {
                Ok(primary) => (LINES, primary),
                Err(_) => {
                    let only = SocketAddr::new(ONLY_LINE, 0);
                    (
                        [ONLY_LINE; 2],
                        Primary::listen(only, "mail.firma.example", Arc::clone(&mailroom)).await.map_err(fault)?,
                    )
                }
            };
        let stage = Self {
            story,
            server,
            folder,
            interval,
            scene: match (options.check, options.fast) {
                (true, _) => Duration::ZERO,
                (false, true) => SCENE_FAST,
                (false, false) => SCENE,
            },
            lines,
            now_at: 0,
            smtp_port: primary.address.port(),
            mailroom,
            stranger_room: Arc::new(Mailroom::default()),
            primary: Some(primary),
            stranger: None,
            line: None,
            acknowledged: Vec::new(),
            waves: 0,
        };
        stage.add_account().await?;
        Ok(stage)
    }

    /// The customer's address now.
    fn here(&self) -> IpAddr {
        let [first, second] = self.lines;
        if self.now_at.is_multiple_of(2) { first } else { second }
    }

    fn token_file(&self) -> PathBuf {
        self.folder.0.join("token")
    }

    async fn command(&self, request: Request) -> Result<Reply, DemoError> {
        Ok(self.server.desk.carry_out(request, Clock.wall()).await?)
    }

    async fn add_account(&self) -> Result<(), DemoError> {
        use std::os::unix::fs::OpenOptionsExt;
        let named = |text: &str| DomainName::parse(text).map_err(|e| CommandError::new(e.to_string()));
        let reply = self
            .command(Request::AccountAdd {
                name: account_name()?,
                domains: vec![named(DOMAIN)?],
                host: Some(named("firma.dyn.example")?),
                port: self.smtp_port,
            })
            .await?;
        if let Reply::Token(shown) = reply {
            let fault = |e| DemoError::Io("the demo's token file", e);
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(self.token_file())
                .map_err(fault)?;
            std::io::Write::write_all(&mut file, shown.token.as_bytes()).map_err(fault)?;
        }
        Ok(())
    }

    fn state(&self) -> LineState {
        self.server
            .desk
            .directory
            .load()
            .account_named(ACCOUNT)
            .and_then(|account| self.server.lines.account_line(account.id))
            .map_or(LineState::New, |line| line.state)
    }

    async fn until(&self, what: &'static str, done: impl Fn(&Self) -> bool) -> Result<Duration, DemoError> {
        let began = Clock.monotonic();
        while !done(self) {
            if Clock.monotonic().since(began) > STEP_MAX {
                return Err(DemoError::Late(what));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(Clock.monotonic().since(began))
    }

    fn connect(&mut self) -> Result<(), DemoError> {
        let line = Line::connect(self.server.heartbeat(), ACCOUNT, &self.token_file(), self.here(), self.interval)
            .map_err(|e| DemoError::Io("the heartbeat client", e))?;
        self.line = Some(line);
        Ok(())
    }

    /// Line and mail server vanish; a stranger gets the address and would take any mail.
    async fn drop_line(&mut self) {
        if let Some(line) = self.line.take() {
            line.cut().await;
        }
        self.primary = None;
        if self.lines[0] != self.lines[1] {
            tokio::time::sleep(LOOK_EVERY).await;
            let old = SocketAddr::new(self.here(), self.smtp_port);
            self.stranger = Primary::listen(old, "stranger.example", Arc::clone(&self.stranger_room)).await.ok();
        }
    }

    /// The mail server is back behind the other address, and the client with it.
    async fn come_back(&mut self) -> Result<(), DemoError> {
        self.now_at += 1;
        // The stranger keeps its own address; only where there is a single one it has to make room.
        if self.lines[0] == self.lines[1] {
            self.stranger = None;
        }
        let here = SocketAddr::new(self.here(), self.smtp_port);
        let mut tries = 0;
        let primary = loop {
            match Primary::listen(here, "mail.firma.example", Arc::clone(&self.mailroom)).await {
                Ok(primary) => break primary,
                Err(_) if tries < 50 => {
                    // A stranger of an earlier round may still be leaving.
                    self.stranger = None;
                    tries += 1;
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                Err(error) => return Err(DemoError::Io("the demo's mail server", error)),
            }
        };
        self.primary = Some(primary);
        self.connect()
    }

    async fn send_wave(&mut self, count: usize) -> Result<String, DemoError> {
        self.waves += 1;
        let mut last = String::new();
        for mail in sender::mails(&format!("w{}", self.waves), count, DOMAIN) {
            last = sender::send(self.server.smtp(), &mail).await?;
            self.acknowledged.push(mail);
        }
        Ok(last)
    }

    async fn sign_in_link(&self) -> Result<String, DemoError> {
        let reply = self.command(Request::AccountLink { name: Some(account_name()?) }).await?;
        let Reply::Link { url, .. } = reply else { return Err(CommandError::new("no sign-in link").into()) };
        Ok(url)
    }

    async fn tell_story(&mut self) -> Result<Count, DemoError> {
        let story = Arc::clone(&self.story);
        story.tell(&format!("backup MX at {}, heartbeats at {}", self.server.smtp(), self.server.heartbeat()));
        let link = self.sign_in_link().await?;
        story.whisper(&format!("the customer's page: {link}"));
        open_browser(&link);
        self.connect()?;
        self.until("the first heartbeats", |s| s.state() == LineState::Online).await?;
        story.tell(&format!("the mail server of {DOMAIN} at {} is ONLINE", self.lines[0]));
        tokio::time::sleep(self.scene).await;
        self.send_wave(3).await?;
        self.until("three mails relayed at once", |s| s.mailroom.arrived().len() >= 3).await?;
        story.tell("three mails came to the backup MX and went straight through");
        tokio::time::sleep(self.scene).await;
        self.drop_line().await;
        let dropped = Clock.monotonic();
        story.tell("the line drops; a stranger gets the old address");
        self.until("a missed beat", |s| s.state() == LineState::Suspect).await?;
        story.tell("a beat is missed: SUSPECT, mail is held from now on");
        self.until("the neutralisation", |s| s.state() == LineState::Offline).await?;
        let silent = Clock.monotonic().since(dropped).as_secs_f64();
        story.tell(&format!("three beats are missed: OFFLINE, neutralised {silent:.1} s after the line dropped"));
        tokio::time::sleep(self.scene).await;
        let reply = self.send_wave(HELD).await?;
        story.tell(&format!("{HELD} mails arrive and are held; the last sender heard: {reply}"));
        tokio::time::sleep(self.scene).await;
        self.come_back().await?;
        let back = Clock.monotonic();
        let address = self.here();
        story.tell(&format!("the line is back with the address {address}"));
        self.until("the first delivery", |s| s.mailroom.arrived().len() > 3).await?;
        let first = Clock.monotonic().since(back).as_secs_f64();
        story.tell(&format!("the address is proven, the first mail delivered {first:.1} s after the client started"));
        self.until("the last delivery", |s| s.mailroom.arrived().len() >= 3 + HELD).await?;
        self.until("the state ONLINE", |s| s.state() == LineState::Online).await?;
        Ok(self.count())
    }

    fn count(&self) -> Count {
        let arrived = self.mailroom.arrived();
        let count = Count::of(&self.acknowledged, &arrived);
        let strangers = self.stranger_room.arrived().len();
        self.story.tell(&format!(
            "{} delivered, {} lost; {} twice, {} changed, {}; the stranger got {strangers}",
            count.delivered,
            count.lost,
            count.twice,
            count.changed,
            if count.in_order { "in order" } else { "OUT OF ORDER" },
        ));
        Count { changed: count.changed + strangers, ..count }
    }

    async fn stay(&mut self, pressed: &mut mpsc::Receiver<String>) {
        self.story.tell("the stage is yours: use the buttons on the page; Ctrl-C ends the demo");
        match self.sign_in_link().await {
            Ok(link) => self.story.whisper(&format!("another sign-in link: {link}")),
            Err(error) => self.story.whisper(&format!("no further sign-in link: {error}")),
        }
        while let Some(press) = pressed.recv().await {
            if let Err(error) = self.act(&press).await {
                self.story.tell(&format!("that did not work: {error}"));
            }
        }
    }

    async fn act(&mut self, press: &str) -> Result<(), DemoError> {
        match press {
            "drop" if self.line.is_none() => self.story.tell("the line is down already"),
            "drop" => {
                self.drop_line().await;
                self.story.tell("you dropped the line");
            }
            "address" => {
                self.drop_line().await;
                self.come_back().await?;
                self.story.tell(&format!("the line is back with the address {}", self.here()));
            }
            "mail" => {
                let reply = self.send_wave(5).await?;
                self.story.tell(&format!("five mails sent; the last sender heard: {reply}"));
            }
            "refuse-452" => self.behave(Manner::DiskFull, "your mail server now refuses with 452, disk full"),
            "refuse-550" => {
                self.behave(Manner::RefuseAll, "your mail server now refuses with 550, as after a reinstallation")
            }
            "accept" => {
                self.behave(Manner::Accept, "your mail server accepts again; what it refused is tried once more");
                self.command(Request::QueueRetry { id: None, account: Some(account_name()?) }).await?;
            }
            _ => {}
        }
        Ok(())
    }

    fn behave(&self, manner: Manner, words: &str) {
        self.mailroom.behave(manner);
        self.story.tell(words);
    }

    async fn clear(mut self) {
        if let Some(line) = self.line.take() {
            line.cut().await;
        }
        self.primary = None;
        self.stranger = None;
        self.server.stop().await;
    }
}

fn account_name() -> Result<AccountName, CommandError> {
    ACCOUNT.parse().map_err(|_| CommandError::new("the demo's account name"))
}
