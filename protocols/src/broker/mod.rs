//! The port: how sessions speak to a broker, as plain data.
//!
//! A session emits [`Command`]s; the adapter behind its link answers with [`Event`]s that carry
//! the same [`Token`]. The words are AMQP 0-9-1's where AMQP has a word. Nothing here knows a
//! client protocol or a broker product.

pub mod key;
mod message;
pub mod procedure;
pub mod restricted;
pub mod user;
mod value;

use std::sync::Arc;
use std::time::Duration;

use crate::text::Text;

pub use message::{Message, Properties, Publication, is_of_gateways};
pub use value::{Double, Value};

/// Pairs a command with its answer. Chosen by the session, unique among its unanswered commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(pub u64);

/// Names a subscription. Chosen by the session, never used twice on one link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubscriptionId(pub u64);

/// Names a delivery. Chosen by the adapter: unique on its link, growing in the order of delivery
/// within a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeliveryTag(pub u64);

/// What a session asks of its broker link. Carried out in order.
#[allow(
    clippy::large_enum_variant,
    reason = "most commands are publishes: a box would cost each of them an allocation"
)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Hand a message to the broker.
    Publish {
        /// Answered by [`Event::Confirmed`] if `confirm` is set, by [`Event::Failed`] if refused.
        token: Token,
        /// Where to.
        to: Address,
        /// What.
        message: Message,
        /// How its queue is declared if `to` is an [`Address::Queue`] that this link has not
        /// declared yet; `None` for the defaults.
        queue: Option<Box<QueueOptions>>,
        /// Report the outcome, once the broker has taken responsibility.
        confirm: bool,
        /// Report a message that reaches no queue as [`Outcome::Unroutable`] instead of accepting it.
        mandatory: bool,
    },
    /// Start a consumer.
    Subscribe {
        /// Answered by [`Event::Subscribed`] or [`Event::Failed`].
        token: Token,
        /// The name of the new subscription.
        subscription: SubscriptionId,
        /// Where from.
        from: Address,
        /// How its queue is declared, where the address means one that is declared.
        queue: Box<QueueOptions>,
        /// Arguments of the consumer (AMQP 0-9-1 `basic.consume`), such as `x-priority`. Names are
        /// unique.
        arguments: Vec<(Text, Value)>,
        /// Most deliveries outstanding at a time; at least 1.
        prefetch: u16,
        /// Who settles the deliveries, and when.
        settle: SettleMode,
    },
    /// Stop a consumer. Its outstanding deliveries stay outstanding and can still be settled; those of a
    /// lasting subscription may go back.
    Unsubscribe {
        /// Answered by [`Event::Unsubscribed`], or by [`Event::Failed`] if the queue may not be
        /// deleted.
        token: Token,
        /// Which one.
        subscription: SubscriptionId,
        /// Delete its queue too, with whatever is in it: it was made to outlast the subscription.
        delete: bool,
    },
    /// Start a consumer of an *inbox*: a queue of the link's own for many topics, none at first. A
    /// message that several of them fit comes once, and messages of one publisher come in order,
    /// whatever their topics. It outlives a short loss of the broker, with its topics; if messages may
    /// have been lost, the subscription is canceled. It goes with the subscription, or its link.
    OpenInbox {
        /// Answered by [`Event::Subscribed`] or [`Event::Failed`].
        token: Token,
        /// The name of the new subscription.
        subscription: SubscriptionId,
        /// Most deliveries outstanding at a time; at least 1.
        prefetch: u16,
    },
    /// Have an inbox take the messages of another topic: all that are published once this is
    /// answered. A topic that it takes already is asked for anew, so that rights are looked at again.
    Bind {
        /// Answered by [`Event::Subscribed`] or [`Event::Failed`].
        token: Token,
        /// The subscription to the inbox, which runs.
        inbox: SubscriptionId,
        /// A topic exchange, which must exist; `None` for the one of [`Address::Topic`]. The same topic of
        /// two exchanges is two.
        exchange: Option<Text>,
        /// A pattern, as in [`Address::Topic`].
        topic: Text,
    },
    /// Have an inbox take the messages of a topic no more, unless another of its topics fits. What is
    /// on its way still comes.
    Unbind {
        /// Answered by [`Event::Unsubscribed`] or [`Event::Failed`].
        token: Token,
        /// The subscription to the inbox, which runs.
        inbox: SubscriptionId,
        /// As it was bound.
        exchange: Option<Text>,
        /// As it was bound.
        topic: Text,
    },
    /// Have an exchange be there: durable, and staying when nobody uses it. One that is there already
    /// stays as it is. What is asked for later, to publish to it or to subscribe to it, waits for that.
    /// What this link publishes to it, if it is a topic exchange, and to [`Address::Topic`] keeps its order
    /// in an inbox.
    DeclareExchange {
        /// Answered by [`Event::Declared`] or [`Event::Failed`]. It is [`PreconditionFailed`] if one is
        /// there that is of another kind, or does not last.
        ///
        /// [`PreconditionFailed`]: BrokerErrorKind::PreconditionFailed
        token: Token,
        /// Its name. What begins with `amq.` is the broker's own.
        name: Text,
        /// How it routes.
        kind: ExchangeKind,
    },
    /// Go on with a *resumable session* that another link has begun, or begin one. Its lasting
    /// subscriptions ([`QueueOptions::lasting`]) collect while nobody has them, and it stays for as long
    /// as a link has it and `lifetime` longer. A link has one at most, and before its lasting
    /// subscriptions.
    ///
    /// One link at a time has it: the subscription named here gets no deliveries, and is canceled when
    /// another link goes on. That ends the lasting subscriptions too, without a word about each, and what
    /// they have outstanding goes back. To unsubscribe it with `delete` ends the session.
    Resume {
        /// Answered by [`Event::Resumed`] or [`Event::Failed`].
        token: Token,
        /// The name of the new subscription.
        subscription: SubscriptionId,
        /// What the links of this virtual host know the session by that is to be gone on with, if it is
        /// there. Whoever knows it can have it.
        known: Option<Text>,
        /// What one that begins is to be known by. No other is known by that.
        fresh: Text,
        /// How long it stays without a link.
        lifetime: Duration,
    },
    /// Settle one delivery, or all of a subscription up to one. Has no answer.
    Settle {
        /// Whose delivery.
        subscription: SubscriptionId,
        /// Which one; with `cumulative` also every earlier one of this subscription.
        up_to: DeliveryTag,
        /// What becomes of it.
        verdict: Verdict,
        /// Whether earlier ones are meant too.
        cumulative: bool,
    },
}

