//! The hub: subscriptions that sessions share, so that ten thousand of one topic cost the broker as
//! much as one.
//!
//! Sessions of one identity in one virtual host have one [`Inbox`] on this node: one queue, one consumer
//! and one binding for each distinct topic at the broker; one delivery of each message, and one
//! encoding of it for each group of sessions whose frames have the same bytes. Sharing never widens
//! rights: identities do not share, and each join has the broker look at the right to the topic again,
//! unless it did just now.
//!
//! There is no task between a broker's delivery and a session's mailbox but the inbox's own. One inbox
//! keeps the order of a publisher's messages, whatever their topics.

mod binding;
mod encoded;
pub(crate) mod inbox;
pub(crate) mod measured;
pub(crate) mod outbox;
pub(crate) mod share;
pub(crate) mod topics;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use broker_adapters::trie::Bounds;
use broker_adapters::{Broker, Identity};
use protocols::broker::{BrokerError, BrokerErrorKind};
use protocols::delivery::SHARED_BOUNDS;
use protocols::text::Text;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use inbox::Inbox;
use topics::{Distributed, Joining, MemberId};

/// How long an inbox stays without a topic.
pub(crate) const INBOX_LINGER: Duration = Duration::from_secs(10);

/// What the topics of an inbox may be like, at most: matching is done here.
const BOUNDS: Bounds = Bounds { words: SHARED_BOUNDS.words, hashes: SHARED_BOUNDS.hashes };

/// How the hub in front of one broker works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Messages of an inbox that the broker hands over before they are distributed.
    pub(crate) prefetch: u16,
    /// How long the broker's word that an identity may have a topic stands.
    pub(crate) trusted: Duration,
}

#[cfg(test)]
impl Settings {
    pub(crate) const FOR_TESTS: Self = Self { prefetch: 100, trusted: Duration::from_secs(60) };
}

/// What sessions in front of one broker share.
#[derive(Debug)]
pub(crate) struct Hub {
    broker: Arc<dyn Broker>,
    settings: Settings,
    inboxes: Mutex<Inboxes>,
    tasks: TaskTracker,
    stop: CancellationToken,
    pub(crate) counters: Counters,
}

/// Those that are open, by virtual host and login. Those that differ in their passcode are apart.
#[derive(Debug, Default)]
struct Inboxes(HashMap<(Text, Text), Vec<Arc<Inbox>>>);

/// What the hub has done since its start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    frames: AtomicU64,
    /// Messages that fitted no topic: it was just left, or they came by a blind copy.
    unwanted: AtomicU64,
    dropped: AtomicU64,
    ended: AtomicU64,
    /// Messages that could not be written for a group of sessions that they were for.
    unwritable: AtomicU64,
}

/// Who is where: sessions with equal ones share.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) vhost: Text,
    pub(crate) identity: Identity,
}

/// A session's share in a topic; it leaves when this is dropped.
#[derive(Debug)]
pub(crate) struct Membership {
    inbox: Arc<Inbox>,
    topic: Text,
    joining: Joining,
    id: MemberId,
}

impl Hub {
    pub(crate) fn new(broker: Arc<dyn Broker>, settings: Settings) -> Arc<Self> {
        Arc::new(Self {
            broker,
            settings,
            inboxes: Mutex::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            counters: Counters::default(),
        })
    }

    /// Joins a topic. The answer comes to the outbox.
    ///
    /// *Errors.* A topic that is not shared.
    pub(crate) fn join(
        self: &Arc<Self>,
        place: &Place,
        topic: Text,
        joining: Joining,
    ) -> Result<Membership, BrokerError> {
        BOUNDS.check_pattern(&topic)?;
        loop {
            let inbox = self.inbox(place);
            if let Some(id) = inbox.join(self, &topic, &joining) {
                return Ok(Membership { inbox, topic, joining, id });
            }
            // It has just ended; another takes its place.
            self.forget(&inbox);
        }
    }

    /// The inbox of this place, which is opened if there is none.
    fn inbox(self: &Arc<Self>, place: &Place) -> Arc<Inbox> {
        let Place { vhost, identity } = place;
        let mut inboxes = self.lock();
        let of_login = inboxes.of(vhost, identity);
        if let Some(inbox) = of_login.iter().find(|inbox| inbox.identity == *identity) {
            return Arc::clone(inbox);
        }
        let name = name();
        let inbox = Arc::new(Inbox::new(vhost.clone(), identity.clone(), name));
        of_login.push(Arc::clone(&inbox));
        drop(inboxes);
        let run = inbox::run(Arc::clone(&inbox), Arc::downgrade(self));
        self.tasks.spawn(self.stop.clone().run_until_cancelled_owned(run));
        inbox
    }

    /// Whoever joins from now on gets another inbox.
    fn forget(&self, inbox: &Arc<Inbox>) {
        let mut inboxes = self.lock();
        inboxes.of(&inbox.vhost, &inbox.identity).retain(|other| !Arc::ptr_eq(other, inbox));
        inboxes.0.retain(|_, of_login| !of_login.is_empty());
    }

    /// Ends an inbox that nobody needs; false if somebody does.
    fn forget_if_unused(&self, inbox: &Arc<Inbox>) -> bool {
        let is_over = inbox.end_if_unused();
        if is_over {
            self.forget(inbox);
        }
        is_over
    }

    /// Ends all inboxes, and lets go of their links.
    pub(crate) async fn close(&self) {
        let inboxes = std::mem::take(&mut *self.lock());
        let error = BrokerError::new(BrokerErrorKind::Unavailable, "the server is going away");
        for inbox in inboxes.0.into_values().flatten() {
            inbox.end(&error);
        }
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn lock(&self) -> MutexGuard<'_, Inboxes> {
        self.inboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inboxes {
    fn of(&mut self, vhost: &Text, identity: &Identity) -> &mut Vec<Arc<Inbox>> {
        self.0.entry((vhost.clone(), identity.credentials.login.clone())).or_default()
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.inbox.leave(&self.topic, &self.joining, self.id);
        self.joining.outbox.forget(self.joining.subscription);
    }
}

impl Counters {
    fn add(&self, done: Distributed) {
        let Distributed { frames, dropped, ended, unwritable, is_unwanted } = done;
        self.frames.fetch_add(frames as u64, Ordering::Relaxed);
        if is_unwanted {
            self.unwanted.fetch_add(1, Ordering::Relaxed);
        }
        if dropped > 0 {
            self.dropped.fetch_add(dropped, Ordering::Relaxed);
        }
        if ended > 0 {
            self.ended.fetch_add(ended as u64, Ordering::Relaxed);
        }
        if unwritable > 0 {
            self.unwritable.fetch_add(unwritable as u64, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests;

/// A name for an inbox that nobody else has.
fn name() -> Text {
    let mut random = [0; 8];
    // Without random bytes it is a name still; it only has to differ from others.
    let _ = getrandom::fill(&mut random);
    Text::from(format!("shared-{:016x}", u64::from_ne_bytes(random)))
}
