//! Clients that take messages out of queues, and note which and how often.

use std::collections::BTreeSet;

use integration_tests::{Incoming, StompClient, StompFrame};
use rabbitmq_node::within;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::client::{Access, say_goodbye};

/// Most messages that a consumer has unacknowledged: RabbitMQ sends the next one only once it has
/// processed an acknowledgement.
const PREFETCH: usize = 20;

/// Messages that a consumer does not acknowledge before the outage.
pub(crate) const WITHHELD: usize = 5;

/// The last message of a queue.
pub(crate) const END: &str = "end";

/// What is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// All but the next [`WITHHELD`] messages.
    Before,
    /// Everything: the outage has begun. What comes after the broker is back is a delivery of after.
    After,
}

#[derive(Debug, Clone, Copy, Default)]
struct Status {
    withheld: usize,
    is_after: bool,
}

/// What a consumer has seen.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// Its queue.
    pub(crate) queue: String,
    /// What came before the outage.
    pub(crate) before: Vec<String>,
    /// What came after it, and whether it was marked as redelivered.
    pub(crate) after: Vec<(String, bool)>,
    /// What was not acknowledged when the outage began.
    pub(crate) withheld: BTreeSet<String>,
    /// What RabbitMQ had proved to have as acknowledged when the outage began.
    pub(crate) settled: BTreeSet<String>,
}

/// A consumer for each queue.
pub(crate) struct Consumers {
    phase: watch::Sender<Phase>,
    consumers: Vec<(watch::Receiver<Status>, JoinHandle<Record>)>,
}

impl Consumers {
    /// Begins; the queue of consumer n is `queue-n`.
    pub(crate) fn start(access: &Access, consumers: usize) -> Self {
        let phase = watch::Sender::new(Phase::Before);
        let consumer = |number| {
            let (status, seen) = watch::channel(Status::default());
            let consumer = Consumer {
                access: access.clone(),
                phase: phase.subscribe(),
                status,
                acknowledged: Vec::new(),
                record: Record { queue: format!("queue-{number}"), ..Record::default() },
            };
            (seen, tokio::spawn(consumer.run()))
        };
        let consumers = (0..consumers).map(consumer).collect();
        Self { phase, consumers }
    }

    /// Waits until each has the messages that it does not acknowledge.
    pub(crate) async fn withhold(&mut self) {
        for (seen, _) in &mut self.consumers {
            let is_full = seen.wait_for(|status| status.withheld == WITHHELD);
            within("messages to withhold", is_full).await.unwrap();
        }
    }

    /// The broker is away: notes what was settled.
    pub(crate) async fn outage(&mut self) {
        self.phase.send_replace(Phase::After);
        for (seen, _) in &mut self.consumers {
            within("a note", seen.wait_for(|status| status.is_after)).await.unwrap();
        }
    }

    /// Waits until each has got [`END`].
    pub(crate) async fn finish(self) -> Vec<Record> {
        let mut records = Vec::new();
        for (_, consumer) in self.consumers {
            records.push(within("the end of a queue", consumer).await.unwrap());
        }
        records
    }
}

struct Consumer {
    access: Access,
    phase: watch::Receiver<Phase>,
    status: watch::Sender<Status>,
    /// Before the outage, in order.
    acknowledged: Vec<String>,
    record: Record,
}

impl Consumer {
    async fn run(mut self) -> Record {
        let mut client = self.access.log_in().await;
        let (prefetch, destination) =
            (PREFETCH.to_string(), format!("/queue/{}", self.record.queue));
        let headers = [
            ("id", "0"),
            ("destination", destination.as_str()),
            ("ack", "client-individual"),
            ("prefetch-count", prefetch.as_str()),
        ];
        client.send("SUBSCRIBE", &headers, "").await;
        loop {
            if *self.phase.borrow_and_update() == Phase::After && !self.status.borrow().is_after {
                self.note();
            }
            let incoming = tokio::select! {
                incoming = client.incoming() => incoming,
                changed = self.phase.changed() => {
                    changed.expect("the consumers are there");
                    continue;
                }
            };
            match incoming {
                Incoming::Frame(frame, _) => {
                    // Nobody takes the queue away, so there is nothing to be told.
                    assert_eq!(frame.verb, "MESSAGE", "{frame:?}, {:?}", frame.text());
                    self.message(&mut client, &frame).await;
                    if frame.text() == END {
                        say_goodbye(client).await;
                        return self.record;
                    }
                }
                Incoming::HeartBeat => {}
                Incoming::Closed(closing) => panic!("a consumer was cut: {closing:?}"),
            }
        }
    }

    async fn message(&mut self, client: &mut StompClient, frame: &StompFrame) {
        let body = frame.text().to_owned();
        if self.status.borrow().is_after {
            let is_redelivered = frame.header("redelivered") == Some("true");
            self.record.after.push((body, is_redelivered));
        } else {
            self.record.before.push(body.clone());
            if self.record.withheld.len() < WITHHELD {
                self.record.withheld.insert(body);
                self.status.send_modify(|status| status.withheld += 1);
                return;
            }
            self.acknowledged.push(body);
        }
        client.send("ACK", &[("id", frame.expect_header("ack"))], "").await;
    }

    /// Of the messages that came, RabbitMQ had no more than the prefetch unacknowledged; and it
    /// takes acknowledgements in order.
    fn note(&mut self) {
        let settled = self.record.before.len().saturating_sub(PREFETCH);
        self.record.settled = self.acknowledged.drain(..).take(settled).collect();
        self.status.send_modify(|status| status.is_after = true);
    }
}
