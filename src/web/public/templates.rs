//! The public page, the badge and the feed as askama templates.

use askama::Template;

use super::office::Addresses;
use crate::web::days::Calendar;
use crate::web::format::Stamp;
use crate::web::pages::Shell;

/// An outage as everybody may know it.
#[derive(Debug)]
pub(super) struct OutageLine {
    pub(super) at: Stamp,
    pub(super) title: String,
    pub(super) is_running: bool,
}

/// The page.
#[derive(Template, Debug)]
#[template(path = "public.html")]
pub(super) struct PublicTemplate {
    pub(super) shell: Shell,
    pub(super) tone: &'static str,
    pub(super) state: &'static str,
    pub(super) headline: &'static str,
    pub(super) lead: &'static str,
    pub(super) word: &'static str,
    pub(super) since: Option<Stamp>,
    pub(super) outages: Vec<OutageLine>,
    pub(super) calendar: Calendar,
    pub(super) addresses: Addresses,
    /// Whether badges are sealed here, so that one can be checked.
    pub(super) has_seal: bool,
    /// What a check found; empty for none.
    pub(super) genuine: String,
    pub(super) is_false: bool,
}

/// The badge: shapes and text, nothing that runs and nothing that is loaded.
#[derive(Template, Debug)]
#[template(path = "badge.svg")]
pub(super) struct BadgeTemplate {
    pub(super) word: &'static str,
    pub(super) fill: &'static str,
    /// An outline of the state, so that no colour stands alone.
    pub(super) mark: &'static str,
    pub(super) at: String,
    /// Empty where badges are not sealed.
    pub(super) sealed: String,
    pub(super) lang: &'static str,
}

/// An entry of the feed.
#[derive(Debug)]
pub(super) struct FeedItem {
    pub(super) title: String,
    pub(super) text: String,
    /// RFC 822 form, as RSS wants it.
    pub(super) at: String,
    pub(super) guid: String,
}

/// RSS 2.0.
#[derive(Template, Debug)]
#[template(path = "outages.xml")]
pub(super) struct FeedTemplate {
    pub(super) lang: &'static str,
    pub(super) title: &'static str,
    pub(super) page: String,
    pub(super) text: &'static str,
    pub(super) items: Vec<FeedItem>,
}
