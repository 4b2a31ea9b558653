//! Sentences of the page about tokens of the API, German and English side by side.

use super::words::{Locale, texts};
use crate::account::api_token::{LABEL_CHARS_MAX, TOKENS_PER_ACCOUNT_MAX};
use crate::account::{ApiTokenError, Scope};

texts! {
    tokens: "API", "API";
    tokens_title: "Zugangsschlüssel für Programme", "Tokens for programs";
    tokens_text: "Mit einem Schlüssel liest und ändert ein Programm von Ihnen, was dieser öffnet, und nichts sonst. Heartbeats und Router haben eigene.", "With a token a program of yours reads and changes what it opens, and nothing else. Heartbeats and routers have tokens of their own.";
    tokens_none: "Noch keiner.", "None yet.";
    token_secret_title: "Ihr neuer Zugangsschlüssel", "Your new token";
    token_secret_text: "Er wird nur dieses eine Mal gezeigt. Legen Sie ihn in eine Datei, die nur Ihr Programm lesen darf.", "It is shown this once only. Put it into a file that your program alone may read.";
    token_made: "Angelegt. Den Schlüssel selbst kann niemand mehr zeigen; brauchen Sie ihn, erneuern Sie ihn.", "Made. Nobody can show the token itself any more; if you need it, renew it.";
    token_renewed: "Erneuert. Den neuen Schlüssel selbst kann niemand mehr zeigen; brauchen Sie ihn, erneuern Sie noch einmal.", "Renewed. Nobody can show the new token itself any more; if you need it, renew it once more.";
    token_revoked: "Der Zugangsschlüssel ist widerrufen und öffnet nichts mehr.", "The token is revoked and opens nothing any more.";
    token_used: "zuletzt benutzt", "last used";
    token_unused: "noch nicht benutzt", "not used yet";
    token_until: "gültig bis", "valid until";
    token_for_ever: "ohne Ende gültig", "valid without an end";
    token_ended: "abgelaufen", "run out";
    token_old_until: "der vorige Schlüssel gilt noch bis", "the token before is still good until";
    token_renew: "Erneuern", "Renew";
    token_renew_text: "Sie bekommen einen neuen Schlüssel; der jetzige gilt noch eine Weile, damit Zeit zum Austauschen ist.", "You get a new token; the one of today is good for a while yet, so that there is time to change over.";
    token_renew_sure: "Neuen Schlüssel zeigen", "Show a new token";
    token_overlap_label: "Der jetzige gilt noch", "The one of today is good for";
    token_revoke: "Widerrufen", "Revoke";
    token_revoke_text: "Das Programm, das ihn benutzt, bekommt ab sofort keine Antwort mehr.", "The program that uses it gets no answer from now on.";
    token_revoke_sure: "Ja, widerrufen", "Yes, revoke";
    token_add_title: "Zugangsschlüssel anlegen", "Make a token";
    token_add: "Anlegen", "Make it";
    field_token_label: "Wofür", "What for";
    field_token_label_hint: "Zum Beispiel: Überwachung. Steht im Protokoll neben allem, was er tut.", "For example: monitoring. It stands in the log beside all that it does.";
    field_token_valid: "Gültig", "Valid";
    field_token_scopes: "Er öffnet", "It opens";
    tokens_reference: "Was damit geht, beschreibt", "What it can do is described in";
}

impl Locale {
    /// What a scope opens.
    pub(super) const fn scope_means(self, scope: Scope) -> &'static str {
        match scope {
            Scope::Status => self.pick("Zustand, Verlauf und Ereignisse lesen", "read state, history and events"),
            Scope::Dns => self.pick("Domains und Zonen lesen und ändern", "read and change domains and zones"),
            Scope::SpoolRead => {
                self.pick("Liste und Weg gehaltener Post lesen", "read the list and the way of held mail")
            }
            Scope::SpoolWrite => {
                self.pick("gehaltene Post anhalten, freigeben, löschen", "hold, release, delete held mail")
            }
            Scope::Content => self.pick("Betreff und Inhalt der Post lesen", "read subjects and content of mail"),
            Scope::Admin => self.pick(
                "Alarme, Proben, Empfänger, Protokoll, Zugangsschlüssel",
                "alerts, drills, recipients, log, tokens",
            ),
            Scope::Etrn => self.pick(
                "wartende Post mit AUTH und ETRN an Port 25 abrufen",
                "ask for waiting mail on port 25 with AUTH and ETRN",
            ),
        }
    }

    /// How long a new token is valid; 0 for no end.
    pub(super) fn token_valid(self, days: u64) -> String {
        match (days, self) {
            (0, _) => self.token_for_ever().to_owned(),
            (365, Self::De) => "1 Jahr".to_owned(),
            (365, Self::En) => "1 year".to_owned(),
            (_, Self::De) => format!("{days} Tage"),
            (_, Self::En) => format!("{days} days"),
        }
    }

    /// How long the secret before is still good.
    pub(super) fn token_overlap(self, hours: u64) -> String {
        match (hours, self) {
            (0, _) => self.pick("nicht mehr", "no longer").to_owned(),
            (1, _) => self.pick("1 Stunde", "1 hour").to_owned(),
            (24, _) => self.pick("1 Tag", "1 day").to_owned(),
            (_, Self::De) => format!("{} Tage", hours / 24),
            (_, Self::En) => format!("{} days", hours / 24),
        }
    }

    /// Who made a token.
    pub(super) fn token_made_by(self, who: &str) -> String {
        match self {
            Self::De => format!("angelegt von {who}"),
            Self::En => format!("made by {who}"),
        }
    }

    /// Why a token was not made, in the words of the form.
    pub(super) fn token_error(self, error: &ApiTokenError) -> String {
        match (error, self) {
            (ApiTokenError::Label, Self::De) => format!("Sagen Sie in 1 bis {LABEL_CHARS_MAX} Zeichen, wofür er ist."),
            (ApiTokenError::Label, Self::En) => format!("Say in 1 to {LABEL_CHARS_MAX} characters what it is for."),
            (ApiTokenError::NoScope, _) => self
                .pick("Wählen Sie mindestens etwas, das er öffnet.", "Choose at least one thing that it opens.")
                .to_owned(),
            (ApiTokenError::Full(_), Self::De) => {
                format!("Ein Konto hat höchstens {TOKENS_PER_ACCOUNT_MAX}. Widerrufen Sie erst einen.")
            }
            (ApiTokenError::Full(_), Self::En) => {
                format!("An account has {TOKENS_PER_ACCOUNT_MAX} at most. Revoke one first.")
            }
            (ApiTokenError::Expired, _) => {
                self.pick("Er ist abgelaufen. Legen Sie einen neuen an.", "It has run out. Make a new one.").to_owned()
            }
            (error, _) => error.to_string(),
        }
    }
}
