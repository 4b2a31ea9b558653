//! The pages as askama templates; what stands in them was decided elsewhere.

use askama::Template;

use super::account_page::SessionLine;
use super::days::Calendar;
use super::drill_pages::DrillCard;
use super::format::Stamp;
use super::passkey_page::PasskeyLine;
use super::public::Addresses;
use super::record_view::{Badge, RecordRow, Remark};
use super::settings::DemoButton;
use super::spool_view::{FilterLink, MessagePage, SpoolLine};
use super::trace_view::TraceStep;
use super::verdict_view::CheckLine;
use super::view::StatusPage;
use super::words::Locale;

/// What surrounds every page.
#[derive(Clone, Debug)]
pub(super) struct Shell {
    pub(super) l: Locale,
    /// The zone that the person chose; absent: as the browser says, and UTC without scripts.
    pub(super) zone: Option<chrono_tz::Tz>,
    /// `light`, `dark`, or empty for what the system says.
    pub(super) theme: &'static str,
    pub(super) title: String,
    pub(super) css: &'static str,
    pub(super) script: &'static str,
    pub(super) icon: &'static str,
    pub(super) hostname: String,
    /// Name of the signed-in person; empty for nobody.
    pub(super) person: String,
    pub(super) csrf: String,
    /// The account of the page; empty for none.
    pub(super) account: String,
    pub(super) has_several: bool,
    /// `status`, `spool` or empty.
    pub(super) section: &'static str,
    pub(super) held: u64,
    pub(super) held_count: String,
    /// Query of this page without language and look, ended by `&` if not empty.
    pub(super) query: String,
    /// Set when the visit came over a foreign link, so that our cookie was not sent: the browser asks once more.
    pub(super) asks_again: bool,
}

impl Shell {
    /// A time as the reader wants it.
    pub(super) fn time(&self, at: &Stamp) -> String {
        at.text_in(self.zone, self.l)
    }
}

/// The status of one account.
#[derive(Template, Debug)]
#[template(path = "status.html")]
pub(super) struct StatusTemplate {
    pub(super) shell: Shell,
    pub(super) page: StatusPage,
    pub(super) steps: Vec<StepMark>,
    pub(super) demo: Option<DemoCard>,
    pub(super) drill: DrillCard,
    pub(super) calendar: Calendar,
}

/// A step of the state bar.
#[derive(Debug)]
pub(super) struct StepMark {
    pub(super) label: &'static str,
    pub(super) is_current: bool,
}

/// The demo's card.
#[derive(Debug)]
pub(super) struct DemoCard {
    pub(super) buttons: Vec<DemoButton>,
    pub(super) story: Vec<String>,
}

/// An account in the list of accounts.
#[derive(Debug)]
pub(super) struct AccountLine {
    pub(super) name: String,
    pub(super) tone: &'static str,
    pub(super) state: &'static str,
    pub(super) span: String,
    pub(super) since: Option<i64>,
    pub(super) held: String,
    pub(super) refused: String,
}

/// The accounts that a person may open.
#[derive(Template, Debug)]
#[template(path = "accounts.html")]
pub(super) struct AccountsTemplate {
    pub(super) shell: Shell,
    pub(super) accounts: Vec<AccountLine>,
}

/// The list of held mail.
#[derive(Template, Debug)]
#[template(path = "spool.html")]
pub(super) struct SpoolTemplate {
    pub(super) shell: Shell,
    pub(super) tone: &'static str,
    pub(super) icon: &'static str,
    pub(super) headline: String,
    pub(super) filters: Vec<FilterLink>,
    pub(super) filter: &'static str,
    pub(super) lines: Vec<SpoolLine>,
    pub(super) sees_header: bool,
    pub(super) empty: &'static str,
    /// Where the next page begins.
    pub(super) next: Option<String>,
    /// The search stopped before the page was full.
    pub(super) is_cut: bool,
    /// The beginning of a list that an open page keeps up to date.
    pub(super) is_first: bool,
    pub(super) has_before: bool,
    /// The search as a query, for the links of the filters.
    pub(super) keep: String,
    pub(super) search: SearchForm,
    pub(super) may_act: bool,
    pub(super) may_retry: bool,
    /// What the last button did; empty for nothing.
    pub(super) said: String,
    /// `delivered`, `waiting` and `refused` as one word: the script compares it with what the stream says.
    pub(super) fingerprint: String,
}

/// What a search asks for.
#[derive(Debug)]
pub(super) struct SearchForm {
    pub(super) typed: String,
    /// Word, label, whether it is the chosen one.
    pub(super) ages: Vec<(&'static str, &'static str, bool)>,
    pub(super) is_narrowed: bool,
}

/// Asks before messages are deleted.
#[derive(Template, Debug)]
#[template(path = "confirm.html")]
pub(super) struct ConfirmTemplate {
    pub(super) shell: Shell,
    pub(super) filter: &'static str,
    pub(super) lines: Vec<SpoolLine>,
}

