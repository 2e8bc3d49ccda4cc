//! [`Subscription`]: one of a link's, with its channel and its consumer.

use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_util::FutureExt;
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicNackOptions};
use protocols::broker::{BrokerError, BrokerErrorKind, SubscriptionId, Token, Verdict};
use protocols::text::Text;

use super::error::broker_error;
use super::inbox::Inbox;
use super::ledger::{Ledger, Saying};
use super::losses::Losses;
use super::pool::{Channel, Lease};
use super::recover::persist;
use super::topology::{CONSUMER_TAG, Plan};
use super::woken::Bell;

/// See the module.
pub(super) struct Subscription {
    pub(super) source: Source,
    pub(super) state: State,
    /// Set while there is a channel; it outlives the consumer while deliveries are outstanding.
    pub(super) channel: Option<Channel>,
    pub(super) consumer: Option<lapin::Consumer>,
    /// Tells of messages that an inbox has lost; set together with `consumer`.
    pub(super) losses: Option<Losses>,
    pub(super) bell: Arc<Bell<SubscriptionId>>,
    pub(super) ledger: Ledger,
    /// Among `Consuming::unsaid`.
    pub(super) is_unsaid: bool,
}

/// What a subscription takes from.
#[derive(Clone)]
pub(super) enum Source {
    Queue(Arc<Plan>),
    Inbox(Arc<Inbox>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
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
pub(super) struct Unsubscribe {
    pub(super) token: Token,
    /// The queue is to be deleted first.
    pub(super) delete: bool,
}

/// A consumer that was started, on a channel of its own.
pub(super) struct Started {
    pub(super) channel: Channel,
    pub(super) consumer: lapin::Consumer,
    /// Only of an inbox.
    pub(super) losses: Option<Losses>,
}

/// What a consumer yielded.
pub(super) enum Yield {
    Delivery(Box<lapin::message::Delivery>),
    /// An inbox has lost messages.
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
            Self::Inbox(_) => None,
        }
    }

    pub(super) fn inbox(&self) -> Option<&Arc<Inbox>> {
        match self {
            Self::Queue(_) => None,
            Self::Inbox(inbox) => Some(inbox),
        }
    }

    /// Why the subscription cannot outlive its connection, if it cannot.
    pub(super) fn lost_with_connection(&self) -> Option<BrokerError> {
        match self {
            Self::Queue(plan) => plan.lost_with_connection(),
            Self::Inbox(_) => None,
        }
    }

    /// Starts the consumer, with patience. With `again` it ran before.
    pub(super) async fn start(&self, lease: &Lease, again: bool) -> Result<Started, BrokerError> {
        let patience = lease.settings().recovery_timeout;
        match self {
            Self::Queue(plan) => {
                let (channel, consumer) = persist(patience, || plan.attach(lease, again)).await?;
                Ok(Started { channel, consumer, losses: None })
            }
            Self::Inbox(inbox) if again => persist(patience, || inbox.attach_again(lease)).await?,
            Self::Inbox(inbox) => persist(patience, || inbox.open(lease)).await,
        }
    }

    /// Deletes the queue, with patience.
    pub(super) async fn delete(&self, lease: &Lease) -> Result<(), BrokerError> {
        let patience = lease.settings().recovery_timeout;
        match self {
            Self::Queue(plan) => persist(patience, || plan.delete(lease)).await,
            Self::Inbox(inbox) => persist(patience, || inbox.delete(lease)).await,
        }
    }

    /// Why a subscription ends whose channel RabbitMQ has closed. Clients are not told the names of
    /// inboxes.
    pub(super) fn ended_by(&self, error: &lapin::Error) -> BrokerError {
        let error = canceled_by(error);
        match self {
            Self::Inbox(_) if error.kind == BrokerErrorKind::NotFound => Inbox::gone(),
            _ => error,
        }
    }

    /// Why a subscription ends that RabbitMQ has ended, and left its channel open (`basic.cancel`,
    /// consumer cancel notification).
    pub(super) fn gone(&self) -> BrokerError {
        match self {
            Self::Queue(plan) => queue_gone(&plan.queue),
            Self::Inbox(_) => Inbox::gone(),
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
            bell,
            ledger: Ledger::default(),
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
            State::Running | State::Restoring => true,
            State::Ending { .. } | State::Ended => false,
        };
        self.source.inbox().filter(|_| is_open)
    }

    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Yield> {
        // First: what follows a loss is not to come before it if that can be had.
        if let Some(losses) = &mut self.losses
            && let Poll::Ready(found) = losses.poll(cx)
        {
            // Why it cannot be told is found out by whoever attaches again.
            return Poll::Ready(if found.is_ok() { Yield::Loss } else { Yield::End });
        }
        let Some(consumer) = &mut self.consumer else {
            return Poll::Pending;
        };
        let next = Pin::new(consumer).poll_next(cx);
        if let (Poll::Ready(Some(Ok(_))), Some(losses)) = (&next, &mut self.losses) {
            losses.note_delivery();
        }
        next.map(|next| match next {
            Some(Ok(delivery)) => Yield::Delivery(Box::new(delivery)),
            Some(Err(error)) => Yield::Error(error),
            None => Yield::End,
        })
    }

    /// The consumer runs.
    pub(super) fn started(&mut self, started: Started) {
        let Started { channel, consumer, losses } = started;
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

    /// What a verdict means for this source. An inbox has dead letters of its own, which tell of
    /// losses.
    pub(super) fn verdict(&self, verdict: Verdict) -> Verdict {
        match (&self.source, verdict) {
            (Source::Inbox(_), Verdict::Discard) => Verdict::Accept,
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
    pub(super) fn send(&self, sayings: &mut Vec<Saying>) {
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
