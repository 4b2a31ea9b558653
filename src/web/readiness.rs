//! Is every part of the service ready? For `/ready`, which a load balancer or a unit asks.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Which parts are ready, and why not. Shared by all parts; each reports for itself.
#[derive(Debug, Default)]
pub struct Readiness {
    parts: Mutex<BTreeMap<&'static str, Option<String>>>,
}

impl Readiness {
    /// A board on which each of `parts` is still starting.
    #[must_use]
    pub fn new(parts: &[&'static str]) -> Self {
        let starting = parts.iter().map(|part| (*part, Some("starting".to_owned()))).collect();
        Self { parts: Mutex::new(starting) }
    }

    /// The part works.
    pub fn ready(&self, part: &'static str) {
        self.lock().insert(part, None);
    }

    /// The part does not work; `reason` is shown to everybody, so it holds no secret.
    pub fn not_ready(&self, part: &'static str, reason: impl Into<String>) {
        self.lock().insert(part, Some(reason.into()));
    }

    /// What is missing, as `part: reason`; empty when all parts are ready.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        self.lock().iter().filter_map(|(part, reason)| Some(format!("{part}: {}", reason.as_ref()?))).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, Option<String>>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_part_that_is_not_ready_is_named_with_its_reason() {
        let board = Readiness::new(&["smtp", "store"]);
        assert_eq!(board.missing(), ["smtp: starting", "store: starting"]);
        board.ready("smtp");
        board.not_ready("store", "disk full");
        assert_eq!(board.missing(), ["store: disk full"]);
        board.ready("store");
        assert!(board.missing().is_empty());
    }
}
