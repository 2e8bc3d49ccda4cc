//! [`Subscription`]: one of a link's, with its channel and its consumer.

use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use futures_util::FutureExt;
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicNackOptions};
use protocols::broker::{
    BrokerError, BrokerErrorKind, DeliveryTag, SubscriptionId, Token, Verdict,
};
use protocols::text::Text;

use super::consumer::Consumer;
use super::error::broker_error;
use super::inbox::Inbox;
use super::lasting::Lasting;
use super::ledger::{Ledger, Saying};
use super::losses::Losses;
use super::pool::{Channel, Lease};
use super::recover::persist;
use super::session::Session;
use super::topology::{CONSUMER_TAG, Plan};
use super::woken::Bell;

/// See the module.
pub(super) struct Subscription {
    pub(super) source: Source,
    pub(super) state: State,
    /// Set while there is a channel; it outlives the consumer while deliveries are outstanding.
    pub(super) channel: Option<Channel>,
    pub(super) consumer: Option<Consumer>,
    /// Tells of messages that a guarded queue has lost; set together with `consumer`.
    pub(super) losses: Option<Losses>,
    /// The first delivery of a queue that was there before, while it waits for a look at its losses.
    pub(super) first: Option<Box<lapin::message::Delivery>>,
    pub(super) bell: Arc<Bell<SubscriptionId>>,
    pub(super) ledger: Ledger,
    gap: Gap,
    /// Among `Consuming::unsaid`.
    pub(super) is_unsaid: bool,
}

/// What a subscription takes from.
#[derive(Clone)]
pub(super) enum Source {
    Queue(Arc<Plan>),
    Inbox(Arc<Inbox>),
    Lasting(Arc<Lasting>),
    Session(Arc<Session>),
}

/// How far the last gap of a lasting subscription is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gap {
    /// There was none, or it is settled.
    Settled,
    /// Told, and no delivery has followed.
    Told,
    /// This was the first delivery that followed, and it is outstanding.
    Followed(DeliveryTag),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Being started for the first time; with an unsubscribe that came meanwhile.
    Starting {
        subscribe: Token,
        unsubscribe: Option<Unsubscribe>,
    },
    Running,
    /// Being started again, because its connection was lost; with an unsubscribe that came meanwhile
    /// and waits for that.
    Restoring {
        unsubscribe: Option<Unsubscribe>,
    },
    /// `basic.cancel` was sent; the consumer yields what came before the broker knew.
    Ending {
        unsubscribe: Unsubscribe,
    },
    /// No consumer; deliveries are outstanding.
    Ended,
}

/// An unsubscribe that is to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unsubscribe {
    pub(super) token: Token,
    /// The queue is to be deleted first.
    pub(super) delete: bool,
}

/// A consumer that was started, on a channel of its own.
pub(super) struct Started {
    pub(super) channel: Channel,
    pub(super) consumer: Consumer,
    /// Of a guarded queue.
    pub(super) losses: Option<Losses>,
    /// What its owner is to be told besides.
    pub(super) news: Option<News>,
}

/// What a start has brought to light.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// A lasting subscription may have lost messages.
    Gap,
    /// A session was there, or has begun.
    Resumed { found: bool },
}

/// What a consumer yielded.
pub(super) enum Yield {
    Delivery(Box<lapin::message::Delivery>),
    /// A guarded queue has lost messages.
    Loss,
    Error(lapin::Error),
    /// It was canceled, by us or by the broker, or its channel closed.
    End,
}

impl Source {
    /// The plan of a queue that belongs to one link.
    pub(super) fn exclusive(&self) -> Option<&Arc<Plan>> {
        match self {
            Self::Queue(plan) => Some(plan).filter(|plan| plan.is_exclusive()),
            Self::Inbox(_) | Self::Lasting(_) | Self::Session(_) => None,
        }
    }

    pub(super) fn lasting(&self) -> Option<&Arc<Lasting>> {
        match self {
            Self::Lasting(lasting) => Some(lasting),
            Self::Queue(_) | Self::Inbox(_) | Self::Session(_) => None,
        }
    }

    pub(super) fn is_session(&self) -> bool {
        matches!(self, Self::Session(_))
    }

    /// Whether it ends by the end of its channel, and an unsubscribe waits for its start.
    pub(super) fn is_resumable(&self) -> bool {
        matches!(self, Self::Lasting(_) | Self::Session(_))
    }

    pub(super) fn inbox(&self) -> Option<&Arc<Inbox>> {
        match self {
            Self::Inbox(inbox) => Some(inbox),
            Self::Queue(_) | Self::Lasting(_) | Self::Session(_) => None,
        }
    }

