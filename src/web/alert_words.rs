//! Sentences of the page about alerts, German and English side by side.

use std::time::Duration;

use super::format;
use super::words::{Locale, texts};
use crate::alert::office::OfficeError;
use crate::alert::store::CHANNELS_MAX;
use crate::alert::{AlertError, ChannelError, Kind};

texts! {
    alerts: "Alarme", "Alerts";
    alerts_text: "Was Sie hier eintragen, erfährt von einem Ausfall und von seinem Ende, je Ausfall einmal. Der Weg darf nicht über den Server führen, um den es geht.", "What you enter here is told of an outage and of its end, once per outage. The way must not lead through the server that it is about.";
    channels_title: "Wer benachrichtigt wird", "Who is told";
    channels_none: "Noch niemand. Ohne Alarm erfahren Sie von einem Ausfall nur auf diesen Seiten.", "Nobody yet. Without an alert, these pages alone tell you of an outage.";
    channels_unreached: "Zurzeit erreicht Sie kein Alarm: Jeder Kanal scheitert.", "No alert reaches you at present: each channel fails.";
    channel_never: "noch nichts gesendet", "nothing sent yet";
    channel_sent: "zuletzt angekommen", "last got through";
    channel_failed: "letzter Fehler", "last failure";
    channel_test: "Testen", "Test";
    channel_remove: "Entfernen", "Remove";
    channel_remove_text: "Was noch wartet, wird nicht mehr gesendet.", "What still waits is not sent any more.";
    channel_remove_sure: "Ja, entfernen", "Yes, remove";
    channel_settled: "steht in der Konfiguration des Servers", "stands in the server's configuration";
    all_kinds: "alles über dieses Konto", "everything about this account";
    tells_end: "auch das Ende", "the end as well";
    alert_add_title: "Kanal hinzufügen", "Add a channel";
    alert_add: "Hinzufügen", "Add";
    field_channel: "Art", "Kind";
    field_place: "Ziel", "Where to";
    field_place_hint: "Webhook, Gotify: Adresse mit https://. ntfy: https://Server/Thema. Matrix: https://Server/!Raum:Server. Telegram: Nummer des Chats oder @Kanal. E-Mail: eine Adresse außerhalb Ihrer Domains.", "Webhook, Gotify: an address with https://. ntfy: https://server/topic. Matrix: https://server/!room:server. Telegram: number of the chat or @channel. Mail: an address outside your domains.";
    field_secret: "Geheimnis (Token)", "Secret (token)";
    field_secret_hint: "Gotify, Matrix und Telegram brauchen eines, ntfy nur bei geschützten Themen. Ein Webhook ohne bekommt einen Schlüssel von uns. Es wird verschlüsselt aufbewahrt und nie wieder angezeigt.", "Gotify, Matrix and Telegram need one, ntfy only for protected topics. A webhook without one gets a key from us. It is kept encrypted and never shown again.";
    field_alert_language: "Sprache der Texte", "Language of the texts";
    language_de: "Deutsch", "German";
    language_en: "Englisch", "English";
    field_zone: "Zeitzone", "Time zone";
    field_delay: "Erst melden nach", "Tell only after";
    field_quiet: "Ruhezeit", "Quiet hours";
    field_quiet_from: "Ruhezeit von", "Quiet hours from";
    field_quiet_to: "Ruhezeit bis", "Quiet hours until";
    until: "bis", "until";
    field_quiet_hint: "Was dann noch gilt, wird an ihrem Ende gemeldet.", "What is still true at their end is told then.";
    field_recovery: "Auch das Ende melden", "Tell the end as well";
    field_kinds: "Worüber", "About what";
    at_once: "sofort", "at once";
    webhook_key_title: "Schlüssel dieses Webhooks", "Key of this webhook";
    webhook_key_text: "Er wird nur dieses eine Mal gezeigt. Prüfen Sie mit ihm die Unterschrift im Kopf Pulsemx-Signature.", "It is shown this once only. Check the signature in the header Pulsemx-Signature with it.";
    alert_added: "Hinzugefügt. Ein Test zeigt, ob der Kanal ankommt.", "Added. A test shows whether the channel gets through.";
    alert_removed: "Der Kanal ist entfernt.", "The channel is removed.";
    alert_tested: "Der Test ist angekommen.", "The test got through.";
    alert_test_failed: "Der Test ist nicht angekommen.", "The test did not get through.";
    alert_test_soon: "Ein Test alle paar Sekunden genügt. Versuchen Sie es gleich noch einmal.", "One test every few seconds is enough. Try again in a moment.";
    quiet_bad: "Eine Ruhezeit braucht beide Uhrzeiten, und sie müssen verschieden sein.", "Quiet hours need both times, and they have to differ.";
    zone_bad: "Das ist keine Zeitzone. Schreiben Sie zum Beispiel Europe/Berlin oder UTC.", "That is no time zone. Write Europe/Berlin or UTC, for example.";
    kinds_bad: "Wählen Sie mindestens einen Anlass.", "Choose at least one occasion.";
    field_odd: "Das Formular kam unvollständig an. Laden Sie die Seite neu.", "The form arrived incomplete. Reload the page.";
}

