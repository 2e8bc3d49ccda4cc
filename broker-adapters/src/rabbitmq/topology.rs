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
use protocols::broker::{Address, BrokerError, BrokerErrorKind, QueueOptions, Value};
use protocols::text::Text;

use super::Settings;
use super::error::broker_error;
use super::pool::{Channel, Lease, Side};
use super::properties::to_table;
use crate::refusals::{self, MAX_NAME};

/// Where a publish goes.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) exchange: Text,
    pub(super) key: Text,
    /// The queue that has to be there first.
    pub(super) declare: Option<Declaration>,
}

impl Target {
    /// `queue` says how the queue is declared, where it is.
    ///
    /// *Errors.* A name that AMQP cannot carry, or an argument.
    pub(super) fn of(
        to: Address,
        queue: Option<&QueueOptions>,
        settings: &Settings,
    ) -> Result<Self, BrokerError> {
        let (exchange, key, declare) = match to {
            Address::Topic(key) => (settings.topic_exchange.clone(), key, None),
            Address::Queue(name) => {
                let default = QueueOptions::default();
                let declaration = Declaration::lasting(&name, queue.unwrap_or(&default))?;
                (Text::default(), name, Some(declaration))
            }
            Address::ExistingQueue(name) | Address::Private(name) => (Text::default(), name, None),
            Address::Exchange { name, key } => (name, key, None),
        };
        fits(&exchange)?;
        fits(&key)?;
        if exchange.is_empty() {
            if key.is_empty() {
                return Err(refusals::empty_name());
            }
            refusals::check_reply_name(&key)?;
        }
        Ok(Self { exchange, key, declare })
    }
}

/// How a queue is declared (AMQP 0-9-1 `queue.declare`).
#[derive(Debug, Clone)]
pub(super) struct Declaration {
    pub(super) queue: Text,
    durable: bool,
    exclusive: bool,
    auto_delete: bool,
    arguments: FieldTable,
}

impl Declaration {
    /// A queue that is called so by those who use it.
    fn lasting(queue: &Text, options: &QueueOptions) -> Result<Self, BrokerError> {
        Ok(Self {
            queue: queue.clone(),
            durable: options.durable.unwrap_or(true),
            exclusive: options.exclusive.unwrap_or(false),
            auto_delete: options.auto_delete.unwrap_or(false),
            arguments: to_table(&options.arguments)?,
        })
    }

    /// The queue behind a topic or an exchange: private unless it has a name.
    fn bound(options: &QueueOptions, settings: &Settings) -> Result<Self, BrokerError> {
        let arguments = to_table(&options.arguments)?;
        let Some(queue) = options.name.clone() else {
            return Ok(Self { arguments, ..Self::private(private_name(settings)) });
        };
        Ok(Self {
            queue,
            durable: options.durable.unwrap_or(false),
            exclusive: options.exclusive.unwrap_or(false),
            auto_delete: options.auto_delete.unwrap_or(true),
            arguments,
        })
    }

    fn private(queue: Text) -> Self {
        let arguments = FieldTable::default();
        Self { queue, durable: false, exclusive: true, auto_delete: true, arguments }
    }

    /// Declares it. With `passive` it must be there.
    pub(super) async fn declare(&self, amqp: &lapin::Channel, passive: bool) -> lapin::Result<()> {
        let &Self { durable, exclusive, auto_delete, .. } = self;
        let options =
            QueueDeclareOptions { passive, durable, exclusive, auto_delete, nowait: false };
        let name = self.queue.as_str().into();
        amqp.queue_declare(name, options, self.arguments.clone()).await.map(drop)
    }
}

/// How a queue is bound (AMQP 0-9-1 `queue.bind`).
#[derive(Debug, Clone)]
struct Binding {
    exchange: Text,
    key: Text,
    arguments: FieldTable,
}

/// Everything needed to start the consumer of a subscription, and to start it again.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) queue: Text,
    /// `None`: the queue must exist.
    declaration: Option<Declaration>,
    binding: Option<Binding>,
    /// Nobody else knows the name of the queue.
    is_private: bool,
    arguments: FieldTable,
    prefetch: u16,
}

impl Plan {
    /// *Errors.* A name that AMQP cannot carry, or an argument.
    pub(super) fn new(
        from: Address,
        options: &QueueOptions,
        (arguments, prefetch): (&[(Text, Value)], u16),
        settings: &Settings,
    ) -> Result<Self, BrokerError> {
        let is_private = match &from {
            Address::Topic(_) | Address::Exchange { .. } => options.name.is_none(),
            // Others are told its name: that it is one link's alone has to be seen to.
            Address::Private(_) | Address::Queue(_) | Address::ExistingQueue(_) => false,
        };
        let bind = |exchange: Text, key: Text| -> Result<_, BrokerError> {
            fits(&exchange)?;
            fits(&key)?;
            let arguments = to_table(&options.binding)?;
            Ok((
                Some(Declaration::bound(options, settings)?),
                Some(Binding { exchange, key, arguments }),
            ))
        };
        let (declaration, binding, queue) = match from {
            Address::Topic(key) => {
                let (declaration, binding) = bind(settings.topic_exchange.clone(), key)?;
                (declaration, binding, None)
            }
            Address::Exchange { name, key } => {
                let (declaration, binding) = bind(name, key)?;
                (declaration, binding, None)
            }
            Address::Queue(name) => (Some(Declaration::lasting(&name, options)?), None, None),
            Address::Private(name) => (Some(Declaration::private(name)), None, None),
            Address::ExistingQueue(name) => (None, None, Some(name)),
        };
        let named = declaration.as_ref().map(|declaration| declaration.queue.clone());
        let queue = named.or(queue).unwrap_or_default();
        fits(&queue)?;
        if queue.is_empty() {
            return Err(refusals::empty_name());
        }
        refusals::check_reply_name(&queue)?;
        let arguments = to_table(arguments)?;
        Ok(Self { queue, declaration, binding, is_private, arguments, prefetch: prefetch.max(1) })
    }

