//! What operations on queues leave to be done: waking, timers, and dead letters on their way.
//!
//! *Order.* All of it with no lock held. Dead letters take the way that publishes take, and may lead to
//! more of them: the circle that never ends is broken ([`deaths::is_cycle`]). That alone does not make
//! them few: where many queues dead-letter into each other, there are as many ways through them
//! as orders to take them in. So those that others lead to are counted, and bounded
//! ([`FURTHER`]).

use std::sync::Arc;

use smallvec::SmallVec;

use super::deaths;
use super::effects::{Dropped, Effects, Reason};
use super::outgoing::Outgoing;
use super::queue::Queue;
use super::vhost::Vhost;
use crate::lock::{read, write};

/// Most dead letters that other dead letters lead to while what one operation has left is carried
/// out, counted once for each queue they go to.
const FURTHER: usize = 1_000;

/// So many more for each dead letter that the operation itself has left: where a thousand messages
/// expire at once, each may go a way of some length.
const FURTHER_EACH: usize = 10;

impl Vhost {
    /// A queue asked to be looked at again, for a deadline of its own has come.
    pub(super) fn look_again(self: &Arc<Self>, queue: &Arc<Queue>) {
        let mut effects = Effects::default();
        queue.look_again(&mut effects);
        if queue.is_expired() {
            if queue.role.is_resumable() {
                self.end_if_expired(queue, &mut effects);
            } else {
                self.delete_if_expired(queue);
            }
        }
        self.conclude(&mut effects);
    }

    /// Carries out what operations on queues have left to be done.
    ///
    /// *Order.* With no lock held.
    pub(super) fn conclude(self: &Arc<Self>, effects: &mut Effects) {
        self.dead_letter_all(effects);
        for (at, queue) in effects.timers.drain(..) {
            self.timers.set(at, &queue, self);
        }
        effects.wake_all();
    }

    /// Sends on what queues have given up, and what that leads to, as far as it may.
    fn dead_letter_all(&self, effects: &mut Effects) {
        // Those that were there at first stay in front.
        let mut first = effects.dropped.len();
        let mut further = FURTHER.saturating_add(first.saturating_mul(FURTHER_EACH));
        let mut lost = 0;
        while let Some(dropped) = effects.dropped.pop_front() {
            let copies = self.dead_letter(dropped, effects);
            if first > 0 {
                first -= 1;
            } else {
                further = further.saturating_sub(copies);
            }
            if effects.dropped.len() - first > further {
                let mut excess = effects.dropped.split_off(first);
                excess.retain(|dropped| dropped.queue.arguments.dead_letter.is_some());
                lost += excess.len().saturating_sub(further);
                excess.truncate(further);
                effects.dropped.append(&mut excess);
            }
        }
        if lost > 0 {
            tracing::warn!(vhost = %self.name, lost,
                "messages dropped: dead letters led to too many more");
        }
    }

    /// Sends on what a queue has given up, if it was declared so. It is gone if that leads nowhere.
    /// To how many queues it went.
    fn dead_letter(&self, dropped: Dropped, effects: &mut Effects) -> usize {
        let Dropped { queue, reason, held } = dropped;
        let Some(to) = &queue.arguments.dead_letter else {
            return 0;
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
        let copies = queues.len();
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
        copies
    }

    /// Deletes a queue that has had no consumer for as long as it stays without, if it has none now.
    fn delete_if_expired(&self, queue: &Arc<Queue>) {
        let mut topology = write(&self.topology);
        if !queue.is_expired() {
            return;
        }
        let ended = self.remove(&mut topology, queue);
        drop(topology);
        if ended.is_some() {
            tracing::debug!(vhost = %self.name, queue = %queue.name,
                "queue expired: nobody used it");
        }
    }
}
