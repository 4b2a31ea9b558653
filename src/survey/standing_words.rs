//! How a record stands, in words, German and English side by side.

use super::standing::{Row, Verdict};
use crate::alert::Language;

/// A sentence or two for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Said {
    /// How it stands, in a few words; may hold a name that strangers chose, cleaned.
    pub verdict: String,
    /// What to do, and why; empty where nothing has to be done.
    pub hint: &'static str,
}

/// What is said of a row.
#[must_use]
pub fn of(row: &Row, language: Language) -> Said {
    match language {
        Language::De => Said { verdict: german(&row.verdict), hint: hint_de(row) },
        Language::En => Said { verdict: english(&row.verdict), hint: hint_en(row) },
    }
}

fn english(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Silent => "no answer".to_owned(),
        Verdict::Good => "right".to_owned(),
        Verdict::Parked => "right: leads to us until your server answers".to_owned(),
        Verdict::Missing => "missing".to_owned(),
        Verdict::Spare => "not there, and not needed".to_owned(),
        Verdict::ComesFirst => "comes before your server".to_owned(),
        Verdict::Alias(target) => format!("leads to an alias of {target}"),
        Verdict::IsAddress => "an address in place of a name".to_owned(),
        Verdict::NullMx => "says that the domain takes no mail".to_owned(),
        Verdict::Foreign { is_before_us: true } => "somebody else, before us".to_owned(),
        Verdict::Foreign { is_before_us: false } => "somebody else, after us".to_owned(),
        Verdict::Elsewhere => "leads elsewhere".to_owned(),
        Verdict::NoAddress => "has no address".to_owned(),
        Verdict::Kept(ttl) => format!("right, but kept for {ttl} s"),
    }
}

fn german(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Silent => "keine Antwort".to_owned(),
        Verdict::Good => "stimmt".to_owned(),
        Verdict::Parked => "stimmt: führt zu uns, bis Ihr Server antwortet".to_owned(),
        Verdict::Missing => "fehlt".to_owned(),
        Verdict::Spare => "steht nicht da und ist nicht nötig".to_owned(),
        Verdict::ComesFirst => "steht vor Ihrem Server".to_owned(),
        Verdict::Alias(target) => format!("führt auf einen Alias von {target}"),
        Verdict::IsAddress => "eine Adresse an Stelle eines Namens".to_owned(),
        Verdict::NullMx => "sagt, dass die Domain keine Post annimmt".to_owned(),
        Verdict::Foreign { is_before_us: true } => "jemand anderes, vor uns".to_owned(),
        Verdict::Foreign { is_before_us: false } => "jemand anderes, nach uns".to_owned(),
        Verdict::Elsewhere => "führt woandershin".to_owned(),
        Verdict::NoAddress => "hat keine Adresse".to_owned(),
        Verdict::Kept(ttl) => format!("stimmt, gilt aber {ttl} s lang"),
    }
}

const fn hint_en(row: &Row) -> &'static str {
    match &row.verdict {
        Verdict::Good | Verdict::Parked => "",
        Verdict::Silent => "Ask again in a minute. If it stays so, ask your DNS provider.",
        Verdict::Missing => {
            "Enter it at your DNS provider. It may take as long as the old record's TTL until everybody sees it."
        }
        Verdict::Spare => {
            "The first MX leads here by itself while your server is away. A second record helps senders that kept the old address."
        }
        Verdict::ComesFirst => {
            "All mail comes here first. Give it a higher number than your server has; the lower one is tried first."
        }
        Verdict::Alias(_) => {
            "An MX must not lead to an alias; some senders refuse it. Name the host that the alias leads to."
        }
        Verdict::IsAddress => "A name belongs there. Senders cannot use an address and skip the record.",
        Verdict::NullMx => "Take it out: senders may believe it and return the mail.",
        Verdict::Foreign { is_before_us: true } => {
            "It stays as it is. Take it out unless it takes mail for you on purpose: while your server is away, mail goes there and we never see it."
        }
        Verdict::Foreign { is_before_us: false } => {
            "It stays as it is. Take it out unless it takes mail for you on purpose."
        }
        Verdict::Elsewhere if row.is_entered => "Change it at your DNS provider.",
        Verdict::Elsewhere => {
            "Nothing to enter: it changes by itself. If it stays so for some minutes, tell the operator."
        }
        Verdict::NoAddress if row.is_entered => "Give it an address at your DNS provider, or take its MX out.",
        Verdict::NoAddress => "Nothing to enter: this name is ours. If it stays so, tell the operator.",
        Verdict::Kept(_) if row.is_entered => {
            "Set the TTL to 3600 before anything else is changed: whoever asked keeps the old record that long."
        }
        Verdict::Kept(_) => "Whoever asked goes on to the old address that long. A TTL of 60 or less fits.",
    }
}