/// Where a message goes to or a subscription takes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// The topic exchange: a routing key when publishing, a pattern (`*` one word, `#` any number)
    /// when subscribing, which then gets a private queue of its own.
    Topic(Text),
    /// A queue by name, declared on first use: by SEND and SUBSCRIBE alike.
    Queue(Text),
    /// A queue by name that must exist; it is not declared.
    ExistingQueue(Text),
    /// An exchange that must exist, with a routing key or binding key (empty if none); subscribing
    /// gets a private queue of its own.
    Exchange {
        /// The exchange. Never the default exchange.
        name: Text,
        /// Routing key to publish, or binding key to subscribe.
        key: Text,
    },
    /// A queue of the link's own under this name, for one subscription: exclusive, and gone with
    /// it. Others reach it by publishing to its name. Only to subscribe.
    Private(Text),
}

/// How an exchange decides where a message goes (AMQP 0-9-1 §3.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExchangeKind {
    /// The routing key is the binding key.
    Direct,
    /// To every queue that is bound.
    Fanout,
    /// The binding key is a pattern, with `*` for one word and `#` for any number.
    Topic,
    /// By the message's headers and the arguments of the binding: all of them, or any if `x-match`
    /// says so.
    Headers,
}

impl ExchangeKind {
    /// As AMQP names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Fanout => "fanout",
            Self::Topic => "topic",
            Self::Headers => "headers",
        }
    }
}

/// How a queue is declared (AMQP 0-9-1 `queue.declare`) and bound (`queue.bind`). `None` means the
/// default for the address:
///
/// | address | default |
/// |---|---|
/// | [`Address::Queue`] | durable, shared and lasting |
/// | [`Address::Topic`], [`Address::Exchange`] | private to the subscription, and gone with it or its link |
///
/// A queue of a topic or an exchange is private until it has a `name` of its own: then it is shared
/// with whoever names it, gone with its last consumer unless `auto_delete` is false, and lasting
/// over restarts if it is `durable`. Addresses that declare no queue have no use for any of this.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QueueOptions {
    /// The name of the queue behind a topic or an exchange.
    pub name: Option<Text>,
    /// Survives a restart of the broker.
    pub durable: Option<bool>,
    /// Usable by the declaring link only, and gone with it.
    pub exclusive: Option<bool>,
    /// Gone with its last consumer.
    pub auto_delete: Option<bool>,
    /// Arguments of the declaration, such as `x-max-length`. Names are unique.
    pub arguments: Vec<(Text, Value)>,
    /// Arguments of the binding to an exchange: what a headers exchange matches. Names are unique.
    pub binding: Vec<(Text, Value)>,
    /// The queue outlasts its link; then nothing above but `binding` is set. Only behind a topic or an
    /// exchange, in a resumable session.
    pub lasting: Option<Lasting>,
}

