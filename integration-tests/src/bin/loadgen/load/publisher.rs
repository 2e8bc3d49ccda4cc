//! [`Publisher`]: one that sends, or calls.

use std::ops::Range;
use std::time::Instant;

use integration_tests::code;

use super::{Counts, Subscriber};
use crate::connection::{Connection, Scratch};
use crate::fault::Fault;
use crate::flags::{Flags, Scenario};
use crate::latency::{Latencies, SendTimes};
use crate::sequence::{self, Order, Pattern, Receipts};
use crate::speech::Incoming;
use crate::wamp::Template;

/// What a publisher sends.
#[derive(Debug)]
enum Messages {
    /// SEND.
    Stomp(Pattern),
    /// PUBLISH or CALL, of the publisher with this number. They are all the requests of its session.
    Wamp(u16, Template),
}

impl Messages {
    fn write(&mut self, number: u64, output: &mut Vec<u8>) {
        match self {
            Self::Stomp(pattern) => pattern.write(number, output),
            Self::Wamp(publisher, template) => {
                let name = sequence::digits(sequence::name(*publisher, number));
                template.write(number + 1, &name, output);
            }
        }
    }
}

/// A client that sends.
#[derive(Debug)]
pub(crate) struct Publisher {
    number: u16,
    connection: Connection,
    messages: Messages,
    /// A destination, a topic or a procedure.
    destination: String,
    sent: u64,
    times: SendTimes,
    /// Where each message is confirmed, until its queue is emptied.
    receipts: Option<Receipts>,
    /// Where each message is a call.
    results: Option<Order>,
    /// Who gets the messages.
    pub(crate) subscribers: Range<usize>,
}

impl Publisher {
    /// Connects the one with this number.
    ///
    /// *Errors.* As [`Connection::open`].
    pub(crate) fn open(flags: &Flags, number: u16, scratch: &mut Scratch) -> Result<Self, Fault> {
        let Flags { scenario, server, amount, .. } = flags;
        let name = flags.name.clone().unwrap_or_else(|| std::process::id().to_string());
        let receipt = *scenario == Scenario::Receipts;
        let total = amount.warmup + amount.messages;
        let (destination, messages) = match server.serializer() {
            None => {
                let kind = if *scenario == Scenario::Pubsub { "topic" } else { "queue" };
                let destination = format!("/{kind}/loadgen.{name}.{number}");
                let pattern =
                    Pattern::new(number, &destination, amount.body, receipt, server.frames);
                (destination, Messages::Stomp(pattern))
            }
            Some(serializer) => {
                let code = if *scenario == Scenario::Rpc { code::CALL } else { code::PUBLISH };
                let uri = format!("loadgen.{name}.{number}");
                let template = Template::new(serializer, code, Some(&uri), amount.body);
                (uri, Messages::Wamp(number, template))
            }
        };
        Ok(Self {
            number,
            connection: Connection::open(server, flags.patience, scratch)?,
            messages,
            destination,
            sent: 0,
            // A receipt may come long after those of later messages.
            times: SendTimes::new(if receipt { total } else { amount.window }),
            receipts: receipt.then(|| Receipts::new(number, total)),
            results: (*scenario == Scenario::Rpc).then(|| Order::new(number, amount.body)),
            subscribers: 0..0,
        })
    }

    /// By this its messages are known.
    pub(crate) const fn number(&self) -> u16 {
        self.number
    }

    /// Its destination, its topic or its procedure.
    pub(crate) fn destination(&self) -> &str {
        &self.destination
    }

    /// Its socket.
    pub(crate) const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Messages sent so far.
    pub(crate) const fn sent(&self) -> u64 {
        self.sent
    }

    /// When the messages were sent that are on their way.
    pub(crate) const fn times(&self) -> &SendTimes {
        &self.times
    }

    /// Sends so many messages more.
    pub(crate) fn send(&mut self, count: u64) -> Result<(), Fault> {
        let now = Instant::now();
        for _ in 0..count {
            self.times.note(self.sent, now);
            self.messages.write(self.sent, self.connection.output());
            self.sent += 1;
        }
        self.connection.flush()
    }

    /// Waits for no more receipts; returns how many are missing.
    pub(crate) fn give_up_receipts(&mut self) -> u64 {
        self.sent - self.receipts.take().map_or(0, |it| it.count())
    }

    /// Adds what it has got.
    pub(crate) fn count(&self, counts: &mut Counts) {
        counts.deliveries += self.receipts.as_ref().map_or(0, Receipts::count);
        if let Some(results) = &self.results {
            counts.deliveries += results.arrived();
            counts.lost += results.lost(self.sent);
            counts.wrong += results.wrong();
        }
    }

    /// How many of its messages are confirmed, or with every subscriber.
    pub(crate) fn settled(&self, subscribers: &[Subscriber]) -> u64 {
        if let Some(results) = &self.results {
            return results.position();
        }
        match &self.receipts {
            Some(receipts) => receipts.count(),
            None => {
                let positions = subscribers[self.subscribers.clone()].iter();
                positions.map(Subscriber::position).min().unwrap_or_default()
            }
        }
    }

    /// Reads and writes what can be.
    pub(crate) fn serve(
        &mut self,
        scratch: &mut Scratch,
        latencies: &mut Latencies,
    ) -> Result<(), Fault> {
        let Self { connection, times, receipts, results, .. } = self;
        loop {
            let mut now = None;
            let more = connection.receive(scratch, |incoming| {
                let number = match (incoming, receipts.as_mut(), results.as_mut()) {
                    (Incoming::Stomp(frame), Some(receipts), _) if frame.verb == b"RECEIPT" => {
                        Some(receipts.take(frame.header(b"receipt-id").unwrap_or_default())?)
                    }
                    (Incoming::Wamp(message), _, Some(results)) if message.code == code::RESULT => {
                        answering(message.ids[0], results.take(message.text))?
                    }
                    _ => return Err(Fault::unexpected("a receipt or a result", incoming)),
                };
                let now = *now.get_or_insert_with(Instant::now);
                latencies.book_since(times, number, now);
                Ok(())
            })?;
            if more != Some(true) {
                break;
            }
        }
        connection.flush()
    }

    /// Says goodbye. A result too many would come before the answer to that.
    pub(crate) fn leave(&mut self, scratch: &mut Scratch) -> Result<(), Fault> {
        let results = &mut self.results;
        self.connection.goodbye(scratch, |incoming| {
            if let Some(results) = results {
                results.take(incoming.body());
            }
        })
    }
}

/// A result must be that of the call which it names.
fn answering(request: u64, number: Option<u64>) -> Result<Option<u64>, Fault> {
    match number {
        Some(number) if request != number + 1 => {
            Err(Fault::Violation("a result has the ID of another call"))
        }
        number => Ok(number),
    }
}
