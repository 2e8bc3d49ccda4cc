//! [`Session`]: the marker of a resumable session.
//!
//! A durable queue that nothing is sent to. The link that has the session consumes from it, exclusively;
//! without a consumer it goes after the session's lifetime (`x-expires`). Whoever goes on with the session
//! deletes the queue, by which RabbitMQ cancels the consumer of who had it, and declares it anew.
//!
//! *Owners.* Each link declares the marker with a bound on its length that no other uses, and RabbitMQ
//! refuses to declare a queue again that has another bound: so a link that comes back after a loss of
//! its connection knows whether the marker is still its own. If it is, and RabbitMQ says that somebody
//! consumes from it, that is the link itself, on the connection that was lost: RabbitMQ has not noticed
//! yet, and will.
//!
//! *Names* are told to nobody: who knows that of a session could have it.
//!
//! A marker is deleted at the end of a session only if nobody consumes from it, so that who takes over just
//! then keeps it.
//!
//! *Not kept.* A session whose link is lost between the deletion of the marker and its declaration, or
//! that somebody else asks for just then, is not found any more.
//!
//! *Spec.* AMQP 0-9-1 `basic.consume` (exclusive), `queue.declare`; RabbitMQ: consumer cancel
//! notification, `x-expires`.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lapin::options::{BasicConsumeOptions, BasicQosOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use protocols::broker::{BrokerError, BrokerErrorKind};
use protocols::text::Text;
use tokio::sync::Mutex;

use super::Settings;
use super::consumer::Consumer;
use super::error::broker_error;
use super::guarded::{declare_queue, expires, find_queue};
use super::lasting::{discreet, queue_name};
use super::pool::{Channel, Lease, Side};
use super::subscription::{News, Started};
use super::topology::{CONSUMER_TAG, fits};
use crate::refusals;

/// See the module.
#[derive(Debug)]
pub(super) struct Session {
    known: Option<Text>,
    fresh: Text,
    lifetime: Duration,
    /// The bound on the marker's length.
    owner: i64,
    /// The marker that was settled on, one of `known` and `fresh`. Set before it is touched.
    marker: OnceLock<Text>,
    /// This link has declared it.
    is_declared: AtomicBool,
    /// Once this link has ended the session: whether it was its own until then. Whoever looks for the
    /// marker holds the lock, so that it is not declared again after its deletion.
    ended: Mutex<Option<bool>>,
}

