//! [`Guarded`]: a queue that outlives the connection it was declared on, and never loses a message
//! without a trace.
//!
//! | object | what for |
//! |---|---|
//! | queue *Q* | collects: durable, bounded, gone when nobody has consumed from it for a time |
//! | headers exchange *Q* | where RabbitMQ sends what goes from *Q* otherwise than to its consumer |
//! | fanout exchange *Q*`-gap` | where of that arrives what did not fit into *Q* |
//! | queue *Q*`-gap` | keeps one such message, until whoever owns *Q* sees it |
//!
//! *Losses.* A full *Q* drops its oldest message, through both exchanges into *Q*`-gap`. Messages that
//! expired by their publisher's wish are dead-lettered likewise, but are no loss: the headers exchange
//! leads them back to *Q*, where RabbitMQ ends their round for what it is (a "cycle", which it logs
//! once for each queue). What has expired elsewhere before is not led back, as it has no expiration any
//! more. Both exchanges are transient: if one of them is missing, the broker was restarted, and *Q* may
//! have lost what was not persistent. They go with the last of their bindings, that is, with the queues.
//!
//! *Order.* One consumer at a time is active: whoever comes back after a loss of the connection is
//! served once RabbitMQ has seen the end of the old one, and has put back what that had. A consumer ends
//! by the deletion of *Q*, or the end of its channel: `basic.cancel` of the active one, while another
//! waits for its turn, would end the process of the queue in RabbitMQ 3.10.
//!
//! *Spec.* RabbitMQ: dead lettering, queue length limit, alternate exchanges, `x-expires`,
//! single active consumer; `all-with-x` of the headers exchange, since 3.10.

use std::time::Duration;

use lapin::ExchangeKind;
use lapin::options::{
    BasicConsumeOptions, BasicQosOptions, ExchangeDeclareOptions, ExchangeDeleteOptions,
    QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use protocols::broker::BrokerErrorKind;
use protocols::text::Text;

use super::consumer::Consumer;
use super::error::broker_error;
use super::pool::Channel;
use super::topology::CONSUMER_TAG;

/// The longest time that RabbitMQ takes for `x-expires`: milliseconds.
const LONGEST: u128 = u32::MAX as u128;

/// See the module.
#[derive(Debug)]
pub(super) struct Guarded {
    /// *Q*: both the queue and the exchange.
    pub(super) queue: Text,
    /// *Q*`-gap`: both the queue and the exchange.
    pub(super) gap: Text,
    bounds: Bounds,
}

/// What a guarded queue may grow to.
#[derive(Debug)]
pub(super) struct Bounds {
    /// Messages that wait at most.
    pub(super) messages: usize,
    /// Bytes of their bodies at most.
    pub(super) bytes: Option<usize>,
    /// How long *Q* stays that nobody consumes from.
    pub(super) expires: Duration,
    /// How long *Q*`-gap` stays that nobody looks into.
    pub(super) gap_expires: Duration,
}

/// Which of the queues are there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct There {
    pub(super) queue: bool,
    pub(super) gap: bool,
}

impl Guarded {
    pub(super) fn new(queue: String, bounds: Bounds) -> Self {
        Self { gap: Text::from(format!("{queue}-gap")), queue: Text::from(queue), bounds }
    }

    /// Messages that wait at most.
    pub(super) const fn max_messages(&self) -> usize {
        self.bounds.messages
    }

    /// How long the queue of losses stays that nobody looks into.
    pub(super) const fn gap_expires(&self) -> Duration {
        self.bounds.gap_expires
    }

    /// Declares everything but the queues that are there, which may have been declared with other bounds;
    /// notes those that were `made`.
    pub(super) async fn declare(
        &self,
        amqp: &lapin::Channel,
        there: There,
        made: &mut There,
    ) -> lapin::Result<()> {
        let (queue, gap) = (&self.queue, &self.gap);
        let none = FieldTable::default();
        // What leads to the losses comes first: there is none without a trace.
        declare_exchange(amqp, gap, ExchangeKind::Fanout, none.clone()).await?;
        if !there.gap {
            let mut arguments = expires(self.bounds.gap_expires);
            arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(1));
            declare_queue(amqp, gap, arguments).await?;
            made.gap = true;
        }
        bind(amqp, gap, gap, none).await?;
        let arguments = table([("alternate-exchange", text(gap))]);
        declare_exchange(amqp, queue, ExchangeKind::Headers, arguments).await?;
        if !there.queue {
            declare_queue(amqp, queue, self.arguments()).await?;
            made.queue = true;
        }
        let expired_here = table([
            ("x-match", text("all-with-x")),
            ("x-first-death-queue", text(queue)),
            ("x-first-death-reason", text("expired")),
        ]);
        bind(amqp, queue, queue, expired_here).await
    }

    /// How *Q* is declared.
    fn arguments(&self) -> FieldTable {
        let mut arguments = expires(self.bounds.expires);
        for (name, value) in [
            ("x-max-length", AMQPValue::LongLongInt(bound(self.bounds.messages))),
            ("x-overflow", text("drop-head")),
            ("x-dead-letter-exchange", text(&self.queue)),
            ("x-single-active-consumer", AMQPValue::Boolean(true)),
        ] {
            arguments.insert(name.into(), value);
        }
        if let Some(bytes) = self.bounds.bytes {
            arguments.insert("x-max-length-bytes".into(), AMQPValue::LongLongInt(bound(bytes)));
        }
        arguments
    }

    /// Starts to consume.
    pub(super) async fn consume(
        &self,
        channel: &Channel,
        prefetch: u16,
        arguments: FieldTable,
    ) -> lapin::Result<Consumer> {
        let amqp = channel.amqp();
        amqp.basic_qos(prefetch, BasicQosOptions::default()).await?;
        let (queue, tag) = (self.queue.as_str().into(), CONSUMER_TAG.into());
        let options = BasicConsumeOptions::default();
        let stream = amqp.basic_consume(queue, tag, options, arguments).await?;
        Ok(Consumer::ending_with(channel.clone(), stream))
    }

    /// Deletes everything. What is not there any more is no error.
    pub(super) async fn delete(&self, amqp: &lapin::Channel) -> lapin::Result<()> {
        self.delete_only(amqp, There { queue: true, gap: true }).await
    }

    /// Deletes these queues, and their exchanges.
    pub(super) async fn delete_only(
        &self,
        amqp: &lapin::Channel,
        there: There,
    ) -> lapin::Result<()> {
        let names = [(&self.queue, there.queue), (&self.gap, there.gap)];
        let names = names.into_iter().filter_map(|(name, is_meant)| is_meant.then_some(name));
        // First: who declares it all anew meanwhile is to keep the exchanges.
        for name in names.clone() {
            delete_exchange(amqp, name).await?;
        }
        for name in names {
            amqp.queue_delete(name.as_str().into(), QueueDeleteOptions::default()).await?;
        }
        Ok(())
    }
}

