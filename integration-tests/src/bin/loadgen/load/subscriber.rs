//! [`Subscriber`]: one that receives, or is called.

use std::time::Instant;

use integration_tests::code;
use serde_json::json;

use super::Counts;
use crate::connection::{Connection, Scratch};
use crate::fault::Fault;
use crate::flags::{Ack, Flags, Scenario};
use crate::latency::{Latencies, SendTimes};
use crate::sequence::Order;
use crate::speech::{Answer, Incoming};
use crate::wamp::Template;

/// A client that receives.
#[derive(Debug)]
pub(crate) struct Subscriber {
    connection: Connection,
    /// The place of the publisher whose messages it gets.
    publisher: usize,
    order: Order,
    ack: Ack,
    /// The last acknowledgement that is owed, or all the answers.
    owed: Vec<u8>,
    /// The ID of its subscription or registration; with WAMP.
    id: u64,
    /// What it answers calls with, if it is a callee.
    answers: Option<Template>,
}

impl Subscriber {
    /// Connects one, and subscribes or registers it: `to` is the place of its publisher, the
    /// publisher's number, and what that sends to.
    ///
    /// *Errors.* As [`Connection::open`]; what is refused.
    pub(crate) fn open(
        flags: &Flags,
        ack: Ack,
        to: (usize, u16, &str),
        scratch: &mut Scratch,
    ) -> Result<Self, Fault> {
        let Flags { scenario, server, amount, .. } = flags;
        let (publisher, number, destination) = to;
        let mut subscriber = Self {
            connection: Connection::open(server, flags.patience, scratch)?,
            publisher,
            order: Order::new(number, amount.body),
            ack,
            owed: Vec::new(),
            id: 0,
            answers: None,
        };
        match server.serializer() {
            None => subscriber.subscribe(destination, scratch)?,
            Some(serializer) if *scenario == Scenario::Rpc => {
                subscriber.answers =
                    Some(Template::new(serializer, code::YIELD, None, amount.body));
                subscriber.ask(code::REGISTER, destination, scratch)?;
            }
            Some(_) => subscriber.ask(code::SUBSCRIBE, destination, scratch)?,
        }
        Ok(subscriber)
    }

    /// The place of its publisher.
    pub(crate) const fn publisher(&self) -> usize {
        self.publisher
    }

    /// Its socket.
    pub(crate) const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// How many messages are settled for it.
    pub(crate) const fn position(&self) -> u64 {
        self.order.position()
    }

    /// Adds what it has got of the messages `sent`. What a callee gets is a delivery when its result
    /// comes.
    pub(crate) fn count(&self, sent: u64, counts: &mut Counts) {
        if self.answers.is_none() {
            counts.deliveries += self.order.arrived();
        }
        counts.lost += self.order.lost(sent);
        counts.wrong += self.order.wrong();
    }

    fn subscribe(&mut self, destination: &str, scratch: &mut Scratch) -> Result<(), Fault> {
        let Self { connection, order, ack, .. } = self;
        connection.queue_frame(&format!(
            "SUBSCRIBE\nid:0\ndestination:{destination}\nack:{}\nreceipt:subscribed",
            ack.header()
        ));
        let stray = |incoming: &Incoming<'_>| {
            order.take(incoming.body());
        };
        connection.converse(Answer::Frame("RECEIPT"), scratch, stray).map(drop)
    }

    /// SUBSCRIBE or REGISTER, of WAMP.
    fn ask(&mut self, code: u64, uri: &str, scratch: &mut Scratch) -> Result<(), Fault> {
        self.connection.queue_message(&json!([code, 1, {}, uri]));
        let answer = match code {
            code::REGISTER => Answer::Message(code::REGISTERED, "REGISTERED"),
            _ => Answer::Message(code::SUBSCRIBED, "SUBSCRIBED"),
        };
        let order = &mut self.order;
        let stray = |incoming: &Incoming<'_>| {
            order.take(incoming.body());
        };
        [_, self.id] = self.connection.converse(answer, scratch, stray)?;
        Ok(())
    }

    /// Reads and writes what can be.
    pub(crate) fn serve(
        &mut self,
        times: &SendTimes,
        scratch: &mut Scratch,
        latencies: &mut Latencies,
    ) -> Result<(), Fault> {
        loop {
            let Self { connection, order, ack, owed, answers, .. } = self;
            let mut each = Vec::new();
            let mut now = None;
            let more = connection.receive(scratch, |incoming| {
                let number = order.take(incoming.body());
                match (incoming, answers.as_mut()) {
                    (Incoming::Wamp(message), None) if message.code == code::EVENT => {}
                    (Incoming::Wamp(message), Some(answers))
                        if message.code == code::INVOCATION =>
                    {
                        if let Some(name) = message.text.first_chunk() {
                            answers.write(message.ids[0], name, owed);
                        }
                        return Ok(());
                    }
                    (Incoming::Stomp(frame), _) if frame.verb == b"MESSAGE" => {
                        if *ack != Ack::Auto {
                            owed.clear();
                            owed.extend_from_slice(frame.header(b"ack").unwrap_or_default());
                        }
                        if *ack == Ack::ClientIndividual {
                            each.push(std::mem::take(owed));
                        }
                    }
                    _ => return Err(Fault::unexpected("a message or a call", incoming)),
                }
                let now = *now.get_or_insert_with(Instant::now);
                latencies.book_since(times, number, now);
                Ok(())
            })?;
            if answers.is_some() {
                connection.output().append(owed);
            }
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

    /// Unsubscribes and says goodbye. The answer to the first comes after all messages.
    pub(crate) fn leave(&mut self, scratch: &mut Scratch) -> Result<(), Fault> {
        let Self { connection, order, id, answers, .. } = self;
        let answer = match (connection.serializer(), answers) {
            (None, _) => {
                connection.queue_frame("UNSUBSCRIBE\nid:0\nreceipt:unsubscribed");
                Answer::Frame("RECEIPT")
            }
            (Some(_), None) => {
                connection.queue_message(&json!([code::UNSUBSCRIBE, 2, id]));
                Answer::Message(code::UNSUBSCRIBED, "UNSUBSCRIBED")
            }
            (Some(_), Some(_)) => {
                connection.queue_message(&json!([code::UNREGISTER, 2, id]));
                Answer::Message(code::UNREGISTERED, "UNREGISTERED")
            }
        };
        let mut stray = |incoming: &Incoming<'_>| {
            order.take(incoming.body());
        };
        connection.converse(answer, scratch, &mut stray)?;
        connection.goodbye(scratch, stray)
    }
}
