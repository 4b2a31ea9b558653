//! Whether a datagram is genuine: keyed MACs of both directions, compared in constant time.

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::datagram::{BootId, Locator};

/// Octets of a tag: the first of a keyed BLAKE3.
pub const TAG_OCTETS: usize = 16;
/// Octets of a server's datagram that the tag covers.
pub const SERVER_SIGNED_OCTETS: usize = 48;

/// A 16-octet MAC.
pub type Tag = [u8; TAG_OCTETS];

/// One direction's MAC key. Wiped on drop, never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct MacKey([u8; 32]);

impl std::fmt::Debug for MacKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MacKey(..)")
    }
}

impl PartialEq for MacKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for MacKey {}

impl MacKey {
    /// The key made of these octets.
    #[must_use]
    pub const fn new(octets: [u8; 32]) -> Self {
        Self(octets)
    }

    /// The octets, to be sealed.
    #[must_use]
    pub const fn as_octets(&self) -> &[u8; 32] {
        &self.0
    }

    /// The MAC of `octets`, cut to 16.
    #[must_use]
    pub fn tag(&self, octets: &[u8]) -> Tag {
        first_half(&blake3::keyed_hash(&self.0, octets))
    }

    /// The tag of a server's datagram: its first 48 octets, the boot id and the locator, which are not sent.
    #[must_use]
    pub fn server_tag(&self, signed: &[u8; SERVER_SIGNED_OCTETS], boot: BootId, locator: Locator) -> Tag {
        let mut block = [0u8; 64];
        let (head, tail) = block.split_at_mut(SERVER_SIGNED_OCTETS);
        head.copy_from_slice(signed);
        let (boot_place, locator_place) = tail.split_at_mut(8);
        boot_place.copy_from_slice(&boot.0.to_be_bytes());
        locator_place.copy_from_slice(&locator.0);
        self.tag(&block)
    }

    /// Whether the datagram of a client ends with the tag of what stands before.
    #[must_use]
    pub fn vouches_for_client(&self, datagram: &[u8]) -> bool {
        datagram.split_last_chunk::<TAG_OCTETS>().is_some_and(|(signed, tag)| tags_equal(&self.tag(signed), tag))
    }

    /// Whether the 64 octets of a server's datagram were made for this boot id and locator.
    #[must_use]
    pub fn vouches_for_server(&self, datagram: &[u8], boot: BootId, locator: Locator) -> bool {
        let Some((signed, tag)) = datagram.split_last_chunk::<TAG_OCTETS>() else { return false };
        let Ok(signed) = <&[u8; SERVER_SIGNED_OCTETS]>::try_from(signed) else { return false };
        tags_equal(&self.server_tag(signed, boot, locator), tag)
    }
}

/// Compares in constant time.
#[must_use]
pub fn tags_equal(a: &Tag, b: &Tag) -> bool {
    a.ct_eq(b).into()
}

/// The first 16 octets of a hash.
pub(super) fn first_half(hash: &blake3::Hash) -> Tag {
    hash.as_bytes().first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_tag_depends_on_boot_id_and_locator_that_are_not_sent() {
        let key = MacKey::new([3; 32]);
        let signed = [9u8; 48];
        let mut datagram = signed.to_vec();
        datagram.extend_from_slice(&key.server_tag(&signed, BootId(1), Locator([2; 8])));
        assert!(key.vouches_for_server(&datagram, BootId(1), Locator([2; 8])));
        assert!(!key.vouches_for_server(&datagram, BootId(2), Locator([2; 8])));
        assert!(!key.vouches_for_server(&datagram, BootId(1), Locator([3; 8])));
        assert!(!key.vouches_for_server(&datagram[1..], BootId(1), Locator([2; 8])));
        assert!(!key.vouches_for_client(&[1; 15]));
    }
}
