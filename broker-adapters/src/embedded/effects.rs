//! [`Effects`]: what an operation on queues leaves to be done once no lock is held.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;

use tokio::time::Instant;

use super::held::Held;
use super::queue::Queue;

/// Room for this many wakers is kept between commands.
const KEPT_WAKERS: usize = 64;

/// What is left to be done. Carried out by [`super::vhost::Vhost::conclude`].
#[derive(Debug, Default)]
pub(super) struct Effects {
    /// Receivers to be woken.
    wakers: Vec<Waker>,
    /// Messages that queues have given up, in that order.
    pub(super) dropped: VecDeque<Dropped>,
    /// Queues that have to be looked at again, and when.
    pub(super) timers: Vec<(Instant, Arc<Queue>)>,
}

/// A message that a queue has given up.
#[derive(Debug)]
pub(super) struct Dropped {
    pub(super) queue: Arc<Queue>,
    pub(super) reason: Reason,
    pub(super) held: Arc<Held>,
}

/// Why a queue gave a message up: RabbitMQ's words in `x-death`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// Its time was over.
    Expired,
    /// A consumer rejected it, and does not want it back in the queue.
    Rejected,
    /// The queue was full.
    MaxLen,
}

impl Effects {
    pub(super) fn wake(&mut self, waker: Option<Waker>) {
        self.wakers.extend(waker);
    }

    pub(super) fn drop(&mut self, queue: &Arc<Queue>, reason: Reason, held: Arc<Held>) {
        self.dropped.push_back(Dropped { queue: Arc::clone(queue), reason, held });
    }

    /// *Order.* With no lock held: a waker runs code of its owner's.
    pub(super) fn wake_all(&mut self) {
        if self.wakers.is_empty() {
            return;
        }
        self.wakers.drain(..).for_each(Waker::wake);
        self.wakers.shrink_to(KEPT_WAKERS);
    }
}

impl Reason {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Rejected => "rejected",
            Self::MaxLen => "maxlen",
        }
    }
}