    /// Why the subscription cannot outlive its connection, if it cannot.
    pub(super) fn lost_with_connection(&self) -> Option<BrokerError> {
        match self {
            Self::Queue(plan) => plan.lost_with_connection(),
            Self::Inbox(_) | Self::Lasting(_) | Self::Session(_) => None,
        }
    }

    /// Starts the consumer, with patience. With `again` it ran before.
    pub(super) async fn start(&self, lease: &Lease, again: bool) -> Result<Started, BrokerError> {
        let patience = lease.settings().recovery_timeout;
        match self {
            Self::Queue(plan) => {
                let (channel, consumer) = persist(patience, || plan.attach(lease, again)).await?;
                let consumer = Consumer::new(consumer);
                Ok(Started { channel, consumer, losses: None, news: None })
            }
            Self::Inbox(inbox) if again => persist(patience, || inbox.attach_again(lease)).await?,
            Self::Inbox(inbox) => persist(patience, || inbox.open(lease)).await,
            Self::Lasting(lasting) => persist(patience, || lasting.attach(lease, again)).await,
            Self::Session(session) if again => {
                persist(patience, || session.attach_again(lease)).await
            }
            Self::Session(session) => persist(patience, || session.resume(lease)).await,
        }
    }

    /// Deletes the queue, with patience. What belongs to a session is left to the link that has it.
    pub(super) async fn delete(&self, lease: &Lease) -> Result<(), BrokerError> {
        let patience = lease.settings().recovery_timeout;
        match self {
            Self::Queue(plan) => persist(patience, || plan.delete(lease)).await,
            Self::Inbox(inbox) => persist(patience, || inbox.delete(lease)).await,
            Self::Lasting(lasting) => persist(patience, || lasting.delete(lease)).await,
            Self::Session(session) => persist(patience, || session.delete(lease)).await,
        }
    }

    /// Why a subscription ends whose channel RabbitMQ has closed. Clients are not told the names of
    /// inboxes.
    pub(super) fn ended_by(&self, error: &lapin::Error) -> BrokerError {
        let error = canceled_by(error);
        match self {
            Self::Inbox(_) if error.kind == BrokerErrorKind::NotFound => Inbox::gone(),
            // Only the queue of losses was asked for: it is declared again, which is a gap.
            Self::Lasting(_) if error.kind == BrokerErrorKind::NotFound => {
                BrokerError::new(BrokerErrorKind::Unavailable, error.text)
            }
            _ => error,
        }
    }

    /// Why a subscription ends that RabbitMQ has ended, and left its channel open (`basic.cancel`,
    /// consumer cancel notification).
    pub(super) fn gone(&self) -> BrokerError {
        match self {
            Self::Queue(plan) => queue_gone(&plan.queue),
            Self::Inbox(_) | Self::Lasting(_) => Inbox::gone(),
            Self::Session(_) => Session::taken_over(),
        }
    }
}

impl Subscription {
    pub(super) fn new(source: Source, subscribe: Token, bell: Arc<Bell<SubscriptionId>>) -> Self {
        Self {
            source,
            state: State::Starting { subscribe, unsubscribe: None },
            channel: None,
            consumer: None,
            losses: None,
            first: None,
            bell,
            ledger: Ledger::default(),
            gap: Gap::Settled,
            is_unsaid: false,
        }
    }

    pub(super) fn is_starting(&self) -> bool {
        matches!(self.state, State::Starting { .. })
    }

    /// The inbox that topics can be bound to: there, or about to be.
    pub(super) fn open_inbox(&self) -> Option<&Arc<Inbox>> {
        let is_open = match self.state {
            State::Starting { unsubscribe, .. } => unsubscribe.is_none(),
            State::Running | State::Restoring { .. } => true,
            State::Ending { .. } | State::Ended => false,
        };
        self.source.inbox().filter(|_| is_open)
    }

    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Yield> {
        loop {
            // First: what follows a loss is not to come before it if that can be had.
            if let Some(losses) = &mut self.losses {
                if let Poll::Ready(found) = losses.poll(cx) {
                    // Why it cannot be told is found out by whoever attaches again.
                    return Poll::Ready(if found.is_ok() { Yield::Loss } else { Yield::End });
                }
                if losses.is_about_to_tell() {
                    return Poll::Pending;
                }
            }
            let Some(consumer) = &mut self.consumer else {
                return Poll::Pending;
            };
            let delivery = match self.first.take() {
                Some(first) => first,
                None => match ready!(consumer.poll_next(cx)) {
                    Some(Ok(delivery)) => Box::new(delivery),
                    Some(Err(error)) => return Poll::Ready(Yield::Error(error)),
                    None => return Poll::Ready(Yield::End),
                },
            };
            if let Some(losses) = &mut self.losses {
                if losses.keeps() {
                    self.first = Some(delivery);
                    continue;
                }
                let outstanding = self.ledger.len() + 1;
                match self.source.lasting() {
                    Some(lasting) if !lasting.is_nearly_full(outstanding) => losses.look_later(),
                    _ => losses.look_soon(),
                }
            }
            return Poll::Ready(Yield::Delivery(delivery));
        }
    }

