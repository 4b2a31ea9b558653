//! What a person is told of the heartbeats: one line for each change, as text or as JSON.

use std::fmt::Write;
use std::net::IpAddr;
use std::time::Duration;

use data_encoding::HEXLOWER;

use super::event::{ClientEvent, MailReport};
use super::fallback::Way;
use crate::heartbeat::datagram::{self, Reply, ReplyFlags, ReplyState};
use crate::heartbeat::window::WINDOW_WIDTH;

/// Loss that is told, and below which it is over, in 0.5 %: 5 % and 2 %, so that four of 64 datagrams begin it and one of
/// them is no news.
const LOSS_FROM: u8 = 10;
/// See there.
const LOSS_OVER_BELOW: u8 = 4;

/// Something worth a line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Report {
    /// The server says what the line is.
    Standing {
        /// The state there.
        state: ReplyState,
        /// The own address as seen there.
        address: IpAddr,
        /// Messages waiting.
        waiting: u32,
        /// Another address claims to be us, too.
        is_contested: bool,
    },
    /// Two beats were not answered.
    Unanswered,
    /// The second path, over IPv6: the address it is known by, or that it gets no answer.
    SecondPath(Option<IpAddr>),
    /// The server cannot be found or reached.
    Unreachable(String),
    /// Beats go over HTTPS, as UDP gets no answer; or over UDP again.
    WayChanged(Way),
    /// Neither UDP nor HTTPS gets an answer; why not the latter.
    HttpsFailed(String),
    /// The token was renewed and stands in its file.
    TokenRenewed,
    /// The server wants the token renewed, and this is why it was not.
    TokenKept(String),
    /// The server is about to stop; another is used if it named one.
    Closing,
    /// Another machine uses the token.
    Superseded,
    /// The local mail server began or ceased to greet.
    Mail(MailReport),
    /// SHA-256 of the key in the certificate that the mail server shows now; the server is told.
    MailKey([u8; 32]),
    /// Silence after which the server takes the line to be down.
    Promise(Duration),
    /// Much of what is sent does not reach the server, in 0.5 % of the last 64 datagrams; or nearly all of it again.
    Loss(u8),
    /// A fire drill begins, or has ended.
    Drill(bool),
    /// The end.
    Goodbye {
        /// Whether the server took it.
        is_acknowledged: bool,
    },
}

