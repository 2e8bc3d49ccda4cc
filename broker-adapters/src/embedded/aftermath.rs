//! What operations on queues leave to be done: waking, timers, and dead letters on their way.
//!
//! *Order.* All of it with no lock held. Dead letters take the way that publishes take, and may lead to
//! more of them: the circle that never ends is broken ([`deaths::is_cycle`]).

use std::sync::Arc;

use smallvec::SmallVec;

use super::deaths;
use super::effects::{Dropped, Effects, Reason};
use super::outgoing::Outgoing;
use super::queue::Queue;
use super::vhost::Vhost;
use crate::lock::{read, write};

impl Vhost {
    /// A queue asked to be looked at again, for a deadline of its own has come.
    pub(super) fn look_again(self: &Arc<Self>, queue: &Arc<Queue>) {
        let mut effects = Effects::default();
        queue.look_again(&mut effects);
        if queue.is_expired() {
            self.delete_if_expired(queue);
        }
        self.conclude(&mut effects);
    }

    /// Carries out what operations on queues have left to be done.
    ///
    /// *Order.* With no lock held.
    pub(super) fn conclude(self: &Arc<Self>, effects: &mut Effects) {
        while let Some(dropped) = effects.dropped.pop_front() {
            self.dead_letter(dropped, effects);
        }
        for (at, queue) in effects.timers.drain(..) {
            self.timers.set(at, &queue, self);
        }
        effects.wake_all();
    }

    /// Sends on what a queue has given up, if it was declared so. It is gone if that leads nowhere.
    fn dead_letter(&self, dropped: Dropped, effects: &mut Effects) {
        let Dropped { queue, reason, held } = dropped;
        let Some(to) = &queue.arguments.dead_letter else {
            return;
        };
        let publication = deaths::dead_lettered(held.publication(), &queue.name, reason, to);
        let publication = Arc::new(publication);
        // It was there until now, and is counted once more from here on.
        drop(held);
        let topology = read(&self.topology);
        let queues = if publication.exchange.is_empty() {
            topology.queue(&publication.routing_key).into_iter().collect()
        } else {
            let bounds = self.shared.topic_bounds;
            let exchange = topology.exchange(&publication.exchange);
            let exchange = exchange
                .filter(|exchange| exchange.check_key(&publication.routing_key, bounds).is_ok());
            exchange.map_or_else(SmallVec::new, |exchange| exchange.route(&publication))
        };
        let mut outgoing = Outgoing::new(Arc::clone(&publication), &self.shared.memory, effects);
        for to in queues {
            if reason != Reason::Rejected && deaths::is_cycle(&publication, &to.name) {
                tracing::warn!(vhost = %self.name, queue = %to.name,
                    "message dropped: it was dead-lettered in a circle");
            } else {
                outgoing.deliver(to);
            }
        }
        drop(topology);
        self.finish(outgoing);
    }

    /// Deletes a queue that has had no consumer for as long as it stays without, if it has none now.
    fn delete_if_expired(&self, queue: &Arc<Queue>) {
        let mut topology = write(&self.topology);
        if !queue.is_expired() || !self.remove(&mut topology, queue) {
            return;
        }
        let ended = queue.end();
        drop(topology);
        drop(ended);
        tracing::debug!(vhost = %self.name, queue = %queue.name, "queue expired: nobody used it");
    }
}
