//! Unpredictable numbers from one seed, so that the client machine draws none itself.

use zeroize::Zeroizing;

pub(super) struct Random {
    seed: Zeroizing<[u8; 32]>,
    drawn: u64,
}

impl Random {
    pub(super) fn new(seed: [u8; 32]) -> Self {
        Self { seed: Zeroizing::new(seed), drawn: 0 }
    }

    /// Mixes in a seed that was drawn just now, so that a machine restored from a snapshot does not draw what it drew
    /// before.
    pub(super) fn stir(&mut self, seed: &[u8; 32]) {
        self.seed = Zeroizing::new(*blake3::keyed_hash(&self.seed, seed).as_bytes());
    }

    pub(super) fn next(&mut self) -> u64 {
        self.drawn += 1;
        let hash = blake3::keyed_hash(&self.seed, &self.drawn.to_be_bytes());
        u64::from_be_bytes(hash.as_bytes().first_chunk().copied().unwrap_or_default())
    }

    /// From 0 up to and without `limit`.
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }
}
