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
    way_name_title: "Nur ein dynamischer Name", "A dynamic name alone";
    way_name_text: "Für Adressen direkt unter Ihrem dynamischen Namen braucht es keinen Eintrag: Der Name hat seine MX schon.", "Addresses right below your dynamic name need no record: the name has its MX already.";
    dynamic_names: "Dynamische Namen", "Dynamic names";
    name_points: "zeigt auf", "points at";
    name_parked: "zeigt auf uns, bis Ihr Server antwortet", "points at us until your server answers";
    name_elsewhere: "wird nicht von uns beantwortet", "is not answered by us";
    records_title: "Nötige Einträge", "Required records";
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

    pub(super) fn zone_serial(self, serial: u32, records: usize) -> String {
        match self {
            Self::De => format!("Seriennummer {serial}, {records} Einträge"),
            Self::En => format!("serial {serial}, {records} records"),
        }
    }
}
