//! [`Timers`]: when the queues of one virtual host have to be looked at again.
//!
//! One task for each virtual host, and only while something in it has a deadline: most never need one.
//! It sleeps until the first deadline, and has the virtual host look at the queue. Time is tokio's,
//! so tests can turn it forward.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, Weak};

use foldhash::fast::RandomState;
use tokio::runtime::Handle;
use tokio::select;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::queue::Queue;
use super::vhost::Vhost;
use crate::lock::lock;

/// Most queues that are looked at before other tasks have their turn.
const AT_ONCE: usize = 16;

/// The deadlines of one virtual host.
#[derive(Default)]
pub(super) struct Timers {
    due: Mutex<Due>,
    /// The first deadline has changed, or the virtual host is gone.
    changed: Notify,
}

#[derive(Default)]
struct Due {
    /// The first one first; at most one for each queue.
    order: BTreeMap<(Instant, u64), Weak<Queue>>,
    of_queue: HashMap<u64, Instant, RandomState>,
    /// A task waits for them.
    is_waited_for: bool,
}

impl Timers {
    /// Has `vhost` look at the queue then, or earlier if it has been asked to. One that has ended is
    /// not looked at: what it asked for before may come here after it was
    /// [forgotten](Self::forget).
    ///
    /// *Order.* With no lock held. Within a tokio runtime; outside of one, nobody looks until the
    /// next call within.
    pub(super) fn set(self: &Arc<Self>, at: Instant, queue: &Arc<Queue>, vhost: &Arc<Vhost>) {
        let mut due = lock(&self.due);
        if queue.is_ended() {
            return;
        }
        due.set(at, queue);
        if due.is_waited_for {
            drop(due);
            self.changed.notify_one();
        } else if let Ok(runtime) = Handle::try_current() {
            due.is_waited_for = true;
            // A runtime that shuts down drops the task at once, and that takes the lock.
            drop(due);
            let waiting = Waiting { timers: Arc::clone(self), is_done: false };
            runtime.spawn(wait(waiting, Arc::downgrade(vhost)));
        }
    }

    /// The queue has ended. Whoever waits for its deadline wakes once in vain: that is cheaper than to
    /// wake it for each queue that goes.
    pub(super) fn forget(&self, queue: &Queue) {
        lock(&self.due).forget(queue);
    }

    /// The virtual host is gone: so is whoever waits.
    pub(super) fn stop(&self) {
        self.changed.notify_one();
    }

    /// The first deadline; without one, nobody has to wait.
    fn first(&self) -> Option<Instant> {
        let mut due = lock(&self.due);
        let first = due.order.keys().next().map(|(at, _)| *at);
        due.is_waited_for = first.is_some();
        first
    }

    /// Some queues whose deadline has come.
    fn take_due(&self) -> Vec<Arc<Queue>> {
        let mut due = lock(&self.due);
        let now = Instant::now();
        let mut queues = Vec::new();
        while queues.len() < AT_ONCE
            && let Some(entry) = due.order.first_entry()
            && entry.key().0 <= now
        {
            let ((_, id), queue) = entry.remove_entry();
            due.of_queue.remove(&id);
            queues.extend(queue.upgrade());
        }
        queues
    }
}

impl Due {
    fn forget(&mut self, queue: &Queue) {
        if let Some(at) = self.of_queue.remove(&queue.id) {
            self.order.remove(&(at, queue.id));
        }
    }

    fn set(&mut self, at: Instant, queue: &Arc<Queue>) {
        if let Some(&before) = self.of_queue.get(&queue.id) {
            if before <= at {
                return;
            }
            self.order.remove(&(before, queue.id));
        }
        self.of_queue.insert(queue.id, at);
        self.order.insert((at, queue.id), Arc::downgrade(queue));
    }
}

/// Whoever waits, for as long as it does. If it ends before its time, as its runtime did or it
/// panicked, the next deadline that is set finds another to wait.
struct Waiting {
    timers: Arc<Timers>,
    /// It has said itself that nobody waits any more: someone else may by now.
    is_done: bool,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.is_done {
            lock(&self.timers.due).is_waited_for = false;
        }
    }
}

async fn wait(mut waiting: Waiting, vhost: Weak<Vhost>) {
    let timers = Arc::clone(&waiting.timers);
    while let Some(at) = timers.first() {
        select! {
            () = sleep_until(at) => {}
            () = timers.changed.notified() => {}
        }
        let Some(vhost) = vhost.upgrade() else {
            return;
        };
        for queue in timers.take_due() {
            vhost.look_again(&queue);
        }
        // However much there is to do, others have their turn.
        tokio::task::yield_now().await;
    }
    waiting.is_done = true;
}

