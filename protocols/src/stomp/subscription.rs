//! The subscriptions of a session, and how a client's words find them.
//!
//! A client names a subscription by its `id` or, without one, by its destination; a delivery by its
//! `message-id`: `T_<id>@@<session>@@<tag>`, or `Q_<destination>@@<session>@@<tag>` where there is no
//! `id`, as with RabbitMQ. The part before the first `@@` is called the consumer tag here.
//!
//! An `id` is free again as soon as its subscription was given up, while deliveries of the old
//! subscription may still wait for an ACK: such a one is *retired*, and forgotten once the broker
//! has stopped it and nothing of it is outstanding.

use std::collections::BTreeMap;

use crate::broker::{DeliveryTag, Publication, SubscriptionId, Token, user};
use crate::stomp::acks::{AckMode, Ledger};
use crate::stomp::transaction::Settlement;
use crate::text::Text;
use crate::violation::Violation;

/// One subscription.
#[derive(Debug)]
pub(super) struct Subscription {
    /// The client's name for it; `None` if it is named by its destination.
    pub(super) header: Option<Text>,
    /// Who acknowledges.
    pub(super) mode: AckMode,
    /// What waits for an acknowledgement.
    pub(super) ledger: Ledger,
    /// Whether its queue may outlast it and is deleted on request.
    pub(super) outlasting: Outlasting,
    /// The topic, if it is shared with other sessions.
    pub(super) shares: Option<Text>,
    /// It takes what is for its user alone.
    pub(super) is_users: bool,
    /// It is to a queue by its name.
    pub(super) is_queue: bool,
    /// Messages may have been lost that the client has not been told of.
    pub(super) has_gap: bool,
    state: State,
    message_id: MessageId,
}

/// A queue behind a topic or an exchange that may outlast its subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outlasting {
    /// There is none.
    No,
    /// It is this subscription's own.
    Own,
    /// The client has given it this name, and others may use it too.
    Named(Text),
    /// It is this subscription's own, for as long as the session can be resumed.
    Session,
    /// It is this subscription's own: the subscription offers the procedure with this key.
    Procedure(Text),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Deliveries go to the client.
    Active,
    /// Given up by the client, not yet by the broker.
    Stopping,
    /// Given up by both.
    Stopped,
}

impl Subscription {
    /// Whether its deliveries go to the client.
    pub(super) fn is_active(&self) -> bool {
        self.state == State::Active
    }

    /// What the client calls it: its `id`, or else its destination.
    pub(super) fn name(&self) -> &str {
        let tag = self.message_id.consumer_tag();
        tag.split_once('_').map_or(tag, |(_, name)| name)
    }

    /// Whether a message may be delivered to it, of a client that logged in as `own`, and whose user
    /// `sees_all` that it takes from a queue.
    ///
    /// Whoever declares a queue may bind it to what is for others, and name it or have it pass things
    /// on: what comes from one is no more the client's than what comes from a topic.
    pub(super) fn may_see(
        &self,
        publication: &Publication,
        own: &str,
        sees_all: impl Fn() -> bool,
    ) -> bool {
        if self.is_queue || self.is_users {
            user::is_for(own, publication) || sees_all()
        } else {
            user::is_for_all(publication)
        }
    }

    /// The client's name for it, and the `message-id` of a delivery. Valid until the next call.
    pub(super) fn names(&mut self, tag: DeliveryTag) -> (Option<&str>, &str) {
        (self.header.as_deref(), self.message_id.of(tag))
    }

    /// Begins every `message-id`.
    pub(super) fn consumer_tag(&self) -> &str {
        self.message_id.consumer_tag()
    }
}

/// All subscriptions of a session.
///
/// *Shape.* At most `limits.subscriptions`, retired ones included.
#[derive(Debug)]
pub(super) struct Subscriptions {
    all: BTreeMap<SubscriptionId, Subscription>,
    /// The active ones, by consumer tag.
    active: BTreeMap<Text, SubscriptionId>,
    /// Those the broker is asked to stop, by the token of that command.
    stopping: BTreeMap<Token, SubscriptionId>,
    /// Those the broker is asked to start, likewise.
    starting: BTreeMap<Token, SubscriptionId>,
    last_id: u64,
    limit: usize,
}

impl Subscriptions {
    /// None, and never more than `limit`.
    pub(super) const fn new(limit: usize) -> Self {
        Self {
            all: BTreeMap::new(),
            active: BTreeMap::new(),
            stopping: BTreeMap::new(),
            starting: BTreeMap::new(),
            last_id: 0,
            limit,
        }
    }

    /// *Errors.* [`Violation::SubscriptionInUse`] if the consumer tag is taken,
    /// [`Violation::TooManySubscriptions`] if there is no room.
    pub(super) fn check_new(&self, name: ConsumerName<'_>) -> Result<(), Violation> {
        if self.active.contains_key(name.tag().as_str()) {
            return Err(Violation::SubscriptionInUse { id: name.shown() });
        }
        if self.all.len() >= self.limit {
            let active = self.active.len();
            let given_up = self.all.len() - active;
            return Err(Violation::TooManySubscriptions { limit: self.limit, active, given_up });
        }
        Ok(())
    }