    /// Whether the queue belongs to one link, and others might ask for it.
    pub(super) fn is_exclusive(&self) -> bool {
        !self.is_private && self.declaration.as_ref().is_some_and(|it| it.exclusive)
    }

    /// Why the subscription cannot outlive its connection, if it cannot: its queue goes with it.
    pub(super) fn lost_with_connection(&self) -> Option<BrokerError> {
        let goes = self.declaration.as_ref().is_some_and(|it| it.exclusive);
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
        match consumer.map_err(|error| broker_error(&error)) {
            Ok(consumer) => Ok((channel, consumer)),
            Err(error) => {
                if self.is_private && error.kind != BrokerErrorKind::Unavailable {
                    // It was declared and has no consumer that it would go with: it would stay for as
                    // long as the connection. If this fails it was not declared, or is gone with that.
                    drop(self.delete(lease).await);
                }
                Err(error)
            }
        }
    }

    /// Deletes the queue if it is exclusive, and belongs to the connection. It is declared once more
    /// for that: what only bears the name RabbitMQ would delete too, but not let be declared.
    pub(super) async fn delete_exclusive(&self, lease: &Lease) -> Result<(), BrokerError> {
        let Some(declaration) = self.declaration.as_ref().filter(|_| self.is_exclusive()) else {
            return Ok(());
        };
        let channel = lease.channel(Side::Consume).await?;
        let declared = declaration.declare(channel.amqp(), false).await;
        declared.map_err(|error| broker_error(&error))?;
        self.delete_on(channel.amqp()).await
    }

    /// Deletes the queue, whoever else uses it.
    pub(super) async fn delete(&self, lease: &Lease) -> Result<(), BrokerError> {
        let channel = lease.channel(Side::Consume).await?;
        self.delete_on(channel.amqp()).await
    }

    async fn delete_on(&self, amqp: &lapin::Channel) -> Result<(), BrokerError> {
        let deleted = amqp.queue_delete(self.queue.as_str().into(), QueueDeleteOptions::default());
        deleted.await.map(drop).map_err(|error| broker_error(&error))
    }

    async fn consume(&self, amqp: &lapin::Channel, again: bool) -> lapin::Result<lapin::Consumer> {
        let queue = self.queue.as_str();
        if let Some(declaration) = &self.declaration {
            let lasts = declaration.durable && !declaration.auto_delete;
            declaration.declare(amqp, again && !lasts).await?;
        }
        if let Some(Binding { exchange, key, arguments }) = &self.binding {
            let (exchange, key) = (exchange.as_str().into(), key.as_str().into());
            let options = QueueBindOptions::default();
            amqp.queue_bind(queue.into(), exchange, key, options, arguments.clone()).await?;
        }
        amqp.basic_qos(self.prefetch, BasicQosOptions::default()).await?;
        let options = BasicConsumeOptions::default();
        let arguments = self.arguments.clone();
        amqp.basic_consume(queue.into(), CONSUMER_TAG.into(), options, arguments).await
    }
}

/// A channel has one consumer, so they can all be called the same.
pub(super) const CONSUMER_TAG: &str = "gateway";

/// Declares a queue for those who publish to it, on a channel that is closed afterwards.
pub(super) async fn declare(lease: &Lease, queue: &Declaration) -> Result<(), BrokerError> {
    let channel = lease.channel(Side::Consume).await?;
    queue.declare(channel.amqp(), false).await.map_err(|error| broker_error(&error))
}

/// *Errors.* AMQP cannot carry such a name.
pub(super) fn fits(name: &Text) -> Result<(), BrokerError> {
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
            let Target { exchange, key, declare } = Target::of(to, None, &settings).unwrap();
            (exchange.to_string(), key.to_string(), declare.map(|it| it.queue.to_string()))
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
                let error = Target::of(to, None, &settings).unwrap_err();
                assert_eq!(error.kind, BrokerErrorKind::PreconditionFailed);
            }
            for from in [Address::Queue(name.into()), Address::ExistingQueue(name.into())] {
                let error =
                    Plan::new(from, &QueueOptions::default(), (&[], 1), &settings).unwrap_err();
                assert_eq!(error.kind, BrokerErrorKind::PreconditionFailed);
            }
            assert!(Target::of(Address::Topic(name.into()), None, &settings).is_ok());
        }
    }

    #[test]
    fn names_that_amqp_cannot_carry_are_refused() {
        let settings = Settings::default();
        let long = Text::from("n".repeat(256));
        for to in [Address::Topic(long.clone()), Address::Queue(long)] {
            let error = Target::of(to.clone(), None, &settings).unwrap_err();
            assert_eq!(error.kind, BrokerErrorKind::PreconditionFailed);
            let error = Plan::new(to, &QueueOptions::default(), (&[], 1), &settings).unwrap_err();
            assert_eq!(error.kind, BrokerErrorKind::PreconditionFailed);
        }
        for to in [Address::Queue(Text::default()), Address::ExistingQueue(Text::default())] {
            assert!(Target::of(to.clone(), None, &settings).is_err());
            assert!(Plan::new(to, &QueueOptions::default(), (&[], 1), &settings).is_err());
        }
    }
}