/// Declares an exchange that goes with the last of its bindings, or with this run of the broker.
pub(super) async fn declare_exchange(
    amqp: &lapin::Channel,
    name: &Text,
    kind: ExchangeKind,
    arguments: FieldTable,
) -> lapin::Result<()> {
    let options = ExchangeDeclareOptions { auto_delete: true, ..Default::default() };
    amqp.exchange_declare(name.as_str().into(), kind, options, arguments).await
}

/// Deletes an exchange. If it is not there that is no error.
pub(super) async fn delete_exchange(amqp: &lapin::Channel, name: &Text) -> lapin::Result<()> {
    amqp.exchange_delete(name.as_str().into(), ExchangeDeleteOptions::default()).await
}

/// Declares a queue that outlives a restart of the broker.
pub(super) async fn declare_queue(
    amqp: &lapin::Channel,
    name: &Text,
    arguments: FieldTable,
) -> lapin::Result<()> {
    let options = QueueDeclareOptions { durable: true, ..Default::default() };
    amqp.queue_declare(name.as_str().into(), options, arguments).await.map(drop)
}

/// How many messages wait in a queue, if it is there. If not, the channel is closed.
pub(super) async fn find_queue(amqp: &lapin::Channel, name: &Text) -> lapin::Result<Option<u32>> {
    let options = QueueDeclareOptions { passive: true, ..Default::default() };
    let found = amqp.queue_declare(name.as_str().into(), options, FieldTable::default()).await;
    Ok(unless_missing(found)?.map(|queue| queue.message_count()))
}

/// Whether there is an exchange of this name. If not, the channel is closed.
pub(super) async fn is_exchange(amqp: &lapin::Channel, name: &Text) -> lapin::Result<bool> {
    let options = ExchangeDeclareOptions { passive: true, ..Default::default() };
    // RabbitMQ does not compare what it is not to declare.
    let (kind, none) = (ExchangeKind::default(), FieldTable::default());
    let found = amqp.exchange_declare(name.as_str().into(), kind, options, none).await;
    Ok(unless_missing(found)?.is_some())
}

fn unless_missing<T>(found: lapin::Result<T>) -> lapin::Result<Option<T>> {
    match found {
        Err(error) if broker_error(&error).kind == BrokerErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

/// Binds a queue to an exchange, with the empty key.
pub(super) async fn bind(
    amqp: &lapin::Channel,
    queue: &Text,
    exchange: &Text,
    arguments: FieldTable,
) -> lapin::Result<()> {
    let [queue, exchange] = [queue, exchange].map(|it| ShortString::from(it.as_str()));
    let options = QueueBindOptions::default();
    amqp.queue_bind(queue, exchange, ShortString::default(), options, arguments).await
}

/// How long a queue stays that nobody uses.
pub(super) fn expires(after: Duration) -> FieldTable {
    let milliseconds = after.as_millis().clamp(1, LONGEST);
    let milliseconds = i64::try_from(milliseconds).unwrap_or(i64::MAX);
    table([("x-expires", AMQPValue::LongLongInt(milliseconds))])
}

fn bound(most: usize) -> i64 {
    i64::try_from(most).unwrap_or(i64::MAX)
}

fn table<const N: usize>(entries: [(&str, AMQPValue); N]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert(name.into(), value);
    }
    table
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_one_that_rabbitmq_takes() {
        let milliseconds = |after| match expires(after).inner().get("x-expires") {
            Some(&AMQPValue::LongLongInt(milliseconds)) => milliseconds,
            other => panic!("a number was expected, not {other:?}"),
        };
        assert_eq!(milliseconds(Duration::ZERO), 1);
        assert_eq!(milliseconds(Duration::from_secs(60)), 60_000);
        assert_eq!(milliseconds(Duration::MAX), i64::from(u32::MAX));
    }
}
