//! [`Inbox`]: a queue for many topics that outlives the connection it was opened on, and never loses
//! a message without a word. It is a [guarded](super::guarded) one; whatever is lost ends it.
//!
//! *Names* begin as those of other queues that the gateway makes, so that a user needs no other
//! rights, and go on with 128 random bits: nobody finds an inbox who was not told. So they are not
//! told to clients.
//!
//! *Losses* are looked for soon after every message. Nothing is declared a second time: if one of the
//! exchanges is missing when the inbox is looked for again, the broker was restarted.

use lapin::types::FieldTable;
use protocols::broker::{BrokerError, BrokerErrorKind};
use protocols::text::Text;

use super::Settings;
use super::error::broker_error;
use super::guarded::{Bounds, Guarded, There, find_queue, is_exchange};
use super::losses::Losses;
use super::pool::{Channel, Lease, Side};
use super::subscription::Started;

/// See the module.
#[derive(Debug)]
pub(super) struct Inbox {
    guarded: Guarded,
    prefetch: u16,
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
        let bounds = Bounds {
            messages: settings.inbox_messages,
            bytes: None,
            expires: settings.inbox_expires,
            gap_expires: settings.inbox_expires,
        };
        let queue = format!("{}inbox-{random:032x}", settings.queue_prefix);
        Ok(Self { guarded: Guarded::new(queue, bounds), prefetch: prefetch.max(1) })
    }

    /// The queue that is bound to topics.
    pub(super) const fn queue(&self) -> &Text {
        &self.guarded.queue
    }

    /// Declares everything, and starts to consume. Whatever is refused closes no other channel.
    pub(super) async fn open(&self, lease: &Lease) -> Result<Started, BrokerError> {
        let channel = lease.channel(Side::Consume).await?;
        let declared =
            self.guarded.declare(channel.amqp(), There::default(), &mut There::default()).await;
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
        let deleted = self.guarded.delete(channel.amqp()).await;
        deleted.map_err(|error| broker_error(&error))
    }

    /// Why a subscription ends whose queue is gone that clients are not told the name of.
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
            self.guarded.max_messages()
        );
        BrokerError::new(BrokerErrorKind::Unavailable, text)
    }

    /// Whether messages may have been lost, and why.
    async fn find_loss(&self, amqp: &lapin::Channel) -> lapin::Result<Option<BrokerError>> {
        let Guarded { queue, gap, .. } = &self.guarded;
        if find_queue(amqp, queue).await?.is_none() {
            return Ok(Some(Self::gone()));
        }
        for name in [queue, gap] {
            if !is_exchange(amqp, name).await? {
                return Ok(Some(Self::restarted()));
            }
        }
        Ok(match find_queue(amqp, gap).await? {
            None => Some(Self::gone()),
            Some(0) => None,
            Some(_) => Some(self.overflowed()),
        })
    }

    async fn consume(&self, channel: Channel) -> Result<Started, BrokerError> {
        let Self { guarded, prefetch } = self;
        let consumer = guarded.consume(&channel, *prefetch, FieldTable::default()).await;
        let consumer = consumer.map_err(|error| broker_error(&error))?;
        let losses = Losses::new(channel.clone(), guarded, None);
        Ok(Started { channel, consumer, losses: Some(losses), news: None })
    }
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
            assert!(inbox.queue().starts_with(&format!("{}inbox-", settings.queue_prefix)));
            assert!(inbox.guarded.gap.len() <= crate::refusals::MAX_NAME);
        }
    }
}
