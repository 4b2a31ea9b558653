//! Sentences about fire drills, German and English side by side; those of the drill itself are in [`crate::drill::words`].

use super::words::{Locale, texts};
use crate::alert::Language;

texts! {
    drill_title: "Feueralarm-Probe", "Fire drill";
    drill_never: "Noch nie geprobt. Die Probe spielt einen Ausfall mit einer echten Testnachricht durch, ohne Ihre Namen anzufassen; sie dauert wenige Sekunden.", "Never tried. The drill plays an outage through with a real test message, without touching your names; it takes a few seconds.";
    drill_start: "Probe starten", "Start the drill";
    drill_open: "Einzelheiten", "Details";
    drill_running: "Die Probe läuft", "The drill is running";
    drill_failed: "Letzte Probe: nicht bestanden", "Last drill: failed";
    drill_interrupted: "Letzte Probe: unterbrochen", "Last drill: interrupted";
    drill_steps: "Schritte", "Steps";
    drill_to: "Testnachricht an", "Test message to";
    drill_to_hint: "Leer: postmaster Ihrer ersten Domain", "Empty: postmaster of your first domain";
    drill_not_begun: "Es hat keine Probe begonnen", "No drill has begun";
    drill_back: "Zum Status", "To the status";
}

impl Locale {
    pub(super) const fn drill_language(self) -> Language {
        match self {
            Self::De => Language::De,
            Self::En => Language::En,
        }
    }

    pub(super) fn drill_passed(self, seconds: &str) -> String {
        match self {
            Self::De => format!("Letzte Probe: bestanden, {seconds}"),
            Self::En => format!("Last drill: passed, {seconds}"),
        }
    }
}