    /// Adds a subscription, which the broker is asked to start by the command with `token`. *Order.*
    /// After [`check_new`](Self::check_new).
    pub(super) fn add(
        &mut self,
        name: ConsumerName<'_>,
        mode: AckMode,
        session_id: &str,
        token: Token,
    ) -> SubscriptionId {
        self.last_id += 1;
        let id = SubscriptionId(self.last_id);
        let tag = name.tag();
        let subscription = Subscription {
            header: name.header().map(Text::from),
            mode,
            ledger: Ledger::default(),
            outlasting: Outlasting::No,
            shares: None,
            is_users: false,
            is_queue: false,
            has_gap: false,
            state: State::Active,
            message_id: MessageId::new(&tag, session_id),
        };
        self.all.insert(id, subscription);
        self.starting.insert(token, id);
        self.active.insert(Text::from(tag), id);
        id
    }

    /// How many share this topic with other sessions.
    ///
    /// *Cost.* Looks at each.
    pub(super) fn sharing(&self, topic: &Text) -> usize {
        self.all.values().filter(|it| it.shares.as_ref() == Some(topic)).count()
    }

    /// Whether one of them offers the procedure with this key.
    ///
    /// *Cost.* Looks at each.
    pub(super) fn offers(&self, key: &Text) -> bool {
        let mut active = self.all.values().filter(|it| it.is_active());
        active.any(|it| matches!(&it.outlasting, Outlasting::Procedure(own) if own == key))
    }

    /// Those whose queues last for as long as the session can be resumed.
    pub(super) fn lasting(&self) -> impl Iterator<Item = SubscriptionId> {
        let active = self.all.iter().filter(|(_, it)| it.is_active());
        active.filter(|(_, it)| it.outlasting == Outlasting::Session).map(|(id, _)| *id)
    }

    /// The subscription with this id.
    pub(super) fn get_mut(&mut self, id: SubscriptionId) -> Option<&mut Subscription> {
        self.all.get_mut(&id)
    }

    /// The client gives a subscription up, and the broker is asked to by the command with `token`.
    ///
    /// *Errors.* [`Violation::UnknownSubscription`].
    pub(super) fn retire(
        &mut self,
        name: ConsumerName<'_>,
        token: Token,
    ) -> Result<SubscriptionId, Violation> {
        let Some(id) = self.active.remove(name.tag().as_str()) else {
            return Err(Violation::UnknownSubscription { id: name.shown() });
        };
        if let Some(subscription) = self.all.get_mut(&id) {
            subscription.state = State::Stopping;
        }
        self.stopping.insert(token, id);
        Ok(id)
    }

    /// The broker has started what the command with `token` asked it to.
    pub(super) fn started(&mut self, token: Token) {
        self.starting.remove(&token);
    }

    /// The broker has refused the command with `token`. If that was to start a subscription, there is
    /// none; what the client calls it. One that was to be stopped has stopped all the same.
    pub(super) fn refused(&mut self, token: Token) -> Option<Text> {
        self.stopped(token);
        let id = self.starting.remove(&token)?;
        let name = self.all.get(&id).map(|it| Text::from(it.name()));
        self.lost(id);
        name
    }

    /// The broker has stopped what the command with `token` asked it to.
    pub(super) fn stopped(&mut self, token: Token) {
        let Some(id) = self.stopping.remove(&token) else {
            return;
        };
        if let Some(subscription) = self.all.get_mut(&id) {
            subscription.state = State::Stopped;
        }
        self.forget_if_over(id);
    }

    /// Which subscription a delivery belongs to that is free to be acknowledged.
    pub(super) fn find_free(&self, delivery: DeliveryName<'_>) -> Option<SubscriptionId> {
        let is_free = |id: &SubscriptionId| {
            self.all.get(id).is_some_and(|subscription| {
                subscription.message_id.consumer_tag() == delivery.consumer_tag
                    && subscription.ledger.is_free(delivery.tag)
            })
        };
        let active = self.active.get(delivery.consumer_tag).filter(|id| is_free(id));
        // Rarely: an ACK that comes after UNSUBSCRIBE.
        active.or_else(|| self.all.keys().find(|id| is_free(id))).copied()
    }

    /// What a cumulative settlement means for the other subscriptions, if it goes by the order of
    /// the deliveries of the whole session: all outstanding ones before its own.
    pub(super) fn earlier_of_others(&self, settlement: Settlement) -> Vec<Settlement> {
        let own = self.all.get(&settlement.subscription);
        let Some(order) = own.and_then(|own| own.ledger.order(settlement.up_to)) else {
            return Vec::new();
        };
        let others = self.all.iter().filter(|(id, _)| **id != settlement.subscription);
        let earlier = others.filter_map(|(id, other)| {
            let up_to = other.ledger.last_until(order)?;
            Some(Settlement { subscription: *id, up_to, cumulative: true, ..settlement })
        });
        earlier.collect()
    }

