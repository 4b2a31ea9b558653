//! Sentences of the pages about domains and set-up, German and English side by side.

use super::words::{Locale, texts};
use crate::recipient::Unknown;

texts! {
    domains: "Domains", "Domains";
    ways_title: "Wie eine Domain zu uns kommt", "How a domain reaches us";
    way_zone_title: "Wir führen die ganze Zone", "We host the whole zone";
    way_zone_text: "Sie tragen beim Registrar unsere Nameserver ein. MX und Adressen stehen dann immer richtig, Sie müssen nichts mehr pflegen.", "You enter our name servers at your registrar. MX and addresses are then always right, and there is nothing left to look after.";
    way_mx_title: "Zwei MX-Einträge bei Ihrem DNS-Anbieter", "Two MX records at your DNS provider";
    way_mx_text: "Der erste MX zeigt auf Ihren dynamischen Namen, der zweite auf uns. Fällt Ihr Server aus, gehen Absender von selbst zum zweiten.", "The first MX points at your dynamic name, the second one at us. When your server drops out, senders go to the second by themselves.";
    way_pull_title: "Bei Ihnen kann keine Post ankommen", "No mail can come in at your line";
    way_pull_text: "Nur wir nehmen Post für die Domain an, und Ihr Server holt sie über eine Verbindung ab, die er selbst aufbaut. Fragen Sie den Betreiber, bevor Sie diesen Eintrag setzen.", "Only we take mail for the domain, and your server fetches it over a connection of its own making. Ask the operator before you enter this record.";
    way_name_title: "Nur ein dynamischer Name", "A dynamic name alone";
    way_name_text: "Für Adressen direkt unter Ihrem dynamischen Namen braucht es keinen Eintrag: Der Name hat seine MX schon.", "Addresses right below your dynamic name need no record: the name has its MX already.";
    dynamic_names: "Dynamische Namen", "Dynamic names";
    name_points: "zeigt auf", "points at";
    name_parked: "zeigt auf uns, bis Ihr Server antwortet", "points at us until your server answers";
    name_elsewhere: "wird nicht von uns beantwortet", "is not answered by us";
    records_title: "Nötige Einträge", "Required records";
    record_name: "Name", "Name";
    record_priority: "Priorität", "Priority";
    record_value: "Wert", "Value";
    record_seen: "Gefunden", "Found";
    record_nothing: "nichts", "nothing";
    look: "Jetzt nachsehen", "Look now";
    looking: "Wird nachgesehen …", "Looking …";
    looked_at: "Zuletzt nachgesehen", "Last looked at";
    look_soon: "Gerade wurde nachgesehen. Warten Sie eine Minute.", "Somebody looked just now. Wait a minute.";
    look_never: "Noch nicht nachgesehen", "Not looked at yet";
    look_right: "Alles richtig", "All right";
    look_wrong: "Etwas ist zu ändern", "Something has to change";
    look_mind: "Richtig, mit Hinweisen", "Right, with remarks";
    look_silent: "Nicht alles war zu sehen", "Not everything could be seen";
    look_text: "Wir fragen das öffentliche DNS und rufen Ihren Mailserver auf Port 25 an.", "We ask the public DNS and call your mail server at port 25.";
    besides_title: "Außerdem gesehen", "Also seen";
    copy: "Kopieren", "Copy";
    copied: "Kopiert", "Copied";
    record_found: "so steht es in Ihrer Zone bei uns", "as it stands in your zone with us";
    record_missing: "fehlt in Ihrer Zone bei uns", "is missing in your zone with us";
    record_foreign: "bei Ihrem DNS-Anbieter einzutragen", "to be entered at your DNS provider";
    recipients_none: "Keine Empfängerliste: Bei einem Ausfall gilt jede Adresse.", "No list of recipients: in an outage every address is taken.";
    recipients_hint: "Wer hier nicht steht, wird bei einem Ausfall nach Ihrer Einstellung behandelt:", "Whoever is not on it is treated in an outage as you settled:";
    unknown_by_list: "abgelehnt, solange die Liste frisch ist", "refused as long as the list is fresh";
    unknown_accept: "angenommen", "accepted";
    unknown_defer: "auf später vertröstet", "told to come again";
    unknown_reject: "abgelehnt", "refused";
    zone_title: "Zone bei uns", "Zone with us";
    zone_show: "Einträge anzeigen", "Show records";
    zone_download: "Als Zonendatei laden", "Download as zone file";
    domains_none: "Diesem Konto ist noch keine Domain zugeordnet. Der Betreiber trägt sie ein:", "No domain belongs to this account yet. The operator adds it:";
}

impl Locale {
    pub(super) fn recipients_listed(self, n: usize, on: &str) -> String {
        let count = super::format::count(u64::try_from(n).unwrap_or(u64::MAX), self);
        match self {
            Self::De => format!("{count} Empfänger auf Ihrer Liste vom {on}"),
            Self::En => format!("{count} recipients on your list of {on}"),
        }
    }

    pub(super) fn recipients_learned(self, n: usize) -> String {
        let count = super::format::count(u64::try_from(n).unwrap_or(u64::MAX), self);
        match self {
            Self::De => format!("{count} Adressen des Kontos kennen wir aus Antworten Ihres Servers."),
            Self::En => format!("{count} addresses of the account are known to us from what your server answered."),
        }
    }

    pub(super) const fn unknown_recipient(self, unknown: Unknown) -> &'static str {
        match unknown {
            Unknown::ByList => self.unknown_by_list(),
            Unknown::Accept => self.unknown_accept(),
            Unknown::Defer => self.unknown_defer(),
            Unknown::Reject => self.unknown_reject(),
        }
    }

    pub(super) fn way_c_text(self, domain: &str, host: &str) -> String {
        match self {
            Self::De => format!(
                "An {domain} ändert sich kein Eintrag. Ihr Webhoster leitet jedes Postfach weiter, name@{domain} an name@{host}; dieser Name hat seine MX schon."
            ),
            Self::En => format!(
                "No record of {domain} changes. Your web host forwards each mailbox, name@{domain} to name@{host}; that name has its MX already."
            ),
        }
    }

    pub(super) fn mail_today(self, hosts: &str) -> String {
        match self {
            Self::De if hosts.is_empty() => "Heute hat diese Domain keinen MX-Eintrag.".to_owned(),
            Self::En if hosts.is_empty() => "Today this domain has no MX record.".to_owned(),
            Self::De => format!("Heute geht ihre Post an: {hosts}."),
            Self::En => format!("Today its mail goes to: {hosts}."),
        }
    }

    pub(super) fn zone_serial(self, serial: u32, records: usize) -> String {
        match self {
            Self::De => format!("Seriennummer {serial}, {records} Einträge"),
            Self::En => format!("serial {serial}, {records} records"),
        }
    }
}
