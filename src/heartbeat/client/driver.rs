//! Socket, clock and token file of the client: moves datagrams between the server and the machine. No tokio.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};

use super::arguments::{BeatCommand, RunArguments};
use super::cadence::Client;
use super::event::{ClientEvent, ClientKeys, ClientSettings, MailReport};
use super::fallback::Way;
use super::https::Base;
use super::https::driver as https;
use super::mail;
#[cfg(feature = "https")]
use super::recipients::driver as recipients;
use super::report::{Report, Reporter};
use super::route::{Families, Route, RouteEvent};
use super::second::SecondPath;
use super::service::driver as service;
#[cfg(feature = "https")]
use super::setup::driver as setup;
use super::suspend::SuspendWatch;
use crate::base::{Clock, Moment};
use crate::heartbeat::datagram::SHORT_OCTETS;
use crate::heartbeat::token::{Token, TokenError};

/// How long the client waits for a datagram before it looks at the stop flag again.
const WAIT_MAX: Duration = Duration::from_millis(100);
/// Between two tries to renew the token: a file that cannot be written today may be tomorrow.
const RENEW_EVERY: Duration = Duration::from_secs(86_400);

/// What keeps a client from starting.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No file, or not ours.
    #[error("cannot read the token file {}: {source}", path.display())]
    TokenFile {
        /// Which.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// Others may read it.
    #[error("others can read the token file {0}; run: chmod 600 {0}", path.display())]
    TokenFileOpen {
        /// Which.
        path: PathBuf,
    },
    /// The first line is no token.
    #[error("the first line of {} is no token: {source}", path.display())]
    Token {
        /// Which.
        path: PathBuf,
        /// Why.
        source: TokenError,
    },
    /// The address has no port.
    #[error("'{0}' is no HOST:PORT")]
    NoPort(String),
    /// No random bytes.
    #[error("the system has no random numbers")]
    NoRandomness,
    /// The way over HTTPS was wanted and cannot be had.
    #[error("{0}")]
    Https(String),
    /// No thread for the look at the mail server.
    #[error("cannot watch the mail server: {0}")]
    Mail(#[source] std::io::Error),
}

/// What a client needs to run.
#[derive(Debug)]
pub struct Options {
    /// `HOST:PORT` of the heartbeat server.
    pub server: String,
    /// The secret.
    pub token: Token,
    /// A fixed interval.
    pub interval: Option<Duration>,
    /// Own address to send from.
    pub bind: Option<IpAddr>,
    /// Never a second path over IPv6.
    pub one_family: bool,
    /// `HOST:PORT` of the local mail server to look at.
    pub mail: Option<String>,
    /// Where beats go while UDP is silent; nowhere without.
    pub https: Option<Base>,
    /// Certificates that are believed there; those of Mozilla without.
    pub ca_file: Option<PathBuf>,
    /// Where a renewed token is kept; without a file none is renewed.
    pub token_file: Option<PathBuf>,
}

/// Sends heartbeats until `stop` is set, then says goodbye; prints changes as the arguments say.
///
/// # Errors
/// As [`RunArguments::options`] and [`run`].
pub fn run_command(arguments: &RunArguments, stop: &AtomicBool) -> Result<(), ClientError> {
    let options = arguments.options()?;
    let name = arguments.account.as_deref().map(|account| format!("{account}: ")).unwrap_or_default();
    run(&options, stop, |report| {
        use std::io::Write;
        let line = match (arguments.quiet, arguments.json) {
            (true, _) => return,
            (false, true) => report.json(),
            (false, false) => format!("{name}{}", report.text()),
        };
        // A closed pipe must not stop the beats.
        let _ = writeln!(std::io::stdout(), "{line}");
    })
}

/// Exit code for what the user has to mend.
const USAGE: u8 = 2;

/// The whole client as a process: carries out `command` until SIGTERM or SIGINT and says what went wrong.
#[must_use]
pub fn carry_out(command: &BeatCommand) -> ExitCode {
    let done = match command {
        BeatCommand::Run(arguments) => return run_until_signal(arguments),
        #[cfg(feature = "https")]
        BeatCommand::Join(arguments) => setup::join(arguments).map(|()| ExitCode::SUCCESS),
        #[cfg(feature = "https")]
        BeatCommand::Status(arguments) => setup::status(arguments),
        #[cfg(feature = "https")]
        BeatCommand::Recipients(arguments) => recipients::upload(arguments).map(|()| ExitCode::SUCCESS),
        BeatCommand::Install(arguments) => service::install(arguments).map(|()| ExitCode::SUCCESS),
        BeatCommand::Uninstall(arguments) => service::uninstall(arguments).map(|()| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|message| {
        eprintln!("pulsemx-beat: {message}");
        ExitCode::from(USAGE)
    })
}

fn run_until_signal(arguments: &RunArguments) -> ExitCode {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        if let Err(error) = signal_hook::flag::register(signal, Arc::clone(&stop)) {
            eprintln!("pulsemx-beat: cannot watch for signals: {error}");
            return ExitCode::FAILURE;
        }
    }
    match run_command(arguments, &stop) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pulsemx-beat: {error}");
            ExitCode::from(USAGE)
        }
    }
}