    /// More has come at once than its owner was given in a turn.
    pub(super) fn note_many(&mut self) {
        if let Some(losses) = &mut self.losses {
            losses.look_soon();
        }
    }

    /// There is no consumer any more.
    pub(super) fn lose_consumer(&mut self) {
        (self.consumer, self.losses, self.first) = (None, None, None);
    }

    /// The consumer runs.
    pub(super) fn started(&mut self, started: Started) {
        let Started { channel, consumer, losses, news } = started;
        self.gap = if news == Some(News::Gap) { Gap::Told } else { Gap::Settled };
        self.channel = Some(channel);
        self.consumer = Some(consumer);
        self.losses = losses;
        self.state = State::Running;
    }

    /// Its tags mean nothing on another channel.
    pub(super) fn lose_channel(&mut self) {
        self.ledger.clear();
        self.channel = None;
    }

    /// A loss of a lasting subscription is being told.
    pub(super) fn note_gap(&mut self) {
        self.gap = Gap::Told;
    }

    /// A new delivery.
    pub(super) fn delivered(&mut self, tag: DeliveryTag, amqp: u64) {
        self.ledger.push(tag, amqp);
        if self.gap == Gap::Told {
            self.gap = Gap::Followed(tag);
        }
    }

    /// Notes a verdict.
    pub(super) fn settle(
        &mut self,
        up_to: DeliveryTag,
        verdict: Verdict,
        cumulative: bool,
        sayings: &mut Vec<Saying>,
    ) {
        let followed = self.followed();
        self.ledger.settle(up_to, self.verdict(verdict), cumulative, sayings);
        let is_open = matches!(verdict, Verdict::Requeue | Verdict::Skip);
        if is_open && followed.is_some() && self.followed().is_none() {
            // It comes again, or another before it; or nobody has seen it.
            self.gap = Gap::Told;
        }
        self.send(sayings);
    }

    /// Tells RabbitMQ what was accepted.
    pub(super) fn say(&mut self, sayings: &mut Vec<Saying>) {
        if let (Some(lasting), Some(losses)) = (self.source.lasting(), &mut self.losses)
            && self.ledger.unsaid() > 0
            && lasting.is_nearly_full(self.ledger.len())
        {
            losses.look_first();
            Waker::from(Arc::clone(&self.bell)).wake();
        }
        self.ledger.say(sayings);
        self.send(sayings);
    }

    /// The delivery that has to be settled for the last gap to be so, if it is outstanding and not
    /// accepted.
    fn followed(&self) -> Option<DeliveryTag> {
        match self.gap {
            Gap::Followed(tag) if self.ledger.is_outstanding(tag) => Some(tag),
            _ => None,
        }
    }

    /// What a verdict means for this source. A guarded queue has dead letters of its own, which tell of
    /// losses.
    fn verdict(&self, verdict: Verdict) -> Verdict {
        match (&self.source, verdict) {
            (Source::Inbox(_) | Source::Lasting(_), Verdict::Discard) | (_, Verdict::Skip) => {
                Verdict::Accept
            }
            _ => verdict,
        }
    }

    /// Asks RabbitMQ to end the consumer; that it has is seen by the consumer's end.
    pub(super) fn cancel(&mut self, unsubscribe: Unsubscribe) {
        self.state = State::Ending { unsubscribe };
        if let Some(channel) = &self.channel {
            let options = BasicCancelOptions::default();
            // Polled once it is on its way; the answer is not needed.
            drop(channel.amqp().basic_cancel(CONSUMER_TAG.into(), options).now_or_never());
        }
    }

    /// Hands these frames on. A future of lapin's that was polled once has queued its frame; if the
    /// channel is gone instead, everything outstanding went back anyway.
    pub(super) fn send(&mut self, sayings: &mut Vec<Saying>) {
        if let Gap::Followed(tag) = self.gap
            && !self.ledger.contains(tag)
            && let Some(losses) = &mut self.losses
        {
            // Said on the same channel, behind what is said here.
            losses.settle();
            self.gap = Gap::Settled;
            Waker::from(Arc::clone(&self.bell)).wake();
        }
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

    /// Takes note that there is accepted what RabbitMQ has not been told. False if there is nothing,
    /// or that was noted before.
    pub(super) fn is_newly_unsaid(&mut self) -> bool {
        self.ledger.unsaid() > 0 && !mem::replace(&mut self.is_unsaid, true)
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

fn queue_gone(queue: &Text) -> BrokerError {
    let text = format!("the broker ended the subscription: queue '{queue}' was deleted");
    BrokerError::new(BrokerErrorKind::NotFound, text)
}
