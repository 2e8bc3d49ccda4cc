//! [`Member`]: a session in a realm, as others see it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use broker_adapters::mailbox::{Held, Mailbox, Taken, Weight};
use protocols::wamp::peers::Notice;
use protocols::wamp::realm::Principal;
use protocols::wamp::registry::SessionAt;
use tracing::warn;

use super::Letter;
use crate::hub::outbox::Overflow;
use crate::hub::share::Pending;

/// A session, and what waits for it.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) at: SessionAt,
    pub(super) principal: Arc<Principal>,
    pub(super) mailbox: Mailbox<Letter>,
    pending: Pending,
    /// Events that were dropped because the session takes them too slowly.
    dropped: AtomicU64,
}

/// What became of something that happens in the realm.
pub(super) enum Put {
    /// It waits, or others made room, or had to be dropped as they would have been at the hub.
    Taken(Option<Waker>),
    /// There is no room, and nothing is to be dropped.
    TooSlow,
}

/// Receivers to be woken once no lock is held.
#[derive(Default)]
pub(super) struct Wakers(pub(super) Vec<Waker>);

impl Wakers {
    pub(super) fn wake(self) {
        self.0.into_iter().for_each(Waker::wake);
    }
}

impl Member {
    pub(super) const fn new(at: SessionAt, principal: Arc<Principal>, pending: Pending) -> Self {
        let mailbox = Mailbox::new(pending.bytes);
        Self { at, principal, mailbox, pending, dropped: AtomicU64::new(0) }
    }

    pub(super) fn poll_take(
        &self,
        cx: &mut Context<'_>,
        batch: &mut VecDeque<Letter>,
    ) -> Poll<Taken> {
        self.mailbox.poll_take(cx, batch)
    }

    /// What happens at most once for each thing that the session has asked for, or has registered.
    pub(super) fn tell(&self, notice: Notice) -> Option<Waker> {
        self.mailbox.push(Letter::notice(notice))
    }

    /// Something happens in the realm that the session has subscribed to. As other events it is treated
    /// as the route says of clients that are too slow; of what happens, each is worth as much as another.
    pub(super) fn put_event(&self, event: Notice) -> Put {
        let letter = Letter::notice(event);
        if let Some(slot) = self.mailbox.reserve() {
            return Put::Taken(slot.put(letter));
        }
        if self.pending.overflow == Overflow::Disconnect {
            return Put::TooSlow;
        }
        let mut dropped = 0;
        self.mailbox
            .rework(|letters, held| displace(letters, held, letter, &self.pending, &mut dropped));
        self.count_dropped(dropped);
        Put::Taken(None)
    }

    fn count_dropped(&self, dropped: u64) {
        let before = self.dropped.fetch_add(dropped, Ordering::Relaxed);
        // Often enough to be seen, and never a flood.
        if dropped > 0 && (before + dropped).ilog2() != before.checked_ilog2().unwrap_or(64) {
            let dropped = before + dropped;
            warn!(kind = "meta_event", dropped, "dropped events for a client that is too slow");
        }
    }
}

/// Drops the oldest events until there is room for `letter`, or else that. What others wait for stays.
/// What then waits, in bytes.
fn displace(
    letters: &mut VecDeque<Letter>,
    Held { mut waiting, taken }: Held,
    letter: Letter,
    pending: &Pending,
    dropped: &mut u64,
) -> usize {
    let room = pending.bytes.saturating_sub(taken).max(pending.bytes / 2);
    let needed = letter.weight();
    // Half of it, so that many more come before this has to be done again.
    let target = if waiting + needed > room { room / 2 } else { room };
    letters.retain(|old| {
        let is_dropped = waiting + needed > target && matches!(old.notice, Notice::Event { .. });
        if is_dropped {
            waiting -= old.weight();
            *dropped += 1;
        }
        !is_dropped
    });
    if waiting + needed > room {
        *dropped += 1;
        return waiting;
    }
    letters.push_back(letter);
    waiting + needed
}
