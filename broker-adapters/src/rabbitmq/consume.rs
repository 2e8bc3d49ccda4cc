//! The subscriptions of a link: each a channel and a consumer of its own.
//!
//! A channel per subscription, because RabbitMQ closes the channel on which something is refused
//! (no such queue, no right, an acknowledgement that took longer than `consumer_timeout`), and that
//! must end one subscription only; and because `basic.ack` with `multiple` then means exactly what
//! STOMP 1.2 §ACK means by it.
//!
//! Always with a prefetch and with acknowledgements: lapin keeps deliveries in a queue without a
//! bound, so RabbitMQ's prefetch is the bound.

use std::collections::HashMap;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use futures_core::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicNackOptions};
use protocols::broker::{
    BrokerError, BrokerErrorKind, DeliveryTag, Event, SubscriptionId, Token, Verdict,
};
use protocols::text::Text;

use super::error::broker_error;
use super::ledger::{Ledger, Saying};
use super::link::Events;
use super::pool::{Channel, Lease};
use super::properties::publication;
use super::recover::persist;
use super::topology::{CONSUMER_TAG, Plan};
use super::woken::{Bell, Woken};
use crate::lock::lock;
use crate::refusals;

/// Deliveries taken from one consumer before the others have their turn.
const TURN: usize = 64;

/// The subscriptions of one link.
pub(super) struct Consuming {
    lease: Lease,
    link: u64,
    subscriptions: HashMap<SubscriptionId, Subscription>,
    /// Consumers being started. At most one for each subscription.
    attaching: FuturesUnordered<BoxFuture<'static, Attached>>,
    /// Queues being deleted with their subscriptions. At most one for each subscription.
    deleting: FuturesUnordered<BoxFuture<'static, Event>>,
    /// Consumers that have something.
    woken: Arc<Woken<SubscriptionId>>,
    /// Taken from `woken`; empty between polls.
    turn: Vec<SubscriptionId>,
    /// Subscriptions with accepts that RabbitMQ has not been told about.
    unsaid: Vec<SubscriptionId>,
    /// Frames about to be sent; empty between calls.
    sayings: Vec<Saying>,
    next_tag: u64,
    /// How the exclusive queues of this link were declared: they end with the link.
    owned: Vec<Arc<Plan>>,
}

struct Subscription {
    plan: Arc<Plan>,
    state: State,
    /// Set while there is a channel; it outlives the consumer while deliveries are outstanding.
    channel: Option<Channel>,
    consumer: Option<lapin::Consumer>,
    bell: Arc<Bell<SubscriptionId>>,
    ledger: Ledger,
    /// Among `Consuming::unsaid`.
    is_unsaid: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Being started for the first time; with an unsubscribe that came meanwhile.
    Starting {
        subscribe: Token,
        unsubscribe: Option<Unsubscribe>,
    },
    Running,
    /// Being started again, because its connection was lost.
    Restoring,
    /// `basic.cancel` was sent; the consumer yields what came before the broker knew.
    Ending {
        unsubscribe: Unsubscribe,
    },
    /// No consumer; deliveries are outstanding.
    Ended,
}

/// An unsubscribe that is to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Unsubscribe {
    token: Token,
    /// The queue is to be deleted first.
    delete: bool,
}

/// How starting a consumer ended.
struct Attached {
    subscription: SubscriptionId,
    outcome: Result<(Channel, lapin::Consumer), BrokerError>,
}

/// What a consumer yielded.
enum Yield {
    Delivery(Box<lapin::message::Delivery>),
    Error(lapin::Error),
    /// It was canceled, by us or by the broker, or its channel closed.
    End,
}

impl Consuming {
    pub(super) fn new(lease: Lease, link: u64) -> Self {
        Self {
            lease,
            link,
            subscriptions: HashMap::new(),
            attaching: FuturesUnordered::new(),
            deleting: FuturesUnordered::new(),
            woken: Woken::new(),
            turn: Vec::new(),
            unsaid: Vec::new(),
            sayings: Vec::new(),
            next_tag: 1,
            owned: Vec::new(),
        }
    }

