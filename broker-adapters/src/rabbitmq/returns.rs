//! Which channels RabbitMQ has returned messages on (`basic.return`, AMQP 0-9-1 §1.8.3.10).
//!
//! What comes back on a channel without confirms lapin keeps until it is asked, and tells nobody. The
//! screen sees it come, and says so here.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use tokio::sync::Notify;

use crate::lock::lock;

/// The channels of a connection that can be told, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Returns(Mutex<HashMap<u16, Weak<Returned>>>);

impl Returns {
    /// What to ask about a channel that was just opened.
    pub(super) fn of(&self, channel: u16) -> Arc<Returned> {
        let returned = Arc::new(Returned::default());
        lock(&self.0).insert(channel, Arc::downgrade(&returned));
        returned
    }

    /// A message is about to come back on this channel: lapin has it once the connection has read
    /// what follows.
    pub(super) fn note(&self, channel: u16) {
        let returned = lock(&self.0).get(&channel).and_then(Weak::upgrade);
        if let Some(returned) = returned {
            returned.has_come.store(true, Ordering::Release);
            returned.notify.notify_one();
        }
    }
}

/// Whether messages have come back on a channel.
#[derive(Debug, Default)]
pub(super) struct Returned {
    has_come: AtomicBool,
    notify: Notify,
}

impl Returned {
    /// Whether one has come since this was asked last.
    pub(super) fn take(&self) -> bool {
        self.has_come.load(Ordering::Acquire) && self.has_come.swap(false, Ordering::AcqRel)
    }

    /// Resolves when one comes, or has come since such a future last resolved. One waits at a time.
    pub(super) async fn come(&self) {
        self.notify.notified().await;
    }
}