impl Session {
    /// *Errors.* A name that AMQP cannot carry; the operating system gives no random bytes.
    pub(super) fn new(
        known: Option<&Text>,
        fresh: &Text,
        lifetime: Duration,
        settings: &Settings,
    ) -> Result<Self, BrokerError> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|error| {
            let text = format!("no owner for a session: {error}");
            BrokerError::new(BrokerErrorKind::ResourceError, text)
        })?;
        let owner = i64::from_ne_bytes(random) & i64::MAX;
        let name = |name: &Text| Text::from(queue_name(name, settings));
        let (known, fresh) = (known.map(name), name(fresh));
        known.iter().chain([&fresh]).try_for_each(fits)?;
        Ok(Self {
            known,
            fresh,
            lifetime,
            owner,
            marker: OnceLock::new(),
            is_declared: AtomicBool::new(false),
            ended: Mutex::default(),
        })
    }

    /// Goes on with the session that is known, or begins the fresh one. An attempt that did not come to
    /// its end is taken up where it was.
    pub(super) async fn resume(&self, lease: &Lease) -> Result<Started, BrokerError> {
        let marker = match self.marker.get() {
            Some(marker) => marker,
            None => {
                let found = self.find(lease).await?;
                self.marker.get_or_init(|| found.clone())
            }
        };
        let found = Some(marker) == self.known.as_ref();
        let channel = lease.channel(Side::Consume).await?;
        let was_declared = self.is_declared.load(Ordering::Relaxed);
        if !was_declared {
            delete_queue(channel.amqp(), marker, false).await?;
        }
        let started = self.consume(channel, marker).await;
        let started = started.map_err(|error| match error.kind {
            BrokerErrorKind::PreconditionFailed if was_declared => Self::taken_over(),
            // Somebody else resumes just now: who comes last has it.
            BrokerErrorKind::PreconditionFailed => unavailable(error),
            _ => error,
        });
        Ok(Started { news: Some(News::Resumed { found }), ..started? })
    }

    /// The marker of the session that is known, if it is there; otherwise the fresh one.
    async fn find(&self, lease: &Lease) -> Result<&Text, BrokerError> {
        let Some(known) = &self.known else {
            return Ok(&self.fresh);
        };
        let channel = lease.channel(Side::Consume).await?;
        let found = find_queue(channel.amqp(), known).await;
        let found = found.map_err(|error| discreet(broker_error(&error), known))?;
        Ok(found.map_or(&self.fresh, |_| known))
    }

    /// Goes on after a loss of the connection.
    ///
    /// *Errors.* `ResourceLocked`: another link has the session.
    pub(super) async fn attach_again(&self, lease: &Lease) -> Result<Started, BrokerError> {
        let channel = lease.channel(Side::Consume).await?;
        let started = self.consume(channel, self.marker.get().unwrap_or(&self.fresh)).await;
        started.map_err(|error| match error.kind {
            BrokerErrorKind::PreconditionFailed => Self::taken_over(),
            _ => error,
        })
    }

    /// Declares the marker, if it is not there, and starts to consume.
    ///
    /// *Errors.* `PreconditionFailed`: the marker is another link's.
    async fn consume(&self, channel: Channel, marker: &Text) -> Result<Started, BrokerError> {
        let amqp = channel.amqp();
        self.declare(amqp, marker).await?;
        let options = BasicConsumeOptions { exclusive: true, ..Default::default() };
        let consuming = async {
            // Whatever somebody sends to it nevertheless stays where it is.
            amqp.basic_qos(1, BasicQosOptions::default()).await?;
            let (queue, tag) = (marker.as_str().into(), CONSUMER_TAG.into());
            amqp.basic_consume(queue, tag, options, FieldTable::default()).await
        };
        let consumer = consuming.await.map_err(|error| {
            let error = broker_error(&error);
            let is_in_use = error.text.contains("exclusive use");
            if is_in_use || error.kind == BrokerErrorKind::NotFound {
                // It is this link itself, on a connection that was lost; or somebody takes over.
                return unavailable(discreet(error, marker));
            }
            discreet(error, marker)
        })?;
        let consumer = Consumer::ending_with(channel.clone(), consumer);
        Ok(Started { channel, consumer, losses: None, news: None })
    }

    async fn declare(&self, amqp: &lapin::Channel, marker: &Text) -> Result<(), BrokerError> {
        let mut arguments = expires(self.lifetime);
        arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(self.owner));
        let declared = declare_queue(amqp, marker, arguments).await;
        declared.map_err(|error| discreet(broker_error(&error), marker))?;
        self.is_declared.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Whether no other link has the session, or had it when this one ended it.
    pub(super) async fn is_ours(&self, lease: &Lease) -> Result<bool, BrokerError> {
        let ended = self.ended.lock().await;
        match (*ended, self.marker.get()) {
            (Some(was_ours), _) => Ok(was_ours),
            (None, None) => Ok(true),
            (None, Some(marker)) => {
                let channel = lease.channel(Side::Consume).await?;
                self.owns(channel.amqp(), marker).await
            }
        }
    }

    /// Deletes the marker, unless another link has the session.
    pub(super) async fn delete(&self, lease: &Lease) -> Result<(), BrokerError> {
        let mut ended = self.ended.lock().await;
        let (None, Some(marker)) = (*ended, self.marker.get()) else {
            return Ok(());
        };
        let channel = lease.channel(Side::Consume).await?;
        let is_ours = self.owns(channel.amqp(), marker).await?;
        if is_ours {
            // Who has it now, if somebody was faster, consumes from it.
            delete_queue(channel.amqp(), marker, true).await.map_err(|error| match error.kind {
                BrokerErrorKind::PreconditionFailed => unavailable(error),
                _ => error,
            })?;
        }
        *ended = Some(is_ours);
        Ok(())
    }

    async fn owns(&self, amqp: &lapin::Channel, marker: &Text) -> Result<bool, BrokerError> {
        match self.declare(amqp, marker).await {
            Ok(()) => Ok(true),
            Err(error) if error.kind == BrokerErrorKind::PreconditionFailed => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Why a link loses its session.
    pub(super) fn taken_over() -> BrokerError {
        refusals::session_taken_over()
    }
}

async fn delete_queue(
    amqp: &lapin::Channel,
    marker: &Text,
    if_unused: bool,
) -> Result<(), BrokerError> {
    let options = QueueDeleteOptions { if_unused, ..Default::default() };
    let deleted = amqp.queue_delete(marker.as_str().into(), options).await;
    deleted.map(drop).map_err(|error| discreet(broker_error(&error), marker))
}

fn unavailable(error: BrokerError) -> BrokerError {
    BrokerError::new(BrokerErrorKind::Unavailable, error.text)
}
