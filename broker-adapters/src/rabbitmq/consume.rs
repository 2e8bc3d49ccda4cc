//! The subscriptions of a link: each a channel and a consumer of its own.
//!
//! A channel per subscription, because RabbitMQ closes the channel on which something is refused
//! (no such queue, no right, an acknowledgement that took longer than `consumer_timeout`), and that
//! must end one subscription only; and because `basic.ack` with `multiple` then means exactly what
//! STOMP 1.2 §ACK means by it.
//!
//! Those of a resumable session have an order of their own to keep to, see [`resume`], and so have those
//! to exclusive queues, see [`exclusive`].
//!
//! Always with a prefetch and with acknowledgements: lapin keeps deliveries in a queue without a
//! bound, so RabbitMQ's prefetch is the bound.

mod exclusive;
mod resume;

use std::collections::HashMap;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use futures_core::future::BoxFuture;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use protocols::broker::{
    BrokerError, BrokerErrorKind, DeliveryTag, Event, SubscriptionId, Token, Verdict,
};

use super::binder::{Asked, Binder};
use super::declaring::Barrier;
use super::inbox::Inbox;
use super::ledger::Saying;
use super::link::Events;
use super::pool::{Channel, Lease};
use super::properties::publication;
use super::subscription::{News, Source, Started, State, Subscription, Unsubscribe, Yield};
use super::topology::{self, Plan};
use super::woken::Woken;
use crate::lock::lock;
use crate::refusals;
use exclusive::Going;
use resume::Resuming;

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
    /// The topics of inboxes.
    binder: Binder,
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
    /// Exclusive queues that are being deleted.
    going: Vec<Going>,
    /// What subscriptions that are started from now on wait for.
    barrier: Option<Barrier>,
    /// The resumable session of this link, and what waits for that.
    resuming: Resuming,
}

/// How starting a consumer ended.
struct Attached {
    subscription: SubscriptionId,
    outcome: Result<Started, BrokerError>,
}

