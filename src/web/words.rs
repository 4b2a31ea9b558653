//! Every sentence of the pages, German and English side by side; a missing one does not compile.

use crate::account::Tongue;
use crate::spool::RecipientState;
use crate::update::Reason;

/// A language of the pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Locale {
    /// German.
    De,
    /// English.
    #[default]
    En,
}

impl Locale {
    /// As in `?lang=` and the cookie.
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "de" => Some(Self::De),
            "en" => Some(Self::En),
            _ => None,
        }
    }

    /// The language that a person chose.
    pub(super) const fn of(tongue: Tongue) -> Self {
        match tongue {
            Tongue::De => Self::De,
            Tongue::En => Self::En,
        }
    }

    /// The first language of an `Accept-Language` header that we speak, in the order written.
    pub(super) fn accepted(header: &str) -> Option<Self> {
        header.split(',').find_map(|range| {
            let tag = range.split(';').next().unwrap_or_default().trim();
            Self::parse(&tag.split('-').next().unwrap_or_default().to_ascii_lowercase())
        })
    }

    /// As in `<html lang>`.
    pub(super) const fn as_str(self) -> &'static str {
        self.pick("de", "en")
    }

    /// One of two texts.
    pub(super) const fn pick(self, de: &'static str, en: &'static str) -> &'static str {
        match self {
            Self::De => de,
            Self::En => en,
        }
    }

    /// Short name of a month, 1 to 12.
    pub(super) fn month(self, month: u32) -> &'static str {
        const DE: [&str; 12] =
            ["Jan.", "Feb.", "März", "Apr.", "Mai", "Juni", "Juli", "Aug.", "Sep.", "Okt.", "Nov.", "Dez."];
        const EN: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let names = match self {
            Self::De => DE,
            Self::En => EN,
        };
        usize::try_from(month).ok().and_then(|m| names.get(m.checked_sub(1)?)).copied().unwrap_or("?")
    }
}