/// A queue of a resumable session, behind a topic or an exchange. It goes on to collect while nobody
/// consumes, up to a bound of the broker's; whoever subscribes under its name again goes on where the last
/// one was. Only one consumer at a time is served, and an unsubscribe with `delete` ends it. Losses are told
/// by [`Event::Gap`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lasting {
    /// What the links of a virtual host know it by. Always asked for with the same address, binding and
    /// lifetime.
    pub name: Text,
    /// How long it stays without a consumer, at least.
    pub lifetime: Duration,
}

impl QueueOptions {
    /// Bytes of memory that it takes.
    pub fn size(&self) -> usize {
        let entries = self.arguments.iter().chain(&self.binding);
        let entries =
            entries.map(|(name, value)| Value::ENTRY_OVERHEAD + name.len() + value.size());
        let names = [self.name.as_ref(), self.lasting.as_ref().map(|it| &it.name)];
        let names = names.into_iter().flatten().map(|name| name.len());
        size_of::<Self>() + names.sum::<usize>() + entries.sum::<usize>()
    }
}

/// Who settles deliveries, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SettleMode {
    /// The peer, by an explicit acknowledgement.
    Manual,
    /// The driver, once the delivery has been written to the peer's socket, or the peer has received it.
    WhenWritten,
}

/// What becomes of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Done with: the queue forgets it.
    Accept,
    /// Back to its old place in the queue, marked as redelivered.
    Requeue,
    /// Dead-lettered, or dropped where nothing is set up for that.
    Discard,
    /// As `Accept`, of what the peer has not seen: a [gap](Event::Gap) before it stays to be told.
    Skip,
}

/// What a broker link reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The outcome of a publish that asked for it.
    Confirmed {
        /// The publish.
        token: Token,
        /// What became of it.
        outcome: Outcome,
    },
    /// The consumer runs; deliveries follow, none came before. Or the inbox takes the topic.
    Subscribed {
        /// The subscribe.
        token: Token,
    },
    /// The consumer is gone; no delivery follows. Or the inbox takes the topic no more.
    Unsubscribed {
        /// The unsubscribe.
        token: Token,
    },
    /// The exchange is there.
    Declared {
        /// The declaration.
        token: Token,
    },
    /// The link has a resumable session.
    Resumed {
        /// The resume.
        token: Token,
        /// The one that was known was there; otherwise one has begun.
        found: bool,
    },
    /// Messages of a lasting subscription may have been lost, some time before its next delivery. Whoever
    /// goes on with it is told again until that is settled for good.
    Gap {
        /// Which one.
        subscription: SubscriptionId,
    },
    /// A message for a subscription.
    Delivery {
        /// Which one.
        subscription: SubscriptionId,
        /// To settle it by.
        tag: DeliveryTag,
        /// Whether it was delivered before, to anyone.
        redelivered: bool,
        /// The message, shared with every other receiver.
        publication: Arc<Publication>,
    },
    /// One command was refused. The link goes on.
    Failed {
        /// The command.
        token: Token,
        /// Why.
        error: BrokerError,
    },
    /// The broker ended a subscription (its queue was deleted, access was withdrawn).
    Canceled {
        /// Which one.
        subscription: SubscriptionId,
        /// Why.
        error: BrokerError,
    },
    /// The link is gone, and every unanswered command with it.
    Down {
        /// Why.
        error: BrokerError,
    },
}

/// What became of a publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The broker has taken responsibility for the message (AMQP `basic.ack`).
    Accepted,
    /// It has not (AMQP `basic.nack`).
    Rejected,
    /// It reached no queue (AMQP `basic.return`); only for `mandatory` publishes.
    Unroutable,
}

/// Why the broker refused or ended something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct BrokerError {
    /// What kind of refusal it is; decides how it is answered on the wire.
    pub kind: BrokerErrorKind,
    /// A sentence in the broker's words, e.g. `NOT_FOUND - no queue 'x' in vhost '/'`.
    pub text: Text,
}

impl BrokerError {
    /// An error of this kind with these words.
    pub fn new(kind: BrokerErrorKind, text: impl Into<Text>) -> Self {
        Self { kind, text: text.into() }
    }
}

/// Kinds of refusals, by the AMQP 0-9-1 reply codes they correspond to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BrokerErrorKind {
    /// 404: no such queue, exchange or virtual host.
    NotFound,
    /// 403: not permitted.
    AccessRefused,
    /// 405: another link has exclusive use of it.
    ResourceLocked,
    /// 406: it exists with other properties.
    PreconditionFailed,
    /// 506: a bound of the broker's was reached.
    ResourceError,
    /// The broker cannot be reached, or went away.
    Unavailable,
    /// The broker went away, or a channel of its, while a message was on its way: it may have
    /// arrived or not.
    OutcomeUnknown,
}