    /// The broker has ended this one by itself, and nobody else will.
    pub(super) fn lost(&mut self, id: SubscriptionId) {
        self.active.retain(|_, active| *active != id);
        if let Some(subscription) = self.all.get_mut(&id) {
            subscription.state = State::Stopped;
        }
        self.forget_if_over(id);
    }

    /// Forgets a subscription that is stopped and has nothing outstanding.
    pub(super) fn forget_if_over(&mut self, id: SubscriptionId) {
        let is_over = |it: &Subscription| it.state == State::Stopped && it.ledger.is_empty();
        if self.all.get(&id).is_some_and(is_over) {
            self.all.remove(&id);
        }
    }
}

/// How a client names a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConsumerName<'a> {
    /// By the `id` header.
    Id(&'a str),
    /// By the `destination` header, as STOMP 1.0 allows.
    Destination(&'a str),
}

impl<'a> ConsumerName<'a> {
    /// What it is known by within the session.
    pub(super) fn tag(self) -> String {
        match self {
            Self::Id(id) => ["T_", id].concat(),
            Self::Destination(destination) => ["Q_", destination].concat(),
        }
    }

    const fn header(self) -> Option<&'a str> {
        match self {
            Self::Id(id) => Some(id),
            Self::Destination(_) => None,
        }
    }

    fn shown(self) -> String {
        let (Self::Id(name) | Self::Destination(name)) = self;
        crate::violation::shown(name)
    }
}

/// A `message-id` taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DeliveryName<'a> {
    consumer_tag: &'a str,
    /// The tag of the delivery.
    pub(super) tag: DeliveryTag,
}

impl<'a> DeliveryName<'a> {
    /// `None` if this session never gave out such a `message-id`.
    pub(super) fn parse(message_id: &'a str, session_id: &str) -> Option<Self> {
        let (rest, digits) = message_id.rsplit_once(SEPARATOR)?;
        let consumer_tag = rest.strip_suffix(session_id)?.strip_suffix(SEPARATOR)?;
        let is_canonical = digits.bytes().all(|digit| digit.is_ascii_digit())
            && (digits == "0" || !digits.starts_with('0'));
        let tag = DeliveryTag(digits.parse().ok().filter(|_| is_canonical)?);
        Some(Self { consumer_tag, tag })
    }

    /// Whether the subscription with this `id` is meant.
    pub(super) fn is_of(&self, id: &str) -> bool {
        self.consumer_tag.strip_prefix("T_") == Some(id)
    }
}

const SEPARATOR: &str = "@@";

/// Writes the `message-id`s of a subscription into one buffer, over and over.
#[derive(Debug)]
struct MessageId {
    buffer: String,
    consumer_tag_length: usize,
    prefix_length: usize,
}

impl MessageId {
    fn new(consumer_tag: &str, session_id: &str) -> Self {
        let buffer = [consumer_tag, SEPARATOR, session_id, SEPARATOR].concat();
        let prefix_length = buffer.len();
        Self { buffer, consumer_tag_length: consumer_tag.len(), prefix_length }
    }

    fn consumer_tag(&self) -> &str {
        &self.buffer[..self.consumer_tag_length]
    }

    fn of(&mut self, tag: DeliveryTag) -> &str {
        self.buffer.truncate(self.prefix_length);
        push_decimal(&mut self.buffer, tag.0);
        &self.buffer
    }
}

fn push_decimal(out: &mut String, value: u64) {
    let mut divisor = 1;
    while value / divisor >= 10 {
        divisor *= 10;
    }
    while divisor > 0 {
        let digit = u8::try_from(value / divisor % 10).expect("a number modulo 10 fits");
        out.push(char::from(b'0' + digit));
        divisor /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_id_names_its_delivery() {
        let mut message_id = MessageId::new("T_a@@b", "s-1");
        for tag in [0, 9, 10, 123_456, u64::MAX] {
            let written = message_id.of(DeliveryTag(tag)).to_owned();
            assert_eq!(written, format!("T_a@@b@@s-1@@{tag}"));
            let name = DeliveryName::parse(&written, "s-1").unwrap();
            assert_eq!((name.consumer_tag, name.tag), ("T_a@@b", DeliveryTag(tag)));
            assert!(name.is_of("a@@b") && !name.is_of("a"));
        }
    }

    #[test]
    fn a_message_id_that_was_never_given_out_names_nothing() {
        for message_id in [
            "",
            "1",
            "@@",
            "@@@@",
            "T_a@@s@@",
            "T_a@@s@@x",
            "T_a@@s@@+1",
            "T_a@@s@@01",
            "T_a@@z@@1",
            "T_a@@s@@-1",
            "T_a@@s@@18446744073709551616",
            "s@@1",
            "T_a@@xs@@1",
        ] {
            assert_eq!(DeliveryName::parse(message_id, "s"), None, "{message_id}");
        }
    }
}
