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
#[cfg(feature = "https")]
use super::drill::driver as drill;
use super::event::{ClientEvent, ClientKeys};
use super::fallback::Way;
use super::https::Base;
use super::https::driver as https;
use super::mail::{self, MailLook};
use super::news::Surroundings;
#[cfg(feature = "https")]
use super::recipients::driver as recipients;
use super::report::{Report, Reporter};
use super::route::{Families, RouteEvent};
use super::second::{SecondPath, SecondWord};
use super::service::driver as service;
#[cfg(feature = "https")]
use super::setup::driver as setup;
use super::uplink::{Uplink, WAIT_MAX};
use crate::base::{Moment, WallTime};
use crate::heartbeat::token::{Token, TokenError};

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
    /// `HOST:PORT` of the heartbeat server, and of further ones that know the token as well.
    pub servers: Vec<String>,
    /// The secret.
    pub token: Token,
    /// A fixed interval.
    pub interval: Option<Duration>,
    /// Own address to send from.
    pub bind: Option<IpAddr>,
    /// Never a second path over IPv6.
    pub one_family: bool,
    /// `HOST:PORT` of the mail server to look at.
    pub mail: Option<String>,
    /// How many bits the IPv6 network has that the provider delegates to this line.
    pub delegated: Option<u8>,
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
        BeatCommand::Drill(arguments) => drill::drill(arguments),
        #[cfg(feature = "https")]
        BeatCommand::Recipients(arguments) => recipients::upload(arguments).map(|()| ExitCode::SUCCESS),
        BeatCommand::Install(arguments) => service::install(arguments).map(|()| ExitCode::SUCCESS),
        BeatCommand::Uninstall(arguments) => service::uninstall(arguments).map(|()| ExitCode::SUCCESS),
        #[cfg(windows)]
        BeatCommand::Service(_) => service::serve().map(|()| ExitCode::SUCCESS),
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
    let mail = options.mail.clone().map(mail::watch).transpose().map_err(ClientError::Mail)?;
    let second = SecondPath::start(options);
    let uplink = Uplink::new(options, 0, if second.is_some() { Families::V4First } else { Families::Any })?;
    let mail_port = options.mail.as_deref().and_then(|mail| mail.rsplit_once(':')?.1.parse().ok()).unwrap_or(0);
    let mut running = Running {
        second,
        token: options.token.clone(),
        token_file: options.token_file.clone(),
        renew_due: uplink.now(),
        uplink,
        asker: None,
        https_failure: String::new(),
        mail,
        second_own: None,
        surroundings: Surroundings { mail_port, delegated: options.delegated, ..Surroundings::default() },
        reporter: Reporter::default(),
        report,
    };
    if let Some(base) = options.https.clone() {
        let settings = https::Settings { base, ca_file: options.ca_file.clone(), bind: options.bind };
        let asker = https::Asker::start(&settings).map_err(|error| ClientError::Https(error.to_string()))?;
        running.asker = Some(asker);
        running.uplink.client.offer_https();
    }
    while running.step(stop) {}
    if let Some(second) = running.second {
        second.end();
    }
    Ok(())
}

struct Running<F> {
    uplink: Uplink,
    second: Option<SecondPath>,
    token: Token,
    token_file: Option<PathBuf>,
    renew_due: Moment,
    asker: Option<https::Asker>,
    /// Why the last request failed.
    https_failure: String,
    mail: Option<Receiver<MailLook>>,
    /// The own address of the second path.
    second_own: Option<IpAddr>,
    /// What was told of the machine's addresses last.
    surroundings: Surroundings,
    reporter: Reporter,
    report: F,
}

impl<F: FnMut(&Report)> Running<F> {
    /// One turn of the loop; false when the goodbye is over.
    fn step(&mut self, stop: &AtomicBool) -> bool {
        let now = self.uplink.now();
        self.uplink.notice_suspend(now);
        if stop.load(Ordering::Relaxed) {
            // The second path first, so that it does not open while the first takes leave.
            self.second.iter().for_each(SecondPath::say_goodbye);
            self.uplink.client.say_goodbye(None, now);
        } else {
            if let Some(RouteEvent::Failed(why)) = self.uplink.follow_route(now) {
                self.say(Report::Unreachable(why));
            }
            self.follow_second();
            self.tell_addresses(None, now);
        }
        if let Some(look) = self.mail.as_ref().and_then(|mail| mail.try_iter().last()) {
            self.handle_look(look, now);
        }
        self.take_what_is_done(now);
        self.uplink.client.handle_timeout(now);
        self.transmit();
        self.pass_on_events();
        let Some(due) = self.uplink.client.poll_timeout() else { return false };
        let wait = due.since(now).min(WAIT_MAX);
        if !wait.is_zero() {
            self.uplink.receive(wait);
            self.pass_on_events();
        }
        true
    }

