//! [`Mailbox`]: how many producers hand things to one task, bounded by bytes.
//!
//! Producers hold the lock for one push. The receiver takes everything there is with one swap, and
//! is woken only when the mailbox was empty: a burst is one wake and one lock. A mailbox never
//! waits and never drops: a producer that finds it full keeps what it has, and the receiver is told
//! when there is room again.

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::sync::{Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use crate::lock::lock;

/// Room for this many items is kept when a mailbox is idle; what a burst needed beyond is freed.
const KEPT_CAPACITY: usize = 256;

/// The bytes an item counts for.
pub trait Weight {
    /// Bytes held in memory because of this item. The same at every call.
    fn weight(&self) -> usize;
}

/// A queue from many producers to one receiver.
///
/// *Shape.* Items count from [`Slot::put`] until the receiver comes back for the next batch, so
/// `capacity` bounds what waits and what the receiver is working on together; one item beyond it
/// is let in, so that an item larger than the capacity passes.
pub struct Mailbox<T> {
    capacity: usize,
    state: Mutex<State<T>>,
}

struct State<T> {
    items: VecDeque<T>,
    /// Weight of `items`.
    waiting: usize,
    /// Weight of the batch taken last; zero once the receiver comes back.
    taken: usize,
    /// Set when a producer found no room; cleared when the receiver is told that there is again.
    refused: bool,
    /// Set by [`Mailbox::close`]; from then on there is no room.
    closed: bool,
    /// The receiver, while it waits.
    waker: Option<Waker>,
}

/// What [`Mailbox::poll_take`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// A producer was refused since this was last true, and now less than half is in use: whoever
    /// was refused may be asked to go on.
    pub has_room_again: bool,
}

/// Weights of what is in a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Of what waits.
    pub waiting: usize,
    /// Of what the receiver works on.
    pub taken: usize,
}

/// Room for one item, and the mailbox's lock until it is used.
pub struct Slot<'a, T> {
    state: MutexGuard<'a, State<T>>,
}

impl<T: Weight> Mailbox<T> {
    /// An empty mailbox for `capacity` bytes.
    pub const fn new(capacity: usize) -> Self {
        let state = State {
            items: VecDeque::new(),
            waiting: 0,
            taken: 0,
            refused: false,
            closed: false,
            waker: None,
        };
        Self { capacity, state: Mutex::new(state) }
    }

    /// Room for one item, or `None` while the mailbox is full or closed.
    pub fn reserve(&self) -> Option<Slot<'_, T>> {
        let mut state = lock(&self.state);
        let held = state.waiting + state.taken;
        if state.closed || (held > 0 && held >= self.capacity) {
            state.refused = true;
            return None;
        }
        Some(Slot { state })
    }

    /// Puts `item` in even if there is no room. For what happens at most once for each thing the
    /// receiver has asked for, and so is bounded by that. Returns the receiver to wake, if it waits.
    #[must_use = "the receiver sleeps until it is woken"]
    pub fn push(&self, item: T) -> Option<Waker> {
        let state = lock(&self.state);
        if state.closed {
            return None;
        }
        Slot { state }.put(item)
    }

    /// Changes what waits, where an item finds no room. `change` is told what is held, and says
    /// what the weight of what waits has become. Nobody is woken: a receiver that is behind does not wait.
    pub fn rework(&self, change: impl FnOnce(&mut VecDeque<T>, Held) -> usize) {
        let mut state = lock(&self.state);
        if state.closed {
            return;
        }
        let held = Held { waiting: state.waiting, taken: state.taken };
        state.waiting = change(&mut state.items, held);
    }

    /// Swaps everything that waits into `batch`. What was taken before no longer counts.
    ///
    /// *Order.* `batch` must be empty: the receiver has dealt with the last one. A batch that comes
    /// back empty only carries [`Taken::has_room_again`].
    pub fn poll_take(&self, cx: &mut Context<'_>, batch: &mut VecDeque<T>) -> Poll<Taken> {
        debug_assert!(batch.is_empty(), "the last batch has been dealt with");
        batch.shrink_to(KEPT_CAPACITY);
        let mut state = lock(&self.state);
        state.taken = 0;
        if state.items.is_empty() && !state.refused {
            state.wait(cx);
            return Poll::Pending;
        }
        mem::swap(&mut state.items, batch);
        state.taken = mem::take(&mut state.waiting);
        let has_room_again = state.refused && (state.taken == 0 || state.taken < self.capacity / 2);
        if has_room_again {
            state.refused = false;
        }
        Poll::Ready(Taken { has_room_again })
    }

    /// Whether anything that waits is `wanted`. If not, the receiver waits for whatever comes next.
    ///
    /// *Cost.* O(n) in what waits.
    pub fn poll_any(&self, cx: &Context<'_>, wanted: impl FnMut(&T) -> bool) -> Poll<()> {
        let mut state = lock(&self.state);
        if state.items.iter().any(wanted) {
            return Poll::Ready(());
        }
        state.wait(cx);
        Poll::Pending
    }

    /// The receiver, if it waits: to wake it for something that did not come through here.
    pub fn take_waker(&self) -> Option<Waker> {
        lock(&self.state).waker.take()
    }

    /// Moves what waits and is `wanted` to the end of `out`; the rest stays, in order.
    ///
    /// *Cost.* O(n) in what waits.
    pub fn extract(&self, mut wanted: impl FnMut(&T) -> bool, out: &mut Vec<T>) {
        let mut state = lock(&self.state);
        if !state.items.iter().any(&mut wanted) {
            return;
        }
        for item in mem::take(&mut state.items) {
            if wanted(&item) {
                state.waiting -= item.weight();
                out.push(item);
            } else {
                state.items.push_back(item);
            }
        }
    }

    /// Returns what waits, and takes nothing more.
    pub fn close(&self) -> VecDeque<T> {
        let mut state = lock(&self.state);
        state.closed = true;
        state.waiting = 0;
        state.waker = None;
        mem::take(&mut state.items)
    }
}

