//! [`Inbox`]: a queue for many topics that outlives the connection it was opened on, and never loses
//! a message without a word.
//!
//! | object | what for |
//! |---|---|
//! | queue *Q* | collects: durable, bounded, gone when nobody has consumed from it for `inbox_expires` |
//! | headers exchange *Q* | where RabbitMQ sends what goes from *Q* otherwise than to its consumer |
//! | fanout exchange *Q*`-gap` | where of that arrives what did not fit into *Q* |
//! | queue *Q*`-gap` | keeps one such message, until whoever owns the inbox sees it |
//!
//! *Names* begin as those of other queues that the gateway makes, so that a user needs no other
//! rights, and go on with 128 random bits: nobody finds an inbox who was not told. So they are not
//! told to clients.
//!
//! *Losses.* A full *Q* drops its oldest message, through both exchanges into *Q*`-gap`. Messages that
//! expired by their publisher's wish are dead-lettered likewise, but are no loss: the headers exchange
//! leads them back to *Q*, where RabbitMQ ends their round for what it is (a "cycle", which it logs
//! once for each inbox). What has expired elsewhere before is not led back, as it has no expiration any
//! more. Both exchanges are transient, and nobody declares them a second time: if one of them is missing,
//! the broker was restarted, and *Q* may have lost what was not persistent. They go with the last of
//! their bindings, that is, with the queues.
//!
//! *Order.* One consumer at a time is active: whoever comes back after a loss of the connection is
//! served once RabbitMQ has seen the end of the old one, and has put back what that had. An inbox ends
//! by the deletion of its queue: `basic.cancel` of the active consumer, while another waits for its
//! turn, would end the process of the queue in RabbitMQ 3.10.
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
use protocols::broker::{BrokerError, BrokerErrorKind};
use protocols::text::Text;

use super::Settings;
use super::error::broker_error;
use super::losses::Losses;
use super::pool::{Channel, Lease, Side};
use super::subscription::Started;
use super::topology::CONSUMER_TAG;

/// See the module.
#[derive(Debug)]
pub(super) struct Inbox {
    /// Both the queue and the exchange.
    queue: Text,
    /// Both the queue and the exchange.
    gap: Text,
    prefetch: u16,
    expires: Duration,
    max_length: i64,
}

impl Inbox {
    /// *Errors.* The operating system gives no random bytes.
    pub(super) fn new(prefetch: u16, settings: &Settings) -> Result<Self, BrokerError> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|error| {
            let text = format!("no name for an inbox: {error}");
            BrokerError::new(BrokerErrorKind::ResourceError, text)
        })?;
        let random = u128::from_ne_bytes(random);
        let queue = format!("{}inbox-{random:032x}", settings.queue_prefix);
        Ok(Self {
            gap: Text::from(format!("{queue}-gap")),
            queue: Text::from(queue),
            prefetch: prefetch.max(1),
            expires: settings.inbox_expires,
            max_length: i64::try_from(settings.inbox_messages).unwrap_or(i64::MAX),
        })
    }

    /// The queue that is bound to topics.
    pub(super) const fn queue(&self) -> &Text {
        &self.queue
    }

    /// Declares everything, and starts to consume. Whatever is refused closes no other channel.
    pub(super) async fn open(&self, lease: &Lease) -> Result<Started, BrokerError> {
        let channel = lease.channel(Side::Consume).await?;
        let declared = self.declare(channel.amqp()).await;
        declared.map_err(|error| broker_error(&error))?;
        self.consume(channel).await
    }

    /// Starts to consume again, on another connection.
    ///
    /// *Errors.* The outer one is of the attempt, the inner one says that messages may have been lost:
    /// that is not to be tried again.
    pub(super) async fn attach_again(
        &self,
        lease: &Lease,
    ) -> Result<Result<Started, BrokerError>, BrokerError> {
        let channel = lease.channel(Side::Consume).await?;
        let found = self.find_loss(channel.amqp()).await;
        if let Some(loss) = found.map_err(|error| broker_error(&error))? {
            return Ok(Err(loss));
        }
        match self.consume(channel).await {
            // It was there just now.
            Err(error) if error.kind == BrokerErrorKind::NotFound => Ok(Err(Self::gone())),
            started => started.map(Ok),
        }
    }

    /// Deletes everything. What is not there any more is no error.
    pub(super) async fn delete(&self, lease: &Lease) -> Result<(), BrokerError> {
        let channel = lease.channel(Side::Consume).await?;
        let deleted = self.delete_on(channel.amqp()).await;
        deleted.map_err(|error| broker_error(&error))
    }

    /// Why a subscription ends whose inbox is gone.
    pub(super) fn gone() -> BrokerError {
        BrokerError::new(
            BrokerErrorKind::NotFound,
            "the broker no longer has the queue of this subscription: messages may have been \
             missed; subscribe again",
        )
    }

    fn restarted() -> BrokerError {
        BrokerError::new(
            BrokerErrorKind::Unavailable,
            "the broker was restarted while the connection to it was lost: messages may have been \
             missed; subscribe again",
        )
    }

    /// Why a subscription ends whose inbox has lost messages.
    pub(super) fn overflowed(&self) -> BrokerError {
        let text = format!(
            "more than {} messages waited for this subscription, and the oldest were dropped: \
             messages may have been missed; subscribe again",
            self.max_length
        );
        BrokerError::new(BrokerErrorKind::Unavailable, text)
    }

    async fn declare(&self, amqp: &lapin::Channel) -> lapin::Result<()> {
        let (queue, gap) = (&self.queue, &self.gap);
        let none = FieldTable::default();
        // What leads to the losses comes first: there is none without a trace.
        declare_exchange(amqp, gap, ExchangeKind::Fanout, none.clone()).await?;
        let mut arguments = self.lifetime();
        arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(1));
        declare_queue(amqp, gap, arguments).await?;
        bind(amqp, gap, none).await?;
        let arguments = table([("alternate-exchange", text(gap))]);
        declare_exchange(amqp, queue, ExchangeKind::Headers, arguments).await?;
        let mut arguments = self.lifetime();
        for (name, value) in [
            ("x-max-length", AMQPValue::LongLongInt(self.max_length)),
            ("x-overflow", text("drop-head")),
            ("x-dead-letter-exchange", text(queue)),
            ("x-single-active-consumer", AMQPValue::Boolean(true)),
        ] {
            arguments.insert(name.into(), value);
        }
        declare_queue(amqp, queue, arguments).await?;
        let expired_here = table([
            ("x-match", text("all-with-x")),
            ("x-first-death-queue", text(queue)),
            ("x-first-death-reason", text("expired")),
        ]);
        bind(amqp, queue, expired_here).await
    }

    /// Whether messages may have been lost, and why.
    async fn find_loss(&self, amqp: &lapin::Channel) -> lapin::Result<Option<BrokerError>> {
        if find_queue(amqp, &self.queue).await?.is_none() {
            return Ok(Some(Self::gone()));
        }
        for name in [&self.queue, &self.gap] {
            if !is_exchange(amqp, name).await? {
                return Ok(Some(Self::restarted()));
            }
        }
        Ok(match find_queue(amqp, &self.gap).await? {
            None => Some(Self::gone()),
            Some(0) => None,
            Some(_) => Some(self.overflowed()),
        })
    }

    async fn consume(&self, channel: Channel) -> Result<Started, BrokerError> {
        let amqp = channel.amqp();
        let started = async {
            amqp.basic_qos(self.prefetch, BasicQosOptions::default()).await?;
            let (queue, tag) = (self.queue.as_str().into(), CONSUMER_TAG.into());
            let options = BasicConsumeOptions::default();
            amqp.basic_consume(queue, tag, options, FieldTable::default()).await
        };
        let consumer = started.await.map_err(|error| broker_error(&error))?;
        let losses = Losses::new(channel.clone(), self.gap.clone(), self.expires);
        Ok(Started { channel, consumer, losses: Some(losses) })
    }

    async fn delete_on(&self, amqp: &lapin::Channel) -> lapin::Result<()> {
        for name in [&self.queue, &self.gap] {
            amqp.queue_delete(name.as_str().into(), QueueDeleteOptions::default()).await?;
        }
        // They have gone with the queues, unless they were never bound.
        for name in [&self.queue, &self.gap] {
            amqp.exchange_delete(name.as_str().into(), ExchangeDeleteOptions::default()).await?;
        }
        Ok(())
    }

    /// How long the queues stay that nobody consumes from.
    fn lifetime(&self) -> FieldTable {
        let milliseconds = i64::try_from(self.expires.as_millis()).unwrap_or(i64::MAX);
        table([("x-expires", AMQPValue::LongLongInt(milliseconds))])
    }
}

