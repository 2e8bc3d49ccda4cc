//! [`Lasting`]: the queue of a lasting subscription, which whoever resumes its session goes on with.
//!
//! It is a [guarded](super::guarded) queue *Q*, bound to one topic or exchange, under the name that the
//! session gives it. Nobody deletes it but by an unsubscribe: else RabbitMQ does, when nobody has
//! consumed for its lifetime. *Q*`-gap` stays more than twice as long, so that who comes too late is
//! told so.
//!
//! *Gaps.* Messages may have been lost if *Q* has gone and *Q*`-gap` has not, if the broker was restarted,
//! or if something is in *Q*`-gap`. Then what is missing is declared anew, *Q*`-gap` is emptied, and the
//! subscription goes on. That is not to make RabbitMQ forget the loss before it is settled: a third
//! transient exchange, *Q*`-told`, is there for as long as there is no loss that was not. It is deleted
//! before anything is mended, and declared again once the first delivery that followed the gap is
//! settled; whoever does not find it has a gap. It is bound to *Q*, gets no messages, and goes with *Q*,
//! or with this run of the broker, which are losses themselves.
//!
//! *Cost.* An exchange is an entry in a table: a queue that says the opposite would be a process, and who
//! looks for what is rarely there loses a channel by it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lapin::ExchangeKind;
use lapin::options::{QueueBindOptions, QueuePurgeOptions};
use lapin::types::FieldTable;
use protocols::broker::{self, Address, BrokerError, BrokerErrorKind, QueueOptions, Value};
use protocols::text::Text;

use super::Settings;
use super::consumer::Consumer;
use super::error::broker_error;
use super::guarded::{
    Bounds, Guarded, There, bind, declare_exchange, delete_exchange, find_queue, is_exchange,
};
use super::losses::Losses;
use super::pool::{Channel, Lease, Side};
use super::properties::to_table;
use super::session::Session;
use super::subscription::{News, Started};
use super::topology::fits;
use crate::refusals;

/// What the names of all queues of sessions begin with, after `queue_prefix`.
const MARK: &str = "resume-";

/// How much longer than its queue's lifetime twice over the queue of losses stays.
const SPARE: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug)]
pub(super) struct Lasting {
    /// What it belongs to.
    session: Arc<Session>,
    guarded: Guarded,
    /// The exchange that is there unless there is a loss to tell of.
    told: Text,
    exchange: Text,
    key: Text,
    binding: FieldTable,
    /// Of the consumer.
    arguments: FieldTable,
    prefetch: u16,
    /// There was nothing of it, so nothing can have been lost. Cleared once it runs.
    is_new: AtomicBool,
    /// It was tried before to start it, and the session may be another link's by now.
    was_tried: AtomicBool,
}

impl Lasting {
    /// *Errors.* An address without a queue of the subscription's own; a name that AMQP cannot carry, or
    /// an argument.
    pub(super) fn new(
        from: Address,
        options: &QueueOptions,
        lasting: &broker::Lasting,
        (arguments, prefetch): (&[(Text, Value)], u16),
        (session, settings): (Arc<Session>, &Settings),
    ) -> Result<Self, BrokerError> {
        let (exchange, key) = match from {
            Address::Topic(key) => (settings.topic_exchange.clone(), key),
            Address::Exchange { name, key } => (name, key),
            Address::Queue(_) | Address::ExistingQueue(_) | Address::Private(_) => {
                return Err(refusals::not_lasting());
            }
        };
        let queue = queue_name(&lasting.name, settings);
        let told = Text::from(format!("{queue}-told"));
        for name in [&exchange, &key, &told] {
            fits(name)?;
        }
        let bounds = Bounds {
            messages: settings.resume_messages,
            bytes: Some(settings.resume_bytes),
            expires: lasting.lifetime,
            gap_expires: lasting.lifetime.saturating_mul(2).saturating_add(SPARE),
        };
        Ok(Self {
            session,
            guarded: Guarded::new(queue, bounds),
            told,
            exchange,
            key,
            binding: to_table(&options.binding)?,
            arguments: to_table(arguments)?,
            prefetch: prefetch.max(1),
            is_new: AtomicBool::new(false),
            was_tried: AtomicBool::new(false),
        })
    }

    /// What it is called at RabbitMQ.
    pub(super) const fn queue(&self) -> &Text {
        &self.guarded.queue
    }

    /// Nobody has subscribed under this name, so there is nothing to look for.
    pub(super) fn note_new(&self) {
        self.is_new.store(true, Ordering::Relaxed);
    }

    /// Whether so many outstanding deliveries are nearly all that may be. With less than that nothing
    /// waits in the queue, and nothing is lost.
    pub(super) fn is_nearly_full(&self, outstanding: usize) -> bool {
        outstanding * 4 >= usize::from(self.prefetch) * 3
    }

