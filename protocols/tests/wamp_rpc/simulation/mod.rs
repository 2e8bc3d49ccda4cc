//! Sessions that call each other over an exchange that loses, repeats and delays, while sessions
//! and nodes die at any moment; in virtual time, by a seed.
//!
//! What is checked, for every call of every session that lives:
//! - It gets exactly one final answer, and nothing after that.
//! - It is answered in its timeout, counted from the latest sign of life.
//! - No more than one callee runs it, unless the others have said that they did not.
//! - Calls of one caller come to one callee in the order in which they were made.
//! - A call in parts comes as the parts that were sent, from the first and without a gap.
//! - Nobody is sent what they have not announced or asked for.
//! - In the end nothing is left in memory.

mod peer;
mod random;
mod world;

use proptest::prelude::*;

use world::World;

/// A world in which nothing is lost and nobody dies.
#[test]
fn where_nothing_goes_wrong_every_call_is_answered_by_a_callee() {
    for seed in 0..20 {
        let mut world = World::new(seed, false);
        world.run(400);
        world.settle();
        assert!(world.finished() > 50, "{} calls", world.finished());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

    #[test]
    fn whatever_goes_wrong_every_call_has_one_end(seed in any::<u64>()) {
        let mut world = World::new(seed, true);
        world.run(600);
        world.settle();
        prop_assert!(world.finished() > 50, "{} calls", world.finished());
    }
}
