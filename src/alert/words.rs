//! Every sentence of alerts, German and English side by side; a missing one does not compile.

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::event::{Event, Fact};
use crate::base::WallTime;

/// A language of alerts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// German.
    De,
    /// English.
    #[default]
    En,
}

impl Language {
    /// As in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::De => "de",
            Self::En => "en",
        }
    }

    /// Of a stored word.
    #[must_use]
    pub fn from_stored(word: &str) -> Option<Self> {
        match word {
            "de" => Some(Self::De),
            "en" => Some(Self::En),
            _ => None,
        }
    }

    fn pick(self, de: impl Into<String>, en: impl Into<String>) -> String {
        match self {
            Self::De => de.into(),
            Self::En => en.into(),
        }
    }
}

/// How serious it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Weight {
    /// Good news.
    Good,
    /// To be known.
    Notice,
    /// Something is to be done.
    Urgent,
}

/// An alert in words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// One line.
    pub title: String,
    /// A few sentences.
    pub text: String,
    /// See [`Weight`].
    pub weight: Weight,
}

/// Writes alerts in one language for one time zone.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// Of the reader.
    pub language: Language,
    /// Of the reader.
    pub zone: Tz,
    /// Our public name.
    pub hostname: &'a str,
}

impl Writer<'_> {
    /// The words for an event that was noticed at `at`.
    #[must_use]
    pub fn write(&self, event: &Event, at: WallTime) -> Message {
        let (title, text, weight) = self.of_fact(event);
        let noticed = self.language.pick(
            format!("Bemerkt {} von {}.", self.time(at), self.hostname),
            format!("Noticed {} by {}.", self.time(at), self.hostname),
        );
        let title = if event.account_name.is_empty() { title } else { format!("{}: {title}", event.account_name) };
        Message { title, text: format!("{text}\n{noticed}"), weight }
    }

    fn of_fact(&self, event: &Event) -> Said {
        let server = self.server(event);
        match &event.fact {
            Fact::Silent => self.silent(&server, &self.since(event)),
            Fact::StaysAway => self.stays_away(&server, &self.since(event)),
            Fact::Back { after_s } => self.back(&server, &self.span(*after_s)),
            Fact::Flapping { held_s } => self.flapping(&server, &self.span(*held_s)),
            Fact::Broken { reason } => self.broken(reason),
            Fact::Well => self.well(),
            Fact::Stranger { reason } => self.stranger(&server, reason),
            Fact::Known => self.known(&server),
            Fact::Greylisted { reason } => self.greylisted(reason),
            Fact::PinMoved { reason } => self.pin_moved(&server, reason),
            Fact::Expiring { percent, expires_at } => self.expiring(*percent, &self.time(*expires_at)),
            Fact::Quota { percent, held_bytes, limit_bytes } => {
                self.quota(*percent, &self.size(*held_bytes), &self.size(*limit_bytes))
            }
            Fact::QuotaWell => self.quota_well(),
            Fact::ListStale { domain } => self.list_stale(domain, &self.since(event)),
            Fact::ListFresh { domain } => self.list_fresh(domain),
            Fact::MassMiss { silent, heard } => self.mass_miss(*silent, *heard),
            Fact::Overload { silent, heard } => self.overload(*silent, *heard),
            Fact::MassMissOver { after_s, is_real, silent } => {
                self.mass_miss_over(&self.span(*after_s), *is_real, *silent)
            }
            Fact::Certificate { reason, not_after } => {
                self.certificate(reason, &not_after.map_or_else(|| "-".to_owned(), |end| self.time(end)))
            }
            Fact::CertificateWell { not_after } => {
                self.certificate_well(&not_after.map_or_else(|| "-".to_owned(), |end| self.time(end)))
            }
            Fact::TimersLate { by_ms } => self.timers_late(*by_ms),
            Fact::Expired { expired, removed } => self.expired(*expired, *removed),
            Fact::Test => self.test(),
        }
    }

    fn said(&self, weight: Weight, title: (&str, &str), de: String, en: String) -> Said {
        (self.language.pick(title.0, title.1), self.language.pick(de, en), weight)
    }

    fn certificate(&self, reason: &str, end: &str) -> Said {
        self.said(
            Weight::Urgent,
            ("Zertifikat nicht erneuert", "certificate not renewed"),
            format!("Das eigene Zertifikat konnte nicht erneuert werden; das gezeigte gilt bis {end}. Es wird weiter versucht. Grund: {reason}"),
            format!("Our own certificate could not be renewed; the one that is shown is valid until {end}. Tries go on. Reason: {reason}"),
        )
    }

    fn certificate_well(&self, end: &str) -> Said {
        self.said(
            Weight::Good,
            ("Zertifikat erneuert", "certificate renewed"),
            format!("Das eigene Zertifikat ist erneuert und gilt bis {end}."),
            format!("Our own certificate is renewed and valid until {end}."),
        )
    }

    fn silent(&self, server: &str, since: &str) -> Said {
        self.said(
            Weight::Urgent,
            ("Mailserver ist ausgefallen", "mail server is down"),
            format!("{server} sendet seit {since} keine Lebenszeichen. Neue Post wird hier angenommen und gehalten, bis er zurück ist."),
            format!("{server} has sent no heartbeats since {since}. New mail is taken and held here until it is back."),
        )
    }

    fn stays_away(&self, server: &str, since: &str) -> Said {
        self.said(
            Weight::Urgent,
            ("Mailserver bleibt weg", "mail server stays away"),
            format!("{server} hat sich {since} abgemeldet und ist nicht zurück. Neue Post wird hier angenommen und gehalten."),
            format!("{server} said goodbye {since} and has not come back. New mail is taken and held here."),
        )
    }

    fn back(&self, server: &str, after: &str) -> Said {
        self.said(
            Weight::Good,
            ("Mailserver ist zurück", "mail server is back"),
            format!("{server} sendet nach {after} wieder Lebenszeichen. Gehaltene Post wird jetzt zugestellt."),
            format!("{server} sends heartbeats again after {after}. Held mail is being delivered now."),
        )
    }

    fn flapping(&self, server: &str, held: &str) -> Said {
        self.said(
            Weight::Notice,
            ("Leitung kommt und geht", "line comes and goes"),
            format!(
                "{server} fällt immer wieder aus. Der Name behält für {held} seinen Eintrag; Post wartet deshalb nicht."
            ),
            format!(
                "{server} drops out again and again. The name keeps its record for {held}; mail does not wait for that."
            ),
        )
    }

    fn broken(&self, reason: &str) -> Said {
        self.said(
            Weight::Urgent,
            ("Mailserver lehnt Post ab", "mail server refuses mail"),
            format!("Ihr Mailserver lehnt Empfänger ab, die er früher annahm. Alle Post wird hier gehalten, bis er wieder annimmt. Grund: {reason}"),
            format!("Your mail server refuses recipients that it took before. All mail is held here until it takes them again. Reason: {reason}"),
        )
    }

    fn well(&self) -> Said {
        self.said(
            Weight::Good,
            ("Mailserver nimmt wieder an", "mail server takes mail again"),
            "Empfänger werden wieder angenommen, die Zustellung geht weiter.".to_owned(),
            "Recipients are taken again, delivery goes on.".to_owned(),
        )
    }

    fn stranger(&self, server: &str, reason: &str) -> Said {
        self.said(
            Weight::Urgent,
            ("Ein Fremder antwortet", "a stranger answers"),
            format!("Was sich unter der Adresse von {server} meldet, hat sich nicht als Ihr Mailserver ausgewiesen. Es bekommt keine Post; alles wird hier gehalten. Grund: {reason}"),
            format!("Whatever answers at the address of {server} has not proven to be your mail server. It gets no mail; all of it is held here. Reason: {reason}"),
        )
    }

    fn known(&self, server: &str) -> Said {
        self.said(
            Weight::Good,
            ("Mailserver ist wieder erkannt", "mail server is known again"),
            format!("{server} hat sich ausgewiesen, die Zustellung geht weiter."),
            format!("{server} has proven itself, delivery goes on."),
        )
    }

    fn greylisted(&self, reason: &str) -> Said {
        self.said(
            Weight::Notice,
            ("Mailserver schiebt uns auf", "mail server greylists us"),
            format!("Ihr Mailserver schiebt unsere Zustellungen auf (Greylisting). Nehmen Sie uns davon aus, sonst kommt Ihre Post später. Seine Worte: {reason}"),
            format!("Your mail server puts our deliveries off (greylisting). Exempt us, or your mail comes late. Its words: {reason}"),
        )
    }

    fn pin_moved(&self, server: &str, reason: &str) -> Said {
        self.said(
            Weight::Notice,
            ("Neuer Schlüssel des Mailservers", "new key of the mail server"),
            format!("{server} muss sich ab jetzt mit einem anderen Schlüssel ausweisen. Waren Sie das nicht, sprechen Sie mit dem Betreiber. {reason}"),
            format!("{server} has to prove itself with another key from now on. If that was not you, talk to the operator. {reason}"),
        )
    }

    fn expiring(&self, percent: u32, expires: &str) -> Said {
        self.said(
            Weight::Urgent,
            ("Gehaltene Post läuft ab", "held mail comes to its end"),
            format!("Die älteste gehaltene Post wartet schon {percent} % ihrer Zeit. Ab {expires} kommt sie in Quarantäne und wird nicht mehr zugestellt."),
            format!("The oldest held mail has waited {percent}% of its time. From {expires} on it goes to quarantine and is not delivered any more."),
        )
    }

    fn quota(&self, percent: u32, held: &str, limit: &str) -> Said {
        self.said(
            Weight::Urgent,
            ("Speicher fast voll", "storage nearly full"),
            format!("{held} von {limit} ({percent} %) sind belegt. Ist der Speicher voll, werden Absender vertröstet."),
            format!("{held} of {limit} ({percent}%) are used. When it is full, senders are put off."),
        )
    }

    fn quota_well(&self) -> Said {
        self.said(
            Weight::Good,
            ("Speicher hat wieder Platz", "storage has room again"),
            "Für neue Post ist wieder genug Platz.".to_owned(),
            "There is enough room for new mail again.".to_owned(),
        )
    }

    fn list_stale(&self, domain: &str, since: &str) -> Said {
        self.said(
            Weight::Notice,
            ("Empfängerliste ist veraltet", "list of recipients is stale"),
            format!("Die Liste für {domain} ist vom {since}. Wer nicht darauf steht, wird bei einem Ausfall nur noch vertröstet und nicht mehr abgelehnt. Laden Sie sie neu hoch."),
            format!("The list of {domain} is of {since}. While your server is away, who is not on it is put off and no longer refused. Upload it again."),
        )
    }

    fn list_fresh(&self, domain: &str) -> Said {
        self.said(
            Weight::Good,
            ("Empfängerliste ist erneuert", "list of recipients is renewed"),
            format!("Für {domain} gilt keine veraltete Liste mehr."),
            format!("No stale list is in force for {domain} any more."),
        )
    }

    fn mass_miss(&self, silent: u64, heard: u64) -> Said {
        self.said(
            Weight::Urgent,
            ("Sehr viele Leitungen schweigen", "very many lines are silent"),
            format!("{silent} von {heard} Leitungen schweigen; das wird für einen Fehler hier gehalten, niemand wird neutralisiert. Ist die Stille echt: pulsemx state release"),
            format!("{silent} of {heard} lines are silent; that is taken to be a fault here, nobody is neutralised. If the silence is real: pulsemx state release"),
        )
    }

    fn overload(&self, silent: u64, heard: u64) -> Said {
        self.said(
            Weight::Urgent,
            ("Lebenszeichen gehen hier verloren", "heartbeats are dropped here"),
            format!("Der Kernel verwirft Lebenszeichen, bevor sie gelesen sind ({silent} von {heard} Leitungen schweigen). Die Maschine ist zu langsam oder net.core.rmem_max zu klein."),
            format!("The kernel drops heartbeats before they are read ({silent} of {heard} lines are silent). The machine is too slow or net.core.rmem_max too small."),
        )
    }

    fn mass_miss_over(&self, after: &str, is_real: bool, silent: u64) -> Said {
        let (de, en) = if is_real {
            ("Die Stille ist echt", "The silence is real")
        } else {
            ("Die Lebenszeichen sind zurück", "The heartbeats are back")
        };
        self.said(
            Weight::Good,
            ("Stille zählt wieder", "silence counts again"),
            format!("{de}, nach {after}. {silent} Leitungen schweigen noch."),
            format!("{en}, after {after}. {silent} lines are still silent."),
        )
    }

    fn timers_late(&self, by_ms: u64) -> Said {
        self.said(
            Weight::Notice,
            ("Eigene Uhren kamen zu spät", "our own timers came late"),
            format!(
                "Um {by_ms} ms; jede Leitung bekam ein volles Fenster. Die Maschine ist überlastet oder stand still."
            ),
            format!("By {by_ms} ms; every line got a full window. The machine is overloaded or stood still."),
        )
    }

    fn expired(&self, expired: u64, removed: u64) -> Said {
        self.said(
            Weight::Urgent,
            ("Post ist abgelaufen", "mail expired"),
            format!("{expired} Empfänger warteten zu lange und kamen in Quarantäne; {removed} gingen nach deren Ende."),
            format!(
                "{expired} recipients waited too long and went to quarantine; {removed} went at the end of theirs."
            ),
        )
    }

    fn test(&self) -> Said {
        self.said(
            Weight::Notice,
            ("Probe", "test"),
            "So kommt eine Warnung bei Ihnen an. Es ist nichts geschehen.".to_owned(),
            "This is how an alert reaches you. Nothing has happened.".to_owned(),
        )
    }

    fn server(&self, event: &Event) -> String {
        let name = event.server.as_deref();
        match self.language {
            Language::De => name.map_or_else(|| "Ihr Mailserver".to_owned(), |name| format!("Mailserver {name}")),
            Language::En => name.map_or_else(|| "Your mail server".to_owned(), |name| format!("Mail server {name}")),
        }
    }

    fn since(&self, event: &Event) -> String {
        event.since.map_or_else(|| "?".to_owned(), |since| self.time(since))
    }

    /// In the reader's zone, with its name or offset.
    fn time(&self, at: WallTime) -> String {
        let local = at.with_timezone(&self.zone);
        match self.language {
            Language::De => local.format("%d.%m.%Y %H:%M:%S %Z").to_string(),
            Language::En => local.format("%Y-%m-%d %H:%M:%S %Z").to_string(),
        }
    }

    fn span(&self, seconds: u64) -> String {
        let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
        let day = self.language.pick("Tg.", "d");
        match seconds {
            0..120 => format!("{seconds} s"),
            120..7_200 => format!("{} min", seconds / 60),
            7_200..172_800 => format!("{} h {minutes} min", seconds / 3_600),
            _ => format!("{days} {day} {hours} h"),
        }
    }

    fn size(&self, octets: u64) -> String {
        const UNITS: [(&str, u64); 3] = [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)];
        let Some((unit, octets_each)) = UNITS.into_iter().find(|(_, each)| octets >= *each) else {
            return format!("{octets} B");
        };
        let (whole, tenth) = (octets / octets_each, octets % octets_each * 10 / octets_each);
        let point = self.language.pick(",", ".");
        format!("{whole}{point}{tenth} {unit}")
    }
}

