//! Sentences of what is public, German and English side by side.

use super::words::{Locale, texts};
use crate::liveness::LineState;

texts! {
    public_title: "Status des Mailservers", "Status of the mail server";
    public_online: "Der Mailserver ist erreichbar.", "The mail server is reachable.";
    public_offline: "Der Mailserver ist nicht erreichbar.", "The mail server cannot be reached.";
    public_new: "Der Mailserver hat sich noch nie gemeldet.", "The mail server was never heard.";
    public_back: "Der Mailserver ist wieder da.", "The mail server is back.";
    public_lead_online: "Post kommt direkt an.", "Mail arrives directly.";
    public_lead_offline: "Post wird hier aufbewahrt und zugestellt, sobald er wieder da ist. Sie müssen nichts noch einmal senden.", "Mail is kept here and delivered as soon as it is back. Nothing has to be sent again.";
    public_lead_back: "Aufbewahrte Post wird jetzt zugestellt.", "Kept mail is being delivered now.";
    public_since: "seit", "since";
    public_outages: "Ausfälle", "Outages";
    public_none: "In der aufgezeichneten Zeit gab es keinen.", "There was none in the time on record.";
    public_running: "läuft noch", "still running";
    public_follow: "Folgen", "Follow";
    public_rss: "Ausfälle als RSS", "Outages as RSS";
    public_ics: "Ausfälle als Kalender", "Outages as a calendar";
    public_badge: "Plakette", "Badge";
    public_badge_text: "Dieses Bild zeigt den Zustand auf jeder Webseite. Es trägt ein Siegel: Wer ein Bild gefunden hat, kann hier prüfen, ob es echt ist.", "This picture shows the state on any web page. It carries a seal: who found a picture can check here whether it is genuine.";
    public_badge_field: "Siegel, wie es im Bild steht", "Seal, as it stands in the picture";
    public_badge_check: "Prüfen", "Check";
    public_badge_false: "Dieses Siegel ist nicht von hier, oder das Bild wurde verändert.", "This seal is not from here, or the picture was changed.";
    public_section: "Öffentliche Statusseite", "Public status page";
    public_section_off: "Aus. Eingeschaltet sieht jeder, der die Adresse hat, ob Ihr Mailserver erreichbar ist und wann er es nicht war; keine Adressen, keine Zahlen zur Post, keine Namen.", "Off. Switched on, everybody who has the address sees whether your mail server is reachable and when it was not; no addresses, no counts of mail, no names.";
    public_section_on: "An. Jeder, der die Adresse hat, sieht sie. Ausschalten macht die Adressen für immer ungültig.", "On. Everybody who has the address sees it. Switching off ends these addresses for good.";
    public_turn_on: "Einschalten", "Switch on";
    public_turn_off: "Ausschalten", "Switch off";
    public_page: "Seite", "Page";
    said_public_on: "Die öffentliche Statusseite ist an.", "The public status page is on.";
    said_public_off: "Die öffentliche Statusseite ist aus.", "The public status page is off.";
}

impl Locale {
    /// What everybody is told of a state: sentence, what becomes of mail, one word.
    pub(super) const fn public_state(self, state: LineState) -> (&'static str, &'static str, &'static str) {
        match state {
            LineState::New => (self.public_new(), "", self.state_new()),
            // A missed beat is no outage yet, and nothing to worry others with.
            LineState::Online | LineState::Suspect => {
                (self.public_online(), self.public_lead_online(), self.state_online())
            }
            LineState::Offline => (self.public_offline(), self.public_lead_offline(), self.state_offline()),
            LineState::Returning => (self.public_back(), self.public_lead_back(), self.state_returning()),
        }
    }

    /// A genuine badge and what it says.
    pub(super) fn public_badge_true(self, state: &str, at: &str) -> String {
        match self {
            Self::De => format!("Echt: {state}, gezeichnet {at}."),
            Self::En => format!("Genuine: {state}, drawn {at}."),
        }
    }

    /// An outage as the title of an entry.
    pub(super) fn public_outage(self, span: &str) -> String {
        match self {
            Self::De => format!("Mailserver {span} nicht erreichbar"),
            Self::En => format!("Mail server unreachable for {span}"),
        }
    }

    /// An outage that goes on, as the title of an entry.
    pub(super) const fn public_outage_now(self) -> &'static str {
        self.pick("Mailserver nicht erreichbar, dauert an", "Mail server unreachable, still running")
    }
}