impl Report {
    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Standing { state, address, waiting, is_contested } => {
                let warning = if *is_contested { ", but another address claims to be this machine" } else { "" };
                format!("{} as {address}, {waiting} waiting{warning}", state.as_str())
            }
            Self::Unanswered => "the server does not answer; beats go on".to_owned(),
            Self::SecondPath(Some(address)) => format!("also heard over IPv6, as {address}"),
            Self::SecondPath(None) => "IPv6 gets no answer; beats over IPv4 go on".to_owned(),
            Self::Unreachable(why) => format!("{why}; tried again"),
            Self::WayChanged(Way::Https) => "UDP gets no answer; beats go over HTTPS".to_owned(),
            Self::WayChanged(Way::Udp) => "UDP is answered again; beats go there".to_owned(),
            Self::HttpsFailed(why) => format!("UDP gets no answer, nor does HTTPS: {why}; both are tried again"),
            Self::TokenRenewed => "the token was renewed and stands in its file".to_owned(),
            Self::TokenKept(why) => format!("the server wants a new token, but {why}; the old one stays in use"),
            Self::Closing => "the server is about to stop; beats go on until it is back".to_owned(),
            Self::Superseded => {
                "another machine uses this token; stop one of the two (this one now only asks once a minute)".to_owned()
            }
            Self::Mail(mail) if mail.is_ok => format!("the mail server here greets ({})", mail.code),
            Self::Mail(mail) => match mail.code {
                MailReport::REFUSED => "the mail server here does not greet: no connection".to_owned(),
                MailReport::TIMED_OUT => "the mail server here does not greet: no answer in time".to_owned(),
                code => format!("the mail server here takes no mail now ({code})"),
            },
            Self::MailKey(key) => format!("the mail server here shows the key sha256:{}", HEXLOWER.encode(key)),
            Self::Promise(after) => format!("an outage of this line is noticed after {} s", after.as_secs()),
            Self::Loss(0..LOSS_OVER_BELOW) => "nearly all datagrams reach the server again".to_owned(),
            Self::Loss(loss) => {
                format!(
                    "{:.1} % of the datagrams do not reach the server; copies make up for them",
                    f32::from(*loss) / 2.0
                )
            }
            Self::Drill(true) => "a fire drill is running: mail is held for a moment, as in an outage".to_owned(),
            Self::Drill(false) => "the fire drill has ended".to_owned(),
            Self::Goodbye { is_acknowledged: true } => "goodbye said, mail is kept from now on".to_owned(),
            Self::Goodbye { is_acknowledged: false } => {
                "goodbye sent but not acknowledged; the server notices within 20 s".to_owned()
            }
        }
    }

    /// For machines: one object on one line.
    #[must_use]
    pub fn json(&self) -> String {
        match self {
            Self::Standing { state, address, waiting, is_contested } => format!(
                r#"{{"event":"standing","state":"{}","address":"{address}","waiting":{waiting},"contested":{is_contested}}}"#,
                state.as_str()
            ),
            Self::Unanswered => r#"{"event":"unanswered"}"#.to_owned(),
            Self::SecondPath(Some(address)) => format!(r#"{{"event":"second_path","address":"{address}"}}"#),
            Self::SecondPath(None) => r#"{"event":"second_path","address":null}"#.to_owned(),
            Self::Unreachable(why) => format!(r#"{{"event":"unreachable","reason":"{}"}}"#, escaped(why)),
            Self::WayChanged(Way::Https) => r#"{"event":"way","way":"https"}"#.to_owned(),
            Self::WayChanged(Way::Udp) => r#"{"event":"way","way":"udp"}"#.to_owned(),
            Self::HttpsFailed(why) => format!(r#"{{"event":"https_failed","reason":"{}"}}"#, escaped(why)),
            Self::TokenRenewed => r#"{"event":"token_renewed"}"#.to_owned(),
            Self::TokenKept(why) => format!(r#"{{"event":"token_kept","reason":"{}"}}"#, escaped(why)),
            Self::Closing => r#"{"event":"closing"}"#.to_owned(),
            Self::Superseded => r#"{"event":"superseded"}"#.to_owned(),
            Self::Mail(mail) => format!(r#"{{"event":"mail","ok":{},"code":{}}}"#, mail.is_ok, mail.code),
            Self::MailKey(key) => format!(r#"{{"event":"mail_key","sha256":"{}"}}"#, HEXLOWER.encode(key)),
            Self::Promise(after) => format!(r#"{{"event":"promise","noticed_after_s":{}}}"#, after.as_secs()),
            Self::Loss(loss) => format!(r#"{{"event":"loss","lost_percent":{:.1}}}"#, f32::from(*loss) / 2.0),
            Self::Drill(is_running) => format!(r#"{{"event":"drill","running":{is_running}}}"#),
            Self::Goodbye { is_acknowledged } => format!(r#"{{"event":"goodbye","acknowledged":{is_acknowledged}}}"#),
        }
    }
}

fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, letter| {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            // Writing to a string does not fail.
            _ if letter.is_control() => drop(write!(out, "\\u{:04x}", u32::from(letter))),
            _ => out.push(letter),
        }
        out
    })
}

/// Leaves out what was said before.
#[derive(Debug, Default)]
pub struct Reporter {
    last: Option<Report>,
    mail: Option<bool>,
    key: Option<[u8; 32]>,
    promise: Option<Duration>,
    is_drilled: bool,
    is_losing: bool,
    https_failed: Option<String>,
}

impl Reporter {
    /// What a client's event is worth saying, if anything.
    pub fn handle_event(&mut self, event: &ClientEvent) -> Option<Report> {
        if let ClientEvent::Replied(_) = event {
            self.https_failed = None;
        }
        let report = match event {
            ClientEvent::Replied(reply) if reply.flags.has(ReplyFlags::SUPERSEDED) => return None,
            ClientEvent::Replied(reply) if reply.flags.has(ReplyFlags::GOODBYE_DONE) => return None,
            ClientEvent::Replied(reply) if reply.flags.has(ReplyFlags::CLOSING) => Report::Closing,
            ClientEvent::Replied(reply) => Report::Standing {
                state: reply.state,
                address: reply.observed.ip(),
                waiting: reply.waiting,
                is_contested: reply.flags.has(ReplyFlags::CONTESTED),
            },
            ClientEvent::Unanswered => Report::Unanswered,
            ClientEvent::WayChanged(way) => Report::WayChanged(*way),
            ClientEvent::NewSocketWanted
            | ClientEvent::EndpointOrdered(_)
            | ClientEvent::MoreToFetch
            | ClientEvent::HttpsFailed => return None,
            ClientEvent::Superseded => Report::Superseded,
            ClientEvent::Ended { is_acknowledged } => Report::Goodbye { is_acknowledged: *is_acknowledged },
        };
        self.admit(report)
    }

    /// A request over HTTPS failed while UDP is silent. The same reason is said once until a reply comes.
    pub fn handle_https_failed(&mut self, why: &str) -> Option<Report> {
        if self.https_failed.as_deref() == Some(why) {
            return None;
        }
        self.https_failed = Some(why.to_owned());
        Some(Report::HttpsFailed(why.to_owned()))
    }

    /// A look at the local mail server.
    pub fn handle_mail(&mut self, mail: MailReport) -> Option<Report> {
        let before = self.mail.replace(mail.is_ok);
        (before != Some(mail.is_ok)).then_some(Report::Mail(mail))
    }

    /// The key in the mail server's certificate.
    pub fn handle_key(&mut self, key: [u8; 32]) -> Option<Report> {
        let before = self.key.replace(key);
        (before != Some(key)).then_some(Report::MailKey(key))
    }

    /// What a reply says of how soon an outage is noticed.
    pub fn handle_promise(&mut self, reply: &Reply) -> Option<Report> {
        let after = datagram::from_centiseconds(reply.neutralised_after_cs);
        let before = self.promise.replace(after);
        (!after.is_zero() && before != Some(after)).then_some(Report::Promise(after))
    }

    /// What a reply says of the datagrams that did not arrive, once there were enough of this run.
    pub fn handle_loss(&mut self, reply: &Reply) -> Option<Report> {
        let begins = !self.is_losing && reply.loss >= LOSS_FROM && reply.seq >= WINDOW_WIDTH;
        let ends = self.is_losing && reply.loss < LOSS_OVER_BELOW;
        self.is_losing = begins || (self.is_losing && !ends);
        (begins || ends).then_some(Report::Loss(reply.loss))
    }

    /// What a reply says of a fire drill.
    pub fn handle_drill(&mut self, reply: &Reply) -> Option<Report> {
        let is_running = reply.flags.has(ReplyFlags::DRILL);
        let before = std::mem::replace(&mut self.is_drilled, is_running);
        (before != is_running).then_some(Report::Drill(is_running))
    }

    /// Passes on what is new. A waiting count that only changes between two numbers above 0 is not.
    pub fn admit(&mut self, report: Report) -> Option<Report> {
        let without_count = |report: &Report| match report {
            Report::Standing { state, address, waiting, is_contested } => Report::Standing {
                state: *state,
                address: *address,
                waiting: (*waiting).min(1),
                is_contested: *is_contested,
            },
            Report::Unanswered
            | Report::SecondPath(_)
            | Report::Unreachable(_)
            | Report::WayChanged(_)
            | Report::HttpsFailed(_)
            | Report::TokenRenewed
            | Report::Closing
            | Report::TokenKept(_)
            | Report::Superseded
            | Report::Mail(_)
            | Report::MailKey(_)
            | Report::Promise(_)
            | Report::Loss(_)
            | Report::Drill(_)
            | Report::Goodbye { .. } => report.clone(),
        };
        let essence = Some(without_count(&report));
        if self.last == essence {
            return None;
        }
        self.last = essence;
        Some(report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(state: ReplyState, waiting: u32) -> Report {
        Report::Standing { state, address: "203.0.113.7".parse().unwrap(), waiting, is_contested: false }
    }

    #[test]
    fn each_change_is_one_line_and_repetition_is_none() {
        let mut reporter = Reporter::default();
        let said: Vec<String> = [
            standing(ReplyState::Returning, 12),
            standing(ReplyState::Online, 12),
            standing(ReplyState::Online, 5),
            standing(ReplyState::Online, 0),
            standing(ReplyState::Online, 0),
            Report::Unanswered,
            standing(ReplyState::Online, 0),
        ]
        .into_iter()
        .filter_map(|report| reporter.admit(report))
        .map(|report| report.text())
        .collect();
        assert_eq!(
            said,
            [
                "returning as 203.0.113.7, 12 waiting",
                "online as 203.0.113.7, 12 waiting",
                "online as 203.0.113.7, 0 waiting",
                "the server does not answer; beats go on",
                "online as 203.0.113.7, 0 waiting",
            ]
        );
    }

    #[test]
    fn a_mail_server_that_ceases_to_greet_is_told_once() {
        let mut reporter = Reporter::default();
        let said: Vec<String> = [(true, 220), (true, 220), (false, 1), (false, 2), (true, 220), (false, 421)]
            .into_iter()
            .filter_map(|(is_ok, code)| reporter.handle_mail(MailReport { is_ok, code, millis: 3 }))
            .map(|report| report.text())
            .collect();
        assert_eq!(said.len(), 4, "{said:?}");
        assert_eq!(said[1], "the mail server here does not greet: no connection");
        assert_eq!(said[3], "the mail server here takes no mail now (421)");
    }

    #[test]
    fn a_drill_is_told_when_it_begins_and_when_it_ends() {
        let reply = |flags: ReplyFlags| Reply { flags, ..reply(0, 1) };
        let drilled = ReplyFlags::PROVEN.with(ReplyFlags::DRILL, true);
        let mut reporter = Reporter::default();
        let said: Vec<String> = [ReplyFlags::PROVEN, drilled, drilled, ReplyFlags::PROVEN, ReplyFlags::PROVEN]
            .into_iter()
            .filter_map(|flags| reporter.handle_drill(&reply(flags)))
            .map(|report| report.json())
            .collect();
        assert_eq!(said, [r#"{"event":"drill","running":true}"#, r#"{"event":"drill","running":false}"#]);
    }

    #[test]
    fn loss_is_told_when_it_is_worth_it_and_when_it_is_over() {
        let mut reporter = Reporter::default();
        let told: Vec<(u32, String)> =
            [(5, 40), (63, 10), (64, 9), (65, 12), (66, 30), (67, 4), (68, 3), (69, 9), (70, 0)]
                .into_iter()
                .filter_map(|(seq, loss)| Some((seq, reporter.handle_loss(&reply(loss, seq))?.text())))
                .collect();
        let begun = "6.0 % of the datagrams do not reach the server; copies make up for them".to_owned();
        assert_eq!(told, [(65, begun), (68, "nearly all datagrams reach the server again".to_owned())]);
    }

    fn reply(loss: u8, seq: u32) -> Reply {
        Reply {
            seq,
            observed: "203.0.113.7:40000".parse().unwrap(),
            state: ReplyState::Online,
            flags: ReplyFlags::PROVEN,
            server_time: 1,
            wall_s: 0,
            waiting: 0,
            interval_cs: 500,
            next_cs: 500,
            loss,
            endpoint_index: 255,
            neutralised_after_cs: 1_700,
        }
    }

    #[test]
    fn json_stays_one_line_whatever_the_system_says() {
        let report = Report::Unreachable("a \"quoted\"\nline \\".to_owned());
        assert_eq!(report.json(), r#"{"event":"unreachable","reason":"a \"quoted\"\u000aline \\"}"#);
        assert_eq!(
            standing(ReplyState::Online, 3).json(),
            r#"{"event":"standing","state":"online","address":"203.0.113.7","waiting":3,"contested":false}"#
        );
    }
}