    /// Declares what is not there, mends what was lost, and starts to consume. What is refused closes no
    /// other channel, and leaves nothing behind that was not there before.
    ///
    /// With `again` it has run before, on a connection that was lost.
    pub(super) async fn attach(
        self: &Arc<Self>,
        lease: &Lease,
        again: bool,
    ) -> Result<Started, BrokerError> {
        if self.was_tried.swap(true, Ordering::Relaxed) && !self.session.is_ours(lease).await? {
            return Err(Session::taken_over());
        }
        let mut eyes = Eyes { lease, channel: None };
        let found = self.look(&mut eyes, again).await?;
        let channel = eyes.take().await?;
        let mut made = There::default();
        let started = self.start(&channel, &found, &mut made).await;
        match started.map_err(|error| broker_error(&error)) {
            Ok(consumer) => {
                self.is_new.store(false, Ordering::Relaxed);
                let mut losses =
                    Losses::new(channel.clone(), &self.guarded, Some(Arc::clone(self)));
                if found.there.queue {
                    losses.look_before_first();
                }
                let news = found.has_gap.then_some(News::Gap);
                Ok(Started { channel, consumer, losses: Some(losses), news })
            }
            Err(error) if error.kind == BrokerErrorKind::Unavailable => Err(error),
            Err(error) => {
                // If this fails, RabbitMQ does it in its time.
                if self.session.is_ours(lease).await.unwrap_or(false) {
                    drop(self.delete_only(lease, made).await);
                }
                Err(self.discreet(error))
            }
        }
    }

    /// What there is of it.
    async fn look(&self, eyes: &mut Eyes<'_>, again: bool) -> Result<Found, BrokerError> {
        if self.is_new.load(Ordering::Relaxed) {
            return Ok(Found::default());
        }
        let Guarded { queue, gap, .. } = &self.guarded;
        let queue = eyes.queue(queue).await?.is_some();
        let losses = eyes.queue(gap).await?;
        let there = There { queue, gap: losses.is_some() };
        if there == There::default() && !again {
            // If this attempt comes to nothing, the next one is not to take its remains for more.
            self.note_new();
            return Ok(Found::default());
        }
        let is_whole = there == There { queue: true, gap: true }
            && losses == Some(0)
            && eyes.exchange(&self.guarded.queue).await?
            && eyes.exchange(&self.guarded.gap).await?
            && eyes.exchange(&self.told).await?;
        Ok(Found { there, has_gap: !is_whole })
    }

    /// Notes the queues that were `made`.
    async fn start(
        &self,
        channel: &Channel,
        found: &Found,
        made: &mut There,
    ) -> lapin::Result<Consumer> {
        let amqp = channel.amqp();
        let Found { there, has_gap } = *found;
        let Self { guarded, .. } = self;
        let is_new = there == There::default() && !has_gap;
        if has_gap {
            // Before anything is mended: whoever comes after a failure from here on looks again.
            delete_exchange(amqp, &self.told).await?;
        }
        if is_new || has_gap {
            guarded.declare(amqp, there, made).await?;
        }
        if has_gap {
            self.note_losses(amqp).await?;
        }
        let [queue, exchange, key] =
            [&guarded.queue, &self.exchange, &self.key].map(|it| it.as_str().into());
        let options = QueueBindOptions::default();
        amqp.queue_bind(queue, exchange, key, options, self.binding.clone()).await?;
        if is_new {
            self.forget_losses(amqp).await?;
        }
        guarded.consume(channel, self.prefetch, self.arguments.clone()).await
    }

    /// Has RabbitMQ remember that there were losses, and makes room for the next.
    pub(super) async fn note_losses(&self, amqp: &lapin::Channel) -> lapin::Result<()> {
        delete_exchange(amqp, &self.told).await?;
        let options = QueuePurgeOptions::default();
        amqp.queue_purge(self.guarded.gap.as_str().into(), options).await.map(drop)
    }

    /// Has RabbitMQ forget that there were losses.
    pub(super) async fn forget_losses(&self, amqp: &lapin::Channel) -> lapin::Result<()> {
        let none = FieldTable::default();
        declare_exchange(amqp, &self.told, ExchangeKind::Fanout, none.clone()).await?;
        bind(amqp, &self.guarded.queue, &self.told, none).await
    }

    /// Deletes everything, unless another link has the session now. What is not there is no error.
    pub(super) async fn delete(&self, lease: &Lease) -> Result<(), BrokerError> {
        if !self.session.is_ours(lease).await? {
            return Ok(());
        }
        let deleted = self.delete_only(lease, There { queue: true, gap: true }).await;
        deleted.map_err(|error| self.discreet(error))
    }

