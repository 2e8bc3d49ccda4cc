//! Exclusive queues that others may name too: which link has one, and until when.
//!
//! Such a queue belongs to its AMQP connection, which many links share. Who of them has it is kept in
//! [`Lease::exclusive`], from before it is declared until it is gone: another link is refused as one on
//! another connection is.
//!
//! *Order.* A link that gives up its queue, and asks for it anew at once, gets another of that name. A
//! subscription that is refused leaves no queue behind, which would be locked for as long as the
//! connection is there.
//!
//! *Spec.* AMQP 0-9-1 `queue.declare` (exclusive), `queue.delete`.

use std::sync::Arc;

use futures_util::FutureExt;
use protocols::broker::{BrokerError, BrokerErrorKind, Event, Token};
use tokio::sync::oneshot;

use super::super::declaring::Barrier;
use super::super::lease::Lease;
use super::super::subscription::Source;
use super::super::topology::Plan;
use super::Consuming;
use crate::lock::lock;
use crate::refusals;

/// A queue that is to be deleted before an unsubscribe is answered.
pub(super) struct Going {
    token: Token,
    plan: Arc<Plan>,
    /// Ends when this is dropped.
    end: Barrier,
    _here: oneshot::Sender<()>,
}

impl Going {
    pub(super) fn new(token: Token, plan: &Arc<Plan>) -> Self {
        let (here, gone) = oneshot::channel();
        Self { token, plan: Arc::clone(plan), end: gone.map(drop).boxed().shared(), _here: here }
    }

    /// Whether this unsubscribe waits for it.
    pub(super) fn is_of(&self, token: Token) -> bool {
        self.token == token
    }
}

impl Consuming {
    /// Has the queue of this link's own, if it is to be exclusive.
    ///
    /// *Errors.* Another link has one of this name.
    pub(super) fn claim(&self, plan: &Plan) -> Result<(), BrokerError> {
        let mut exclusive = lock(self.lease.exclusive());
        match exclusive.get(&plan.queue) {
            Some(&owner) if owner != self.link => {
                return Err(refusals::locked(&plan.queue, self.lease.vhost()));
            }
            Some(_) => {}
            None if plan.is_exclusive() => {
                exclusive.insert(plan.queue.clone(), self.link);
            }
            None => {}
        }
        Ok(())
    }

    /// An exclusive queue could not be declared: it may be another, that is not ours to keep from
    /// others, let alone to delete. Unless it was declared before, or still may be.
    pub(super) fn unclaim(&self, plan: &Plan) {
        if !self.has(plan) {
            lock(self.lease.exclusive()).remove(&plan.queue);
        }
    }

    /// Exclusive queues that are being declared.
    pub(super) fn claims(&self) -> impl Iterator<Item = &Arc<Plan>> {
        let starting = self.subscriptions.values().filter(|it| it.is_starting());
        starting.filter_map(|it| it.source.exclusive())
    }

    /// An exclusive queue is gone. It stays this link's own if it is being declared anew.
    pub(super) fn disown(&mut self, plan: &Plan) {
        let owned = self.owned.len();
        self.owned.retain(|it| it.queue != plan.queue);
        if self.owned.len() < owned && !self.has(plan) {
            lock(self.lease.exclusive()).remove(&plan.queue);
        }
    }

    /// Whether this link has declared a queue of this name, or is about to.
    fn has(&self, plan: &Plan) -> bool {
        self.owned.iter().chain(self.claims()).any(|it| it.queue == plan.queue)
    }

    /// An unsubscribe is answered. If its queue could not be deleted it is this link's still.
    pub(super) fn gone(&mut self, answer: &Event) {
        let (Event::Unsubscribed { token } | Event::Failed { token, .. }) = answer else {
            return;
        };
        let Some(at) = self.going.iter().position(|going| going.is_of(*token)) else {
            return;
        };
        let Going { plan, .. } = self.going.swap_remove(at);
        if let Event::Unsubscribed { .. } = answer {
            self.disown(&plan);
        }
    }

    /// The ends of all queues of this name that are being deleted.
    pub(super) fn ends(&self, source: &Source) -> impl Iterator<Item = Barrier> {
        let going = self.going.iter();
        let going = going.filter(move |going| {
            source.exclusive().is_some_and(|plan| plan.queue == going.plan.queue)
        });
        going.map(|going| going.end.clone())
    }

    /// The plan of an exclusive queue that is not there yet, or goes first, and that no other subscription
    /// declares. *Order.* Before its subscription is among the others.
    pub(super) fn fresh(&self, source: &Source) -> Option<Arc<Plan>> {
        let is_going = |plan: &Plan| self.going.iter().any(|it| it.plan.queue == plan.queue);
        source.exclusive().filter(|plan| is_going(plan) || !self.has(plan)).cloned()
    }
}

/// A subscription to a queue of its own was refused: if that was declared it goes.
pub(super) async fn tidy_up(lease: &Lease, plan: &Plan, error: &BrokerError) {
    let is_here = match error.kind {
        // It is somebody else's, or went with its connection.
        BrokerErrorKind::ResourceLocked | BrokerErrorKind::Unavailable => false,
        _ => true,
    };
    if is_here {
        // If this fails it was not declared.
        drop(plan.delete_exclusive(lease).await);
    }
}
