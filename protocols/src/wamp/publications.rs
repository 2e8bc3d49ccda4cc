//! [`Publications`]: what publications are called.
//!
//! *Spec.* WAMP §IDs: IDs of the global scope are drawn at random. They are told to publishers and all
//! receivers, and nothing is to be learned from one about others.

use sha2::{Digest, Sha256};

/// Draws the IDs of the publications of a session, or of a realm's own, from random bits.
#[derive(Debug)]
pub(super) struct Publications {
    /// Made of those random bits, which are used for other things too.
    key: [u8; 32],
    count: u64,
}

impl Publications {
    pub(super) fn new(random: &[u8; 32]) -> Self {
        let key = Sha256::new().chain_update(b"publications").chain_update(random).finalize();
        Self { key: key.into(), count: 0 }
    }

    /// The bits of another one.
    pub(super) fn next(&mut self) -> u64 {
        self.count += 1;
        let hash = Sha256::new().chain_update(self.key).chain_update(self.count.to_be_bytes());
        let hash: [u8; 32] = hash.finalize().into();
        let [a, b, c, d, e, f, g, h, ..] = hash;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_publications_are_called_the_same_and_other_sessions_call_theirs_otherwise() {
        let ids = |random| {
            let mut publications = Publications::new(&[random; 32]);
            (0..1_000).map(|_| publications.next()).collect::<BTreeSet<_>>()
        };
        assert_eq!(ids(1), ids(1));
        assert_eq!(ids(1).union(&ids(2)).count(), 2_000);
    }
}
