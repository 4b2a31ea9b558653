//! One finding: what was looked at, how it stands, and what to do.

use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Fine,
    /// Works, but somebody should look.
    Warning,
    /// Does not work.
    Broken,
}

/// One thing that was looked at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub what: &'static str,
    /// How it stands.
    pub level: Level,
    /// In words.
    pub words: String,
    /// What to do; absent when nothing has to be done.
    pub remedy: Option<String>,
}

impl Finding {
    /// As it should be.
    #[must_use]
    pub fn fine(what: &'static str, words: impl Into<String>) -> Self {
        Self { what, level: Level::Fine, words: words.into(), remedy: None }
    }

    /// Works, but.
    #[must_use]
    pub fn warning(what: &'static str, words: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what, level: Level::Warning, words: words.into(), remedy: Some(remedy.into()) }
    }

    /// Does not work.
    #[must_use]
    pub fn broken(what: &'static str, words: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what, level: Level::Broken, words: words.into(), remedy: Some(remedy.into()) }
    }
}

/// The worst of all: decides the exit code (0 fine, 1 warning, 2 broken).
#[must_use]
pub fn worst(findings: &[Finding]) -> Level {
    findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_finding_decides() {
        let fine = Finding::fine("a", "b");
        assert_eq!(worst(&[]), Level::Fine);
        assert_eq!(worst(&[fine.clone(), Finding::warning("a", "b", "c"), fine.clone()]), Level::Warning);
        assert_eq!(worst(&[Finding::broken("a", "b", "c"), fine]), Level::Broken);
    }
}
