//! Clients that send without a pause, and take note of what they were promised.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use integration_tests::{Incoming, StompClient};
use rabbitmq_node::within;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::client::{Access, say_goodbye};

/// Messages whose receipts a client waits for at a time.
const WINDOW: usize = 8;

/// Who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Everybody.
    Full,
    /// Every other client; those between have nothing outstanding.
    Half,
    /// Nobody any more.
    Over,
}

/// How far a client is.
#[derive(Debug, Clone, Copy, Default)]
struct Status {
    receipts: usize,
    outstanding: usize,
    told: usize,
}

/// What a client has done and seen.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// Its queue, nobody else's.
    pub(crate) queue: String,
    /// Whether it had nothing outstanding while the pace was [`Pace::Half`].
    pub(crate) rests: bool,
    /// How often each body was sent: again after a session that ended before its receipt.
    pub(crate) sent: BTreeMap<String, usize>,
    /// Bodies with a receipt, and when that came.
    pub(crate) receipted: BTreeMap<String, Instant>,
    /// For each session that the gateway ended, why.
    pub(crate) told: Vec<String>,
}

/// Clients with a queue each.
pub(crate) struct Load {
    pace: watch::Sender<Pace>,
    clients: Vec<(watch::Receiver<Status>, JoinHandle<Record>)>,
}

impl Load {
    /// Begins; the queue of client n is `queue-n`.
    pub(crate) fn start(access: &Access, clients: usize) -> Self {
        let pace = watch::Sender::new(Pace::Full);
        let client = |number| {
            let (status, seen) = watch::channel(Status::default());
            let publisher = Publisher {
                access: access.clone(),
                destination: format!("/queue/queue-{number}"),
                pace: pace.subscribe(),
                status,
                outstanding: BTreeSet::new(),
                record: Record {
                    queue: format!("queue-{number}"),
                    rests: number % 2 == 1,
                    ..Record::default()
                },
            };
            (seen, tokio::spawn(publisher.run()))
        };
        let clients = (0..clients).map(client).collect();
        Self { pace, clients }
    }

    /// Waits until each client that sends has got so many receipts more.
    pub(crate) async fn proceed(&mut self, receipts: usize) {
        let is_half = *self.pace.borrow() == Pace::Half;
        let at = |seen: &watch::Receiver<Status>| seen.borrow().receipts;
        let marks: Vec<_> = self.clients.iter().map(|(seen, _)| at(seen) + receipts).collect();
        for (number, ((seen, _), mark)) in self.clients.iter_mut().zip(marks).enumerate() {
            if is_half && number % 2 == 1 {
                continue;
            }
            let what = format!("receipts of client {number}");
            within(&what, seen.wait_for(|status| status.receipts >= mark)).await.unwrap();
        }
    }

    /// Sets the pace, and waits until those who rest have nothing outstanding.
    pub(crate) async fn set(&mut self, pace: Pace) {
        self.pace.send_replace(pace);
        for (number, (seen, _)) in self.clients.iter_mut().enumerate() {
            if pace.window(number % 2 == 1) == 0 {
                let what = format!("the last receipts of client {number}");
                within(&what, seen.wait_for(|status| status.outstanding == 0)).await.unwrap();
            }
        }
    }

    /// How many sessions the gateway has ended, of the clients that rest and of the others.
    pub(crate) fn told(&self) -> [usize; 2] {
        let told = |rests: bool| {
            let clients = self.clients.iter().skip(usize::from(rests)).step_by(2);
            clients.map(|(seen, _)| seen.borrow().told).sum()
        };
        [told(true), told(false)]
    }

    /// Waits until everything that was sent has a receipt.
    pub(crate) async fn finish(mut self) -> Vec<Record> {
        self.set(Pace::Over).await;
        let mut records = Vec::new();
        for (_, client) in self.clients {
            records.push(within("a client", client).await.unwrap());
        }
        records
    }
}

impl Pace {
    const fn window(self, rests: bool) -> usize {
        match self {
            Self::Full => WINDOW,
            Self::Half if !rests => WINDOW,
            Self::Half | Self::Over => 0,
        }
    }
}

struct Publisher {
    access: Access,
    destination: String,
    pace: watch::Receiver<Pace>,
    status: watch::Sender<Status>,
    /// Bodies that were sent and have no receipt, by their numbers.
    outstanding: BTreeSet<usize>,
    record: Record,
}

impl Publisher {
    async fn run(mut self) -> Record {
        let mut client = self.access.log_in().await;
        let mut last_words = None;
        loop {
            let pace = *self.pace.borrow_and_update();
            while self.outstanding.len() < pace.window(self.record.rests) {
                let number = self.record.sent.len();
                self.send(&mut client, number).await;
            }
            if pace == Pace::Over && self.outstanding.is_empty() {
                say_goodbye(client).await;
                return self.record;
            }
            let incoming = tokio::select! {
                incoming = client.incoming() => incoming,
                changed = self.pace.changed() => {
                    changed.expect("the load is there");
                    continue;
                }
            };
            match incoming {
                Incoming::Frame(frame, _) if frame.verb == "RECEIPT" => {
                    self.receipt(frame.expect_header("receipt-id"));
                }
                Incoming::Frame(frame, _) => {
                    assert_eq!(frame.verb, "ERROR", "{frame:?}");
                    last_words = Some(frame.text().trim_end().to_owned());
                }
                Incoming::HeartBeat => {}
                Incoming::Closed(closing) => {
                    let why = last_words.take().unwrap_or_else(|| format!("{closing:?}"));
                    client = self.come_back(why).await;
                }
            }
        }
    }

    /// Logs in again, and sends again what had no receipt.
    async fn come_back(&mut self, why: String) -> StompClient {
        self.record.told.push(why);
        self.status.send_modify(|status| status.told += 1);
        let mut client = self.access.log_in().await;
        for number in self.outstanding.clone() {
            self.send(&mut client, number).await;
        }
        client
    }

    async fn send(&mut self, client: &mut StompClient, number: usize) {
        let receipt = number.to_string();
        let headers = [
            ("destination", self.destination.as_str()),
            ("persistent", "true"),
            ("receipt", receipt.as_str()),
        ];
        let body = self.body(number);
        client.send("SEND", &headers, &body).await;
        *self.record.sent.entry(body).or_default() += 1;
        self.outstanding.insert(number);
        self.report();
    }

    fn receipt(&mut self, id: &str) {
        let number = id.parse().unwrap();
        assert!(self.outstanding.remove(&number), "a receipt that was not outstanding: {id}");
        self.record.receipted.insert(self.body(number), Instant::now());
        self.report();
    }

    fn body(&self, number: usize) -> String {
        format!("{}: {number}", self.record.queue)
    }

    fn report(&self) {
        self.status.send_modify(|status| {
            status.receipts = self.record.receipted.len();
            status.outstanding = self.outstanding.len();
        });
    }
}
