//! [`Dice`]: which of several callees gets a call, where any may.
//!
//! *Spec.* WAMP §Shared Registration (`random`). It is nobody's secret, and need only be even: this is
//! SplitMix64.

use sha2::{Digest, Sha256};

/// Numbers that a session draws from its random bits.
#[derive(Debug)]
pub(in crate::wamp) struct Dice(u64);

impl Dice {
    /// The bits are used for other things too, of which nothing is to be learned from what is drawn.
    pub(in crate::wamp) fn new(random: &[u8; 32]) -> Self {
        let hash: [u8; 32] =
            Sha256::new().chain_update(b"callees").chain_update(random).finalize().into();
        let [a, b, c, d, e, f, g, h, ..] = hash;
        Self(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
    }

    pub(in crate::wamp) const fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let bits = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_three_is_drawn_as_often_and_other_sessions_draw_otherwise() {
        let drawn = |random| {
            let mut dice = Dice::new(&[random; 32]);
            std::array::from_fn::<u64, 3_000, _>(|_| dice.roll() % 3)
        };
        let first = drawn(1);
        assert_eq!(first, drawn(1));
        assert_ne!(first, drawn(2));
        for wanted in 0..3 {
            let count = first.iter().filter(|number| **number == wanted).count();
            assert!((900..1_100).contains(&count), "{count}");
        }
    }
}
