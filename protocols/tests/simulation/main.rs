//! A session against a random client and a random broker, with a model of what each may see.
//!
//! Each seed is one connection: the client sends frames (cut anywhere), the broker answers in any
//! order, delivers, refuses, cancels or goes away, time passes, reading stops and resumes. After each
//! step the model says what must have happened: which publishes and settlements, which receipts in
//! which order, which MESSAGE, or which end. A failure names its seed.

#[path = "../support/pair.rs"]
mod pair;
#[path = "../support/wire.rs"]
mod wire;

mod broker;
mod peer;
mod random;
mod world;

use std::collections::BTreeMap;

use world::World;

const SEEDS: u64 = 400;
const STEPS: usize = 300;

#[test]
fn a_session_keeps_its_promises_whatever_client_and_broker_do() {
    let mut ends = BTreeMap::<String, usize>::new();
    let mut steps = 0;
    for seed in 0..SEEDS {
        let (end, taken) = World::new(seed).run(STEPS);
        *ends.entry(end).or_default() += 1;
        steps += taken;
    }
    // The simulation is worth nothing if it does not get anywhere.
    assert!(steps > 20_000, "{steps} steps");
    for end in ["still open", "Peer", "Broker", "Drain", "LoginRefused", "Violation"] {
        assert!(ends.contains_key(end), "no connection ended as {end}: {ends:?}");
    }
}