/// Where a dynamic name points.
#[derive(Debug)]
pub(super) struct NameLine {
    pub(super) host: String,
    pub(super) tone: &'static str,
    pub(super) points: String,
}

/// A domain.
#[derive(Debug)]
pub(super) struct DomainCard {
    pub(super) name: String,
    /// One, for how all records stand; a list, as open pages are sent it.
    pub(super) badges: Vec<Badge>,
    pub(super) rows: Vec<RecordRow>,
    pub(super) besides: Vec<Remark>,
    pub(super) listed: String,
    /// What becomes of recipients that are not listed; empty without a list.
    pub(super) unknown: &'static str,
}

/// A zone that we serve.
#[derive(Debug)]
pub(super) struct ZoneCard {
    pub(super) apex: String,
    pub(super) summary: String,
    pub(super) text: String,
}

/// Whether somebody looks at the domains of the account, and when that was done last.
#[derive(Debug)]
pub(super) struct LookCard {
    pub(super) may_ask: bool,
    pub(super) is_running: bool,
    pub(super) seen: Option<Stamp>,
    /// It was asked for too soon.
    pub(super) is_soon: bool,
    /// A domain that nobody serves yet, to be looked at besides; empty for none.
    pub(super) domain: String,
    /// The page to come back to.
    pub(super) back: &'static str,
}

/// A way in which a domain can reach us.
#[derive(Debug)]
pub(super) struct WayCard {
    pub(super) letter: char,
    pub(super) title: &'static str,
    pub(super) text: String,
    pub(super) rows: Vec<RecordRow>,
}

/// What is proposed for a domain that was typed.
#[derive(Debug)]
pub(super) struct Proposal {
    pub(super) name: String,
    pub(super) title: String,
    /// Where its mail goes today; empty where nobody looked.
    pub(super) today: String,
    pub(super) ways: Vec<WayCard>,
}

/// The domains of an account.
#[derive(Template, Debug)]
#[template(path = "domains.html")]
pub(super) struct DomainsTemplate {
    pub(super) shell: Shell,
    /// Milliseconds since 1970.
    pub(super) now: i64,
    pub(super) look: LookCard,
    pub(super) names: Vec<NameLine>,
    pub(super) cards: Vec<DomainCard>,
    pub(super) zones: Vec<ZoneCard>,
    /// Empty where nothing was learned.
    pub(super) learned: String,
}

/// An entry of the log.
#[derive(Debug)]
pub(super) struct LogLine {
    pub(super) at: Stamp,
    pub(super) who: String,
    pub(super) what: String,
    pub(super) object: String,
    /// Somebody looked and changed nothing.
    pub(super) is_look: bool,
}

/// Who did what.
#[derive(Template, Debug)]
#[template(path = "log.html")]
pub(super) struct LogTemplate {
    pub(super) shell: Shell,
    pub(super) lines: Vec<LogLine>,
    pub(super) is_full: bool,
}

/// Command lines with a one-time code.
#[derive(Debug)]
pub(super) struct ClientCommands {
    pub(super) host: String,
    pub(super) join: String,
    pub(super) install: String,
}

/// The set-up in three steps.
#[derive(Template, Debug)]
#[template(path = "setup.html")]
pub(super) struct SetupTemplate {
    pub(super) shell: Shell,
    /// Milliseconds since 1970.
    pub(super) now: i64,
    pub(super) last_beat: Option<Stamp>,
    pub(super) may_act: bool,
    pub(super) commands: Option<ClientCommands>,
    /// Why no code was made; empty for nothing.
    pub(super) failed: &'static str,
    pub(super) has_router: bool,
    pub(super) router_url: String,
    pub(super) host: String,
    pub(super) typed: String,
    /// What was wrong with the domain; empty for nothing.
    pub(super) wrong: &'static str,
    pub(super) proposal: Option<Proposal>,
    pub(super) look: LookCard,
    pub(super) dns_is_right: bool,
    pub(super) dns_says: &'static str,
    pub(super) cards: Vec<DomainCard>,
    pub(super) is_rehearsed: bool,
    pub(super) has_drills: bool,
}

/// One of several that may be chosen.
#[derive(Debug)]
pub(super) struct AlertChoice {
    pub(super) value: String,
    pub(super) label: String,
    pub(super) is_chosen: bool,
}

/// The form of a channel, as typed; the secret is left out.
#[derive(Debug)]
pub(super) struct AlertForm {
    /// What was wrong with it; empty for nothing.
    pub(super) wrong: String,
    pub(super) schemes: Vec<AlertChoice>,
    pub(super) place: String,
    pub(super) languages: Vec<AlertChoice>,
    pub(super) zone: String,
    pub(super) quiet_from: String,
    pub(super) quiet_to: String,
    pub(super) delays: Vec<AlertChoice>,
    pub(super) recovery: bool,
    pub(super) kinds: Vec<AlertChoice>,
}

