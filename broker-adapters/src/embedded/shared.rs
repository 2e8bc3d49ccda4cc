//! [`Shared`]: the bounds that all virtual hosts of a broker share, and what is counted against them.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use protocols::broker::BrokerError;
use protocols::text::Text;

use super::memory::Memory;
use super::queue::Queue;
use super::{MAX_EXCHANGES, Settings};
use crate::trie::Bounds;

/// What all virtual hosts of a broker share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) memory: Arc<Memory>,
    /// Queues that clients have named, and the bindings of these. Counted apart, for there are as many names as anyone likes,
    /// and private queues only as long as someone subscribes.
    pub(super) named: Count,
    /// Queues of one subscription, and what resumable sessions have.
    pub(super) private: Count,
    /// Exchanges that clients have declared. They stay.
    pub(super) exchanges: Count,
    pub(super) private_queue_bytes: usize,
    pub(super) resume_messages: usize,
    pub(super) resume_bytes: usize,
    pub(super) max_argument_bytes: usize,
    pub(super) topic_bounds: Bounds,
    next_queue: AtomicU64,
    /// Makes the names of server-named queues unguessable: a name is what lets one publish to it.
    names: RandomState,
}

/// How many there are, in all virtual hosts, and may be.
#[derive(Debug)]
pub(super) struct Count {
    current: AtomicUsize,
    max: usize,
}

impl Shared {
    pub(super) fn new(settings: &Settings) -> Self {
        let &Settings { memory_limit, private_queue_bytes, resume_messages, resume_bytes, .. } =
            settings;
        let (words, hashes) = (settings.max_topic_words, settings.max_topic_hashes);
        Self {
            memory: Arc::new(Memory::new(memory_limit)),
            named: Count::up_to(settings.max_queues),
            private: Count::up_to(settings.max_private_queues),
            exchanges: Count::up_to(MAX_EXCHANGES),
            private_queue_bytes,
            resume_messages,
            resume_bytes,
            max_argument_bytes: settings.max_argument_bytes,
            topic_bounds: Bounds { words, hashes },
            next_queue: AtomicU64::new(0),
            names: RandomState::new(),
        }
    }

    /// The number of a new queue. Never used twice.
    pub(super) fn queue_id(&self) -> u64 {
        self.next_queue.fetch_add(1, Ordering::Relaxed)
    }

    /// What a queue is called that no client has named, by its number and what it is for.
    pub(super) fn queue_name(&self, kind: &str, id: u64) -> Text {
        Text::from(format!("amq.{kind}-{id}-{:016x}", self.names.hash_one(id)))
    }

    pub(super) fn uncount(&self, queue: &Queue, bindings: usize) {
        if queue.role.is_named() {
            self.named.subtract(1 + bindings);
        } else {
            self.private.subtract(bindings.max(1));
        }
    }
}

impl Count {
    const fn up_to(max: usize) -> Self {
        Self { current: AtomicUsize::new(0), max }
    }

    pub(super) fn subtract(&self, gone: usize) {
        self.current.fetch_sub(gone, Ordering::Relaxed);
    }

    /// Counts so many more in; if there may not be so many, `refuse` is told how many there are, of
    /// how many.
    pub(super) fn add(
        &self,
        more: usize,
        refuse: impl FnOnce(usize, usize) -> BrokerError,
    ) -> Result<(), BrokerError> {
        let more = |current: usize| Some(current + more).filter(|sum| *sum <= self.max);
        self.current
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .map(drop)
            .map_err(|current| refuse(current, self.max))
    }
}