impl fmt::Debug for Timers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let due = lock(&self.due).order.len();
        f.debug_struct("Timers").field("due", &due).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use protocols::broker::{
        Address, Command, Event, QueueOptions, SettleMode, SubscriptionId, Token, Value,
    };
    use protocols::text::Text;

    use super::*;
    use crate::Link;
    use crate::embedded::link::EmbeddedLink;
    use crate::embedded::shared::Shared;
    use crate::embedded::{LinkId, Settings};

    fn vhost() -> Arc<Vhost> {
        let shared = Arc::new(Shared::new(&Settings::default()));
        Arc::new(Vhost::new(Text::from_static("/"), shared, []))
    }

    fn link(vhost: &Arc<Vhost>, id: u64) -> EmbeddedLink {
        EmbeddedLink::new(LinkId(id), Text::from_static("user"), Arc::clone(vhost), 1 << 20)
    }

    fn expiring() -> QueueOptions {
        let arguments = vec![(Text::from_static("x-expires"), Value::Integer(60_000))];
        QueueOptions { arguments, ..QueueOptions::default() }
    }

    fn subscribe(link: &mut EmbeddedLink, from: Address) {
        link.submit(Command::Subscribe {
            token: Token(0),
            subscription: SubscriptionId(1),
            from,
            queue: Box::new(expiring()),
            arguments: Vec::new(),
            prefetch: 10,
            settle: SettleMode::Manual,
        });
        assert!(events(link).contains(&Event::Subscribed { token: Token(0) }));
    }

    fn unsubscribe(link: &mut EmbeddedLink, delete: bool) {
        let subscription = SubscriptionId(1);
        link.submit(Command::Unsubscribe { token: Token(0), subscription, delete });
    }

    fn events(link: &mut EmbeddedLink) -> Vec<Event> {
        let mut context = Context::from_waker(Waker::noop());
        let mut events = Vec::new();
        while let Poll::Ready(event) = link.poll_event(&mut context) {
            events.push(event);
        }
        events
    }

    fn deadlines(vhost: &Vhost) -> usize {
        let due = lock(&vhost.timers.due);
        assert_eq!(due.order.len(), due.of_queue.len());
        due.order.len()
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_that_goes_takes_its_deadline_with_it() {
        let vhost = vhost();
        let mut client = link(&vhost, 1);
        let mut other = link(&vhost, 2);
        for _ in 0..10 {
            // It goes with its last consumer, who has it ask for a look.
            subscribe(&mut client, Address::Topic(Text::from_static("news")));
            unsubscribe(&mut client, false);
            // One is deleted while a deadline is noted.
            subscribe(&mut client, work());
            unsubscribe(&mut client, false);
            assert_eq!(deadlines(&vhost), 1);
            subscribe(&mut other, work());
            unsubscribe(&mut other, true);
            assert_eq!(deadlines(&vhost), 0);
        }
    }

    #[test]
    fn deadlines_are_waited_for_again_after_the_runtime_of_who_waited_has_ended() {
        let runtime =
            || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let vhost = vhost();
        let is_waited_for = || lock(&vhost.timers.due).is_waited_for;
        for id in 1..3 {
            runtime().block_on(async {
                let mut client = link(&vhost, id);
                let name = Text::from(format!("queue {id}"));
                subscribe(&mut client, Address::Queue(name));
                unsubscribe(&mut client, false);
                assert!(is_waited_for());
                // It may have begun, or not.
                if id == 1 {
                    tokio::task::yield_now().await;
                }
            });
            assert!(!is_waited_for());
        }
    }

    fn work() -> Address {
        Address::Queue(Text::from_static("work"))
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_a_queue_that_was_deleted_does_not_have_it_looked_at() {
        let vhost = vhost();
        let mut staying = link(&vhost, 1);
        let mut deleting = link(&vhost, 2);
        let mut dropped = link(&vhost, 3);
        for link in [&mut staying, &mut deleting, &mut dropped] {
            subscribe(link, work());
        }
        unsubscribe(&mut deleting, true);
        unsubscribe(&mut staying, false);
        drop(dropped);
        assert_eq!(deadlines(&vhost), 0);
    }
}