    /// Begins a subscription.
    ///
    /// *Errors.* What can be refused without asking RabbitMQ.
    pub(super) fn subscribe(
        &mut self,
        id: SubscriptionId,
        token: Token,
        plan: Plan,
    ) -> Result<(), BrokerError> {
        if self.subscriptions.contains_key(&id) {
            return Err(refusals::subscription_exists(id.0));
        }
        self.claim(&plan)?;
        let plan = Arc::new(plan);
        self.attach(id, &plan, false);
        let subscription = Subscription {
            plan,
            state: State::Starting { subscribe: token, unsubscribe: None },
            channel: None,
            consumer: None,
            bell: self.woken.bell(id),
            ledger: Ledger::default(),
            is_unsaid: false,
        };
        self.subscriptions.insert(id, subscription);
        Ok(())
    }

    /// An exclusive queue belongs to its AMQP connection, which many links share: who of them owns
    /// it is kept here, from before it is declared.
    fn claim(&mut self, plan: &Plan) -> Result<(), BrokerError> {
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

    /// Whether a subscription was asked for and is not there yet. What is published after it was
    /// asked for must reach it, but travels on another connection.
    pub(super) fn is_starting(&self) -> bool {
        !self.attaching.is_empty()
            && self.subscriptions.values().any(|it| matches!(it.state, State::Starting { .. }))
    }

    fn attach(&self, subscription: SubscriptionId, plan: &Arc<Plan>, again: bool) {
        let (lease, plan) = (self.lease.clone(), Arc::clone(plan));
        self.attaching.push(Box::pin(async move {
            let patience = lease.settings().recovery_timeout;
            let outcome = persist(patience, || plan.attach(&lease, again)).await;
            Attached { subscription, outcome }
        }));
    }

    /// Ends a subscription; what it has outstanding stays outstanding, unless its queue is deleted.
    pub(super) fn unsubscribe(
        &mut self,
        id: SubscriptionId,
        token: Token,
        delete: bool,
        events: &mut Events,
    ) {
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            events.push_back(Event::Unsubscribed { token });
            return;
        };
        let asked = Unsubscribe { token, delete };
        match &mut subscription.state {
            State::Starting { unsubscribe, .. } => *unsubscribe = Some(asked),
            State::Running => subscription.cancel(asked),
            State::Restoring | State::Ending { .. } | State::Ended => self.ended(id, asked, events),
        }
    }

    /// There is no consumer any more: answers who wanted that.
    fn ended(&mut self, id: SubscriptionId, asked: Unsubscribe, events: &mut Events) {
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        subscription.state = State::Ended;
        let Unsubscribe { token, delete } = asked;
        if delete {
            let (lease, plan) = (self.lease.clone(), Arc::clone(&subscription.plan));
            self.deleting.push(Box::pin(async move {
                let patience = lease.settings().recovery_timeout;
                match persist(patience, || plan.delete(&lease)).await {
                    Ok(()) => Event::Unsubscribed { token },
                    Err(error) => Event::Failed { token, error },
                }
            }));
        } else {
            events.push_back(Event::Unsubscribed { token });
        }
        self.forget_if_done(id);
    }

    /// Notes a verdict; accepts are told to RabbitMQ by [`flush`](Self::flush).
    pub(super) fn settle(
        &mut self,
        id: SubscriptionId,
        up_to: DeliveryTag,
        verdict: Verdict,
        cumulative: bool,
    ) {
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        subscription.ledger.settle(up_to, verdict, cumulative, &mut self.sayings);
        subscription.send(&mut self.sayings);
        if subscription.ledger.unsaid() > 0 && !mem::replace(&mut subscription.is_unsaid, true) {
            self.unsaid.push(id);
        }
        self.forget_if_done(id);
    }

    /// Tells RabbitMQ what was accepted.
    pub(super) fn flush(&mut self) {
        for id in mem::take(&mut self.unsaid) {
            if let Some(subscription) = self.subscriptions.get_mut(&id) {
                subscription.is_unsaid = false;
                subscription.ledger.say(&mut self.sayings);
                subscription.send(&mut self.sayings);
            }
            self.forget_if_done(id);
        }
    }

