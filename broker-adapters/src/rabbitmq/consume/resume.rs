//! What the subscriptions of a resumable session have to wait for, and how they end.
//!
//! *Order.* A lasting subscription begins, or begins again, when this link has its session, and nothing
//! of its name is still to be deleted.
//!
//! *The end.* They end with their channels: `basic.cancel` would end the process of a queue that somebody
//! else waits for (see [`super::super::guarded`]). What is outstanding goes back with that.

use std::mem;
use std::sync::Arc;

use protocols::broker::{BrokerError, Event, SubscriptionId, Token};
use protocols::text::Text;

use super::super::lasting::Lasting;
use super::super::link::Events;
use super::super::pool::Channel;
use super::super::session::Session;
use super::super::subscription::{Source, State, Unsubscribe};
use super::{Consuming, answer};
use crate::refusals;

/// The resumable session of a link, and what waits for that.
#[derive(Default)]
pub(super) struct Resuming {
    session: Option<Held>,
    /// Lasting subscriptions that are to be started, and may not be yet.
    postponed: Vec<SubscriptionId>,
    /// Queues that are being deleted, each with the unsubscribe that is answered then.
    going: Vec<(Token, Text)>,
}

/// The session of this link, which may still be asked for.
struct Held {
    subscription: SubscriptionId,
    session: Arc<Session>,
    /// Whatever is subscribed to for the first time is new at RabbitMQ.
    is_new: bool,
}

impl Consuming {
    /// Goes on with a session, or begins one.
    ///
    /// *Errors.* What can be refused without asking RabbitMQ.
    pub(in super::super) fn resume(
        &mut self,
        subscription: SubscriptionId,
        token: Token,
        session: Session,
    ) -> Result<(), BrokerError> {
        self.check_new(subscription)?;
        if self.resuming.session.is_some() {
            return Err(refusals::session_exists());
        }
        let session = Arc::new(session);
        let held = Held { subscription, session: Arc::clone(&session), is_new: false };
        self.resuming.session = Some(held);
        self.begin(subscription, token, Source::Session(session));
        Ok(())
    }

    /// The session of this link.
    ///
    /// *Errors.* There is none.
    pub(in super::super) fn session(&self) -> Result<Arc<Session>, BrokerError> {
        let held = self.resuming.session.as_ref().ok_or_else(refusals::no_session)?;
        Ok(Arc::clone(&held.session))
    }

    /// Begins a lasting subscription, of the session that this link has.
    ///
    /// *Errors.* What can be refused without asking RabbitMQ.
    pub(in super::super) fn subscribe_lasting(
        &mut self,
        id: SubscriptionId,
        token: Token,
        lasting: Lasting,
    ) -> Result<(), BrokerError> {
        self.check_new(id)?;
        self.begin(id, token, Source::Lasting(Arc::new(lasting)));
        Ok(())
    }

    /// A lasting subscription is to be started as soon as it may be.
    pub(super) fn postpone(&mut self, id: SubscriptionId) {
        self.resuming.postponed.push(id);
    }

    pub(super) fn nothing_waits(&self) -> bool {
        self.resuming.postponed.is_empty()
    }

    /// Begins what was postponed and may be begun.
    pub(super) fn begin_postponed(&mut self) {
        if self.nothing_waits() || !self.has_session() {
            return;
        }
        for id in mem::take(&mut self.resuming.postponed) {
            let Some(subscription) = self.subscriptions.get(&id) else {
                continue;
            };
            let source = subscription.source.clone();
            let Some(lasting) = source.lasting() else {
                continue;
            };
            if self.is_going(lasting.queue()) {
                self.resuming.postponed.push(id);
                continue;
            }
            let is_again = !subscription.is_starting();
            let is_new = self.resuming.session.as_ref().is_some_and(|held| held.is_new);
            if is_new && !is_again && self.named(lasting.queue()).nth(1).is_none() {
                lasting.note_new();
            }
            self.attach(id, &source, is_again);
        }
    }

    /// Whether nothing that is known keeps lasting subscriptions from running.
    fn has_session(&self) -> bool {
        let Some(held) = &self.resuming.session else {
            // It has ended, and they go on.
            return true;
        };
        self.subscriptions.get(&held.subscription).is_some_and(|session| {
            let is_open = session.channel.as_ref().is_some_and(Channel::is_open);
            session.state == State::Running && is_open
        })
    }

    /// Whether something of this name is still to be deleted.
    fn is_going(&self, queue: &Text) -> bool {
        self.resuming.going.iter().any(|(_, going)| going == queue)
            || self.named(queue).any(|state| match state {
                State::Starting { unsubscribe, .. } | State::Restoring { unsubscribe } => {
                    unsubscribe.is_some_and(|asked| asked.delete)
                }
                State::Running | State::Ending { .. } | State::Ended => false,
            })
    }

