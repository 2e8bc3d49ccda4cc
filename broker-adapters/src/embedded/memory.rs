//! [`Memory`]: the ceiling over all messages the broker holds, and who is held back by it.
//!
//! One counter for the whole broker: a message is charged once while any queue holds it, ready or
//! outstanding (see [`super::held`]). At the limit publishers are held back, and only publishers:
//! deliveries and settlements go on, for they are what frees memory. They are let go below nine
//! tenths of it, so that they do not stop again at their next message.

use std::collections::BTreeMap;
use std::fmt;
use std::mem;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use super::LinkId;
use crate::lock::lock;

/// Bytes of messages held by the broker, against their limit.
///
/// *Order.* `blocked` changes only under the lock of `waiting`. Whoever sets it looks at `used`
/// again afterwards, and whoever lowers `used` looks at `blocked` afterwards, both sequentially
/// consistent: at least one of them sees the other, so nobody waits for memory that is free.
pub(super) struct Memory {
    limit: usize,
    used: AtomicUsize,
    blocked: AtomicBool,
    /// Held-back publishers, at most one entry for each link.
    waiting: Mutex<BTreeMap<LinkId, Waker>>,
}

impl Memory {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit: limit.max(1),
            used: AtomicUsize::new(0),
            blocked: AtomicBool::new(false),
            waiting: Mutex::default(),
        }
    }

    pub(super) fn charge(&self, bytes: usize) {
        if self.used.fetch_add(bytes, Ordering::SeqCst) + bytes >= self.limit {
            self.block();
        }
    }

    /// Gives `bytes` back. May wake held-back publishers: no lock is held by the caller.
    pub(super) fn release(&self, bytes: usize) {
        let used = self.used.fetch_sub(bytes, Ordering::SeqCst) - bytes;
        if self.is_low(used) && self.blocked.load(Ordering::SeqCst) {
            self.unblock();
        }
    }

    /// Pending while publishers are held back; `link` is woken when they are let go.
    pub(super) fn poll_room(&self, link: LinkId, cx: &mut Context<'_>) -> Poll<()> {
        if !self.blocked.load(Ordering::SeqCst) {
            return Poll::Ready(());
        }
        let mut waiting = lock(&self.waiting);
        if !self.blocked.load(Ordering::SeqCst) {
            return Poll::Ready(());
        }
        waiting.insert(link, cx.waker().clone());
        Poll::Pending
    }

    /// The link is gone: nobody is left to be woken.
    pub(super) fn forget(&self, link: LinkId) {
        let waker = lock(&self.waiting).remove(&link);
        drop(waker);
    }

    #[cold]
    fn block(&self) {
        let waiting = lock(&self.waiting);
        if self.blocked.swap(true, Ordering::SeqCst) {
            return;
        }
        let used = self.used.load(Ordering::SeqCst);
        if self.is_low(used) {
            self.blocked.store(false, Ordering::SeqCst);
            return;
        }
        drop(waiting);
        tracing::warn!(used, limit = self.limit, "memory limit reached: publishers are held back");
    }

    #[cold]
    fn unblock(&self) {
        let mut waiting = lock(&self.waiting);
        let used = self.used.load(Ordering::SeqCst);
        if !self.is_low(used) || !self.blocked.swap(false, Ordering::SeqCst) {
            return;
        }
        let wakers = mem::take(&mut *waiting);
        drop(waiting);
        tracing::info!(used, limit = self.limit, "memory is free again: publishers go on");
        wakers.into_values().for_each(Waker::wake);
    }

    /// Whether so much is held that what nobody may ever come for is to grow no more: half of the limit.
    pub(super) fn is_scarce(&self) -> bool {
        self.used.load(Ordering::Relaxed) >= self.limit / 2
    }

    fn is_low(&self, used: usize) -> bool {
        used < self.limit - self.limit / 10
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory")
            .field("limit", &self.limit)
            .field("used", &self.used)
            .field("blocked", &self.blocked)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::Wake;
    use std::thread::{self, Thread};
    use std::time::Duration;

    use super::*;

    /// Nothing takes this long. Only guards against a test that would wait for ever.
    const CEILING: Duration = Duration::from_secs(60);

    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    /// Waits for room; every wake is needed, for nothing else ends the wait.
    fn wait(memory: &Memory, link: LinkId) {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        while memory.poll_room(link, &mut Context::from_waker(&waker)).is_pending() {
            let before = std::time::Instant::now();
            thread::park_timeout(CEILING);
            assert!(before.elapsed() < CEILING, "a wake was lost");
        }
    }

    #[test]
    fn no_wake_is_lost_between_threads_that_charge_and_release() {
        let memory = Memory::new(25);
        thread::scope(|scope| {
            for link in 0..4 {
                let memory = &memory;
                scope.spawn(move || {
                    for _ in 0..20_000 {
                        wait(memory, LinkId(link));
                        memory.charge(10);
                        memory.release(10);
                    }
                });
            }
        });
        assert_eq!(memory.used.load(Ordering::SeqCst), 0);
        assert!(is_free(&memory));
    }

    fn is_free(memory: &Memory) -> bool {
        memory.poll_room(LinkId(0), &mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn publishers_stop_at_the_limit_and_go_on_below_nine_tenths() {
        let memory = Memory::new(100);
        memory.charge(99);
        assert!(is_free(&memory));
        memory.charge(1);
        assert!(!is_free(&memory));
        memory.release(10);
        assert!(!is_free(&memory), "90 of 100 are still in use");
        memory.release(1);
        assert!(is_free(&memory));
    }

    #[test]
    fn a_link_that_is_gone_is_forgotten() {
        let memory = Memory::new(1);
        memory.charge(1);
        assert!(!is_free(&memory));
        memory.forget(LinkId(0));
        assert!(lock(&memory.waiting).is_empty());
    }
}
