//! A lasting subscription that loses messages, in any order of publishing, settling, leaving and coming
//! back: nobody is given what is behind a loss without knowing of it, unless someone has settled that.

use std::collections::{BTreeMap, BTreeSet};

use broker_adapters::embedded::Settings;
use proptest::prelude::*;
use protocols::broker::{Event, SubscriptionId, Verdict};

use crate::support::resume::lasting;
use crate::support::{Client, Delivery, Fixture, topic};

#[derive(Debug, Clone)]
enum Operation {
    Publish,
    /// One of the outstanding ones.
    Settle(usize, Verdict, bool),
    /// The subscription ends, and another goes on.
    Resubscribe(u16),
    /// The link is dropped, and another goes on.
    Return(u16),
}

fn operation() -> impl Strategy<Value = Operation> {
    let verdict =
        prop_oneof![Just(Verdict::Accept), Just(Verdict::Requeue), Just(Verdict::Discard)];
    prop_oneof![
        12 => Just(Operation::Publish),
        8 => (0..8_usize, verdict, any::<bool>())
            .prop_map(|(nth, verdict, cumulative)| Operation::Settle(nth, verdict, cumulative)),
        1 => (1..4_u16).prop_map(Operation::Resubscribe),
        2 => (1..4_u16).prop_map(Operation::Return),
    ]
}

/// The session as its clients see it. Messages are numbers, in the order of publishing.
struct Seen {
    client: Client,
    subscription: SubscriptionId,
    /// Accepted or discarded.
    settled: BTreeSet<u64>,
    /// Missing, and someone who knew has gone on from there for good.
    forgiven: BTreeSet<u64>,
    outstanding: BTreeMap<u64, Delivery>,
    /// What the subscription knows to be missing, by the first message behind.
    known: BTreeMap<u64, BTreeSet<u64>>,
    /// It was told of a loss, and given nothing new behind it.
    is_told: bool,
}

impl Seen {
    /// Reads all there is.
    fn read(&mut self) {
        for event in self.client.events_now() {
            match event {
                Event::Gap { subscription } => {
                    assert_eq!(subscription, self.subscription);
                    self.is_told = true;
                }
                Event::Delivery { subscription, tag, redelivered, publication } => {
                    let delivery = Delivery { subscription, tag, redelivered, publication };
                    self.on_delivery(delivery.body().parse().unwrap(), delivery);
                }
                other => panic!("nothing of the kind was expected: {other:?}"),
            }
        }
    }

    fn on_delivery(&mut self, number: u64, delivery: Delivery) {
        let Self { settled, forgiven, outstanding, known, .. } = &*self;
        let is_accounted_for = |earlier: &u64| {
            settled.contains(earlier)
                || forgiven.contains(earlier)
                || outstanding.contains_key(earlier)
                || known.values().any(|known| known.contains(earlier))
        };
        let missing: BTreeSet<u64> = (0..number).filter(|it| !is_accounted_for(it)).collect();
        if !missing.is_empty() {
            assert!(self.is_told, "{missing:?} are missing before {number}");
            // What comes back may have losses in between that were told in one.
            self.is_told = delivery.redelivered;
            self.known.insert(number, missing);
        }
        self.outstanding.insert(number, delivery);
    }

    fn settle(&mut self, nth: usize, verdict: Verdict, cumulative: bool) {
        let Some((&number, delivery)) = self.outstanding.iter().nth(nth) else {
            return;
        };
        let (subscription, tag) = (delivery.subscription, delivery.tag);
        self.client.settle(delivery, verdict, cumulative);
        let is_meant = |it: &Delivery| {
            it.subscription == subscription && (it.tag == tag || cumulative && it.tag < tag)
        };
        let meant = self.outstanding.iter().filter(|(_, it)| is_meant(it));
        let meant: Vec<u64> = meant.map(|(number, _)| *number).collect();
        assert!(meant.contains(&number));
        for number in meant {
            self.outstanding.remove(&number);
            let known = self.known.remove(&number).unwrap_or_default();
            if verdict != Verdict::Requeue {
                self.settled.insert(number);
                self.forgiven.extend(known);
            }
        }
        self.read();
    }

    /// Another subscription, which knows nothing.
    async fn subscribe(&mut self, prefetch: u16) {
        let lasting = lasting("news");
        let subscribed = self.client.try_subscribe(topic("news"), &lasting, prefetch).await;
        self.subscription = subscribed.unwrap();
        self.known.clear();
        self.is_told = false;
        self.read();
    }
}

async fn run(operations: Vec<Operation>) {
    let settings = Settings { resume_messages: 3, ..Settings::default() };
    let fixture = Fixture::embedded_with(settings);
    let mut publisher = fixture.client().await;
    let mut client = fixture.client().await;
    client.begin("s").await;
    let mut seen = Seen {
        client,
        subscription: SubscriptionId(0),
        settled: BTreeSet::new(),
        forgiven: BTreeSet::new(),
        outstanding: BTreeMap::new(),
        known: BTreeMap::new(),
        is_told: false,
    };
    seen.subscribe(1).await;
    let mut published = 0_u64;
    // In the end all is settled, and who comes then has nothing to be told.
    let end = [
        vec![Operation::Return(100)],
        vec![Operation::Settle(0, Verdict::Accept, false); 10],
        vec![Operation::Return(1)],
    ];
    for operation in operations.into_iter().chain(end.concat()) {
        match operation {
            Operation::Publish => {
                publisher.publish(topic("news"), published.to_string()).await;
                published += 1;
                seen.read();
            }
            Operation::Settle(nth, verdict, cumulative) => seen.settle(nth, verdict, cumulative),
            Operation::Resubscribe(prefetch) => {
                seen.client.unsubscribe(seen.subscription).await;
                // Whoever settles what is left of it knew what that one knew.
                let known = std::mem::take(&mut seen.known);
                seen.subscribe(prefetch).await;
                for (first, missing) in known {
                    seen.known.entry(first).or_default().extend(missing);
                }
            }
            Operation::Return(prefetch) => {
                seen.client = fixture.client().await;
                seen.outstanding.clear();
                seen.client.go_on("s").await;
                seen.subscribe(prefetch).await;
            }
        }
    }
    assert!(seen.outstanding.is_empty());
    assert!(!seen.is_told);
}

proptest! {
    #[test]
    fn nobody_goes_past_a_loss_without_knowing(
        operations in proptest::collection::vec(operation(), 0..100),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(run(operations));
    }
}