    /// The states of all subscriptions of this name.
    fn named(&self, queue: &Text) -> impl Iterator<Item = State> {
        let lasting = self
            .subscriptions
            .values()
            .filter(move |it| it.source.lasting().is_some_and(|lasting| lasting.queue() == queue));
        lasting.map(|it| it.state)
    }

    /// The session is there.
    pub(super) fn resumed(&mut self, subscribe: Option<Token>, found: bool, events: &mut Events) {
        if let Some(held) = &mut self.resuming.session {
            held.is_new = !found;
        }
        events.extend(subscribe.map(|token| Event::Resumed { token, found }));
    }

    /// Ends a subscription that ends with its channel.
    pub(super) fn unsubscribe_resumable(
        &mut self,
        id: SubscriptionId,
        asked: Unsubscribe,
        events: &mut Events,
    ) {
        let is_postponed = self.resuming.postponed.contains(&id);
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        match &mut subscription.state {
            State::Starting { unsubscribe, .. } | State::Restoring { unsubscribe }
                if !is_postponed =>
            {
                *unsubscribe = Some(asked);
                return;
            }
            State::Starting { subscribe, .. } => {
                events.push_back(Event::Subscribed { token: *subscribe });
            }
            _ => {}
        }
        self.close_resumable(id, asked);
    }

    /// Has a subscription end that nobody is starting just now.
    pub(super) fn close_resumable(&mut self, id: SubscriptionId, asked: Unsubscribe) {
        let Some(mut subscription) = self.subscriptions.remove(&id) else {
            return;
        };
        subscription.say(&mut self.sayings);
        self.resuming.postponed.retain(|postponed| *postponed != id);
        let (source, consumer) = (subscription.source.clone(), subscription.consumer.take());
        if source.is_session() {
            self.resuming.session = None;
        } else if let Some(lasting) = source.lasting().filter(|_| asked.delete) {
            self.resuming.going.push((asked.token, lasting.queue().clone()));
        } else {
            self.note_rest();
        }
        let Unsubscribe { token, delete } = asked;
        let lease = self.lease.clone();
        self.deleting.push(Box::pin(async move {
            // What was said on it comes first.
            if let Some(consumer) = consumer {
                consumer.close().await;
            }
            answer(token, if delete { source.delete(&lease).await } else { Ok(()) })
        }));
    }

    /// A subscription has left something at RabbitMQ, that the next one of its name is to look for.
    pub(super) fn note_rest(&mut self) {
        if let Some(held) = &mut self.resuming.session {
            held.is_new = false;
        }
    }

    /// An unsubscribe is answered.
    pub(super) fn deleted(&mut self, answer: &Event) {
        if let Event::Failed { .. } = answer {
            self.note_rest();
        }
        if let Event::Unsubscribed { token } | Event::Failed { token, .. } = answer {
            self.resuming.going.retain(|(going, _)| going != token);
        }
    }

    /// This link has no session any more, because another has it, or RabbitMQ refused it: nothing of that
    /// is this link's to consume from, or to delete.
    pub(super) fn lose_session(&mut self, session: SubscriptionId, events: &mut Events) {
        if self.resuming.session.take_if(|held| held.subscription == session).is_none() {
            return;
        }
        self.resuming.postponed.clear();
        for (_, mut lost) in self.subscriptions.extract_if(|_, it| it.source.lasting().is_some()) {
            // What was settled until now counts.
            lost.say(&mut self.sayings);
            let unsubscribe = match lost.state {
                State::Starting { subscribe, unsubscribe } => {
                    let error = refusals::no_session();
                    events.push_back(Event::Failed { token: subscribe, error });
                    unsubscribe
                }
                State::Restoring { unsubscribe } => unsubscribe,
                State::Running | State::Ending { .. } | State::Ended => None,
            };
            events.extend(unsubscribe.map(|it| Event::Unsubscribed { token: it.token }));
        }
    }

    /// The link is being dropped. What was asked for is carried out: what waits for a start of its own
    /// now, as nobody hears of that.
    pub(super) fn finish_resumable(&mut self) {
        let asked: Vec<_> = self
            .subscriptions
            .iter()
            .filter(|(_, it)| it.source.is_resumable())
            .filter_map(|(&id, it)| match it.state {
                State::Starting { unsubscribe, .. } | State::Restoring { unsubscribe } => {
                    unsubscribe.filter(|asked| asked.delete).map(|asked| (id, asked))
                }
                State::Running | State::Ending { .. } | State::Ended => None,
            })
            .collect();
        for (id, asked) in asked {
            self.close_resumable(id, asked);
        }
    }
}
