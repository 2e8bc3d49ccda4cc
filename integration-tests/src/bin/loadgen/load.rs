//! [`Load`]: all clients of a run, on one thread.
//!
//! A publisher sends as long as fewer messages than its window are on their way: sent, and not yet
//! with the slowest of its subscribers (or, where receipts are asked for, not yet confirmed). So the
//! server is kept busy and never has to drop anything.
//!
//! Calls are messages as well: their publisher is the caller, their subscriber the callee, which sends
//! what it is given back as the result. A call is settled, and counts as a delivery, by that.

mod publisher;
mod subscriber;

use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use crate::connection::Scratch;
use crate::fault::Fault;
use crate::flags::{Ack, Flags, Scenario};
use crate::latency::Latencies;
use publisher::Publisher;
use subscriber::Subscriber;

/// Events taken from the system at a time.
const EVENTS: usize = 256;

/// What has been counted so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Messages sent.
    pub(crate) messages: u64,
    /// Messages that have come, or receipts, or results.
    pub(crate) deliveries: u64,
    /// Messages, receipts and results that have not come.
    pub(crate) lost: u64,
    /// Messages that came twice or out of order, or are not what was sent.
    pub(crate) wrong: u64,
}

/// All clients of a run.
#[derive(Debug)]
pub(crate) struct Load<'a> {
    flags: &'a Flags,
    poll: Poll,
    scratch: Scratch,
    publishers: Vec<Publisher>,
    subscribers: Vec<Subscriber>,
    latencies: Latencies,
    /// Receipts that were missing when they were given up.
    missing_receipts: u64,
}

impl<'a> Load<'a> {
    /// Connects everybody, subscribers first.
    ///
    /// *Errors.* The first that is refused.
    pub(crate) fn open(flags: &'a Flags) -> Result<Self, Fault> {
        let mut load = Self {
            flags,
            poll: Poll::new().map_err(Fault::system("a poll"))?,
            scratch: Scratch::new(),
            publishers: Vec::new(),
            subscribers: Vec::new(),
            latencies: Latencies::new(),
            missing_receipts: 0,
        };
        for number in 0..flags.amount.pairs {
            let publisher = Publisher::open(flags, number, &mut load.scratch)?;
            load.publishers.push(publisher);
        }
        if flags.scenario != Scenario::Receipts {
            load.subscribe(flags.ack)?;
        }
        Ok(load)
    }

    /// Gives each publisher its subscribers, or each caller its callee.
    fn subscribe(&mut self, ack: Ack) -> Result<(), Fault> {
        let Flags { scenario, amount, .. } = self.flags;
        let each = if *scenario == Scenario::Pubsub { amount.fan_out } else { 1 };
        for (place, publisher) in self.publishers.iter_mut().enumerate() {
            let first = self.subscribers.len();
            for _ in 0..each {
                let to = (place, publisher.number(), publisher.destination());
                let subscriber = Subscriber::open(self.flags, ack, to, &mut self.scratch)?;
                self.subscribers.push(subscriber);
            }
            publisher.subscribers = first..self.subscribers.len();
        }
        Ok(())
    }

