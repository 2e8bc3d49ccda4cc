//! Microseconds for a session to join a realm of 10,000 and leave it again, and to subscribe to a topic
//! and unsubscribe; where nobody is told of that, and where some are.
//!
//! In the same run: what it takes to list the sessions.
#![allow(missing_docs)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use protocols::wamp::id::Id;
use protocols::wamp::message::MatchPolicy;
use protocols::wamp::meta::{Directory, Query};
use protocols::wamp::pubsub::subscription_id;
use protocols::wamp::realm::Principal;
use protocols::wamp::registry::{Registry, Timestamp};
use protocols::wamp::uri::Pattern;

const REALM: &str = "realm1";
const SESSIONS: u64 = 10_000;

fn principal(session: u64) -> Arc<Principal> {
    Arc::new(Principal {
        session: Id::from_bits(session.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        authid: "someone".into(),
        authrole: "member".into(),
        authmethod: "ticket",
        authprovider: "static",
    })
}

fn what(policy: MatchPolicy, uri: &str) -> (Id, Pattern) {
    let pattern = Pattern { policy, uri: uri.into() };
    (subscription_id(REALM, &pattern), pattern)
}

/// A realm in which so many are told what happens.
fn realm(watchers: u64) -> Directory {
    let mut directory = Directory::new(REALM, &[1; 32]);
    for number in 0..SESSIONS {
        let principal = principal(number);
        directory.enter(&principal);
        let topic = what(MatchPolicy::Exact, &format!("com.example.topic{}", number % 100));
        directory.subscribe(principal.session, topic, Timestamp(1));
        if number < watchers {
            let all = what(MatchPolicy::Prefix, "wamp.");
            directory.subscribe(principal.session, all, Timestamp(1));
        }
    }
    directory
}

fn bench(c: &mut Criterion) {
    let mut group = c.benchmark_group("wamp_meta");
    group.measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500));
    let newcomer = principal(SESSIONS);
    let topic = what(MatchPolicy::Exact, "com.example.topic7");
    for watchers in [0, 1, 100] {
        let mut directory = realm(watchers);
        group.bench_function(format!("join and leave, {watchers} are told"), |b| {
            b.iter(|| {
                black_box(directory.enter(&newcomer));
                black_box(directory.leave(newcomer.session, &[]));
            });
        });
        directory.enter(&newcomer);
        group.bench_function(format!("subscribe and unsubscribe, {watchers} are told"), |b| {
            b.iter(|| {
                let (id, session) = (topic.0, newcomer.session);
                black_box(directory.subscribe(session, topic.clone(), Timestamp(2)));
                black_box(directory.unsubscribe(session, id));
            });
        });
    }
    let mut directory = realm(0);
    let registry = Registry::new(REALM.into());
    group.bench_function("list the sessions", |b| {
        b.iter(|| {
            let query = Query::ListSessions(None);
            black_box(directory.consult(newcomer.session, (Id::MIN, query), &registry))
        });
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