/// Title, text, weight.
type Said = (String, String, Weight);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::AccountId;

    #[test]
    fn an_outage_reads_well_in_both_languages_and_in_the_readers_zone() {
        let at: WallTime = "2026-11-24T22:30:00Z".parse().unwrap();
        let event = Event {
            account: Some(AccountId(1)),
            account_name: "firma".to_owned(),
            endpoint: None,
            server: Some("firma.dyn.example".to_owned()),
            since: Some(at),
            fact: Fact::Silent,
        };
        let writer = |language| Writer { language, zone: chrono_tz::Europe::Berlin, hostname: "mx2.example.net" };
        let de = writer(Language::De).write(&event, at);
        assert_eq!(de.title, "firma: Mailserver ist ausgefallen");
        assert!(
            de.text.starts_with("Mailserver firma.dyn.example sendet seit 24.11.2026 23:30:00 CET keine"),
            "{de:?}"
        );
        let en = writer(Language::En).write(&event, at);
        assert_eq!(en.title, "firma: mail server is down");
        assert!(en.text.ends_with("\nNoticed 2026-11-24 23:30:00 CET by mx2.example.net."), "{en:?}");
    }

    #[test]
    fn spans_and_sizes_read_like_speech() {
        let de = Writer { language: Language::De, zone: chrono_tz::UTC, hostname: "x" };
        let spans = [90, 600, 7_260, 180_000].map(|seconds| de.span(seconds));
        assert_eq!(spans, ["90 s", "10 min", "2 h 1 min", "2 Tg. 2 h"]);
        assert_eq!([999, 1_500, 2_345_000_000].map(|octets| de.size(octets)), ["999 B", "1,5 kB", "2,3 GB"]);
    }
}
