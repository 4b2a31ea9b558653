//! Sentences of the list of held mail, of one message and of the log, German and English side by side.

use super::words::{Locale, texts};

texts! {
    checks_title: "Ist der Absender echt?", "Is the sender genuine?";
    checks_none: "Nicht geprüft.", "Not checked.";
    filter_kept: "angehalten", "held back";
    search: "Suchen", "Search";
    search_label: "Absender, Empfänger oder Kennung", "Sender, recipient or ID";
    search_age: "Eingang", "Accepted";
    age_any: "jederzeit", "any time";
    age_hour: "in der letzten Stunde", "within the last hour";
    age_day: "in den letzten 24 Stunden", "within the last 24 hours";
    age_older_day: "vor mehr als einem Tag", "more than a day ago";
    age_older_week: "vor mehr als 7 Tagen", "more than 7 days ago";
    search_clear: "Suche beenden", "End the search";
    search_none: "Nichts gefunden.", "Nothing found.";
    search_cut: "Noch nicht alles durchsucht.", "Not everything was looked through yet.";
    search_on: "Weitersuchen", "Search on";
    with_selected: "Ausgewählte:", "Selected:";
    select: "Auswählen", "Select";
    act_hold: "Anhalten", "Hold";
    act_release: "Freigeben", "Release";
    act_retry: "Erneut versuchen", "Try again";
    act_delete: "Löschen", "Delete";
    act_download: "Als .eml laden", "Download .eml";
    nothing_selected: "Es war nichts ausgewählt.", "Nothing was selected.";
    delete_title: "Endgültig löschen?", "Delete for good?";
    delete_text: "Diese Nachrichten werden entfernt und nicht zugestellt. Die Absender erfahren nichts davon. Das lässt sich nicht zurücknehmen.", "These messages are removed and not delivered. The senders are not told. This cannot be undone.";
    delete_sure: "Endgültig löschen", "Delete for good";
    cancel: "Abbrechen", "Cancel";
    shared_hint: "Diese Nachricht ging auch an ein anderes Konto. Über sie entscheidet der Betreiber.", "This message also went to another account. What becomes of it is up to the operator.";

    steps_title: "Verlauf der Nachricht", "What happened to it";
    step_stored: "Angenommen und gespeichert", "Accepted and stored";
    step_now: "Jetzt", "Now";
    plain_text: "ohne Verschlüsselung", "without encryption";
    now_waits_beat: "Wartet auf das nächste Lebenszeichen Ihres Servers", "Waits for your server's next heartbeat";
    now_waits: "Wartet auf die Zustellung", "Waits to be delivered";
    now_claimed: "Wird gerade zugestellt", "Is being delivered";
    now_held: "Angehalten, bis sie jemand freigibt", "Held back until somebody releases it";
    now_delivered: "Zugestellt, der Inhalt ist hier gelöscht", "Delivered, the content is deleted here";
    now_refused: "Von Ihrem Server abgelehnt und hier aufbewahrt", "Refused by your server and kept here";
    now_expired: "Nicht rechtzeitig zugestellt und hier aufbewahrt", "Not delivered in time and kept here";

    log: "Protokoll", "Log";
    log_text: "Wer was an diesem Konto getan hat, auch der Betreiber. Einträge lassen sich nicht ändern.", "Who did what to this account, the operator included. Entries cannot be changed.";
    log_empty: "Noch kein Eintrag.", "No entry yet.";
    log_limit: "Gezeigt werden die neuesten Einträge.", "The newest entries are shown.";
    col_when: "Zeit", "Time";
    col_who: "Wer", "Who";
    col_what: "Was", "What";
}

impl Locale {
    pub(super) fn step_connection(self, helo: &str) -> String {
        match self {
            Self::De => format!("Verbindung von {helo}"),
            Self::En => format!("Connection from {helo}"),
        }
    }

    pub(super) fn step_attempt(self, n: u32, mailbox: &str) -> String {
        match self {
            Self::De => format!("Versuch {n} für {mailbox}"),
            Self::En => format!("Attempt {n} for {mailbox}"),
        }
    }

