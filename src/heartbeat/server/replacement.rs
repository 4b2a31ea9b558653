//! What is known while keys are being replaced, piece by piece.

use std::collections::{HashMap, HashSet};

use crate::base::EndpointId;

/// Keys that are being replaced ([`Roster::begin_replacement`](super::roster::Roster::begin_replacement)).
pub(super) struct Replacement {
    /// By place of the key.
    pub(super) is_kept: Vec<bool>,
    pub(super) by_endpoint: HashMap<EndpointId, u32>,
    /// Places of keys that were read.
    pub(super) read: usize,
    /// Paths whose key speaks for another one now.
    pub(super) left: HashSet<u32>,
}

impl Replacement {
    /// Of so many places, none of which is kept.
    pub(super) fn new(places: usize) -> Self {
        Self { is_kept: vec![false; places], by_endpoint: HashMap::new(), read: 0, left: HashSet::new() }
    }

    /// The key at this place stays.
    pub(super) fn keep(&mut self, key: u32) {
        let at = usize::try_from(key).unwrap_or(usize::MAX);
        if self.is_kept.len() <= at {
            self.is_kept.resize(at.saturating_add(1), false);
        }
        if let Some(is_kept) = self.is_kept.get_mut(at) {
            *is_kept = true;
        }
    }
}