impl Locale {
    /// What a channel is called.
    pub(super) fn channel_scheme(self, scheme: &str) -> &'static str {
        match scheme {
            "webhook" => "Webhook",
            "ntfy" => "ntfy",
            "gotify" => "Gotify",
            "matrix" => "Matrix",
            "telegram" => "Telegram",
            "mailto" => self.pick("E-Mail", "Mail"),
            _ => self.pick("Befehl", "Command"),
        }
    }

    pub(super) const fn alert_kind(self, kind: Kind) -> &'static str {
        match kind {
            Kind::Silent => self.pick("keine Lebenszeichen mehr", "no heartbeats any more"),
            Kind::StaysAway => self.pick("abgemeldet und nicht zurückgekehrt", "said goodbye and did not return"),
            Kind::Flapping => self.pick("Leitung kommt und geht", "line comes and goes"),
            Kind::PrimaryBroken => self.pick("Ihr Server lehnt Empfänger ab", "your server refuses recipients"),
            Kind::Stranger => self.pick("ein fremder Server antwortet", "somebody else's server answers"),
            Kind::PinMoved => self.pick("Schlüssel Ihres Servers ist ein anderer", "your server's key is another one"),
            Kind::Greylisted => self.pick("Ihr Server vertröstet uns (Greylisting)", "your server greylists us"),
            Kind::Expiring => self.pick("Haltezeit läuft bald ab", "held mail is about to run out"),
            Kind::Quota => self.pick("Speicher fast voll", "storage nearly full"),
            Kind::MassMiss => self.pick("viele Leitungen still", "many lines silent"),
            Kind::TimersLate => self.pick("Uhr des Dienstes zu spät", "timers of the service late"),
            Kind::ListStale => self.pick("Empfängerliste veraltet", "recipient list out of date"),
            Kind::Certificate => self.pick("Zertifikat nicht erneuert", "certificate not renewed"),
            Kind::Expired => self.pick("Post abgelaufen", "mail ran out of time"),
        }
    }

    pub(super) fn tells_after(self, delay: Duration) -> String {
        if delay.is_zero() {
            return self.at_once().to_owned();
        }
        let span = format::round_span(delay, self);
        match self {
            Self::De => format!("nach {span}"),
            Self::En => format!("after {span}"),
        }
    }

    pub(super) fn quiet_from_to(self, quiet: &str, zone: &str) -> String {
        let hours = quiet.replace('-', "–");
        match self {
            Self::De => format!("Ruhe {hours} ({zone})"),
            Self::En => format!("quiet {hours} ({zone})"),
        }
    }

    pub(super) fn alerts_waiting(self, n: u64) -> String {
        match (self, n) {
            (Self::De, 1) => "1 Meldung wartet".to_owned(),
            (Self::De, _) => format!("{} Meldungen warten", format::count(n, self)),
            (Self::En, 1) => "1 alert is waiting".to_owned(),
            (Self::En, _) => format!("{} alerts are waiting", format::count(n, self)),
        }
    }

    pub(super) fn alerts_lost(self, n: u64) -> String {
        let count = format::count(n, self);
        match self {
            Self::De => format!("{count} nach einem Tag aufgegeben"),
            Self::En => format!("{count} given up after a day"),
        }
    }

    pub(super) fn attempts_failed(self, n: u64) -> String {
        let count = format::count(n, self);
        match (self, n) {
            (Self::De, 1) => "1 Versuch gescheitert".to_owned(),
            (Self::De, _) => format!("{count} Versuche in Folge gescheitert"),
            (Self::En, 1) => "1 attempt failed".to_owned(),
            (Self::En, _) => format!("{count} attempts in a row failed"),
        }
    }

    /// Why a channel was not added, and what to do instead.
    pub(super) fn office_error(self, error: &OfficeError) -> String {
        match error {
            OfficeError::Channel(error) => self.channel_error(error).to_owned(),
            OfficeError::Store(error) => self.alert_error(error),
            OfficeError::Target(why) => match self {
                Self::De => format!("Dorthin darf kein Alarm gehen: {why}"),
                Self::En => format!("An alert cannot go there: {why}"),
            },
            OfficeError::Served(domain) => match self {
                Self::De => format!(
                    "Post für {domain} nehmen wir hier an: Ein Alarm dorthin würde warten, bis der Ausfall vorbei ist. Geben Sie eine Adresse anderswo an."
                ),
                Self::En => format!(
                    "Mail for {domain} is taken here: an alert to it would wait until the outage is over. Give an address elsewhere."
                ),
            },
            OfficeError::NoMail => self
                .pick(
                    "Dieser Server verschickt selbst keine E-Mail. Nehmen Sie einen anderen Kanal.",
                    "This server sends no mail of its own. Use another channel.",
                )
                .to_owned(),
            OfficeError::NoKinds => self.kinds_bad().to_owned(),
            OfficeError::Seal(_) => self
                .pick(
                    "Das Geheimnis konnte nicht verschlüsselt werden. Nichts wurde gespeichert.",
                    "The secret could not be encrypted. Nothing was stored.",
                )
                .to_owned(),
            OfficeError::Test(_) => self.alert_test_failed().to_owned(),
            OfficeError::Stopping => self
                .pick(
                    "Der Server startet gerade neu. Versuchen Sie es gleich noch einmal.",
                    "The server is restarting. Try again in a moment.",
                )
                .to_owned(),
        }
    }

    fn alert_error(self, error: &AlertError) -> String {
        match error {
            AlertError::Full => match self {
                Self::De => format!("Mehr als {CHANNELS_MAX} Kanäle hat ein Konto nicht. Entfernen Sie zuerst einen."),
                Self::En => format!("An account has {CHANNELS_MAX} channels at most. Remove one first."),
            },
            AlertError::NoChannel(_) | AlertError::NoAccount => {
                self.pick("Diesen Kanal gibt es nicht mehr.", "This channel is there no more.").to_owned()
            }
            AlertError::Configured(_) => self.channel_settled().to_owned(),
            AlertError::Engine(_) => self.trouble_text().to_owned(),
        }
    }

    const fn channel_error(self, error: &ChannelError) -> &'static str {
        match error {
            ChannelError::Scheme => self.field_odd(),
            ChannelError::NotHttp => self.pick(
                "Das Ziel ist eine Adresse wie https://host/pfad, ohne einen Teil hinter #.",
                "Where it leads is an address such as https://host/path, without a part behind #.",
            ),
            ChannelError::Password => self.pick(
                "In der Adresse steht ein Name oder Passwort. Geben Sie das Geheimnis in seinem eigenen Feld an.",
                "There is a name or password in the address. Give the secret in its own field.",
            ),
            ChannelError::Path(_) => self.pick(
                "Am Ende der Adresse fehlt das Thema, der Raum (!abc:server) oder die Nummer des Chats.",
                "The topic, the room (!abc:server) or the number of the chat is missing at the end of the address.",
            ),
            ChannelError::Mailbox => self.pick(
                "Das ist keine E-Mail-Adresse. Eine einzige gehört ins Feld, etwa admin@anderswo.example.",
                "That is no mail address. One alone belongs in the field, such as admin@elsewhere.example.",
            ),
            ChannelError::Program | ChannelError::CommandHere => self.pick(
                "Befehle startet nur der Betreiber.",
                "Commands are started for the operator alone.",
            ),
            ChannelError::Long => self.pick(
                "Das Ziel ist zu lang oder enthält Steuerzeichen.",
                "Where it leads is too long or holds control characters.",
            ),
            ChannelError::NoSecret(_) => {
                self.pick("Dieser Kanal braucht ein Geheimnis (Token).", "This channel needs a secret (token).")
            }
            ChannelError::NeedlessSecret(_) => self.pick(
                "E-Mail braucht kein Geheimnis. Lassen Sie das Feld leer.",
                "Mail needs no secret. Leave the field empty.",
            ),
            ChannelError::OddSecret => self.pick(
                "Ein Geheimnis hat keine Leerzeichen und höchstens 512 druckbare Zeichen; der Schlüssel eines Webhooks mindestens 24.",
                "A secret has no blanks and 512 printable characters at most; the key of a webhook has at least 24.",
            ),
            ChannelError::Unencrypted => self.pick(
                "Die Adresse muss mit https:// beginnen.",
                "The address has to begin with https://.",
            ),
        }
    }
}
