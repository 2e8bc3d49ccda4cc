//! Nanoseconds for a call to find its registration and callee among 10,000 registrations of each
//! kind, and microseconds to register in a snapshot of them and to unregister again.
//!
//! In the same run: what a hash map of the exact ones alone needs for a search, and the worst that
//! wildcards can do, which is a procedure that all but matches one of each shape.
#![allow(missing_docs)]

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use protocols::text::Text;
use protocols::wamp::id::Id;
use protocols::wamp::message::{Features, InvokePolicy, MatchPolicy};
use protocols::wamp::registry::{
    Callee, MOST_SHAPES, NodeId, Registration, Registry, SessionAt, Timestamp,
};
use protocols::wamp::uri::Pattern;

/// Registrations of each kind.
const EACH: usize = 10_000;

/// Callees of each.
const CALLEES: u64 = 3;

fn callee(session: u64) -> Callee {
    let session = Id::new(session).expect("an ID");
    Callee {
        at: SessionAt { node: NodeId(1), session },
        registered: Timestamp(session.get()),
        wants_caller: false,
        keeps_timeouts: false,
        concurrency: None,
        features: Features::NONE,
    }
}

fn register(registry: &mut Registry, policy: MatchPolicy, uri: &str, callees: u64) -> Id {
    let mut id = Id::MIN;
    for session in 1..=callees {
        let pattern = Pattern { policy, uri: Text::from(uri) };
        let outcome = registry.register(pattern, InvokePolicy::RoundRobin, callee(session), None);
        id = outcome.expect("nothing is in the way").registration;
    }
    id
}

fn exact(number: usize) -> String {
    format!("com.company{}.service{number}.procedure{}", number % 100, number % 7)
}

fn prefix(number: usize) -> String {
    format!("com.company{}.area{number}.", number % 100)
}

/// In four shapes.
fn wildcard(number: usize) -> String {
    match number % 4 {
        0 => format!("com..device{number}.get.x"),
        1 => format!("com..device{number}..x"),
        2 => format!("com.plant{}.device{number}..", number % 100),
        _ => format!("com.plant{}..measure{number}.", number % 100),
    }
}

/// One that this wildcard matches.
fn matched(wildcard: &str) -> String {
    let components = wildcard.split('.');
    let named = components.map(|component| if component.is_empty() { "any" } else { component });
    named.collect::<Vec<_>>().join(".")
}

fn many() -> Registry {
    let mut registry = Registry::new(Text::from_static("realm1"));
    for number in 0..EACH {
        register(&mut registry, MatchPolicy::Exact, &exact(number), CALLEES);
        register(&mut registry, MatchPolicy::Prefix, &prefix(number), CALLEES);
        register(&mut registry, MatchPolicy::Wildcard, &wildcard(number), CALLEES);
    }
    registry
}

/// Calls of all these procedures in turn: of many of them, each finds little of its own in a cache.
fn calls(
    criterion: &mut Criterion,
    registry: &Registry,
    name: &str,
    procedures: &[String],
    is_found: bool,
) {
    let route = |procedure: &str| {
        let registration = registry.best_match(procedure)?;
        registration.pick(0, &[]).ok().map(|callee| callee.at)
    };
    for procedure in procedures {
        assert_eq!(route(procedure).is_some(), is_found, "{procedure}");
    }
    let mut group = criterion.benchmark_group("wamp registry");
    group.throughput(Throughput::Elements(1));
    let mut next = procedures.iter().cycle();
    group.bench_function(name, |bencher| {
        bencher.iter(|| route(black_box(next.next().map_or("", String::as_str))));
    });
    group.finish();
}

fn benches(criterion: &mut Criterion) {
    let registry = many();
    let mix = |make: fn(usize) -> String| -> Vec<String> {
        (0..EACH).map(|number| make(number * 7919 % EACH)).collect()
    };
    let exact_ones = mix(exact);
    calls(criterion, &registry, "call exact", &exact_ones, true);
    calls(criterion, &registry, "call exact, one of them", &exact_ones[..1], true);
    calls(criterion, &registry, "call prefix", &mix(|n| prefix(n) + "procedure1"), true);
    calls(criterion, &registry, "call wildcard", &mix(|n| matched(&wildcard(n))), true);
    calls(criterion, &registry, "call none", &mix(|n| exact(n) + ".x"), false);
    hash_map(criterion, &registry, &exact_ones);

    let (registry, procedure) = worst();
    calls(criterion, &registry, "call none, all shapes", &[procedure], false);

    let registry = many();
    criterion.bench_function("wamp registry/register and unregister", |bencher| {
        let mut number = 0;
        bencher.iter(|| {
            number += 1;
            let mut next = registry.clone();
            let id = register(&mut next, MatchPolicy::Exact, &exact(EACH + number % EACH), 1);
            let deltas = next.unregister(callee(1).at, id);
            (next, deltas)
        });
    });
}

/// A search, without a choice of a callee.
fn hash_map(criterion: &mut Criterion, registry: &Registry, procedures: &[String]) {
    let registrations = procedures.iter().map(|procedure| {
        let registration: &Arc<Registration> = registry.best_match(procedure).expect("registered");
        (procedure.clone(), Arc::clone(registration))
    });
    let map: HashMap<String, Arc<Registration>> = registrations.collect();
    let mut next = procedures.iter().cycle();
    criterion.bench_function("wamp registry/find exact in a hash map", |bencher| {
        bencher.iter(|| map.get(black_box(next.next().map_or("", String::as_str))));
    });
    let mut next = procedures.iter().cycle();
    criterion.bench_function("wamp registry/find exact", |bencher| {
        bencher.iter(|| registry.best_match(black_box(next.next().map_or("", String::as_str))));
    });
}

/// As many shapes as may be, of ten components each, none of which matches for its last component
/// alone.
fn worst() -> (Registry, String) {
    let mut registry = Registry::new(Text::from_static("realm1"));
    let component = |is_open: bool| if is_open { "" } else { "component" };
    for shape in 0..MOST_SHAPES {
        let components = (0..9).map(|place| component(place >= 3 && shape >> (place - 3) & 1 == 1));
        let uri = components.chain(["other"]).collect::<Vec<_>>().join(".");
        register(&mut registry, MatchPolicy::Wildcard, &uri, 1);
    }
    (registry, ["component"; 10].join("."))
}

fn short() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .without_plots()
}

criterion_group! { name = wamp_registry; config = short(); targets = benches }
criterion_main!(wamp_registry);