/// Fixed texts, here and in the other files of sentences.
macro_rules! texts {
    ($($name:ident: $de:literal, $en:literal;)*) => {
        impl $crate::web::words::Locale {
            $(pub(super) const fn $name(self) -> &'static str { self.pick($de, $en) })*
        }
    };
}

pub(super) use texts;

texts! {
    skip: "Zum Inhalt springen", "Skip to content";
    sections: "Bereiche", "Sections";
    language: "Sprache", "Language";
    dark: "Dunkel", "Dark";
    light: "Hell", "Light";
    sign_out: "Abmelden", "Sign out";
    status: "Status", "Status";
    spool: "Gehaltene Post", "Held mail";
    accounts: "Konten", "Accounts";
    all_accounts: "Alle Konten", "All accounts";
    no_accounts: "Es gibt noch keine Konten. Eines anlegen: pulsemx account add NAME", "There are no accounts yet. Add one: pulsemx account add NAME";
    footer: "Wächterdienst für Ihren Mailserver", "Guarding your mail server";
    footer_operator: "Der Betreiber sieht Absender, Empfänger und Größe, nie Betreff oder Text.", "The operator sees sender, recipient and size, never subject or text.";
    reload: "Seite neu laden", "Reload this page";
    no_script: "Ohne JavaScript aktualisiert sich die Seite nicht selbst.", "Without JavaScript this page does not update by itself.";
    connection_lost: "Verbindung unterbrochen, wird neu aufgebaut …", "Connection lost, reconnecting …";
    today: "heute", "today";
    yesterday: "gestern", "yesterday";
    now: "jetzt", "now";
    last_beat: "Letztes Lebenszeichen", "Last heartbeat";
    ago_before: "vor ", "";
    ago_after: "", " ago";
    day_one: "Tag", "day";
    day_many: "Tage", "days";

    // status
    state_new: "Neu", "New";
    state_online: "Online", "Online";
    state_suspect: "Unsicher", "Suspect";
    state_offline: "Offline", "Offline";
    state_returning: "Kehrt zurück", "Returning";
    state_delivering: "Zustellung", "Delivering";
    step_online: "Online", "Online";
    step_missed_1: "1 Ausfall", "1 missed";
    step_missed_2: "2 Ausfälle", "2 missed";
    step_offline: "Offline, Post wird gehalten", "Offline, mail is held";
    step_delivering: "Zustellung", "Delivering";
    steps: "Zustand", "State";
    headline_new: "Wartet auf das erste Lebenszeichen.", "Waiting for the first heartbeat.";
    headline_online: "Online.", "Online.";
    headline_online_after: " Post geht direkt an Ihren Server.", " Mail goes straight to your server.";
    headline_online_waiting: " Ein Rest wird noch zugestellt.", " Some mail is still on its way.";
    headline_trouble: "Online, aber Ihr Server nimmt keine Post an.", "Online, but your server takes no mail.";
    headline_missed_1: "Ein Lebenszeichen fehlt.", "One heartbeat is missing.";
    headline_missed_2: "Zwei Lebenszeichen fehlen.", "Two heartbeats are missing.";
    headline_offline: "Offline seit ", "Offline for ";
    mail_is_safe: " Ihre Post ist sicher.", " Your mail is safe.";
    headline_returning: "Ihr Server ist zurück.", "Your server is back.";
    headline_delivering: " Gehaltene Post wird zugestellt.", " Held mail is being delivered.";
    lead_new: "Richten Sie das Programm pulsemx-beat neben Ihrem Mailserver ein. Bis dahin nehmen wir Ihre Post an und halten sie.", "Set up pulsemx-beat beside your mail server. Until then we accept your mail and hold it.";
    lead_suspect: "Neue Post halten wir vorsorglich hier. Kommt das nächste Lebenszeichen, geht alles weiter wie zuvor.", "New mail is held here as a precaution. With the next heartbeat everything goes on as before.";
    lead_trouble: "Die Leitung steht, doch eine Zustellung gelang nicht. Wir versuchen es weiter, nichts geht verloren.", "The line is up, but a delivery did not succeed. We keep trying, nothing is lost.";
    lead_returning: "Wir rufen Ihren Server an und stellen die älteste Post zuerst zu.", "We are calling your server and deliver the oldest mail first.";
    nothing_to_do: "Sie müssen nichts tun.", "There is nothing you need to do.";
    held_title: "Für Sie gehalten", "Held for you";
    open_spool: "Ansehen", "Open";
    nothing_held: "Nichts wartet. Alles ist bei Ihrem Server.", "Nothing is waiting. Your server has it all.";
    fact_server: "Ihr Server", "Your server";
    fact_name: "Name", "Name";
    fact_tls: "Verschlüsselung", "Encryption";
    fact_client: "Lebenszeichen", "Heartbeat";
    fact_probe: "Anruf bei Ihrem Mailserver", "Call to your mail server";
    devices_title: "Router und andere Geräte", "Routers and other devices";
    unencrypted: " (unverschlüsselt)", " (unencrypted)";
    updates_only: "Nur Adressmeldungen: Einen Ausfall bemerken wir durch Anrufe bei Ihrem Mailserver; Post bekommt er nur, wenn er sich durch ein Zertifikat oder seinen Schlüssel ausweist. Schneller ist das Programm pulsemx-beat.", "IP updates only: an outage is found by calling your mail server; it gets mail only if it proves itself by a certificate or its key. pulsemx-beat is faster.";
    fact_loss: "Paketverlust", "Packet loss";
    fact_named: "Vom Client genannt", "Named by your client";
    beside_client: "Ihr Mailserver neben dem Client", "your mail server beside the client";
    headline_not_greeted: "Ihr Mailserver beantwortet unsere Anrufe nicht.", "Your mail server does not answer our calls.";
    fact_domains: "Post für", "Mail for";
    fact_mail_ok: "Mailserver laut Client", "Mail server, says the client";
    mail_ok_yes: "nimmt Post an", "takes mail";
    mail_ok_no: "nimmt keine Post an", "takes no mail";
    tls_none: "noch keine Verbindung", "no connection yet";
    tls_plain: "unverschlüsselt, Ihr Server bietet kein TLS an", "none, your server offers no TLS";
    address_none: "noch unbekannt", "not known yet";
    flush_title: "Letzte Zustellung", "Last delivery";
    flush_none: "Noch nichts musste nachgeliefert werden.", "Nothing had to be delivered later so far.";
    problem_title: "Letztes Problem bei der Zustellung", "Last problem of delivery";
    see_refused: "Abgelehnte ansehen", "Show refused mail";
    days_title: "Die letzten 90 Tage", "The last 90 days";
    days_utc: "Tage nach UTC", "days of UTC";
    days_unknown: "Noch ist nichts bekannt.", "Nothing is known yet.";
    days_table: "Als Tabelle anzeigen", "Show as table";
    days_quiet: "Kein Ausfall, keine neue Adresse.", "No outage, no new address.";
    col_day: "Tag", "Day";
    col_outages: "Ausfälle", "Outages";
    col_offline: "Offline", "Offline";
    col_no_data: "Ohne Daten", "No data";
    col_address_changes: "Neue Adressen", "New addresses";
    legend_day_offline: "offline", "offline";
    legend_no_data: "ohne Daten (Störung bei uns)", "no data (our fault)";
    legend_unknown: "davor", "before that";
    legend_address: "neue Adresse", "new address";
    fact_holiday: "Abwesend", "Away";
    fact_name_held: "Name im DNS", "Name in DNS";
    history_title: "Ausfälle und Wechsel", "Outages and changes";
    history_none: "Noch nichts ist passiert.", "Nothing has happened yet.";
    first_beat: "Erstes Lebenszeichen", "First heartbeat";
    address_changed: "Adresse gewechselt", "Address changed";
    address_learned: "Adresse gelernt", "Address learned";
    no_data_detail: "Störung bei uns, nicht bei Ihnen", "our fault, not yours";
    cause_missed: "keine Lebenszeichen", "no heartbeats";
    cause_goodbye: "Ihr Server hat sich abgemeldet", "your server signed off";
    cause_ran_out: "die Meldung Ihres Routers ist abgelaufen", "your router's update ran out";
    cause_operator: "vom Betreiber gesetzt", "set by the operator";
    cause_beat: "ein Lebenszeichen kam", "a heartbeat came";
    cause_confirmed: "bestätigt durch ein zweites Lebenszeichen oder Ihren Mailserver", "confirmed by a second heartbeat or your mail server";
    anatomy_title: "Letzter Ausfall im Detail", "The last outage in detail";
    anatomy_detected: "Erkannt nach", "Noticed after";
    anatomy_duration: "Dauer", "Duration";
    anatomy_address: "Neue Adresse", "New address";
    anatomy_first: "Erste Zustellung nach Rückkehr", "First delivery after return";
    legend_online: "online", "online";
    legend_suspect: "unsicher, Post gehalten", "suspect, mail held";
    legend_offline: "offline, Post gehalten", "offline, mail held";
    legend_returning: "Rückkehr", "return";
    demo_title: "Vorführung", "Demo";
    demo_story: "Was bisher geschah", "The story so far";

    // spool
    filter: "Filter", "Filter";
    filter_held: "alle gehaltenen", "all held";
    filter_waiting: "wartend", "waiting";
    filter_refused: "abgelehnt", "refused";
    filter_delivered: "zugestellt", "delivered";
    col_state: "Zustand", "State";
    col_from_to: "Von und an", "From and to";
    col_subject: "Betreff", "Subject";
    col_size: "Größe", "Size";
    col_age: "Eingang", "Accepted";
    col_attempts: "Versuche", "Tries";
    more: "Weitere anzeigen", "Show more";
    first_page: "Zum Anfang", "Back to the start";
    spool_empty: "Hier ist nichts.", "Nothing here.";
    spool_empty_held: "Fällt Ihr Server aus, erscheinen hier die gehaltenen Nachrichten.", "When your server drops out, held messages appear here.";
    new_rows: "Es hat sich etwas geändert. Liste neu laden", "Something changed. Reload the list";
    null_sender: "Rückmeldung (DSN)", "bounce (DSN)";
    message: "Nachricht", "Message";
    from: "Absender", "Sender";
    header_from: "Von (Kopfzeile)", "From (header)";
    message_id: "Message-ID", "Message-ID";
    accepted_at: "Angenommen", "Accepted";
    sending_host: "Eingeliefert von", "Received from";
    incoming_tls: "Verschlüsselt empfangen", "Encrypted on receipt";
    no: "nein", "no";
    digest: "SHA-256", "SHA-256";
    trace: "Unsere Trace-Zeilen", "Our trace lines";
    recipients: "Empfänger", "Recipients";
    next_try: "nächster Versuch", "next try";
    last_try: "letzter Versuch", "last try";
    last_reply: "Antwort Ihres Servers", "Your server's reply";
    no_attempt: "noch kein Versuch", "no attempt yet";
    no_connection: "keine Verbindung", "no connection";
    retry: "Jetzt erneut versuchen", "Try again now";
    retry_all: "Alle erneut versuchen", "Try all again";
    retry_done: "Wird erneut versucht.", "Will be tried again.";
    back_to_list: "Zur Liste", "Back to the list";
    header_hidden: "Betreff und Kopfzeilen sieht nur der Kunde.", "Subject and header fields are for the customer's eyes only.";

    // sign-in and errors
    sign_in: "Anmelden", "Sign in";
    sign_in_title: "Willkommen", "Welcome";
    sign_in_text: "Dieser Link meldet Sie einmal in diesem Browser an.", "This link signs you in once, in this browser.";
    sign_in_spent_title: "Dieser Link gilt nicht mehr", "This link is not valid any more";
    sign_in_spent_text: "Er wurde schon benutzt oder ist abgelaufen. Lassen Sie sich einen neuen geben.", "It was used already or has run out. Ask for a new one.";
    signed_out_title: "Sie sind nicht angemeldet", "You are not signed in";
    signed_out_text: "Angemeldet wird mit einem Link, der einmal gilt. Der Betreiber macht ihn mit diesem Befehl:", "You sign in with a link that works once. The operator makes it with this command:";
    not_found_title: "Diese Seite gibt es nicht", "There is no such page";
    not_found_text: "Vielleicht wurde die Nachricht schon zugestellt und aufgeräumt.", "Perhaps the message was delivered and tidied up already.";
    forbidden_title: "Das hat nicht geklappt", "That did not work";
    forbidden_text: "Die Anfrage kam nicht von unserer Seite, oder die Anmeldung ist abgelaufen. Es wurde nichts geändert.", "The request did not come from our page, or your session has ended. Nothing was changed.";
    trouble_title: "Gerade nicht möglich", "Not possible right now";
    trouble_text: "Der Dienst konnte seine Daten nicht lesen. Ihre Post ist davon nicht betroffen. Bitte später noch einmal.", "The service could not read its data. Your mail is not affected. Please try again later.";
    home: "Zur Startseite", "To the first page";
}

impl Locale {
    pub(super) const fn recipient_state(self, state: RecipientState) -> &'static str {
        match state {
            RecipientState::Queued => self.pick("wartet", "waiting"),
            RecipientState::Claimed => self.pick("wird zugestellt", "being delivered"),
            RecipientState::Delivered => self.pick("zugestellt", "delivered"),
            RecipientState::Held => self.pick("angehalten", "held back"),
            RecipientState::Refused => self.pick("abgelehnt", "refused"),
            RecipientState::Expired => self.pick("abgelaufen", "expired"),
        }
    }

    pub(super) fn lead_online(self, domains: &str) -> String {
        match self {
            Self::De => {
                format!("Die Lebenszeichen kommen. Fällt Ihr Server aus, nehmen wir die Post für {domains} an.")
            }
            Self::En => format!("Heartbeats are coming. If your server drops out, we take the mail for {domains}."),
        }
    }

    pub(super) fn lead_offline(self, domains: &str) -> String {
        match self {
            Self::De => format!(
                "Wir nehmen alle Post für {domains} an und liefern sie aus, sobald sich Ihr Server wieder meldet."
            ),
            Self::En => {
                format!("We accept all mail for {domains} and deliver it as soon as your server reports again.")
            }
        }
    }

    pub(super) fn and_more(self, more: usize) -> String {
        match self {
            Self::De => format!(" und {more} weitere"),
            Self::En => format!(" and {more} more"),
        }
    }

    pub(super) fn messages(self, n: u64) -> &'static str {
        if n == 1 { self.pick("Nachricht", "message") } else { self.pick("Nachrichten", "messages") }
    }

    pub(super) fn held_sentence(self, n: u64, size: &str) -> String {
        format!("{}, {size}", self.messages(n))
    }

    pub(super) fn oldest(self) -> &'static str {
        self.pick("älteste wartet seit ", "oldest waiting for ")
    }

    pub(super) fn family(self, since: Option<&str>, goes_after: &str) -> String {
        match (self, since) {
            (Self::De, Some(since)) => format!("nachgewiesen seit {since}, fällt weg nach {goes_after} Stille"),
            (Self::De, None) => format!("seit unserem Start noch nicht gehört, fällt weg nach {goes_after} Stille"),
            (Self::En, Some(since)) => format!("proven since {since}, withdrawn after {goes_after} of silence"),
            (Self::En, None) => format!("not heard since we started, withdrawn after {goes_after} of silence"),
        }
    }

    pub(super) fn named_not_proven(self, named: std::net::IpAddr) -> String {
        match self {
            Self::De => format!("{named}: nicht in dem Netz, aus dem die Lebenszeichen kommen, daher nicht im DNS"),
            Self::En => format!("{named}: not in the network that the heartbeats come from, so not in DNS"),
        }
    }

    pub(super) fn every(self, interval: &str) -> String {
        match self {
            Self::De => format!("alle {interval}"),
            Self::En => format!("every {interval}"),
        }
    }

    /// What the way swallowed, in tenths of a percent: towards us, and there and back if the client counts that.
    pub(super) fn loss(self, up: u64, both: Option<u64>) -> String {
        let (up, both) = (self.percent(up), both.map(|both| self.percent(both)));
        match (self, both) {
            (Self::De, None) => format!("{up} auf dem Weg zu uns"),
            (Self::En, None) => format!("{up} on the way to us"),
            (Self::De, Some(both)) => format!("{up} auf dem Weg zu uns, {both} hin und zurück"),
            (Self::En, Some(both)) => format!("{up} on the way to us, {both} there and back"),
        }
    }

    pub(super) fn percent(self, tenths: u64) -> String {
        let number = super::format::decimal(tenths, self);
        match self {
            Self::De => format!("{number} %"),
            Self::En => format!("{number}%"),
        }
    }

    pub(super) fn delivered_in(self, delivered: &str, span: &str) -> String {
        match self {
            Self::De => format!("{delivered} zugestellt in {span}"),
            Self::En => format!("{delivered} delivered in {span}"),
        }
    }

    pub(super) fn delivered_now(self, delivered: &str) -> String {
        match self {
            Self::De => format!("{delivered} in diesem Lauf zugestellt"),
            Self::En => format!("{delivered} delivered in this run"),
        }
    }

    pub(super) fn first_after(self, span: &str) -> String {
        match self {
            Self::De => format!("erste nach {span}"),
            Self::En => format!("first after {span}"),
        }
    }

    pub(super) fn flush_rest(self, deferred: u64, refused: u64) -> String {
        let mut parts = Vec::new();
        if deferred > 0 {
            let n = super::format::count(deferred, self);
            parts.push(format!("{n} {}", self.pick("aufgeschoben", "deferred")));
        }
        if refused > 0 {
            let n = super::format::count(refused, self);
            parts.push(format!("{n} {}", self.pick("abgelehnt", "refused")));
        }
        if parts.is_empty() { self.pick("nichts verloren", "nothing lost").to_owned() } else { parts.join(", ") }
    }

    pub(super) fn refused_hint(self, n: u64) -> String {
        let number = super::format::count(n, self);
        match (self, n) {
            (Self::De, 1) => "Ihr Server hat 1 Nachricht abgelehnt. Sie bleibt hier, bis Sie entscheiden.".to_owned(),
            (Self::De, _) => {
                format!("Ihr Server hat {number} Nachrichten abgelehnt. Sie bleiben hier, bis Sie entscheiden.")
            }
            (Self::En, 1) => "Your server refused 1 message. It stays here until you decide.".to_owned(),
            (Self::En, _) => format!("Your server refused {number} messages. They stay here until you decide."),
        }
    }

    pub(super) fn update_reason(self, reason: Reason) -> &'static str {
        match reason {
            Reason::Changed => self.pick("Adresse gesetzt", "the address was set"),
            Reason::Unchanged => self.pick("Adresse war schon gesetzt", "the address was set already"),
            Reason::Parked => self.pick(
                "Adresse bekannt; der Name ist geparkt, solange der Server fehlt",
                "address known; the name is parked while the server is away",
            ),
            Reason::BeatsLead => {
                self.pick("Lebenszeichen kommen, der Name folgt ihnen", "heartbeats come, and the name follows them")
            }
            Reason::Withdrawn => self.pick("das Gerät hat den Namen abgemeldet", "the device took the name away"),
            Reason::BadToken => {
                self.pick("Token unbekannt, widerrufen oder abgelaufen", "token unknown, revoked or run out")
            }
            Reason::WrongUser => {
                self.pick("Benutzername passt nicht zum Token", "the user name does not fit the token")
            }
            Reason::TokenInUrl => self.pick(
                "Token für mehrere Namen gehört ins Passwortfeld",
                "a token for several names belongs in the password",
            ),
            Reason::WrongKind => {
                self.pick("Token ist für eine andere Art von Meldung", "the token is for another kind of update")
            }
            Reason::NoHostGiven => self.pick("kein gültiger Name angegeben", "no valid name was given"),
            Reason::UnknownHost => self.pick("dieser Name ist nicht eingerichtet", "this name is not registered"),
            Reason::OtherAccount => {
                self.pick("dieser Name gehört einem anderen Konto", "this name belongs to another account")
            }
            Reason::OutOfScope => self.pick("Token gilt für einen anderen Namen", "the token is for another name"),
            Reason::TooManyHosts => self.pick("mehr als 20 Namen auf einmal", "more than 20 names at once"),
            Reason::BadAddress => {
                self.pick("Adresse unlesbar oder nicht öffentlich", "address unreadable or not public")
            }
            Reason::NoInterfaceId => self.pick(
                "nur ein Präfix, und für den Namen ist keine Adresse bekannt",
                "a bare prefix, and no address is known for the name",
            ),
            Reason::TooOften => self.pick(
                "zu viele Änderungen, das Gerät versucht es wieder",
                "too many changes, the device will try again",
            ),
            Reason::NotStored => self.pick(
                "konnte nicht gespeichert werden, das Gerät versucht es wieder",
                "could not be stored, the device will try again",
            ),
        }
    }

    pub(super) fn spool_headline(self, n: u64) -> String {
        let number = super::format::count(n, self);
        match (self, n) {
            (Self::De, 0) => "Nichts wartet auf Ihren Server".to_owned(),
            (Self::De, 1) => "1 Nachricht wartet auf Ihren Server".to_owned(),
            (Self::De, _) => format!("{number} Nachrichten warten auf Ihren Server"),
            (Self::En, 0) => "Nothing is waiting for your server".to_owned(),
            (Self::En, 1) => "1 message is waiting for your server".to_owned(),
            (Self::En, _) => format!("{number} messages are waiting for your server"),
        }
    }

    pub(super) fn outage_running(self) -> &'static str {
        self.pick("läuft seit ", "running for ")
    }

    pub(super) fn outage_detail(self, cause: &str, back_to: Option<&str>) -> String {
        match (self, back_to) {
            (_, None) => cause.to_owned(),
            (Self::De, Some(address)) => format!("{cause}, zurück mit neuer Adresse {address}"),
            (Self::En, Some(address)) => format!("{cause}, came back with new address {address}"),
        }
    }

    pub(super) fn outage(self, span: &str) -> String {
        match self {
            Self::De => format!("{span} offline"),
            Self::En => format!("Offline for {span}"),
        }
    }

    pub(super) fn days_label(self, share: &str, outages: &str) -> String {
        match self {
            Self::De => format!("Erreichbar zu {share} der bekannten Zeit, Ausfälle: {outages}"),
            Self::En => format!("There for {share} of the known time, outages: {outages}"),
        }
    }

    /// How long an announced absence still lasts.
    pub(super) fn holiday(self, span: &str) -> String {
        match self {
            Self::De => format!("angekündigt, noch {span}; Post darf länger warten"),
            Self::En => format!("as announced, {span} to go; mail may wait for longer"),
        }
    }

    pub(super) fn name_held(self, span: &str) -> String {
        match self {
            Self::De => format!("bleibt noch {span} wie er ist, denn die Leitung kommt und geht; Post wartet nicht"),
            Self::En => format!("stays as it is for {span}, as the line comes and goes; mail does not wait"),
        }
    }

    pub(super) fn no_data(self, span: &str) -> String {
        match self {
            Self::De => format!("{span} ohne Daten"),
            Self::En => format!("No data for {span}"),
        }
    }

    pub(super) fn more_recipients(self, more: usize) -> String {
        match self {
            Self::De => format!("+ {more} weitere"),
            Self::En => format!("+ {more} more"),
        }
    }

    pub(super) fn attempts(self, n: u32) -> String {
        match (self, n) {
            (_, 0) => self.no_attempt().to_owned(),
            (Self::De, 1) => "1 Versuch".to_owned(),
            (Self::De, _) => format!("{n} Versuche"),
            (Self::En, 1) => "1 attempt".to_owned(),
            (Self::En, _) => format!("{n} attempts"),
        }
    }

    pub(super) fn strip_label(self, missed: usize) -> String {
        match (self, missed) {
            (Self::De, 0) => "keines ausgeblieben".to_owned(),
            (Self::De, _) => format!("{missed} ausgeblieben"),
            (Self::En, 0) => "none missed".to_owned(),
            (Self::En, _) => format!("{missed} missed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_language_we_speak_is_taken() {
        assert_eq!(Locale::accepted("fr-FR,fr;q=0.9,de-AT;q=0.8,en;q=0.7"), Some(Locale::De));
        assert_eq!(Locale::accepted("EN-gb"), Some(Locale::En));
        assert_eq!(Locale::accepted("*"), None);
        assert_eq!(Locale::parse("fr"), None);
    }
}
