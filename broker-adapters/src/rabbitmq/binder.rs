//! [`Binder`]: the topics of a link's inboxes, bound and unbound one at a time.
//!
//! On a channel apart from those of consumers, for RabbitMQ closes the channel on which a topic is
//! refused; and on one for all, for there may be thousands of topics at once. RabbitMQ remembers for
//! each channel which rights it has looked up, so a channel does not stay: it ends with the last of
//! what was asked for, and after [`MOST`].

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll};

use futures_core::future::BoxFuture;
use lapin::options::QueueBindOptions;
use lapin::types::FieldTable;
use protocols::broker::{BrokerError, BrokerErrorKind, Event, SubscriptionId, Token};
use protocols::text::Text;

use super::declaring::Barrier;
use super::error::broker_error;
use super::link::Events;
use super::pool::{Channel, Lease, Side};
use super::recover::persist;
use crate::lock::lock;
use crate::refusals;

/// What is asked of RabbitMQ on one channel at most. Opening another costs about as much as one bind.
const MOST: u32 = 100;

/// See the module.
pub(super) struct Binder {
    lease: Lease,
    /// In order; the first is being carried out if `running` is set.
    asked: VecDeque<Bind>,
    /// How many of `asked` bind.
    binds: usize,
    running: Option<BoxFuture<'static, Done>>,
    /// Set between two that are carried out.
    channel: Option<Used>,
}

/// What the owner of an inbox asks for.
pub(super) struct Asked {
    pub(super) token: Token,
    /// `None`: the one that topics live in.
    pub(super) exchange: Option<Text>,
    pub(super) topic: Text,
    /// Otherwise the topic is to be unbound.
    pub(super) binds: bool,
}

struct Bind {
    inbox: SubscriptionId,
    queue: Text,
    asked: Asked,
    /// What it has to wait for.
    after: Option<Barrier>,
}

/// A channel, and for how many it was used.
struct Used(Channel, u32);

/// How it ended, and the channel if that can be used again.
struct Done {
    outcome: Result<(), BrokerError>,
    channel: Option<Used>,
}

impl Binder {
    pub(super) const fn new(lease: Lease) -> Self {
        Self { lease, asked: VecDeque::new(), binds: 0, running: None, channel: None }
    }

    /// To be polled afterwards.
    pub(super) fn ask(
        &mut self,
        (inbox, queue): (SubscriptionId, Text),
        asked: Asked,
        after: Option<Barrier>,
    ) {
        self.binds += usize::from(asked.binds);
        self.asked.push_back(Bind { inbox, queue, asked, after });
    }

    /// Whether a topic was asked for that is not bound yet.
    pub(super) fn is_binding(&self) -> bool {
        self.binds > 0
    }

    /// The inbox is gone: what was asked for it is refused.
    pub(super) fn forget(&mut self, inbox: SubscriptionId, events: &mut Events) {
        if self.asked.front().is_some_and(|first| first.inbox == inbox) {
            // Its channel goes with it, which may be about to be closed by RabbitMQ.
            self.running = None;
        }
        self.asked.retain(|bind| {
            let stays = bind.inbox != inbox;
            if !stays {
                self.binds -= usize::from(bind.asked.binds);
                let (token, error) = (bind.asked.token, refusals::no_inbox(inbox.0));
                events.push_back(Event::Failed { token, error });
            }
            stays
        });
    }

    /// Moves on whatever can move. What is asked for an inbox that is being opened waits for it.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        events: &mut Events,
        is_open: impl Fn(SubscriptionId) -> bool,
    ) {
        loop {
            let Some(first) = self.asked.front().filter(|first| is_open(first.inbox)) else {
                self.channel = None;
                return;
            };
            let running = self.running.get_or_insert_with(|| {
                Box::pin(first.carry_out(self.lease.clone(), self.channel.take()))
            });
            let Poll::Ready(Done { outcome, channel }) = Pin::new(running).poll(cx) else {
                return;
            };
            self.running = None;
            self.channel = channel;
            if let Some(done) = self.asked.pop_front() {
                self.binds -= usize::from(done.asked.binds);
                events.push_back(done.answer(outcome));
            }
        }
    }
}

impl Bind {
    /// Asks RabbitMQ, with patience.
    fn carry_out(&self, lease: Lease, channel: Option<Used>) -> impl Future<Output = Done> + use<> {
        let (queue, after) = (self.queue.clone(), self.after.clone());
        let (topic, binds) = (self.asked.topic.clone(), self.asked.binds);
        let exchange = self.asked.exchange.clone();
        let exchange = exchange.unwrap_or_else(|| lease.settings().topic_exchange.clone());
        let channel = Mutex::new(channel);
        async move {
            if let Some(after) = after {
                after.await;
            }
            let patience = lease.settings().recovery_timeout;
            let attempt = async || {
                let kept = lock(&channel).take().filter(|Used(channel, _)| channel.is_open());
                let Used(used, count) = match kept {
                    Some(used) => used,
                    None => Used(lease.channel(Side::Consume).await?, 0),
                };
                let done = if binds {
                    bind(used.amqp(), &queue, &exchange, &topic).await
                } else {
                    unbind(used.amqp(), &queue, &exchange, &topic).await
                };
                // One that RabbitMQ closes is not kept.
                done.map_err(|error| broker_error(&error))?;
                *lock(&channel) =
                    Some(Used(used, count + 1)).filter(|Used(_, count)| *count < MOST);
                Ok(())
            };
            let outcome = persist(patience, attempt).await;
            Done { outcome, channel: lock(&channel).take() }
        }
    }

    fn answer(self, outcome: Result<(), BrokerError>) -> Event {
        let token = self.asked.token;
        match outcome {
            Ok(()) if self.asked.binds => Event::Subscribed { token },
            Ok(()) => Event::Unsubscribed { token },
            // Clients are not told the names of inboxes.
            Err(error)
                if error.kind == BrokerErrorKind::NotFound && error.text.contains(&*self.queue) =>
            {
                Event::Failed { token, error: refusals::no_inbox(self.inbox.0) }
            }
            Err(error) => Event::Failed { token, error },
        }
    }
}

async fn bind(
    amqp: &lapin::Channel,
    queue: &Text,
    exchange: &Text,
    topic: &Text,
) -> lapin::Result<()> {
    let [queue, exchange, topic] = [queue, exchange, topic].map(|it| it.as_str().into());
    let options = QueueBindOptions::default();
    amqp.queue_bind(queue, exchange, topic, options, FieldTable::default()).await
}

async fn unbind(
    amqp: &lapin::Channel,
    queue: &Text,
    exchange: &Text,
    topic: &Text,
) -> lapin::Result<()> {
    let [queue, exchange, topic] = [queue, exchange, topic].map(|it| it.as_str().into());
    amqp.queue_unbind(queue, exchange, topic, FieldTable::default()).await
}