impl Consuming {
    pub(super) fn new(lease: Lease, link: u64) -> Self {
        Self {
            binder: Binder::new(lease.clone()),
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
            going: Vec::new(),
            barrier: None,
            resuming: Resuming::default(),
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
        self.check_new(id)?;
        self.claim(&plan)?;
        self.begin(id, token, Source::Queue(Arc::new(plan)));
        Ok(())
    }

    /// Begins a subscription to an inbox.
    ///
    /// *Errors.* What can be refused without asking RabbitMQ.
    pub(super) fn open_inbox(
        &mut self,
        id: SubscriptionId,
        token: Token,
        prefetch: u16,
    ) -> Result<(), BrokerError> {
        self.check_new(id)?;
        let inbox = Inbox::new(prefetch, self.lease.settings())?;
        self.begin(id, token, Source::Inbox(Arc::new(inbox)));
        Ok(())
    }

    /// Asks for a topic of an inbox, or for one no more.
    ///
    /// *Errors.* What can be refused without asking RabbitMQ.
    pub(super) fn bind(&mut self, inbox: SubscriptionId, asked: Asked) -> Result<(), BrokerError> {
        topology::fits(&asked.topic)?;
        asked.exchange.as_ref().map_or(Ok(()), topology::fits)?;
        let open = self.subscriptions.get(&inbox).and_then(Subscription::open_inbox);
        let queue = open.ok_or_else(|| refusals::no_inbox(inbox.0))?.queue().clone();
        self.binder.ask((inbox, queue), asked, self.barrier.clone());
        Ok(())
    }

    fn check_new(&self, id: SubscriptionId) -> Result<(), BrokerError> {
        if self.subscriptions.contains_key(&id) {
            return Err(refusals::subscription_exists(id.0));
        }
        Ok(())
    }

    fn begin(&mut self, id: SubscriptionId, token: Token, source: Source) {
        if source.lasting().is_some() {
            self.postpone(id);
        } else {
            self.attach(id, &source, false);
        }
        let subscription = Subscription::new(source, token, self.woken.bell(id));
        self.subscriptions.insert(id, subscription);
    }

    /// Whether a subscription or a topic was asked for and is not there yet. What is published after
    /// it was asked for must reach it, but travels on another connection.
    pub(super) fn is_starting(&self) -> bool {
        self.binder.is_binding()
            || !(self.attaching.is_empty() && self.nothing_waits())
                && self.subscriptions.values().any(Subscription::is_starting)
    }

    /// What is subscribed to from now on may need what this stands for.
    pub(super) fn wait_for(&mut self, barrier: Option<Barrier>) {
        self.barrier = barrier;
    }

    fn attach(&self, subscription: SubscriptionId, source: &Source, again: bool) {
        let (lease, source) = (self.lease.clone(), source.clone());
        let barriers: Vec<_> = self.barrier.iter().cloned().chain(self.ends(&source)).collect();
        let fresh = self.fresh(&source);
        self.attaching.push(Box::pin(async move {
            for barrier in barriers {
                barrier.await;
            }
            let outcome = source.start(&lease, again).await;
            let refusal = outcome.as_ref().err().cloned();
            if let (Some(error), Some(plan)) = (&refusal, fresh) {
                exclusive::tidy_up(&lease, &plan, error).await;
            }
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
        let asked = Unsubscribe { token, delete };
        if self.subscriptions.get(&id).is_some_and(|it| it.source.is_resumable()) {
            return self.unsubscribe_resumable(id, asked, events);
        }
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            events.push_back(Event::Unsubscribed { token });
            return;
        };
        let is_inbox = subscription.source.inbox().is_some();
        if let Some(plan) = subscription.source.exclusive().filter(|_| delete) {
            self.going.push(Going::new(token, plan));
        }
        match &mut subscription.state {
            State::Starting { unsubscribe, .. } => {
                *unsubscribe = Some(asked);
                self.binder.forget(id, events);
            }
            State::Running | State::Restoring { .. } if is_inbox => {
                self.close_inbox(id, token, events);
            }
            State::Running => subscription.cancel(asked),
            State::Restoring { .. } | State::Ending { .. } | State::Ended => {
                self.ended(id, asked, events);
            }
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
            let source = subscription.source.clone();
            self.delete(source, token);
        } else {
            events.push_back(Event::Unsubscribed { token });
        }
        self.forget_if_done(id);
    }

    /// An inbox goes with its subscription, and takes along what is outstanding.
    fn close_inbox(&mut self, id: SubscriptionId, token: Token, events: &mut Events) {
        self.binder.forget(id, events);
        if let Some(subscription) = self.subscriptions.remove(&id) {
            self.delete(subscription.source, token);
        }
    }

    fn delete(&self, source: Source, token: Token) {
        let lease = self.lease.clone();
        self.deleting.push(Box::pin(async move { answer(token, source.delete(&lease).await) }));
    }

    /// Takes a subscription out that has come to its end by itself, which `ending` tells.
    fn abandon(&mut self, id: SubscriptionId, ending: Event, events: &mut Events) {
        let removed = self.subscriptions.remove(&id);
        // Why something else fails with it is told by that.
        events.push_back(ending);
        match removed.as_ref().map(|it| &it.source) {
            Some(Source::Session(_)) => self.lose_session(id, events),
            Some(Source::Lasting(_)) => self.note_rest(),
            _ => {}
        }
        if let Some(inbox) = removed.as_ref().and_then(|it| it.source.inbox()).cloned() {
            self.binder.forget(id, events);
            let lease = self.lease.clone();
            // If that fails RabbitMQ does it, in its time.
            let delete = async move { drop(inbox.delete(&lease).await) };
            self.lease.pool().tracker().spawn(delete);
        }
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
        subscription.settle(up_to, verdict, cumulative, &mut self.sayings);
        if subscription.is_newly_unsaid() {
            self.unsaid.push(id);
        }
        self.forget_if_done(id);
    }

    /// Tells RabbitMQ what was accepted.
    pub(super) fn flush(&mut self) {
        for id in mem::take(&mut self.unsaid) {
            if let Some(subscription) = self.subscriptions.get_mut(&id) {
                subscription.is_unsaid = false;
                subscription.say(&mut self.sayings);
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
        loop {
            self.begin_postponed();
            let mut waited = false;
            while let Poll::Ready(Some(attached)) = Pin::new(&mut self.attaching).poll_next(cx) {
                waited = true;
                self.attached(attached, events);
            }
            while let Poll::Ready(Some(deleted)) = Pin::new(&mut self.deleting).poll_next(cx) {
                waited = true;
                self.deleted(&deleted);
                self.gone(&deleted);
                events.push_back(deleted);
            }
            // Something may have waited for that.
            if !waited {
                break;
            }
        }
        let Self { binder, subscriptions, .. } = self;
        binder.poll(cx, events, |id| subscriptions.get(&id).is_some_and(|it| !it.is_starting()));
    }

    fn attached(&mut self, attached: Attached, events: &mut Events) {
        let Attached { subscription: id, outcome } = attached;
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        let (subscribe, unsubscribe) = match subscription.state {
            State::Starting { subscribe, unsubscribe } => (Some(subscribe), unsubscribe),
            State::Restoring { unsubscribe } => (None, unsubscribe),
            // Unsubscribed meanwhile: the channel is dropped, and the consumer with it.
            State::Running | State::Ending { .. } | State::Ended => return,
        };
        match outcome {
            Ok(started) => {
                if let Some(plan) = subscription.source.exclusive()
                    && !self.owned.iter().any(|it| it.queue == plan.queue)
                {
                    self.owned.push(Arc::clone(plan));
                }
                let news = started.news;
                subscription.started(started);
                // The first poll comes by the bell, as do all others.
                Waker::from(Arc::clone(&subscription.bell)).wake();
                match news {
                    Some(News::Resumed { found }) => self.resumed(subscribe, found, events),
                    _ => events.extend(subscribe.map(|token| Event::Subscribed { token })),
                }
                if news == Some(News::Gap) {
                    events.push_back(Event::Gap { subscription: id });
                }
                let Some(subscription) = self.subscriptions.get_mut(&id) else {
                    return;
                };
                match unsubscribe {
                    Some(asked) if subscription.source.is_resumable() => {
                        self.close_resumable(id, asked);
                    }
                    Some(asked) if subscription.source.inbox().is_some() => {
                        self.close_inbox(id, asked.token, events);
                    }
                    Some(asked) => subscription.cancel(asked),
                    None => {}
                }
            }
            Err(error) => {
                if let (None, Some(asked)) = (subscribe, unsubscribe) {
                    return self.close_resumable(id, asked);
                }
                let exclusive = subscription.source.exclusive().cloned();
                let ending = match subscribe {
                    Some(token) => Event::Failed { token, error },
                    None => Event::Canceled { subscription: id, error },
                };
                self.abandon(id, ending, events);
                if let Some(plan) = exclusive {
                    self.unclaim(&plan);
                }
                if let Some(Unsubscribe { token, .. }) = unsubscribe {
                    self.going.retain(|going| !going.is_of(token));
                    events.push_back(Event::Unsubscribed { token });
                }
            }
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
                // Somebody knows the name of its marker. It stays where it is: nothing else comes.
                (Yield::Delivery(_), _) if subscription.source.is_session() => {}
                (Yield::Loss, State::Running) if subscription.source.lasting().is_some() => {
                    subscription.note_gap();
                    events.push_back(Event::Gap { subscription: id });
                }
                (Yield::Delivery(mut delivery), State::Running) => {
                    let tag = DeliveryTag(self.next_tag);
                    self.next_tag += 1;
                    subscription.delivered(tag, delivery.delivery_tag);
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
        subscription.note_many();
        waker.wake();
    }

    fn consumer_ended(&mut self, id: SubscriptionId, how: Yield, events: &mut Events) {
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        subscription.lose_consumer();
        let is_open = subscription.channel.as_ref().is_some_and(Channel::is_open);
        if !is_open {
            subscription.lose_channel();
        }
        match subscription.state {
            State::Running => {
                let source = subscription.source.clone();
                let refusal = match &how {
                    Yield::Error(error) => Some(source.ended_by(error)),
                    _ if is_open => Some(source.gone()),
                    _ => None,
                };
                let refusal = refusal.filter(|error| error.kind != BrokerErrorKind::Unavailable);
                let loss = source.inbox().filter(|_| matches!(how, Yield::Loss));
                let refusal = loss.map(|inbox| inbox.overflowed()).or(refusal);
                // Otherwise only this channel was closed.
                let is_gone = refusal.is_none() || matches!(how, Yield::End);
                match refusal.or_else(|| source.lost_with_connection()) {
                    Some(error) => {
                        let ending = Event::Canceled { subscription: id, error };
                        self.abandon(id, ending, events);
                        if let Some(plan) = source.exclusive().filter(|_| is_gone) {
                            self.disown(plan);
                        }
                    }
                    None => {
                        subscription.lose_channel();
                        subscription.state = State::Restoring { unsubscribe: None };
                        if source.lasting().is_some() {
                            self.postpone(id);
                        } else {
                            self.attach(id, &source, true);
                        }
                    }
                }
            }
            State::Ending { unsubscribe } => self.ended(id, unsubscribe, events),
            State::Starting { .. } | State::Restoring { .. } | State::Ended => {}
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
    /// to the connection, which goes on, and inboxes to nobody: they are deleted here. Of a resumable
    /// session goes what was asked to.
    fn drop(&mut self) {
        self.flush();
        let mut exclusive = mem::take(&mut self.owned);
        exclusive.extend(self.claims().cloned());
        let inboxes = self.subscriptions.values().filter_map(|it| it.source.inbox());
        let inboxes: Vec<_> = inboxes.cloned().collect();
        self.finish_resumable();
        self.subscriptions.clear();
        if exclusive.is_empty() && inboxes.is_empty() && self.deleting.is_empty() {
            return;
        }
        let (lease, mut attaching) = (self.lease.clone(), mem::take(&mut self.attaching));
        let mut deleting = mem::take(&mut self.deleting);
        self.lease.pool().tracker().spawn(async move {
            // What is being declared would otherwise be there after it was deleted.
            while attaching.next().await.is_some() {}
            for plan in exclusive {
                // If that fails the queue is not ours, or gone with its connection.
                drop(plan.delete_exclusive(&lease).await);
                lock(lease.exclusive()).remove(&plan.queue);
            }
            for inbox in inboxes {
                // If that fails RabbitMQ does it, in its time.
                drop(inbox.delete(&lease).await);
            }
            while deleting.next().await.is_some() {}
        });
    }
}

/// What there is to say of an unsubscribe.
fn answer(token: Token, deleted: Result<(), BrokerError>) -> Event {
    match deleted {
        Ok(()) => Event::Unsubscribed { token },
        Err(error) => Event::Failed { token, error },
    }
}
