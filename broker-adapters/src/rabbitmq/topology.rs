//! From addresses of the port to exchanges, queues and bindings (AMQP 0-9-1 §3.1).
//!
//! Names are checked here first, for what RabbitMQ would close a connection for. Everything else
//! is RabbitMQ's to refuse, on a channel that only the asking subscription has.

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use lapin::options::{
    BasicConsumeOptions, BasicQosOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::FieldTable;
use protocols::broker::{Address, BrokerError, BrokerErrorKind, QueueOptions};
use protocols::text::Text;

use super::Settings;
use super::error::broker_error;
use super::pool::{Channel, Lease, Side};
use crate::refusals::{self, MAX_NAME};

/// Where a publish goes.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) exchange: Text,
    pub(super) key: Text,
    /// The queue that has to be there first.
    pub(super) declare: Option<Text>,
}

impl Target {
    /// *Errors.* A name that AMQP cannot carry.
    pub(super) fn of(to: Address, settings: &Settings) -> Result<Self, BrokerError> {
        let target = match to {
            Address::Topic(key) => {
                Self { exchange: settings.topic_exchange.clone(), key, declare: None }
            }
            Address::Queue(name) => {
                Self { exchange: Text::default(), key: name.clone(), declare: Some(name) }
            }
            Address::ExistingQueue(name) => {
                Self { exchange: Text::default(), key: name, declare: None }
            }
            Address::Exchange { name, key } => Self { exchange: name, key, declare: None },
        };
        fits(&target.exchange)?;
        fits(&target.key)?;
        if target.exchange.is_empty() {
            if target.key.is_empty() {
                return Err(refusals::empty_name());
            }
            refusals::check_reply_name(&target.key)?;
        }
        Ok(target)
    }
}

/// What a subscription takes from, and how that is declared.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// A queue of its own, bound to an exchange; gone with the consumer or its connection.
    Private { exchange: Text, key: Text },
    /// A queue that is declared on first use.
    Declared { durable: bool, exclusive: bool, auto_delete: bool },
    /// A queue that must exist.
    Existing,
}

/// Everything needed to start the consumer of a subscription, and to start it again.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) queue: Text,
    pub(super) source: Source,
    pub(super) prefetch: u16,
}

impl Plan {
    /// *Errors.* A name that AMQP cannot carry.
    pub(super) fn new(
        from: Address,
        options: QueueOptions,
        prefetch: u16,
        settings: &Settings,
    ) -> Result<Self, BrokerError> {
        let (queue, source) = match from {
            Address::Topic(key) => {
                let exchange = settings.topic_exchange.clone();
                (private_name(settings), Source::Private { exchange, key })
            }
            Address::Exchange { name: exchange, key } => {
                (private_name(settings), Source::Private { exchange, key })
            }
            Address::Queue(name) => {
                let source = Source::Declared {
                    durable: options.durable.unwrap_or(true),
                    exclusive: options.exclusive.unwrap_or(false),
                    auto_delete: options.auto_delete.unwrap_or(false),
                };
                (name, source)
            }
            Address::ExistingQueue(name) => (name, Source::Existing),
        };
        fits(&queue)?;
        if let Source::Private { exchange, key } = &source {
            fits(exchange)?;
            fits(key)?;
        }
        if queue.is_empty() {
            return Err(refusals::empty_name());
        }
        refusals::check_reply_name(&queue)?;
        Ok(Self { queue, source, prefetch: prefetch.max(1) })
    }

    /// Whether the queue belongs to the connection that declares it, because the client wants so.
    pub(super) fn is_exclusive(&self) -> bool {
        matches!(self.source, Source::Declared { exclusive: true, .. })
    }

    /// Why the subscription cannot outlive its connection, if it cannot: its queue goes with it.
    pub(super) fn lost_with_connection(&self) -> Option<BrokerError> {
        let goes = self.is_exclusive() || matches!(self.source, Source::Private { .. });
        goes.then(|| {
            BrokerError::new(
                BrokerErrorKind::Unavailable,
                "the connection to the broker was lost, and with it the queue of this \
                 subscription: messages may have been missed; subscribe again",
            )
        })
    }

    /// Starts the consumer on a channel of its own. Whatever is refused closes that channel only.
    ///
    /// With `again`, the subscription ran before on a connection that was lost: a queue that was not
    /// made to last is not declared anew, for if it is gone it took messages along.
    pub(super) async fn attach(
        &self,
        lease: &Lease,
        again: bool,
    ) -> Result<(Channel, lapin::Consumer), BrokerError> {
        let channel = lease.channel(Side::Consume).await?;
        let consumer = self.consume(channel.amqp(), again).await;
        let consumer = consumer.map_err(|error| broker_error(&error))?;
        Ok((channel, consumer))
    }

    /// Deletes the queue if it is exclusive, and belongs to the connection. It is declared once more
    /// for that: what only bears the name RabbitMQ would delete too, but not let be declared.
    pub(super) async fn delete(&self, lease: &Lease) -> Result<(), BrokerError> {
        let &Source::Declared { durable, exclusive: true, auto_delete } = &self.source else {
            return Ok(());
        };
        let channel = lease.channel(Side::Consume).await?;
        let (amqp, queue) = (channel.amqp(), self.queue.as_str());
        let options = declaration(durable, true, auto_delete);
        let declared = amqp.queue_declare(queue.into(), options, FieldTable::default()).await;
        declared.map_err(|error| broker_error(&error))?;
        let deleted = amqp.queue_delete(queue.into(), QueueDeleteOptions::default()).await;
        deleted.map(drop).map_err(|error| broker_error(&error))
    }