    /// Moves on whatever can move. Everything that comes of it is in `events`.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, events: &mut Events) {
        let mut turn = mem::take(&mut self.turn);
        self.woken.take(cx, &mut turn);
        for id in turn.drain(..) {
            self.poll_consumer(id, events);
        }
        self.turn = turn;
        // Last: a consumer that ended may be among them now, and nobody else would poll it.
        while let Poll::Ready(Some(attached)) = Pin::new(&mut self.attaching).poll_next(cx) {
            self.attached(attached, events);
        }
        while let Poll::Ready(Some(deleted)) = Pin::new(&mut self.deleting).poll_next(cx) {
            events.push_back(deleted);
        }
    }

    fn attached(&mut self, attached: Attached, events: &mut Events) {
        let Attached { subscription: id, outcome } = attached;
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        let (subscribe, unsubscribe) = match subscription.state {
            State::Starting { subscribe, unsubscribe } => (Some(subscribe), unsubscribe),
            // Unsubscribed meanwhile: the channel is dropped, and the consumer with it.
            state if state != State::Restoring => return,
            _ => (None, None),
        };
        match outcome {
            Ok((channel, consumer)) => {
                let plan = &subscription.plan;
                if plan.is_exclusive() && !self.owned.iter().any(|it| it.queue == plan.queue) {
                    self.owned.push(Arc::clone(plan));
                }
                subscription.channel = Some(channel);
                subscription.consumer = Some(consumer);
                subscription.state = State::Running;
                events.extend(subscribe.map(|token| Event::Subscribed { token }));
                if let Some(asked) = unsubscribe {
                    subscription.cancel(asked);
                }
                // The first poll comes by the bell, as do all others.
                Waker::from(Arc::clone(&subscription.bell)).wake();
            }
            Err(error) => {
                let plan = Arc::clone(&subscription.plan);
                self.subscriptions.remove(&id);
                self.unclaim(&plan);
                events.push_back(match subscribe {
                    Some(token) => Event::Failed { token, error },
                    None => Event::Canceled { subscription: id, error },
                });
                events.extend(unsubscribe.map(|asked| Event::Unsubscribed { token: asked.token }));
            }
        }
    }

    /// An exclusive queue could not be declared: it may be another, that is not ours to keep from
    /// others, let alone to delete. Unless it was declared before, or still may be.
    fn unclaim(&self, plan: &Plan) {
        let is_owned = self.owned.iter().any(|it| it.queue == plan.queue);
        if plan.is_exclusive() && !is_owned && !self.claims().any(|it| it.queue == plan.queue) {
            lock(self.lease.exclusive()).remove(&plan.queue);
        }
    }

    /// Exclusive queues that are being declared.
    fn claims(&self) -> impl Iterator<Item = &Arc<Plan>> {
        let starting =
            self.subscriptions.values().filter(|it| matches!(it.state, State::Starting { .. }));
        starting.map(|it| &it.plan).filter(|plan| plan.is_exclusive())
    }

    /// An exclusive queue is gone.
    fn disown(&mut self, plan: &Plan) {
        let owned = self.owned.len();
        self.owned.retain(|it| it.queue != plan.queue);
        if self.owned.len() < owned {
            lock(self.lease.exclusive()).remove(&plan.queue);
        }
    }

    fn poll_consumer(&mut self, id: SubscriptionId, events: &mut Events) {
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        subscription.bell.reset();
        let waker = Waker::from(Arc::clone(&subscription.bell));
        let mut cx = Context::from_waker(&waker);
        for _ in 0..TURN {
            let Poll::Ready(yielded) = subscription.poll_next(&mut cx) else {
                return;
            };
            match (yielded, subscription.state) {
                (Yield::Delivery(mut delivery), State::Running) => {
                    let tag = DeliveryTag(self.next_tag);
                    self.next_tag += 1;
                    subscription.ledger.push(tag, delivery.delivery_tag);
                    let redelivered = delivery.redelivered;
                    let publication = Arc::new(publication(&mut delivery));
                    let subscription = id;
                    events.push_back(Event::Delivery {
                        subscription,
                        tag,
                        redelivered,
                        publication,
                    });
                }
                (Yield::Delivery(delivery), _) => {
                    // The owner was told that nothing follows: it goes back.
                    let tag = delivery.delivery_tag;
                    self.sayings.push(Saying::Nack { tag, multiple: false, requeue: true });
                    subscription.send(&mut self.sayings);
                }
                (yielded, _) => return self.consumer_ended(id, yielded, events),
            }
        }
        waker.wake();
    }

    fn consumer_ended(&mut self, id: SubscriptionId, how: Yield, events: &mut Events) {
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        subscription.consumer = None;
        let is_open = subscription.channel.as_ref().is_some_and(Channel::is_open);
        if !is_open {
            subscription.ledger.clear();
            subscription.channel = None;
        }
        match subscription.state {
            State::Running => {
                let plan = Arc::clone(&subscription.plan);
                let refusal = match &how {
                    Yield::Error(error) => Some(canceled_by(error)),
                    _ if is_open => Some(queue_gone(&plan.queue)),
                    _ => None,
                };
                let refusal = refusal.filter(|error| error.kind != BrokerErrorKind::Unavailable);
                // Otherwise only this channel was closed.
                let is_gone = refusal.is_none() || matches!(how, Yield::End);
                match refusal.or_else(|| plan.lost_with_connection()) {
                    Some(error) => {
                        self.subscriptions.remove(&id);
                        if is_gone {
                            self.disown(&plan);
                        }
                        events.push_back(Event::Canceled { subscription: id, error });
                    }
                    None => {
                        // Its tags mean nothing on another channel.
                        subscription.ledger.clear();
                        subscription.channel = None;
                        subscription.state = State::Restoring;
                        self.attach(id, &plan, true);
                    }
                }
            }
            State::Ending { unsubscribe } => self.ended(id, unsubscribe, events),
            State::Starting { .. } | State::Restoring | State::Ended => {}
        }
    }

    /// Closes the channel of a subscription that has ended, once nothing is outstanding.
    fn forget_if_done(&mut self, id: SubscriptionId) {
        let is_done = |subscription: &Subscription| {
            subscription.state == State::Ended && subscription.ledger.is_empty()
        };
        if self.subscriptions.get(&id).is_some_and(is_done) {
            self.subscriptions.remove(&id);
        }
    }
}