    /// The second path is wanted while the first is at home in IPv4, and proven: where another machine has the account
    /// (a copy of this one, or the one that this is a copy of), this path must not take its IPv6 address. It is wanted as
    /// well where IPv4 leads nowhere, not even to a challenge.
    fn follow_second(&mut self) {
        let Some(second) = &self.second else { return };
        let first = &self.uplink.client;
        second.set_wanted(self.uplink.is_v4() == Some(true) && (first.is_proven() || first.is_unheard()));
        for word in second.words() {
            match word {
                SecondWord::Report(report) => (self.report)(&report),
                SecondWord::Own(own) => self.second_own = own,
            }
        }
    }

    fn handle_look(&mut self, look: MailLook, now: Moment) {
        self.uplink.client.handle_mail(look.report, now);
        self.second.iter().for_each(|second| second.handle_mail(look.report));
        if let Some(key) = look.key {
            self.uplink.client.handle_server_key(key, now);
        }
        let said = [self.reporter.handle_mail(look.report), look.key.and_then(|key| self.reporter.handle_key(key))];
        for report in said.iter().flatten() {
            (self.report)(report);
        }
        self.tell_addresses(Some(look.addresses), now);
    }

    /// The machine's addresses, and those of the mail server if they were looked up just now.
    fn tell_addresses(&mut self, mail: Option<Vec<IpAddr>>, now: Moment) {
        let own = [self.uplink.own(), self.second_own].into_iter().flatten().collect();
        // A name that is not found for a moment does not make its addresses vanish.
        let mail = mail.filter(|mail| !mail.is_empty()).unwrap_or_else(|| self.surroundings.mail.clone());
        if self.surroundings.own != own || self.surroundings.mail != mail {
            (self.surroundings.own, self.surroundings.mail) = (own, mail);
            self.uplink.client.handle_addresses(self.surroundings.list(), now);
        }
    }

    fn transmit(&mut self) {
        self.uplink.transmit();
        while let Some(octets) = self.uplink.client.poll_request() {
            let is_v4 = self.uplink.is_v4();
            let is_asked = self.asker.as_ref().is_some_and(|asker| asker.ask(https::Job::Beat { octets, is_v4 }));
            if !is_asked {
                "the request before is still under way".clone_into(&mut self.https_failure);
                self.uplink.client.handle_request_failed(self.uplink.now());
            }
        }
    }

    /// What came back over HTTPS.
    fn take_what_is_done(&mut self, now: Moment) {
        for done in self.asker.as_ref().map(https::Asker::done).unwrap_or_default() {
            match done {
                https::Done::Answered(octets) => {
                    "the server's answer is for another datagram".clone_into(&mut self.https_failure);
                    self.uplink.client.handle_response(&octets, now);
                }
                https::Done::Failed(why) => {
                    self.https_failure = why;
                    self.uplink.client.handle_request_failed(now);
                }
                https::Done::Endpoints(endpoints) => {
                    self.second.iter().for_each(|second| second.handle_endpoints(endpoints.clone()));
                    self.uplink.set_endpoints(endpoints);
                }
                https::Done::Renewed(token) => {
                    self.uplink.client.handle_new_token(ClientKeys::new(&token), now);
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
        let now = self.uplink.now();
        let Some(asker) = self.asker.as_ref().filter(|_| now >= self.renew_due) else { return };
        let renew = self.token_file.clone().map(|file| https::Job::Renew { token: self.token.clone(), file });
        // What finds no room is asked again with the next reply.
        if asker.ask(https::Job::Hello) && renew.is_none_or(|renew| asker.ask(renew)) {
            self.renew_due = now + RENEW_EVERY;
        }
    }

    fn pass_on_events(&mut self) {
        while let Some(event) = self.uplink.next_event() {
            match &event {
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
                ClientEvent::Replied(reply) => {
                    self.learn_time(reply.wall_s);
                    let reporter = &mut self.reporter;
                    let said =
                        [reporter.handle_promise(reply), reporter.handle_drill(reply), reporter.handle_loss(reply)];
                    said.iter().flatten().for_each(|report| (self.report)(report));
                }
                ClientEvent::NewSocketWanted
                | ClientEvent::EndpointOrdered(_)
                | ClientEvent::WayChanged(Way::Udp)
                | ClientEvent::Unanswered
                | ClientEvent::Superseded
                | ClientEvent::Ended { .. } => {}
            }
            if let Some(report) = self.reporter.handle_event(&event) {
                (self.report)(&report);
            }
        }
    }

    fn learn_time(&self, wall_s: u32) {
        let time = WallTime::UNIX_EPOCH + Duration::from_secs(wall_s.into());
        self.asker.iter().for_each(|asker| asker.handle_time(time, self.uplink.now()));
    }

    fn say(&mut self, report: Report) {
        if let Some(report) = self.reporter.admit(report) {
            (self.report)(&report);
        }
    }
}
