//! What passes between queues and links: [`Entry`], [`Notice`], and who is to be woken for it.

use std::sync::Arc;
use std::task::Waker;

use protocols::broker::{BrokerError, SubscriptionId};

use super::held::Held;
use crate::mailbox::{Mailbox, Weight};

/// Room for this many wakers is kept between commands.
const KEPT_WAKERS: usize = 64;

/// A message at its place in a queue.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its place: lower ones go first. Kept when it is returned.
    pub(super) place: u64,
    /// Whether anyone has seen it before.
    pub(super) redelivered: bool,
    pub(super) held: Arc<Held>,
}

/// What comes to a link from queues.
#[derive(Debug)]
pub(super) enum Notice {
    Delivery { subscription: SubscriptionId, entry: Entry },
    Canceled { subscription: SubscriptionId, error: BrokerError },
}

/// Someone who takes from a queue.
#[derive(Debug, Clone)]
pub(super) struct Consumer {
    pub(super) subscription: SubscriptionId,
    pub(super) mailbox: Arc<Mailbox<Notice>>,
    /// Most deliveries outstanding, at least 1.
    pub(super) prefetch: usize,
}

/// Receivers to be woken once no lock is held.
#[derive(Debug, Default)]
pub(super) struct Wakes(Vec<Waker>);

impl Consumer {
    /// Moves what waits in the mailbox for this subscription to `unseen`.
    pub(super) fn take_unseen(&self, unseen: &mut Vec<Entry>) {
        let mut notices = Vec::new();
        self.mailbox.extract(|notice| notice.subscription() == self.subscription, &mut notices);
        unseen.extend(notices.into_iter().filter_map(Notice::into_entry));
    }
}

impl Entry {
    /// The same entry in a form that may wait.
    pub(super) fn compacted(self) -> Self {
        Self { held: self.held.compacted(), ..self }
    }
}

impl Notice {
    pub(super) const fn subscription(&self) -> SubscriptionId {
        match self {
            Self::Delivery { subscription, .. } | Self::Canceled { subscription, .. } => {
                *subscription
            }
        }
    }

    pub(super) fn into_entry(self) -> Option<Entry> {
        match self {
            Self::Delivery { entry, .. } => Some(entry),
            Self::Canceled { .. } => None,
        }
    }
}

impl Weight for Notice {
    fn weight(&self) -> usize {
        match self {
            Self::Delivery { entry, .. } => entry.held.size(),
            Self::Canceled { .. } => 0,
        }
    }
}

impl Wakes {
    pub(super) fn add(&mut self, waker: Option<Waker>) {
        self.0.extend(waker);
    }

    /// *Order.* With no lock held: a waker runs code of its owner's.
    pub(super) fn wake_all(&mut self) {
        if self.0.is_empty() {
            return;
        }
        self.0.drain(..).for_each(Waker::wake);
        self.0.shrink_to(KEPT_WAKERS);
    }
}
