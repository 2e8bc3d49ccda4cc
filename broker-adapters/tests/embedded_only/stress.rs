//! Many links on many threads, some of which go away without notice.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use broker_adapters::embedded::Settings;
use protocols::broker::{Command, Event, Outcome, Verdict};

use tokio::sync::watch;

use crate::support::{Client, Delivery, Fixture, message, queue, topic};

const PUBLISHERS: usize = 4;
const CONSUMERS: usize = 4;
const EACH: usize = 2_000;
const ALL: usize = PUBLISHERS * EACH;

/// What became of one message.
#[derive(Debug, Default, Clone)]
struct Fate {
    first_deliveries: usize,
    redeliveries: usize,
    accepted: usize,
}

/// What became of all messages, and whether all were accepted.
#[derive(Debug)]
struct Fates {
    of: Mutex<HashMap<String, Fate>>,
    done: watch::Sender<bool>,
}

impl Fates {
    fn delivered(&self, delivery: &Delivery) {
        let mut of = self.of.lock().unwrap();
        let fate = of.entry(delivery.body().to_owned()).or_default();
        match delivery.redelivered {
            true => fate.redeliveries += 1,
            false => fate.first_deliveries += 1,
        }
    }

    fn accepted(&self, delivery: &Delivery) {
        let mut of = self.of.lock().unwrap();
        of.get_mut(delivery.body()).unwrap().accepted += 1;
        if of.values().map(|fate| fate.accepted).sum::<usize>() == ALL {
            self.done.send_replace(true);
        }
    }
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % sides
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_or_doubled_while_links_come_and_go() {
    let settings =
        Settings { memory_limit: 200 << 10, link_buffer: 20 << 10, ..Settings::default() };
    let fixture = Arc::new(Fixture::embedded_with(settings));
    let fates = Arc::new(Fates { of: Mutex::default(), done: watch::Sender::new(false) });
    let mut tasks = Vec::new();
    for seed in 0..CONSUMERS {
        let (fixture, fates) = (Arc::clone(&fixture), Arc::clone(&fates));
        let dice = Dice(u64::try_from(seed).unwrap());
        tasks.push(tokio::spawn(async move { consume(&fixture, &fates, dice).await }));
    }
    for publisher in 0..PUBLISHERS {
        let fixture = Arc::clone(&fixture);
        tasks.push(tokio::spawn(async move {
            let mut client = fixture.client().await;
            for n in 0..EACH {
                client.ready().await;
                let body = message(format!("{publisher}:{n}"));
                let outcome = client.try_publish(queue("work"), body).await;
                assert_eq!(outcome, Ok(Outcome::Accepted));
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let fates = fates.of.lock().unwrap();
    assert_eq!(fates.len(), ALL, "every message was delivered");
    for (message, fate) in &*fates {
        assert_eq!(fate.accepted, 1, "{message}: {fate:?}");
        assert!(fate.first_deliveries <= 1, "{message}: {fate:?}");
        assert!(fate.first_deliveries + fate.redeliveries >= 1, "{message}: {fate:?}");
    }
    let redelivered: usize = fates.values().map(|fate| fate.redeliveries).sum();
    assert!(redelivered > 0, "links went away with deliveries outstanding");
}

/// Takes messages until all were accepted by someone, on one link after the other.
async fn consume(fixture: &Fixture, fates: &Fates, mut dice: Dice) {
    let mut done = fates.done.subscribe();
    while !*done.borrow() {
        let mut client = fixture.client().await;
        let prefetch = 1 + u16::try_from(dice.roll(50)).unwrap();
        client.subscribe(queue("work"), prefetch).await;
        for _ in 0..dice.roll(300) {
            let delivery = tokio::select! {
                delivery = client.delivery() => delivery,
                _ = done.wait_for(|done| *done) => return,
            };
            fates.delivered(&delivery);
            match dice.roll(100) {
                0..10 => client.requeue(&delivery),
                10 => break,
                _ => {
                    client.accept(&delivery);
                    fates.accepted(&delivery);
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_publishers_messages_stay_in_order_for_every_subscriber() {
    let settings = Settings { link_buffer: 4 << 10, ..Settings::default() };
    let fixture = Arc::new(Fixture::embedded_with(settings));
    let mut subscribers = Vec::new();
    for _ in 0..CONSUMERS {
        let mut client = fixture.client().await;
        client.subscribe(topic("#"), 20).await;
        subscribers.push(client);
    }
    let mut tasks: Vec<_> = subscribers.into_iter().map(|c| tokio::spawn(in_order(c))).collect();
    for publisher in 0..PUBLISHERS {
        let fixture = Arc::clone(&fixture);
        tasks.push(tokio::spawn(async move {
            let mut client = fixture.client().await;
            for n in 0..EACH {
                let token = client.token();
                let to = topic(&format!("from.{publisher}"));
                let message = message(n.to_string());
                let (confirm, mandatory) = (false, false);
                client.link.submit(Command::Publish {
                    token,
                    to,
                    message,
                    queue: None,
                    confirm,
                    mandatory,
                });
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

async fn in_order(mut client: Client) {
    let mut next: HashMap<String, usize> = HashMap::new();
    for _ in 0..ALL {
        let Event::Delivery { subscription, tag, publication, redelivered } = client.event().await
        else {
            panic!("a delivery was expected");
        };
        assert!(!redelivered);
        let expected = next.entry(publication.routing_key.to_string()).or_default();
        assert_eq!(publication.message.body, expected.to_string());
        *expected += 1;
        let verdict = Verdict::Accept;
        let cumulative = true;
        client.link.submit(Command::Settle { subscription, up_to: tag, verdict, cumulative });
    }
}
