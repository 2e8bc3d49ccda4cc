//! [`Share`]: one session's side of the hub.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll};

use protocols::broker::{Event, SubscriptionId, Token};
use protocols::session::Shared;

use super::outbox::{Item, Outbox, Overflow, SharedFrame};
use super::topics::Joining;
use super::{Hub, Membership, Place};

/// What a session has joined, and what waits for it.
#[derive(Debug)]
pub(crate) struct Share {
    hub: Arc<Hub>,
    place: Place,
    outbox: Arc<Outbox>,
    /// Taken from the outbox last.
    batch: VecDeque<Item>,
    /// What was answered without asking.
    answers: VecDeque<Event>,
    members: HashMap<SubscriptionId, Membership>,
    /// Joins without an answer.
    joining: HashSet<Token>,
    /// Dropped frames that the peer has not been told about.
    dropped: HashMap<SubscriptionId, u64>,
}

/// What there is for a session.
#[derive(Debug)]
pub(crate) enum Received {
    /// For the session.
    Event(Event),
    /// For the peer, which is to be told that so many before it were dropped.
    Frame(SharedFrame, u64),
}

/// How much may wait for a session, and what happens when it is more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pending {
    /// Bytes of frames.
    pub(crate) bytes: usize,
    pub(crate) overflow: Overflow,
}

impl Share {
    /// Of a session that has joined nothing.
    pub(crate) fn new(hub: Arc<Hub>, place: Place, pending: &Pending) -> Self {
        Self {
            hub,
            place,
            outbox: Arc::new(Outbox::new(pending.bytes, pending.overflow.clone())),
            batch: VecDeque::new(),
            answers: VecDeque::new(),
            members: HashMap::new(),
            joining: HashSet::new(),
            dropped: HashMap::new(),
        }
    }

    /// Does what the session asks for.
    pub(crate) fn apply(&mut self, shared: Shared) {
        match shared {
            Shared::Join { token, subscription, topic, encoder } => {
                let outbox = Arc::clone(&self.outbox);
                let joining = Joining { token, subscription, encoder, outbox };
                match self.hub.join(&self.place, topic, joining) {
                    Ok(membership) => {
                        self.joining.insert(token);
                        self.members.insert(subscription, membership);
                    }
                    Err(error) => self.answers.push_back(Event::Failed { token, error }),
                }
            }
            Shared::Leave { token, subscription } => {
                self.forget(subscription);
                self.answers.push_back(Event::Unsubscribed { token });
            }
            Shared::LeaveAll => {
                self.members.clear();
                self.joining.clear();
                self.batch.clear();
                self.outbox.close();
            }
        }
    }

    /// Whether a join has no answer yet. What is published after it was asked for must reach it.
    pub(crate) fn is_joining(&self) -> bool {
        !self.joining.is_empty()
    }

    /// The next thing for the session or its peer.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Received> {
        loop {
            if let Some(answer) = self.answers.pop_front() {
                return Poll::Ready(Received::Event(answer));
            }
            while let Some(item) = self.batch.pop_front() {
                if let Some(received) = self.receive(item) {
                    return Poll::Ready(received);
                }
            }
            if self.outbox.poll_take(cx, &mut self.batch).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn receive(&mut self, item: Item) -> Option<Received> {
        match item {
            Item::Frame(frame) => {
                let dropped = self.dropped.remove(&frame.subscription).unwrap_or_default();
                Some(Received::Frame(frame, dropped))
            }
            Item::Dropped { subscription, count } => {
                *self.dropped.entry(subscription).or_default() += count;
                None
            }
            Item::Event(event) => {
                match &event {
                    Event::Subscribed { token } | Event::Failed { token, .. } => {
                        self.joining.remove(token);
                    }
                    Event::Canceled { subscription, .. } => self.forget(*subscription),
                    _ => {}
                }
                Some(Received::Event(event))
            }
        }
    }

    fn forget(&mut self, subscription: SubscriptionId) {
        // It leaves, and nothing more of it comes; what has come is not for anybody either.
        self.members.remove(&subscription);
        self.batch.retain(|item| !item.is_of(subscription));
        self.dropped.remove(&subscription);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.outbox.close();
    }
}
