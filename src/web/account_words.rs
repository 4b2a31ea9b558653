//! Sentences about the person and the account, German and English side by side.

use super::password::{PASSWORD_CHARS_MIN, Weakness};
use super::words::{Locale, texts};

texts! {
    account: "Konto", "Account";
    sessions_title: "Angemeldete Browser", "Signed-in browsers";
    sessions_text: "Wo Sie angemeldet sind. Was Sie nicht kennen, beenden Sie.", "Where you are signed in. End what you do not know.";
    session_this: "dieser Browser", "this browser";
    session_made: "angemeldet", "signed in";
    session_seen: "zuletzt", "last used";
    session_unseen: "noch nicht benutzt", "not used yet";
    session_end: "Beenden", "End";
    session_end_others: "Alle anderen beenden", "End all others";
    agent_unknown: "Unbekannter Browser", "Unknown browser";
    choice_title: "Sprache und Zeitzone", "Language and time zone";
    choice_text: "Gilt für alle Seiten, auf jedem Gerät, und als Vorschlag für neue Alarmkanäle.", "For all pages, on every device, and proposed for new channels of alerts.";
    choice_language: "Sprache", "Language";
    choice_zone: "Zeitzone", "Time zone";
    choice_auto: "Wie der Browser sagt", "As the browser says";
    choice_zone_hint: "Zum Beispiel Europe/Berlin. Leer: wie der Browser sagt.", "Europe/Berlin, for example. Empty: as the browser says.";
    choice_save: "Speichern", "Save";
    password_title: "Passwort", "Password";
    password_none: "Sie haben keines: Sie melden sich mit einem Link an, den der Betreiber macht.", "You have none: you sign in with a link that the operator makes.";
    password_there: "Sie haben eines. Der Name zum Anmelden ist", "You have one. The name to sign in with is";
    password_new: "Neues Passwort", "New password";
    password_set: "Passwort setzen", "Set the password";
    password_set_hint: "Beendet alle anderen Anmeldungen.", "Ends all other sessions.";
    password_remove: "Passwort entfernen", "Remove the password";
    password_wrong: "Name oder Passwort stimmt nicht.", "Name or password is wrong.";
    password_too_often: "Zu viele Versuche. In 15 Minuten geht es wieder; ein Anmelde-Link geht sofort.", "Too many tries. Come again in 15 minutes; a sign-in link works at once.";
    password_busy: "Es melden sich gerade viele an. Versuchen Sie es in einer Minute wieder.", "Many sign in just now. Try again in a minute.";
    password_name: "Name", "Name";
    password: "Passwort", "Password";
    sign_in_by_password: "Mit Passwort anmelden", "Sign in with a password";
    sign_in_password_text: "Mit Ihrem Namen oder dem Namen des Kontos.", "With your name or the name of the account.";
    passkeys_title: "Passkeys", "Passkeys";
    passkeys_text: "Anmelden mit Fingerabdruck, Gesicht oder PIN des Geräts, ohne Passwort. Der Schlüssel bleibt auf dem Gerät.", "Sign in with the fingerprint, face or PIN of a device, without a password. The key stays on the device.";
    passkeys_none: "Sie haben noch keinen.", "You have none yet.";
    passkey_name: "Name des Geräts", "Name of the device";
    passkey_hint: "Zum Beispiel Laptop oder Telefon.", "Laptop or phone, for example.";
    passkey_add: "Passkey hinzufügen", "Add a passkey";
    passkey_made: "hinzugefügt", "added";
    passkey_used: "zuletzt benutzt", "last used";
    passkey_unused: "noch nicht benutzt", "not used yet";
    passkey_remove: "Entfernen", "Remove";
    passkey_failed: "Der Passkey wurde nicht hinzugefügt. Versuchen Sie es noch einmal.", "The passkey was not added. Try again.";
    passkey_known: "Dieses Gerät hat schon einen Passkey für Sie.", "This device has a passkey of yours already.";
    passkey_nameless: "Geben Sie dem Gerät einen Namen.", "Give the device a name.";
    passkey_too_many: "Dieser Passkey ist schon bekannt, oder Sie haben schon zwanzig.", "This passkey is known already, or you have twenty of them.";
    passkey_sign_in: "Mit Passkey anmelden", "Sign in with a passkey";
    passkey_wrong: "Die Anmeldung mit Passkey ist nicht gelungen.", "Signing in with a passkey did not work.";
    said_passkey: "Der Passkey gilt.", "The passkey is added.";
    said_passkey_gone: "Der Passkey ist weg.", "The passkey is gone.";
    sign_in_otherwise: "Mit Passwort oder Passkey anmelden", "Sign in with a password or a passkey";
    sign_in_or: "oder", "or";
    export_title: "Ihre Daten", "Your data";
    export_text: "Alles, was über dieses Konto gespeichert ist, als JSON: Mailserver, Domains, Verlauf, Umschläge der Nachrichten, Protokoll. Texte von Nachrichten und Geheimnisse sind nicht dabei; Nachrichten laden Sie einzeln herunter.", "All that is kept about this account, as JSON: mail servers, domains, history, envelopes of messages, log. Text of messages and secrets are not in it; messages are downloaded one by one.";
    export_get: "Daten herunterladen", "Download the data";
    leave_title: "Konto verlassen", "Leave";
    leave_text: "Neue Post wird ab sofort nicht mehr angenommen, Absender werden 30 Tage lang vertröstet. Was gehalten wird, wird noch zugestellt. Danach wird alles gelöscht. Ändern Sie vorher die MX-Einträge Ihrer Domains.", "From now on no new mail is taken; senders are put off for 30 days. What is held is still delivered. Then everything is deleted. Change the MX records of your domains before.";
    leave_type: "Zur Bestätigung den Namen des Kontos eingeben", "Type the name of the account to confirm";
    leave_open: "Konto verlassen …", "Leave …";
    leave_sure: "Endgültig verlassen", "Leave for good";
    leave_wrong: "Das ist nicht der Name des Kontos. Es ist nichts geschehen.", "That is not the name of the account. Nothing has happened.";
    leaving: "Dieses Konto geht. Neue Post wird vertröstet, was gehalten wird, wird noch zugestellt.", "This account leaves. New mail is put off; what is held is still delivered.";
    leave_undo: "Doch bleiben", "Stay after all";
    said_saved: "Gespeichert.", "Saved.";
    said_ended: "Beendet.", "Ended.";
    said_password: "Das Passwort gilt. Andere Anmeldungen sind beendet.", "The password is set. Other sessions are ended.";
    said_password_gone: "Das Passwort ist weg. Andere Anmeldungen sind beendet.", "The password is gone. Other sessions are ended.";
    said_leaving: "Das Konto geht.", "The account leaves.";
    said_stays: "Das Konto bleibt.", "The account stays.";
}

