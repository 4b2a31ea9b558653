//! Sentences of the page about set-up, German and English side by side.

use super::words::{Locale, texts};

texts! {
    setup: "Einrichtung", "Set-up";
    setup_ask: "Ihre Domain", "Your domain";
    setup_ask_text: "Geben Sie die Domain ein, deren Post wir aufnehmen sollen. Sie bekommen die Einträge dafür vorgeschlagen.", "Enter the domain whose mail we are to take. You get the records for it proposed.";
    setup_propose: "Vorschlagen", "Propose";
    setup_odd_domain: "Das ist keine Domain. Schreiben Sie zum Beispiel firma.example.", "That is no domain. Write company.example, for example.";
    setup_not_served: "Diese Domain gehört noch nicht zu Ihrem Konto: Wir nehmen ihre Post erst an, wenn der Betreiber sie eingetragen hat:", "This domain does not belong to your account yet: we take its mail only once the operator has added it:";
    setup_step_client: "1. Lebenszeichen", "1. Heartbeats";
    setup_step_dns: "2. DNS", "2. DNS";
    setup_step_drill: "3. Probe", "3. Rehearsal";
    setup_done: "erledigt", "done";
    setup_open: "offen", "open";
    setup_beats_come: "Lebenszeichen kommen an, das letzte", "Heartbeats arrive, the last one";
    setup_beats_wait: "Wir warten auf das erste Lebenszeichen. Diese Zeile ändert sich von selbst, sobald es kommt.", "We are waiting for the first heartbeat. This line changes by itself as soon as it comes.";
    setup_client_text: "Auf dem Mailserver oder einem Gerät daneben. Der Code gilt eine Stunde und ein einziges Mal; ein alter Schlüssel dieses Servers wird durch den neuen abgelöst.", "On the mail server or a device beside it. The code is good for an hour and once only; an old token of this server is replaced by the new one.";
    setup_make_code: "Befehle mit neuem Code zeigen", "Show commands with a new code";
    setup_code_title: "Befehle für", "Commands for";
    setup_code_join: "Schlüssel abholen", "Fetch the token";
    setup_code_install: "Als Dienst einrichten", "Install as a service";
    setup_code_none: "Einen Code macht der Betreiber:", "A code is made by the operator:";
    setup_code_soon: "Gerade wurde schon ein Code gemacht. Warten Sie eine Minute.", "A code was made just now. Wait a minute.";
    setup_code_full: "Zurzeit warten zu viele unbenutzte Codes. Versuchen Sie es in einer Stunde.", "Too many unused codes are waiting at present. Try again in an hour.";
    setup_router_title: "Stattdessen ein Router (FRITZ!Box, OpenWrt, pfSense)", "A router instead (FRITZ!Box, OpenWrt, pfSense)";
    setup_router_text: "Ein Router meldet nur neue Adressen. Einen Ausfall bemerken wir dann langsamer, durch Anrufe bei Ihrem Mailserver. Benutzer und Kennwort bekommen Sie vom Betreiber:", "A router only reports new addresses. An outage is then noticed later, by calls to your mail server. You get user and password from the operator:";
    setup_router_url: "Update-URL", "Update URL";
    setup_router_name: "Domainname", "Domain name";
    setup_dns_text: "Jede Domain braucht zwei MX-Einträge: zuerst Ihren Server, dann uns.", "Each domain needs two MX records: first your server, then us.";
    setup_dns_ok: "Alle Einträge, die wir sehen können, stimmen.", "All records that we can see are right.";
    setup_dns_missing: "In Ihrer Zone bei uns fehlt ein Eintrag.", "A record is missing in your zone with us.";
    setup_dns_wrong: "Es fehlt noch etwas. Solange diese Seite offen ist, sehen wir jede Minute von selbst noch einmal nach.", "Something is still missing. As long as this page is open, we look again by ourselves every minute.";
    setup_dns_silent: "Nicht alles war zu sehen. Solange diese Seite offen ist, sehen wir jede Minute von selbst noch einmal nach.", "Not everything could be seen. As long as this page is open, we look again by ourselves every minute.";
    setup_dns_foreign: "Tragen Sie die Zeilen bei Ihrem DNS-Anbieter ein und lassen Sie uns dann nachsehen.", "Enter the lines at your DNS provider, then let us look.";
    setup_drill_text: "Halten Sie pulsemx-beat für eine Minute an und schicken Sie sich von außen eine Mail. Der Status zeigt den Ausfall nach 20 Sekunden, die Mail unter „Gehaltene Post“, und nach dem Neustart geht sie sofort an Ihren Server.", "Stop pulsemx-beat for a minute and send yourself a mail from outside. The status shows the outage within 20 seconds, the mail is under “Held mail”, and after the restart it goes to your server at once.";
    setup_drill_offer: "Die Probe spielt einen Ausfall mit einer echten Testnachricht durch und dauert wenige Sekunden. Nötig ist, dass Lebenszeichen kommen.", "The drill plays an outage through with a real test message and takes a few seconds. Heartbeats have to arrive for it.";
    setup_drill_done: "Ihr Backup wurde schon erprobt: durch eine Probe oder einen Ausfall, der zu Ende ging.", "Your backup has been tried already: by a drill or by an outage that came to its end.";
    setup_drill_open: "Es gab noch keine Probe und keinen Ausfall.", "There was neither a drill nor an outage yet.";
}

impl Locale {
    pub(super) fn setup_proposed(self, domain: &str) -> String {
        match self {
            Self::De => format!("Einträge für {domain}"),
            Self::En => format!("Records for {domain}"),
        }
    }
}