impl<T> State<T> {
    fn wait(&mut self, cx: &Context<'_>) {
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }
}

impl<T: Weight> Slot<'_, T> {
    /// Puts `item` into the mailbox. Returns the receiver to wake, if it waits; the caller wakes it
    /// once it holds no lock.
    #[must_use = "the receiver sleeps until it is woken"]
    pub fn put(mut self, item: T) -> Option<Waker> {
        self.state.waiting += item.weight();
        self.state.items.push_back(item);
        self.state.waker.take()
    }
}

impl<T> fmt::Debug for Mailbox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").field("capacity", &self.capacity).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Slot<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    impl Weight for usize {
        fn weight(&self) -> usize {
            *self
        }
    }

    #[derive(Default)]
    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn put(mailbox: &Mailbox<usize>, item: usize) -> bool {
        let Some(slot) = mailbox.reserve() else {
            return false;
        };
        if let Some(waker) = slot.put(item) {
            waker.wake();
        }
        true
    }

    #[test]
    fn a_burst_wakes_the_receiver_once_and_is_taken_at_once() {
        let counter = Arc::new(Counter::default());
        let waker = Waker::from(Arc::clone(&counter));
        let mut cx = Context::from_waker(&waker);
        let mailbox = Mailbox::new(100);
        let mut batch = VecDeque::new();
        assert!(mailbox.poll_take(&mut cx, &mut batch).is_pending());
        for item in 1..=5 {
            assert!(put(&mailbox, item));
        }
        assert_eq!(counter.0.load(Ordering::Relaxed), 1);
        assert!(mailbox.poll_take(&mut cx, &mut batch).is_ready());
        assert_eq!(batch, [1, 2, 3, 4, 5]);
        batch.clear();
        assert!(mailbox.poll_take(&mut cx, &mut batch).is_pending());
    }

    #[test]
    fn what_the_receiver_works_on_counts_until_it_comes_back() {
        let mut cx = Context::from_waker(Waker::noop());
        let mailbox = Mailbox::new(100);
        let mut batch = VecDeque::new();
        assert!(put(&mailbox, 60) && put(&mailbox, 60));
        assert!(!put(&mailbox, 1), "120 of 100 bytes are in use");
        assert_eq!(
            mailbox.poll_take(&mut cx, &mut batch),
            Poll::Ready(Taken { has_room_again: false })
        );
        assert!(!put(&mailbox, 1), "still in use: taken, not dealt with");
        batch.clear();
        assert_eq!(
            mailbox.poll_take(&mut cx, &mut batch),
            Poll::Ready(Taken { has_room_again: true })
        );
        assert!(batch.is_empty() && put(&mailbox, 1));
    }

    #[test]
    fn an_item_larger_than_the_capacity_passes_alone() {
        let mailbox = Mailbox::new(10);
        assert!(put(&mailbox, 1_000));
        assert!(!put(&mailbox, 1));
        assert_eq!(mailbox.close(), [1_000]);
        assert!(!put(&mailbox, 1), "closed");
    }

    #[test]
    fn extracted_items_free_their_room_and_the_rest_keeps_its_order() {
        let mut cx = Context::from_waker(Waker::noop());
        let mailbox = Mailbox::new(10);
        for item in [1, 2, 3, 4] {
            assert!(put(&mailbox, item));
        }
        assert!(!put(&mailbox, 5));
        let mut out = Vec::new();
        mailbox.extract(|item| item % 2 == 0, &mut out);
        assert_eq!(out, [2, 4]);
        assert!(put(&mailbox, 5));
        let mut batch = VecDeque::new();
        assert!(mailbox.poll_take(&mut cx, &mut batch).is_ready());
        assert_eq!(batch, [1, 3, 5]);
    }
}