    async fn consume(&self, amqp: &lapin::Channel, again: bool) -> lapin::Result<lapin::Consumer> {
        let queue = self.queue.as_str();
        match &self.source {
            Source::Private { exchange, key } => {
                let own = declaration(false, true, true);
                amqp.queue_declare(queue.into(), own, FieldTable::default()).await?;
                let (exchange, key) = (exchange.as_str().into(), key.as_str().into());
                let options = QueueBindOptions::default();
                amqp.queue_bind(queue.into(), exchange, key, options, FieldTable::default())
                    .await?;
            }
            &Source::Declared { durable, exclusive, auto_delete } => {
                let passive = again && (auto_delete || !durable);
                let options =
                    QueueDeclareOptions { passive, ..declaration(durable, exclusive, auto_delete) };
                amqp.queue_declare(queue.into(), options, FieldTable::default()).await?;
            }
            Source::Existing => {}
        }
        amqp.basic_qos(self.prefetch, BasicQosOptions::default()).await?;
        let options = BasicConsumeOptions::default();
        amqp.basic_consume(queue.into(), CONSUMER_TAG.into(), options, FieldTable::default()).await
    }
}

/// A channel has one consumer, so they can all be called the same.
pub(super) const CONSUMER_TAG: &str = "gateway";

/// Declares a queue for those who publish to it, on a channel that is closed afterwards.
pub(super) async fn declare(lease: &Lease, queue: &Text) -> Result<(), BrokerError> {
    let channel = lease.channel(Side::Consume).await?;
    let options = declaration(true, false, false);
    let declared =
        channel.amqp().queue_declare(queue.as_str().into(), options, FieldTable::default());
    declared.await.map(drop).map_err(|error| broker_error(&error))
}

fn declaration(durable: bool, exclusive: bool, auto_delete: bool) -> QueueDeclareOptions {
    QueueDeclareOptions { durable, exclusive, auto_delete, passive: false, nowait: false }
}

fn fits(name: &Text) -> Result<(), BrokerError> {
    if name.len() > MAX_NAME { Err(refusals::name_too_long(name.len())) } else { Ok(()) }
}

/// A name that no other queue has: random for this process, then counted.
fn private_name(settings: &Settings) -> Text {
    static PROCESS: OnceLock<u64> = OnceLock::new();
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let process = PROCESS.get_or_init(|| RandomState::new().hash_one(std::process::id()));
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    Text::from(format!("{}{process:016x}-{count}", settings.queue_prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_private_queue_has_a_name_of_its_own() {
        let settings = Settings::default();
        let names: std::collections::BTreeSet<_> =
            (0..100).map(|_| private_name(&settings)).collect();
        assert_eq!(names.len(), 100);
        assert!(names.iter().all(|name| name.starts_with("stomp-subscription-gw-")));
    }

    #[test]
    fn a_publish_names_an_exchange_and_a_key() {
        let settings = Settings::default();
        let target = |to| {
            let Target { exchange, key, declare } = Target::of(to, &settings).unwrap();
            (exchange.to_string(), key.to_string(), declare.map(|name| name.to_string()))
        };
        let text = |text: &str| text.to_owned();
        assert_eq!(target(Address::Topic("a.b".into())), (text("amq.topic"), text("a.b"), None));
        assert_eq!(target(Address::Queue("q".into())), (text(""), text("q"), Some(text("q"))));
        assert_eq!(target(Address::ExistingQueue("q".into())), (text(""), text("q"), None));
    }

    #[test]
    fn direct_reply_to_is_refused_wherever_rabbitmq_would_take_it_for_that() {
        let settings = Settings::default();
        for name in ["amq.rabbitmq.reply-to", "amq.rabbitmq.reply-to.AAAA.x"] {
            let default = Address::Exchange { name: Text::default(), key: name.into() };
            for to in [Address::Queue(name.into()), Address::ExistingQueue(name.into()), default] {
                let error = Target::of(to, &settings).unwrap_err();
                assert_eq!(error.kind, BrokerErrorKind::PreconditionFailed);
            }
            for from in [Address::Queue(name.into()), Address::ExistingQueue(name.into())] {
                let error = Plan::new(from, QueueOptions::default(), 1, &settings).unwrap_err();
                assert_eq!(error.kind, BrokerErrorKind::PreconditionFailed);
            }
            assert!(Target::of(Address::Topic(name.into()), &settings).is_ok());
        }
    }

    #[test]
    fn names_that_amqp_cannot_carry_are_refused() {
        let settings = Settings::default();
        let long = Text::from("n".repeat(256));
        for to in [Address::Topic(long.clone()), Address::Queue(long)] {
            let error = Target::of(to.clone(), &settings).unwrap_err();
            assert_eq!(error.kind, BrokerErrorKind::PreconditionFailed);
            let error = Plan::new(to, QueueOptions::default(), 1, &settings).unwrap_err();
            assert_eq!(error.kind, BrokerErrorKind::PreconditionFailed);
        }
        for to in [Address::Queue(Text::default()), Address::ExistingQueue(Text::default())] {
            assert!(Target::of(to.clone(), &settings).is_err());
            assert!(Plan::new(to, QueueOptions::default(), 1, &settings).is_err());
        }
    }
}