const fn hint_de(row: &Row) -> &'static str {
    match &row.verdict {
        Verdict::Good | Verdict::Parked => "",
        Verdict::Silent => "Sehen Sie in einer Minute noch einmal nach. Bleibt es so, fragen Sie Ihren DNS-Anbieter.",
        Verdict::Missing => {
            "Tragen Sie ihn bei Ihrem DNS-Anbieter ein. Bis alle ihn sehen, kann es so lange dauern, wie die TTL des alten Eintrags sagt."
        }
        Verdict::Spare => {
            "Der erste MX führt von selbst zu uns, solange Ihr Server weg ist. Ein zweiter Eintrag hilft Absendern, die sich die alte Adresse gemerkt haben."
        }
        Verdict::ComesFirst => {
            "Alle Post kommt zuerst zu uns. Geben Sie ihm eine höhere Zahl als Ihrem Server; die niedrigere wird zuerst versucht."
        }
        Verdict::Alias(_) => {
            "Ein MX darf nicht auf einen Alias führen; manche Absender lehnen das ab. Nennen Sie den Namen, auf den der Alias zeigt."
        }
        Verdict::IsAddress => {
            "Dort gehört ein Name hin. Absender können eine Adresse nicht benutzen und übergehen den Eintrag."
        }
        Verdict::NullMx => "Nehmen Sie ihn heraus: Absender dürfen ihm glauben und schicken die Post zurück.",
        Verdict::Foreign { is_before_us: true } => {
            "Er bleibt, wie er ist. Nehmen Sie ihn heraus, wenn er nicht mit Absicht Post für Sie annimmt: Solange Ihr Server weg ist, geht die Post dorthin und wir sehen sie nie."
        }
        Verdict::Foreign { is_before_us: false } => {
            "Er bleibt, wie er ist. Nehmen Sie ihn heraus, wenn er nicht mit Absicht Post für Sie annimmt."
        }
        Verdict::Elsewhere if row.is_entered => "Ändern Sie ihn bei Ihrem DNS-Anbieter.",
        Verdict::Elsewhere => {
            "Hier ist nichts einzutragen: Er ändert sich von selbst. Bleibt es einige Minuten so, sagen Sie es dem Betreiber."
        }
        Verdict::NoAddress if row.is_entered => {
            "Geben Sie ihm bei Ihrem DNS-Anbieter eine Adresse, oder nehmen Sie seinen MX heraus."
        }
        Verdict::NoAddress => {
            "Hier ist nichts einzutragen: Der Name gehört uns. Bleibt es so, sagen Sie es dem Betreiber."
        }
        Verdict::Kept(_) if row.is_entered => {
            "Setzen Sie die TTL auf 3600, bevor Sie anderes ändern: Wer gefragt hat, behält den alten Eintrag so lange."
        }
        Verdict::Kept(_) => "Wer gefragt hat, geht so lange zur alten Adresse weiter. Eine TTL von höchstens 60 passt.",
    }
}