/// Sends heartbeats until `stop` is set, then says goodbye: at most 0.7 s later it returns. Blocks its thread.
///
/// # Errors
/// [`ClientError::NoRandomness`], [`ClientError::Mail`]. A server that cannot be found or does not answer is no error.
pub fn run(options: &Options, stop: &AtomicBool, report: impl FnMut(&Report)) -> Result<(), ClientError> {
    let mut seed = [0u8; 32];
    getrandom::fill(&mut seed).map_err(|_| ClientError::NoRandomness)?;
    let mail = options.mail.clone().map(mail::watch).transpose().map_err(ClientError::Mail)?;
    let clock = Clock;
    let now = clock.monotonic();
    let settings = ClientSettings { interval: options.interval, path: 0 };
    let second = SecondPath::start(options);
    let families = if second.is_some() { Families::V4First } else { Families::Any };
    let mut running = Running {
        client: Client::new(ClientKeys::new(&options.token), settings, seed, now),
        route: Route::new(options.server.clone(), options.bind, families),
        second,
        token: options.token.clone(),
        token_file: options.token_file.clone(),
        renew_due: now,
        asker: None,
        https_failure: String::new(),
        mail,
        clock,
        suspend: SuspendWatch::new(now, clock.wall()),
        is_overdue: false,
        reporter: Reporter::default(),
        report,
    };
    if let Some(base) = options.https.clone() {
        let settings = https::Settings { base, ca_file: options.ca_file.clone(), bind: options.bind };
        let asker = https::Asker::start(&settings).map_err(|error| ClientError::Https(error.to_string()))?;
        running.asker = Some(asker);
        running.client.offer_https();
    }
    while running.step(stop) {}
    if let Some(second) = running.second {
        second.end();
    }
    Ok(())
}

struct Running<F> {
    client: Client,
    route: Route,
    second: Option<SecondPath>,
    token: Token,
    token_file: Option<PathBuf>,
    renew_due: Moment,
    asker: Option<https::Asker>,
    /// Why the last request failed.
    https_failure: String,
    mail: Option<Receiver<MailReport>>,
    clock: Clock,
    suspend: SuspendWatch,
    /// A beat was due before there was a socket.
    is_overdue: bool,
    reporter: Reporter,
    report: F,
}

impl<F: FnMut(&Report)> Running<F> {
    /// One turn of the loop; false when the goodbye is over.
    fn step(&mut self, stop: &AtomicBool) -> bool {
        let now = self.clock.monotonic();
        self.notice_suspend(now);
        if stop.load(Ordering::Relaxed) {
            self.client.say_goodbye(None, now);
            self.second.iter().for_each(SecondPath::say_goodbye);
        } else {
            self.follow_route(now);
            self.follow_second();
        }
        if let Some(report) = self.mail.as_ref().and_then(|mail| mail.try_iter().last()) {
            self.client.handle_mail(report, now);
            self.second.iter().for_each(|second| second.handle_mail(report));
            if let Some(report) = self.reporter.handle_mail(report) {
                (self.report)(&report);
            }
        }
        self.take_what_is_done(now);
        self.client.handle_timeout(now);
        self.transmit();
        self.pass_on_events();
        let Some(due) = self.client.poll_timeout() else { return false };
        let wait = due.since(now).min(WAIT_MAX);
        if !wait.is_zero() {
            self.receive(wait);
            self.pass_on_events();
        }
        true
    }

    fn notice_suspend(&mut self, now: Moment) {
        if self.suspend.handle_look(now, self.clock.wall()) {
            self.client.handle_resume(now);
        }
    }

    /// The second path is wanted while the first is at home in IPv4, and proven: where another machine has the account
    /// (a copy of this one, or the one that this is a copy of), this path must not take its IPv6 address.
    fn follow_second(&mut self) {
        let Some(second) = &self.second else { return };
        second.set_wanted(self.route.is_v4() == Some(true) && self.client.is_proven());
        for report in second.reports() {
            (self.report)(&report);
        }
    }