impl Locale {
    /// Which passwords are taken.
    pub(super) fn password_rule(self) -> String {
        match self {
            Self::De => format!("Mindestens {PASSWORD_CHARS_MIN} Zeichen. Ein Satz ist besser als ein Wort."),
            Self::En => format!("At least {PASSWORD_CHARS_MIN} characters. A sentence is better than a word."),
        }
    }

    /// Why a new password is not taken.
    pub(super) const fn password_weak(self, weakness: Weakness) -> &'static str {
        match weakness {
            Weakness::Short => self.pick("Das Passwort ist zu kurz.", "The password is too short."),
            Weakness::Long => self.pick("Das Passwort ist zu lang.", "The password is too long."),
            Weakness::Plain => {
                self.pick("Das Passwort ist zu leicht zu erraten.", "The password is too easy to guess.")
            }
        }
    }

    /// What a row of the audit log about people says; see [`audited`](Self::audited).
    pub(super) fn audited_person(self, verb: &str) -> Option<&'static str> {
        Some(match verb {
            "session.passkey" => self.pick("Mit Passkey angemeldet", "Signed in with a passkey"),
            "passkey.add" => self.pick("Passkey hinzugefügt", "Passkey added"),
            "passkey.remove" => self.pick("Passkey entfernt", "Passkey removed"),
            "session.password" => self.pick("Mit Passwort angemeldet", "Signed in with a password"),
            "session.end" => self.pick("Anmeldungen beendet", "Sessions ended"),
            "person.choice" => self.pick("Sprache und Zeitzone gewählt", "Language and time zone chosen"),
            "password.set" => self.pick("Passwort gesetzt", "Password set"),
            "password.remove" => self.pick("Passwort entfernt", "Password removed"),
            "public.on" => self.pick("Öffentliche Statusseite eingeschaltet", "Public status page switched on"),
            "public.off" => self.pick("Öffentliche Statusseite ausgeschaltet", "Public status page switched off"),
            "account.export" => self.pick("Daten heruntergeladen", "Data downloaded"),
            _ => return None,
        })
    }
}

/// A browser's name for people: `Firefox, Linux`. Made of what it says of itself, which proves nothing.
pub(super) fn agent(text: &str) -> Option<String> {
    const BROWSERS: [(&str, &str); 8] = [
        ("Edg", "Edge"),
        ("OPR/", "Opera"),
        ("SamsungBrowser/", "Samsung"),
        ("Firefox/", "Firefox"),
        ("FxiOS/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("CriOS/", "Chrome"),
        ("Safari/", "Safari"),
    ];
    const SYSTEMS: [(&str, &str); 7] = [
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Windows", "Windows"),
        ("Mac OS X", "macOS"),
        ("CrOS", "ChromeOS"),
        ("Linux", "Linux"),
    ];
    let found =
        |known: &[(&str, &'static str)]| known.iter().find(|(mark, _)| text.contains(mark)).map(|(_, name)| *name);
    match (found(&BROWSERS), found(&SYSTEMS)) {
        (Some(browser), Some(system)) => Some(format!("{browser}, {system}")),
        (Some(browser), None) => Some(browser.to_owned()),
        _ => {
            let short: String = text.chars().take(40).collect();
            Some(super::format::visible(short.trim())).filter(|short| !short.is_empty())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_named_in_short_and_a_stranger_as_it_names_itself() {
        let firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0";
        let edge = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Safari/537.36 Edg/150.0";
        let phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.0 Mobile/15E148 Safari/604.1";
        assert_eq!(agent(firefox).as_deref(), Some("Firefox, Linux"));
        assert_eq!(agent(edge).as_deref(), Some("Edge, Windows"));
        assert_eq!(agent(phone).as_deref(), Some("Safari, iPhone"));
        assert_eq!(agent("curl/8.5.0").as_deref(), Some("curl/8.5.0"));
        assert_eq!(agent(""), None);
        assert_eq!(agent("\u{202e}evil").as_deref(), Some("\u{fffd}evil"));
    }
}