    async fn delete_only(&self, lease: &Lease, there: There) -> Result<(), BrokerError> {
        if there == There::default() {
            return Ok(());
        }
        let channel = lease.channel(Side::Consume).await?;
        let amqp = channel.amqp();
        let deleted = async {
            self.guarded.delete_only(amqp, there).await?;
            if there.queue { delete_exchange(amqp, &self.told).await } else { Ok(()) }
        };
        deleted.await.map_err(|error| broker_error(&error))
    }

    fn discreet(&self, error: BrokerError) -> BrokerError {
        discreet(error, self.queue())
    }
}

/// What there was of a lasting subscription.
#[derive(Debug, Default)]
struct Found {
    there: There,
    /// Messages may have been lost.
    has_gap: bool,
}

/// Looks for queues and exchanges, on a channel that RabbitMQ closes at everything it has not.
struct Eyes<'a> {
    lease: &'a Lease,
    channel: Option<Channel>,
}

impl Eyes<'_> {
    /// How many messages wait in a queue, if it is there.
    async fn queue(&mut self, name: &Text) -> Result<Option<u32>, BrokerError> {
        let channel = self.take().await?;
        let found = find_queue(channel.amqp(), name).await.map_err(|error| broker_error(&error))?;
        self.channel = found.is_some().then_some(channel);
        Ok(found)
    }

    /// Whether there is such an exchange.
    async fn exchange(&mut self, name: &Text) -> Result<bool, BrokerError> {
        let channel = self.take().await?;
        let found =
            is_exchange(channel.amqp(), name).await.map_err(|error| broker_error(&error))?;
        self.channel = found.then_some(channel);
        Ok(found)
    }

    /// A channel that is open.
    async fn take(&mut self) -> Result<Channel, BrokerError> {
        match self.channel.take() {
            Some(channel) => Ok(channel),
            None => self.lease.channel(Side::Consume).await,
        }
    }
}

/// What a session, or a subscription of one, is called at RabbitMQ.
pub(super) fn queue_name(name: &Text, settings: &Settings) -> String {
    format!("{}{MARK}{name}", settings.queue_prefix)
}

/// An error in RabbitMQ's words, with no more of the name of a queue than what all such begin with:
/// whoever knows one could ask for it.
pub(super) fn discreet(error: BrokerError, queue: &Text) -> BrokerError {
    let Some(at) = queue.find(MARK).filter(|_| error.text.contains(&**queue)) else {
        return error;
    };
    let shown = format!("{}…", &queue[..at + MARK.len()]);
    BrokerError::new(error.kind, error.text.replace(&**queue, &shown))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lasting(from: Address, settings: &Settings) -> Result<Lasting, BrokerError> {
        let asked = broker::Lasting { name: "n".repeat(50).into(), lifetime: Duration::MAX };
        let session = Session::new(None, &"s".into(), Duration::MAX, settings)?;
        let session = (Arc::new(session), settings);
        Lasting::new(from, &QueueOptions::default(), &asked, (&[], 0), session)
    }

    #[test]
    fn amqp_can_carry_the_names() {
        let settings = Settings { queue_prefix: "p".repeat(128).into(), ..Settings::default() };
        let lasting = lasting(Address::Topic("t".into()), &settings).unwrap();
        assert!(lasting.queue().starts_with(&format!("{}resume-n", settings.queue_prefix)));
        assert!(lasting.told.len() <= refusals::MAX_NAME);
        assert!(lasting.guarded.gap.len() <= refusals::MAX_NAME);
    }

    #[test]
    fn only_what_has_a_queue_of_its_own_lasts() {
        let name = Text::from("q");
        for from in [
            Address::Queue(name.clone()),
            Address::ExistingQueue(name.clone()),
            Address::Private(name),
        ] {
            let error = lasting(from, &Settings::default()).unwrap_err();
            assert_eq!(error.kind, BrokerErrorKind::PreconditionFailed, "{error}");
        }
    }

    #[test]
    fn a_refusal_does_not_tell_the_name() {
        let name = Text::from("gw-resume-abc");
        let said = "ACCESS_REFUSED - access to queue 'gw-resume-abc' in vhost '/' refused";
        let error = BrokerError::new(BrokerErrorKind::AccessRefused, said);
        let expected = "ACCESS_REFUSED - access to queue 'gw-resume-…' in vhost '/' refused";
        assert_eq!(discreet(error, &name).text, expected);
        let error = BrokerError::new(BrokerErrorKind::NotFound, "NOT_FOUND - no exchange 'x'");
        assert_eq!(discreet(error.clone(), &name), error);
    }
}