    fn follow_route(&mut self, now: Moment) {
        let had_socket = self.route.socket().is_some();
        match self.route.turn(now) {
            Some(RouteEvent::Ready) if had_socket => self.client.handle_new_socket(now),
            Some(RouteEvent::Ready) if !self.is_overdue => {}
            Some(RouteEvent::Ready | RouteEvent::Changed) => self.client.handle_change(now),
            Some(RouteEvent::Failed(why)) => self.say(Report::Unreachable(why)),
            None => {}
        }
    }

    fn transmit(&mut self) {
        while let Some(octets) = self.client.poll_transmit() {
            // Whatever fails here looks like a lost datagram and is mended like one.
            match self.route.socket() {
                Some(socket) => drop(socket.send(&octets)),
                None => self.is_overdue = true,
            }
        }
        while let Some(octets) = self.client.poll_request() {
            let is_v4 = self.route.is_v4();
            let is_asked = self.asker.as_ref().is_some_and(|asker| asker.ask(https::Job::Beat { octets, is_v4 }));
            if !is_asked {
                "the request before is still under way".clone_into(&mut self.https_failure);
                self.client.handle_request_failed(self.clock.monotonic());
            }
        }
    }

    /// What came back over HTTPS.
    fn take_what_is_done(&mut self, now: Moment) {
        for done in self.asker.as_ref().map(https::Asker::done).unwrap_or_default() {
            match done {
                https::Done::Answered(octets) => {
                    "the server's answer is for another datagram".clone_into(&mut self.https_failure);
                    self.client.handle_response(&octets, now);
                }
                https::Done::Failed(why) => {
                    self.https_failure = why;
                    self.client.handle_request_failed(now);
                }
                https::Done::Endpoints(endpoints) => self.route.set_endpoints(endpoints),
                https::Done::Renewed(token) => {
                    self.client.handle_new_token(ClientKeys::new(&token), now);
                    self.second.iter().for_each(|second| second.handle_token(token.clone()));
                    self.token = token;
                    self.say(Report::TokenRenewed);
                }
                https::Done::NotRenewed(why) => self.say(Report::TokenKept(why)),
            }
        }
    }

    /// The server has something to say over HTTPS: its endpoints, and that the token has got old.
    fn fetch_more(&mut self) {
        let now = self.clock.monotonic();
        let Some(asker) = self.asker.as_ref().filter(|_| now >= self.renew_due) else { return };
        self.renew_due = now + RENEW_EVERY;
        asker.ask(https::Job::Hello);
        if let Some(file) = self.token_file.clone() {
            asker.ask(https::Job::Renew { token: self.token.clone(), file });
        }
    }

    /// Waits for a datagram; an answer to it leaves at once.
    fn receive(&mut self, wait: Duration) {
        let Some(socket) = self.route.socket().filter(|socket| socket.set_read_timeout(Some(wait)).is_ok()) else {
            std::thread::sleep(wait);
            return;
        };
        // One octet more than the server's datagrams have, so that a longer one is seen to be too long.
        let mut buffer = [0u8; SHORT_OCTETS + 1];
        match socket.recv(&mut buffer) {
            Ok(length) => {
                let now = self.clock.monotonic();
                self.client.handle_datagram(buffer.get(..length).unwrap_or_default(), now);
                self.transmit();
            }
            Err(error) if is_only_quiet(&error) => {}
            // Such as "port unreachable", which comes at once: not to be asked again and again.
            Err(_) => std::thread::sleep(wait.min(Duration::from_millis(20))),
        }
    }

    fn pass_on_events(&mut self) {
        while let Some(event) = self.client.poll_event() {
            match &event {
                ClientEvent::NewSocketWanted => self.route.renew_elsewhere(),
                ClientEvent::EndpointOrdered(index) => self.route.renew_at(usize::from(*index)),
                ClientEvent::MoreToFetch => self.fetch_more(),
                ClientEvent::WayChanged(Way::Https) => {
                    // Where else UDP may work is known to the server only.
                    let _ = self.asker.as_ref().map(|asker| asker.ask(https::Job::Hello));
                }
                ClientEvent::HttpsFailed => {
                    if let Some(report) = self.reporter.handle_https_failed(&self.https_failure) {
                        (self.report)(&report);
                    }
                }
                ClientEvent::WayChanged(Way::Udp)
                | ClientEvent::Replied(_)
                | ClientEvent::Unanswered
                | ClientEvent::Superseded
                | ClientEvent::Ended { .. } => {}
            }
            if let Some(report) = self.reporter.handle_event(&event) {
                (self.report)(&report);
            }
        }
    }

    fn say(&mut self, report: Report) {
        if let Some(report) = self.reporter.admit(report) {
            (self.report)(&report);
        }
    }
}

/// Whether nothing came within the time, or a signal did.
pub(super) fn is_only_quiet(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted)
}
