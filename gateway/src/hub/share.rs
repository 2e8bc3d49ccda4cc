//! [`Share`]: one session's side of the hub.

use std::collections::{HashMap, VecDeque};
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
    members: HashMap<SubscriptionId, Member>,
    /// Joins without an answer.
    joining: HashMap<Token, SubscriptionId>,
    /// The session has left everything, and takes only answers.
    has_left: bool,
    /// Dropped frames that the peer has not been told about.
    dropped: HashMap<SubscriptionId, u64>,
}

#[derive(Debug)]
struct Member {
    _membership: Membership,
    /// The join has no answer yet.
    is_joining: bool,
    /// It has been left already, which is answered after the join: the broker is asked for no more at a
    /// time than the session has subscriptions.
    leave: Option<Token>,
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
            joining: HashMap::new(),
            has_left: false,
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
                        self.joining.insert(token, subscription);
                        let member =
                            Member { _membership: membership, is_joining: true, leave: None };
                        self.members.insert(subscription, member);
                    }
                    Err(error) => self.answers.push_back(Event::Failed { token, error }),
                }
            }
            Shared::Leave { token, subscription } => match self.members.get_mut(&subscription) {
                Some(member) if member.is_joining => member.leave = Some(token),
                _ => {
                    self.forget(subscription);
                    self.answers.push_back(Event::Unsubscribed { token });
                }
            },
            Shared::LeaveAll => {
                self.has_left = true;
                self.members.retain(|_, member| member.is_joining);
                self.close_once_answered();
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
                (!self.has_left).then_some(Received::Frame(frame, dropped))
            }
            Item::Dropped { subscription, count } => {
                *self.dropped.entry(subscription).or_default() += count;
                None
            }
            Item::Event(event) => {
                match &event {
                    Event::Subscribed { token } => self.on_answer(*token, true),
                    Event::Failed { token, .. } => self.on_answer(*token, false),
                    Event::Canceled { subscription, .. } => self.forget(*subscription),
                    _ => {}
                }
                Some(Received::Event(event))
            }
        }
    }

    /// A join has its answer.
    fn on_answer(&mut self, token: Token, is_in: bool) {
        let Some(subscription) = self.joining.remove(&token) else {
            return;
        };
        if let Some(member) = self.members.get_mut(&subscription) {
            member.is_joining = false;
            let leave = member.leave.take();
            if leave.is_some() || self.has_left || !is_in {
                self.forget(subscription);
            }
            self.answers.extend(leave.map(|token| Event::Unsubscribed { token }));
        }
        self.close_once_answered();
    }

    fn close_once_answered(&mut self) {
        if self.has_left && self.joining.is_empty() {
            self.batch.clear();
            self.outbox.close();
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
        // Nobody hands over anything from here on, so that a closed outbox is nobody's fault.
        self.members.clear();
        self.outbox.close();
    }
}
