//! [`Load`]: all clients of a run, on one thread.
//!
//! A publisher sends as long as fewer messages than its window are on their way: sent, and not yet
//! with the slowest of its subscribers (or, where receipts are asked for, not yet confirmed). So the
//! server is kept busy and never has to drop anything.

use std::ops::Range;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use crate::connection::{Connection, Scratch};
use crate::fault::Fault;
use crate::flags::{Ack, Flags, Scenario};
use crate::sequence::{Order, Pattern, Receipts};
use crate::stomp::Frame;

/// Events taken from the system at a time.
const EVENTS: usize = 256;

/// A client that sends.
#[derive(Debug)]
struct Publisher {
    connection: Connection,
    pattern: Pattern,
    destination: String,
    sent: u64,
    /// Where each message is confirmed, until its queue is emptied.
    receipts: Option<Receipts>,
    /// Who gets the messages.
    subscribers: Range<usize>,
}

/// A client that receives.
#[derive(Debug)]
struct Subscriber {
    connection: Connection,
    order: Order,
    ack: Ack,
    /// The last acknowledgement that is owed.
    owed: Vec<u8>,
}

/// What has been counted so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Messages sent.
    pub(crate) messages: u64,
    /// Messages that have come, or receipts.
    pub(crate) deliveries: u64,
    /// Messages and receipts that have not come.
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
            missing_receipts: 0,
        };
        for number in 0..flags.amount.pairs {
            let publisher = load.publisher(number)?;
            load.publishers.push(publisher);
        }
        if flags.scenario != Scenario::Receipts {
            load.subscribe(flags.ack)?;
        }
        Ok(load)
    }

    fn publisher(&mut self, number: u16) -> Result<Publisher, Fault> {
        let Flags { scenario, server, amount, .. } = self.flags;
        let name = self.flags.name.clone().unwrap_or_else(|| std::process::id().to_string());
        let kind = if *scenario == Scenario::Pubsub { "topic" } else { "queue" };
        let destination = format!("/{kind}/loadgen.{name}.{number}");
        let receipt = *scenario == Scenario::Receipts;
        let total = amount.warmup + amount.messages;
        Ok(Publisher {
            connection: Connection::open(server, self.flags.patience, &mut self.scratch)?,
            pattern: Pattern::new(number, &destination, amount.body, receipt, server.frames),
            destination,
            sent: 0,
            receipts: receipt.then(|| Receipts::new(number, total)),
            subscribers: 0..0,
        })
    }

    /// Gives each publisher its subscribers.
    fn subscribe(&mut self, ack: Ack) -> Result<(), Fault> {
        let Flags { scenario, server, amount, patience, .. } = self.flags;
        let each = if *scenario == Scenario::Pubsub { amount.fan_out } else { 1 };
        for (publisher, number) in self.publishers.iter_mut().zip(0..) {
            let first = self.subscribers.len();
            for _ in 0..each {
                let mut connection = Connection::open(server, *patience, &mut self.scratch)?;
                let mut order = Order::new(number, amount.body);
                let head = format!(
                    "SUBSCRIBE\nid:0\ndestination:{}\nack:{}\nreceipt:subscribed",
                    publisher.destination,
                    ack.header()
                );
                let scratch = &mut self.scratch;
                connection.converse(&head, "RECEIPT", scratch, |frame| order.take(frame.body))?;
                self.subscribers.push(Subscriber { connection, order, ack, owed: Vec::new() });
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
        let publishers = self.publishers.iter().map(|it| &it.connection);
        let subscribers = self.subscribers.iter().map(|it| &it.connection);
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
            let underway = publisher.sent - publisher.settled(&self.subscribers);
            let room = window.saturating_sub(underway);
            let rest = goal - publisher.sent;
            if rest == 0 || room < (window / 4).clamp(1, rest) {
                continue;
            }
            for _ in 0..room.min(rest) {
                publisher.pattern.write(publisher.sent, publisher.connection.output());
                publisher.sent += 1;
            }
            publisher.connection.flush()?;
        }
        Ok(())
    }

    /// Reads and writes what can be, on one connection.
    fn serve(&mut self, Token(token): Token) -> Result<(), Fault> {
        match token.checked_sub(self.publishers.len()) {
            None => self.publishers[token].serve(&mut self.scratch),
            Some(index) => self.subscribers[index].serve(&mut self.scratch),
        }
    }

    fn settled(&self) -> u64 {
        self.publishers.iter().map(|publisher| publisher.settled(&self.subscribers)).sum()
    }

    /// Ends in order: takes out what lies in queues, unsubscribes, so that a message too many is
    /// seen too, and says goodbye.
    ///
    /// *Errors.* As [`run_to`](Self::run_to).
    pub(crate) fn finish(&mut self) -> Result<(), Fault> {
        if self.flags.scenario == Scenario::Receipts {
            for publisher in &mut self.publishers {
                let receipts = publisher.receipts.take();
                self.missing_receipts += publisher.sent - receipts.map_or(0, |it| it.count());
            }
            self.subscribe(Ack::Auto)?;
            self.run_to(self.publishers.iter().map(|it| it.sent).max().unwrap_or_default())?;
        }
        // Its receipt comes after all messages. That of DISCONNECT would do too, but RabbitMQ's
        // Web-STOMP hangs up without sending it.
        let head = "UNSUBSCRIBE\nid:0\nreceipt:unsubscribed";
        for Subscriber { connection, order, .. } in &mut self.subscribers {
            let stray = |frame: &Frame<'_>| order.take(frame.body);
            connection.converse(head, "RECEIPT", &mut self.scratch, stray)?;
        }
        let publishers = self.publishers.iter_mut().map(|it| &mut it.connection);
        for connection in publishers.chain(self.subscribers.iter_mut().map(|it| &mut it.connection))
        {
            connection.queue_frame("DISCONNECT");
            connection.flush()?;
        }
        Ok(())
    }

    /// What has been counted so far.
    pub(crate) fn counts(&self) -> Counts {
        let mut counts =
            Counts { messages: 0, deliveries: 0, lost: self.missing_receipts, wrong: 0 };
        for publisher in &self.publishers {
            counts.messages += publisher.sent;
            counts.deliveries += publisher.receipts.as_ref().map_or(0, Receipts::count);
            for Subscriber { order, .. } in &self.subscribers[publisher.subscribers.clone()] {
                counts.deliveries += order.arrived();
                counts.lost += order.lost(publisher.sent);
                counts.wrong += order.wrong();
            }
        }
        counts
    }
}