impl Drop for Consuming {
    /// The channels close, and RabbitMQ takes back what was outstanding. Exclusive queues belong
    /// to the connection, which goes on: they are deleted here.
    fn drop(&mut self) {
        self.flush();
        let mut exclusive = mem::take(&mut self.owned);
        exclusive.extend(self.claims().cloned());
        self.subscriptions.clear();
        if exclusive.is_empty() {
            return;
        }
        let (lease, mut attaching) = (self.lease.clone(), mem::take(&mut self.attaching));
        self.lease.pool().tracker().spawn(async move {
            // What is being declared would otherwise be there after it was deleted.
            while attaching.next().await.is_some() {}
            for plan in exclusive {
                // If that fails the queue is not ours, or gone with its connection.
                drop(plan.delete_exclusive(&lease).await);
                lock(lease.exclusive()).remove(&plan.queue);
            }
        });
    }
}

impl Subscription {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Yield> {
        let Some(consumer) = &mut self.consumer else {
            return Poll::Pending;
        };
        Pin::new(consumer).poll_next(cx).map(|next| match next {
            Some(Ok(delivery)) => Yield::Delivery(Box::new(delivery)),
            Some(Err(error)) => Yield::Error(error),
            None => Yield::End,
        })
    }

    /// Asks RabbitMQ to end the consumer; that it has is seen by the consumer's end.
    fn cancel(&mut self, unsubscribe: Unsubscribe) {
        self.state = State::Ending { unsubscribe };
        if let Some(channel) = &self.channel {
            let options = BasicCancelOptions::default();
            // Polled once it is on its way; the answer is not needed.
            drop(channel.amqp().basic_cancel(CONSUMER_TAG.into(), options).now_or_never());
        }
    }

    /// Hands these frames on. A future of lapin's that was polled once has queued its frame; if the
    /// channel is gone instead, everything outstanding went back anyway.
    fn send(&self, sayings: &mut Vec<Saying>) {
        for saying in sayings.drain(..) {
            let Some(channel) = &self.channel else {
                continue;
            };
            match saying {
                Saying::Ack { tag, multiple } => {
                    let options = BasicAckOptions { multiple };
                    drop(channel.amqp().basic_ack(tag, options).now_or_never());
                }
                Saying::Nack { tag, multiple, requeue } => {
                    let options = BasicNackOptions { multiple, requeue };
                    drop(channel.amqp().basic_nack(tag, options).now_or_never());
                }
            }
        }
    }
}

/// Why the channel of a running consumer was closed.
fn canceled_by(error: &lapin::Error) -> BrokerError {
    let error = broker_error(error);
    if error.text.contains("delivery acknowledgement on channel") {
        let text = format!("{} (RabbitMQ's consumer_timeout)", error.text);
        return BrokerError::new(error.kind, text);
    }
    error
}

/// RabbitMQ ended the consumer and left the channel open (`basic.cancel`, consumer cancel
/// notification).
fn queue_gone(queue: &Text) -> BrokerError {
    let text = format!("the broker ended the subscription: queue '{queue}' was deleted");
    BrokerError::new(BrokerErrorKind::NotFound, text)
}