async fn declare_exchange(
    amqp: &lapin::Channel,
    name: &Text,
    kind: ExchangeKind,
    arguments: FieldTable,
) -> lapin::Result<()> {
    let options = ExchangeDeclareOptions { auto_delete: true, ..Default::default() };
    amqp.exchange_declare(name.as_str().into(), kind, options, arguments).await
}

async fn declare_queue(
    amqp: &lapin::Channel,
    name: &Text,
    arguments: FieldTable,
) -> lapin::Result<()> {
    let options = QueueDeclareOptions { durable: true, ..Default::default() };
    amqp.queue_declare(name.as_str().into(), options, arguments).await.map(drop)
}

/// How many messages wait in a queue, if it is there. If not, the channel is closed.
async fn find_queue(amqp: &lapin::Channel, name: &Text) -> lapin::Result<Option<u32>> {
    let options = QueueDeclareOptions { passive: true, ..Default::default() };
    let found = amqp.queue_declare(name.as_str().into(), options, FieldTable::default()).await;
    Ok(unless_missing(found)?.map(|queue| queue.message_count()))
}

/// Whether there is an exchange of this name. If not, the channel is closed.
async fn is_exchange(amqp: &lapin::Channel, name: &Text) -> lapin::Result<bool> {
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

/// Binds a queue to the exchange of the same name.
async fn bind(amqp: &lapin::Channel, name: &Text, arguments: FieldTable) -> lapin::Result<()> {
    let name = ShortString::from(name.as_str());
    let options = QueueBindOptions::default();
    amqp.queue_bind(name.clone(), name, ShortString::default(), options, arguments).await
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
    fn every_inbox_has_a_name_of_its_own_that_amqp_can_carry() {
        let settings = Settings { queue_prefix: "n".repeat(128).into(), ..Settings::default() };
        let inboxes = [(); 100].map(|()| Inbox::new(1, &settings).unwrap());
        let names: std::collections::BTreeSet<_> = inboxes.iter().map(Inbox::queue).collect();
        assert_eq!(names.len(), 100);
        for inbox in inboxes {
            assert!(inbox.queue.starts_with(&format!("{}inbox-", settings.queue_prefix)));
            assert!(inbox.gap.len() <= crate::refusals::MAX_NAME);
        }
    }
}