    /// What was done to `n` messages; absent for words that we never send.
    pub(super) fn deed_done(self, word: &str, n: u64) -> Option<String> {
        let messages = self.messages(n);
        Some(match (word, self) {
            ("hold", Self::De) => format!("{n} {messages} angehalten."),
            ("hold", Self::En) => format!("{n} {messages} held back."),
            ("release", Self::De) => format!("{n} {messages} freigegeben."),
            ("release", Self::En) => format!("{n} {messages} released."),
            ("retry", Self::De) => format!("{n} {messages}: wird erneut versucht."),
            ("retry", Self::En) => format!("{n} {messages}: will be tried again."),
            ("delete", Self::De) => format!("{n} {messages} gelöscht."),
            ("delete", Self::En) => format!("{n} {messages} deleted."),
            ("none", _) => self.nothing_selected().to_owned(),
            _ => return None,
        })
    }

    /// A row of the audit log in words: what was done, and to what. `None` for what we have no words for.
    pub(super) fn audited(self, verb: &str) -> Option<&'static str> {
        Some(match verb {
            "account.add" => self.pick("Konto angelegt", "Account added"),
            "account.status" => self.pick("Zustand des Kontos geändert", "Status of the account changed"),
            "domain.add" => self.pick("Domain hinzugefügt", "Domain added"),
            "domain.remove" => self.pick("Domain entfernt", "Domain removed"),
            "host.add" => self.pick("Dynamischer Name hinzugefügt", "Dynamic name added"),
            "host.remove" => self.pick("Dynamischer Name entfernt", "Dynamic name removed"),
            "key.rotate" => self.pick("Schlüssel der Lebenszeichen erneuert", "Heartbeat token renewed"),
            "endpoint.pin" => self.pick("Schlüssel des Mailservers festgelegt", "Key of the mail server set"),
            "membership.set" => self.pick("Zugang einer Person geändert", "Access of a person changed"),
            "queue.hold" => self.pick("Angehalten", "Held back"),
            "queue.release" => self.pick("Freigegeben", "Released"),
            "queue.retry" => self.pick("Erneut versucht", "Tried again"),
            "queue.fail" => self.pick("Aufgegeben", "Given up"),
            "queue.drop" => self.pick("Gelöscht", "Deleted"),
            "recipients.forget" => self.pick("Empfängerliste vergessen", "List of recipients forgotten"),
            "recipients.replace" => self.pick("Empfängerliste ersetzt", "List of recipients replaced"),
            "recipients.set" => self.pick("Umgang mit Empfängern geändert", "Treatment of recipients changed"),
            "alert.add" => self.pick("Alarmkanal hinzugefügt", "Channel of alerts added"),
            "alert.remove" => self.pick("Alarmkanal entfernt", "Channel of alerts removed"),
            "alert.test" => self.pick("Alarmkanal getestet", "Channel of alerts tested"),
            "token.add" => self.pick("Zugangsschlüssel angelegt", "Token added"),
            "token.revoke" => self.pick("Zugangsschlüssel widerrufen", "Token revoked"),
            "api_token.add" => self.pick("Zugangsschlüssel der API angelegt", "Token of the API made"),
            "api_token.rotate" => self.pick("Zugangsschlüssel der API erneuert", "Token of the API renewed"),
            "api_token.revoke" => self.pick("Zugangsschlüssel der API widerrufen", "Token of the API revoked"),
            "look.tokens" => self.pick("Zugangsschlüssel angesehen", "Looked at the tokens"),
            "drill.start" => self.pick("Feueralarm-Probe gestartet", "Fire drill started"),
            "drill.end" => self.pick("Feueralarm-Probe beendet", "Fire drill ended"),
            "zone.put" => self.pick("Zone geändert", "Zone changed"),
            "zone.remove" => self.pick("Zone entfernt", "Zone removed"),
            "look.spool" => self.pick("Liste der gehaltenen Post angesehen", "Looked at the list of held mail"),
            "look.message" => self.pick("Umschlag einer Nachricht angesehen", "Looked at the envelope of a message"),
            "look.status" => self.pick("Status angesehen", "Looked at the status"),
            "look.domains" => self.pick("Domains angesehen", "Looked at the domains"),
            "look.alerts" => self.pick("Alarmkanäle angesehen", "Looked at the channels of alerts"),
            "look.setup" => self.pick("Einrichtung angesehen", "Looked at the set-up"),
            "join.code" => self.pick("Code für einen Client gemacht", "Code for a client made"),
            "look.log" => self.pick("Protokoll angesehen", "Looked at the log"),
            "message.download" => self.pick("Nachricht heruntergeladen", "Message downloaded"),
            _ => return self.audited_person(verb),
        })
    }
}