    /// Every publisher goes on until it has sent `goal` messages in all and each of them is settled.
    /// Whatever is missing when nothing has come for long enough stays missing.
    ///
    /// *Errors.* A connection that ends; a frame that has no place here.
    pub(crate) fn run_to(&mut self, goal: u64) -> Result<(), Fault> {
        self.set_blocking(false)?;
        let mut events = Events::with_capacity(EVENTS);
        let mut progress = (self.settled(), Instant::now());
        loop {
            self.publish(goal)?;
            let settled = self.settled();
            if settled == goal * self.publishers.len() as u64 {
                break;
            }
            if settled != progress.0 {
                progress = (settled, Instant::now());
            }
            let patience = self.flags.patience.saturating_sub(progress.1.elapsed());
            if patience == Duration::ZERO {
                break;
            }
            match self.poll.poll(&mut events, Some(patience)) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                polled => polled.map_err(Fault::system("a poll"))?,
            }
            for event in &events {
                self.serve(event.token())?;
            }
        }
        self.set_blocking(true)
    }

    /// Puts every socket into this mode, and the ones that do not block under the poll.
    fn set_blocking(&self, blocking: bool) -> Result<(), Fault> {
        let registry = self.poll.registry();
        let publishers = self.publishers.iter().map(Publisher::connection);
        let subscribers = self.subscribers.iter().map(Subscriber::connection);
        for (token, connection) in publishers.chain(subscribers).enumerate() {
            connection.set_blocking(blocking)?;
            let descriptor = connection.descriptor();
            let mut source = SourceFd(&descriptor);
            if blocking {
                registry.deregister(&mut source)
            } else {
                let both = Interest::READABLE | Interest::WRITABLE;
                registry.register(&mut source, Token(token), both)
            }
            .map_err(Fault::system("a poll"))?;
        }
        Ok(())
    }

    /// Sends what the windows have room for, once that is a good part of a window: many messages
    /// then go into one write, as they do with a client that has many to send.
    fn publish(&mut self, goal: u64) -> Result<(), Fault> {
        let window = self.flags.amount.window;
        for publisher in &mut self.publishers {
            // A queue that is emptied after all was sent holds more than a window.
            let underway = publisher.sent() - publisher.settled(&self.subscribers);
            let room = window.saturating_sub(underway);
            let rest = goal - publisher.sent();
            if rest == 0 || room < (window / 4).clamp(1, rest) {
                continue;
            }
            publisher.send(room.min(rest))?;
        }
        Ok(())
    }

    /// Reads and writes what can be, on one connection.
    fn serve(&mut self, Token(token): Token) -> Result<(), Fault> {
        match token.checked_sub(self.publishers.len()) {
            None => self.publishers[token].serve(&mut self.scratch, &mut self.latencies),
            Some(index) => {
                let subscriber = &mut self.subscribers[index];
                let times = self.publishers[subscriber.publisher()].times();
                subscriber.serve(times, &mut self.scratch, &mut self.latencies)
            }
        }
    }

    fn settled(&self) -> u64 {
        self.publishers.iter().map(|publisher| publisher.settled(&self.subscribers)).sum()
    }

    /// How long the deliveries took.
    pub(crate) const fn latencies(&self) -> &Latencies {
        &self.latencies
    }

    /// Begins to measure anew how long deliveries take.
    pub(crate) fn forget_latencies(&mut self) {
        self.latencies = Latencies::new();
    }

    /// Ends in order: takes out what lies in queues, unsubscribes, so that a message too many is
    /// seen too, and says goodbye.
    ///
    /// *Errors.* As [`run_to`](Self::run_to).
    pub(crate) fn finish(&mut self) -> Result<(), Fault> {
        if self.flags.scenario == Scenario::Receipts {
            for publisher in &mut self.publishers {
                self.missing_receipts += publisher.give_up_receipts();
            }
            self.subscribe(Ack::Auto)?;
            self.run_to(self.publishers.iter().map(Publisher::sent).max().unwrap_or_default())?;
        }
        for subscriber in &mut self.subscribers {
            subscriber.leave(&mut self.scratch)?;
        }
        for publisher in &mut self.publishers {
            publisher.leave(&mut self.scratch)?;
        }
        Ok(())
    }

    /// What has been counted so far.
    pub(crate) fn counts(&self) -> Counts {
        let mut counts =
            Counts { messages: 0, deliveries: 0, lost: self.missing_receipts, wrong: 0 };
        for publisher in &self.publishers {
            counts.messages += publisher.sent();
            publisher.count(&mut counts);
            for subscriber in &self.subscribers[publisher.subscribers.clone()] {
                subscriber.count(publisher.sent(), &mut counts);
            }
        }
        counts
    }
}