impl Publisher {
    /// How many of its messages are confirmed, or with every subscriber.
    fn settled(&self, subscribers: &[Subscriber]) -> u64 {
        match &self.receipts {
            Some(receipts) => receipts.count(),
            None => {
                let positions = subscribers[self.subscribers.clone()].iter();
                positions.map(|it| it.order.position()).min().unwrap_or_default()
            }
        }
    }

    fn serve(&mut self, scratch: &mut Scratch) -> Result<(), Fault> {
        let receipts = &mut self.receipts;
        let mut take = |frame: &Frame<'_>| match (frame.verb, receipts.as_mut()) {
            (b"RECEIPT", Some(receipts)) => {
                receipts.take(frame.header(b"receipt-id").unwrap_or_default())
            }
            _ => Err(Fault::unexpected("RECEIPT", frame)),
        };
        while self.connection.receive(scratch, &mut take)? == Some(true) {}
        self.connection.flush()
    }
}

impl Subscriber {
    fn serve(&mut self, scratch: &mut Scratch) -> Result<(), Fault> {
        let Self { connection, order, ack, owed } = self;
        loop {
            let mut each = Vec::new();
            let more = connection.receive(scratch, |frame| {
                if frame.verb != b"MESSAGE" {
                    return Err(Fault::unexpected("MESSAGE", frame));
                }
                order.take(frame.body);
                if *ack != Ack::Auto {
                    owed.clear();
                    owed.extend_from_slice(frame.header(b"ack").unwrap_or_default());
                }
                if *ack == Ack::ClientIndividual {
                    each.push(std::mem::take(owed));
                }
                Ok(())
            })?;
            each.extend(Some(std::mem::take(owed)).filter(|owed| !owed.is_empty()));
            for id in each {
                connection.queue_frame(&format!("ACK\nid:{}", String::from_utf8_lossy(&id)));
            }
            connection.flush()?;
            if more != Some(true) {
                return Ok(());
            }
        }
    }
}
