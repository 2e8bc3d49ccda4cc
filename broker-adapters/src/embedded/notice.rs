//! What passes between queues and links: [`Entry`] and [`Notice`].

use std::sync::Arc;

use protocols::broker::{BrokerError, SubscriptionId};
use tokio::time::Instant;

use super::held::Held;
use crate::mailbox::{Mailbox, Weight};

/// A message at its place in a queue.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its place: lower ones go first. Kept when it is returned.
    pub(super) place: u64,
    /// Whether anyone has seen it before.
    pub(super) redelivered: bool,
    /// When its time to wait is over, if that is bounded.
    pub(super) expires: Option<Instant>,
    pub(super) held: Arc<Held>,
}

/// What comes to a link from queues.
#[derive(Debug)]
pub(super) enum Notice {
    Delivery {
        subscription: SubscriptionId,
        entry: Entry,
    },
    /// Messages were lost before the next delivery. At most one for each delivery, and one more.
    Gap {
        subscription: SubscriptionId,
    },
    Canceled {
        subscription: SubscriptionId,
        error: BrokerError,
    },
}

/// Someone who takes from a queue.
#[derive(Debug, Clone)]
pub(super) struct Consumer {
    pub(super) subscription: SubscriptionId,
    pub(super) mailbox: Arc<Mailbox<Notice>>,
    /// Most deliveries outstanding, at least 1.
    pub(super) prefetch: usize,
    /// Those of a higher one go first. 0 unless the client says otherwise.
    pub(super) priority: i64,
}

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
            Self::Delivery { subscription, .. }
            | Self::Gap { subscription }
            | Self::Canceled { subscription, .. } => *subscription,
        }
    }

    pub(super) fn into_entry(self) -> Option<Entry> {
        match self {
            Self::Delivery { entry, .. } => Some(entry),
            Self::Gap { .. } | Self::Canceled { .. } => None,
        }
    }
}

impl Weight for Notice {
    fn weight(&self) -> usize {
        match self {
            Self::Delivery { entry, .. } => entry.held.size(),
            Self::Gap { .. } | Self::Canceled { .. } => 0,
        }
    }
}