/// A channel of alerts.
#[derive(Debug)]
pub(super) struct ChannelLine {
    pub(super) id: i64,
    pub(super) tone: &'static str,
    pub(super) kind: &'static str,
    pub(super) place: String,
    pub(super) terms: String,
    pub(super) kinds: String,
    pub(super) last_sent: Option<Stamp>,
    /// Empty while it gets through.
    pub(super) failure: String,
    pub(super) last_error: String,
    pub(super) last_error_at: Option<Stamp>,
    pub(super) waiting: String,
    pub(super) lost: String,
    pub(super) is_configured: bool,
}

/// Who is told.
#[derive(Template, Debug)]
#[template(path = "alerts.html")]
pub(super) struct AlertsTemplate {
    pub(super) shell: Shell,
    pub(super) channels: Vec<ChannelLine>,
    pub(super) is_unreached: bool,
    pub(super) may_act: bool,
    pub(super) form: AlertForm,
    /// What the last button did; empty for nothing.
    pub(super) said: &'static str,
    /// What it did not; empty for nothing.
    pub(super) failed: String,
    pub(super) quote: String,
    /// The key of a new webhook, this once.
    pub(super) key: Option<String>,
}

/// A token of the API.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct TokenLine {
    pub(super) id: String,
    pub(super) tone: &'static str,
    pub(super) label: String,
    pub(super) scopes: String,
    pub(super) made: String,
    pub(super) made_at: Stamp,
    pub(super) last_used: Option<Stamp>,
    pub(super) expires: Option<Stamp>,
    pub(super) is_expired: bool,
    pub(super) old_until: Option<Stamp>,
}

/// The form of a new token, as it was filled in.
pub(super) struct TokenForm {
    pub(super) wrong: String,
    pub(super) label: String,
    pub(super) scopes: Vec<AlertChoice>,
    pub(super) valid: Vec<AlertChoice>,
}

/// The tokens of an account.
#[derive(Template)]
#[template(path = "tokens.html")]
pub(super) struct TokensTemplate {
    pub(super) shell: Shell,
    pub(super) tokens: Vec<TokenLine>,
    pub(super) may_act: bool,
    pub(super) form: TokenForm,
    pub(super) overlaps: Vec<AlertChoice>,
    /// What the last button did; empty for nothing.
    pub(super) said: &'static str,
    /// A new token, this once.
    pub(super) secret: Option<String>,
}

/// One message.
#[derive(Template, Debug)]
#[template(path = "message.html")]
pub(super) struct MessageTemplate {
    pub(super) shell: Shell,
    pub(super) page: MessagePage,
    pub(super) steps: Vec<TraceStep>,
    /// What the DNS says of the sender; empty where that was not checked.
    pub(super) checks: Vec<CheckLine>,
    pub(super) may_download: bool,
    /// Another account has a part in it, so that nothing can be done here.
    pub(super) is_shared: bool,
    /// What the last button did; empty for nothing.
    pub(super) said: String,
}

/// The page of a sign-in link: one button.
#[derive(Template, Debug)]
#[template(path = "sign_in.html")]
pub(super) struct SignInTemplate {
    pub(super) shell: Shell,
    pub(super) secret: String,
}

/// The way in with a password.
#[derive(Template, Debug)]
#[template(path = "password.html")]
pub(super) struct PasswordTemplate {
    pub(super) offers_passkeys: bool,
    pub(super) passkey_script: &'static str,
    pub(super) shell: Shell,
    pub(super) name: String,
    /// Why it did not work; empty at first.
    pub(super) wrong: &'static str,
}

/// What the page of a person shows of an account.
#[derive(Debug)]
pub(super) struct AccountPart {
    pub(super) is_leaving: bool,
    pub(super) may_leave: bool,
    /// Why nothing happened; empty at first.
    pub(super) leave_wrong: &'static str,
    /// Where everybody sees the state; absent while that is switched off.
    pub(super) public: Option<Addresses>,
    pub(super) may_publish: bool,
}

/// The person, and the account beside.
#[derive(Template, Debug)]
#[template(path = "account.html")]
pub(super) struct AccountTemplate {
    pub(super) passkeys: Vec<PasskeyLine>,
    /// This browser may add one here.
    pub(super) offers_passkeys: bool,
    pub(super) passkey_script: &'static str,
    pub(super) shell: Shell,
    pub(super) sessions: Vec<SessionLine>,
    pub(super) has_others: bool,
    pub(super) tongues: Vec<AlertChoice>,
    pub(super) zone: String,
    pub(super) has_password: bool,
    pub(super) password_rule: String,
    /// What was done; empty for nothing.
    pub(super) said: &'static str,
    /// What was wrong in a form of the person; empty for nothing.
    pub(super) wrong: &'static str,
    pub(super) part: Option<AccountPart>,
}

/// A page with a sentence: not signed in, not found, refused, out of order.
#[derive(Template, Debug)]
#[template(path = "notice.html")]
pub(super) struct NoticeTemplate {
    pub(super) shell: Shell,
    pub(super) heading: &'static str,
    pub(super) text: &'static str,
    pub(super) command: &'static str,
    /// Whether the way with a password is offered.
    pub(super) takes_password: bool,
}
