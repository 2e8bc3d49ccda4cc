//! Publishing: what a link has handed to RabbitMQ and what became of it.
//!
//! A message is on its way as soon as its `basic_publish` future was polled once, under the lock of
//! its channel: lapin numbers a confirm and queues the frames in two critical sections, so that two
//! tasks could swap them. Only the front of what is in flight is polled, so a burst of confirms is
//! one wake, and outcomes are reported in the order of the publishes.
//!
//! # Which channel
//! - The link's own, opened by its first publish. RabbitMQ closes it when it refuses a message (no
//!   such exchange, no right); nobody else is hurt.
//! - Under a service login, whose rights are known, publishes to the default exchange, the topic
//!   exchange, and topic exchanges that the link has declared share a few channels of the identity: so
//!   messages keep their order whichever topic exchange they go to. Other exchanges, which may not exist,
//!   and mandatory messages stay on the link's own.
//!
//! # Confirms
//! A channel begins without them. The first publish that wants to know its outcome waits until
//! all before it were written, for lapin lets methods overtake messages and RabbitMQ counts those that come
//! after `confirm.select`; and until that is answered, for lapin counts from there on. A message that RabbitMQ
//! returns comes before its confirm without naming it, and confirms may come many at a time, so a
//! mandatory message travels alone.
//!
//! # Queues that go
//! A queue that a publish declares may be deleted, or expire, while the link goes on. So RabbitMQ is
//! to return what finds it gone: then nothing more goes out until everything in flight is settled,
//! the queue is declared again, and what came back goes out first, in its order. Which message it was
//! does not matter, for it comes back whole; its outcome may be reported with another's of the same
//! moment.

use std::collections::{HashMap, VecDeque};
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_core::future::BoxFuture;
use lapin::Confirmation;
use lapin::message::BasicReturnMessage;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use protocols::broker::{
    Address, BrokerError, BrokerErrorKind, Event, Message, Publication, Token,
};
use protocols::text::Text;

use super::declaring::{Barrier, Known, is_about};
use super::error::broker_error;
use super::in_flight::{InFlight, Progress, unknown};
use super::link::Events;
use super::pool::{Lease, SharedChannel, Side};
use super::properties::{publication, to_amqp};
use super::recover::persist;
use super::topology::{self, Declaration, Target};
use crate::lock::lock;

/// Queues a link remembers to have declared. Beyond, it forgets them all and asks again.
const MAX_DECLARED: usize = 1_000;

/// How often a message goes out to a queue that is gone again each time.
const MAX_ATTEMPTS: u8 = 3;

/// A message to be published.
#[derive(Debug)]
pub(super) struct Publish {
    pub(super) token: Token,
    /// What it has to wait for.
    pub(super) after: Option<Barrier>,
    pub(super) target: Target,
    pub(super) message: Message,
    /// The owner wants to know the outcome.
    pub(super) confirm: bool,
    /// RabbitMQ is to return it if it reaches no queue.
    pub(super) mandatory: bool,
    /// How often it came back.
    pub(super) returned: u8,
}

impl Publish {
    fn wants_outcome(&self) -> bool {
        self.confirm || self.mandatory
    }
}

/// Something that had to be done first.
enum Prepared {
    Declared(Declaration),
    Own(Arc<SharedChannel>),
    Shared(Arc<SharedChannel>),
    /// The own channel confirms, or closed before it could.
    Confirming,
    /// What it had to wait for has ended.
    Waited,
    /// The same, and this came back before.
    Returned(Vec<BasicReturnMessage>),
}

/// Doing it.
type Preparing = BoxFuture<'static, Result<Prepared, BrokerError>>;

/// The publishing half of a link.
pub(super) struct Publishing {
    lease: Lease,
    /// Whose half it is.
    link: u64,
    /// Topic exchanges that are there.
    known: Known,
    own: Option<Arc<SharedChannel>>,
    shared: Option<Arc<SharedChannel>>,
    /// Not yet handed to lapin, in order: the first waits for `preparing`, or for what is in flight.
    /// Whoever waits for [`is_ready`](Self::is_ready) has at most one here.
    waiting: VecDeque<Publish>,
    /// What the first of `waiting` needs.
    preparing: Option<Preparing>,
    /// Handed to lapin, in order.
    in_flight: VecDeque<InFlight>,
    in_flight_bytes: usize,
    /// Queues that were declared for a publish, by name.
    declared: HashMap<Text, Declaration>,
    /// Something came back: nothing goes out until all in flight is settled.
    is_repairing: bool,
    /// What came back while the channel had no confirms is still to be fetched.
    must_fetch: bool,
    /// What came back, in order.
    returned: Vec<Publish>,
    /// The last publish without a confirm on the own channel: RabbitMQ's refusal of one of them
    /// does not say which it was.
    unconfirmed: Option<Token>,
    /// Resolve when something happened to the connections of the two channels: one was blocked or
    /// unblocked, or a channel on it closed.
    own_disturbed: Option<BoxFuture<'static, ()>>,
    shared_disturbed: Option<BoxFuture<'static, ()>>,
}

impl Publishing {
    pub(super) fn new(lease: Lease, link: u64, known: Known) -> Self {
        Self {
            lease,
            link,
            known,
            own: None,
            shared: None,
            waiting: VecDeque::new(),
            preparing: None,
            in_flight: VecDeque::new(),
            in_flight_bytes: 0,
            declared: HashMap::new(),
            is_repairing: false,
            must_fetch: false,
            returned: Vec::new(),
            unconfirmed: None,
            own_disturbed: None,
            shared_disturbed: None,
        }
    }

    /// Everything that is under way; what remains has nothing to do.
    pub(super) fn take(&mut self) -> Self {
        mem::replace(self, Self::new(self.lease.clone(), self.link, self.known.clone()))
    }

    /// Whether another publish may come now.
    pub(super) fn is_ready(&self) -> bool {
        let settings = self.lease.settings();
        let is_blocked = |lane: &Option<Arc<SharedChannel>>| {
            lane.as_ref().is_some_and(|lane| lane.channel.is_blocked())
        };
        self.waiting.is_empty()
            && !self.is_repairing
            && self.in_flight.len() < settings.window_messages
            && self.in_flight_bytes < settings.window_bytes
            && !is_blocked(&self.own)
            && !is_blocked(&self.shared)
    }

    /// Whether everything was handed to RabbitMQ and has its outcome.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.in_flight.is_empty() && !self.is_repairing
    }

    /// Takes a publish. True if there is now something that must be polled.
    pub(super) fn publish(&mut self, publish: Publish, events: &mut Events) -> bool {
        let was_idle = self.is_idle();
        self.waiting.push_back(publish);
        if self.preparing.is_none() {
            self.hand_over(events);
        }
        was_idle || !self.waiting.is_empty()
    }

    /// Moves on whatever can move.
    ///
    /// *Errors.* The broker stayed away for too long, or does not let the identity in any more.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        events: &mut Events,
    ) -> Result<(), BrokerError> {
        loop {
            self.poll_disturbances(cx, events);
            if self.preparing.is_none() {
                self.hand_over(events);
            }
            // After handing over: what is the front now has to know whom to wake.
            let is_over = self.poll_in_flight(cx, events);
            if is_over && (self.is_repairing || !self.waiting.is_empty()) {
                continue;
            }
            let Some(preparing) = &mut self.preparing else {
                return Ok(());
            };
            let Poll::Ready(prepared) = preparing.as_mut().poll(cx) else {
                return Ok(());
            };
            self.preparing = None;
            self.prepared(prepared, events)?;
        }
    }

    fn prepared(
        &mut self,
        prepared: Result<Prepared, BrokerError>,
        events: &mut Events,
    ) -> Result<(), BrokerError> {
        match prepared {
            Ok(Prepared::Declared(queue)) => {
                if self.declared.len() >= MAX_DECLARED {
                    self.declared.clear();
                }
                self.declared.insert(queue.queue.clone(), queue);
            }
            Ok(Prepared::Own(lane)) => {
                // RabbitMQ may have come back without what it had.
                self.declared.clear();
                self.own_disturbed = Some(lane.channel.disturbed());
                self.own = Some(lane);
            }
            Ok(Prepared::Shared(lane)) => {
                self.declared.clear();
                self.shared_disturbed = Some(lane.channel.disturbed());
                self.shared = Some(lane);
            }
            Ok(Prepared::Confirming | Prepared::Waited) => {}
            Ok(Prepared::Returned(returned)) => {
                // It went out without confirms, and so before all that came back with one.
                let later = mem::take(&mut self.returned);
                let token = self.unconfirmed.unwrap_or(Token(0));
                for message in returned {
                    self.again((token, false, 0), message, events);
                }
                self.returned.extend(later);
            }
            Err(error) if error.kind == BrokerErrorKind::Unavailable => return Err(error),
            Err(error) => {
                if let Some(Publish { token, .. }) = self.waiting.pop_front() {
                    events.push_back(Event::Failed { token, error });
                }
            }
        }
        Ok(())
    }

    /// Hands what waits to lapin, up to the first that needs something else before.
    fn hand_over(&mut self, events: &mut Events) {
        if self.is_repairing && !self.repair() {
            return;
        }
        while let Some(publish) = self.waiting.front() {
            if let Some(after) = publish.after.as_ref().filter(|after| after.peek().is_none()) {
                let after = after.clone();
                self.preparing = Some(Box::pin(async move {
                    after.await;
                    Ok(Prepared::Waited)
                }));
                return;
            }
            let is_alone = self.in_flight.is_empty();
            let after_mandatory = self.in_flight.back().is_some_and(|last| last.mandatory);
            if after_mandatory || (publish.mandatory && !is_alone) {
                return;
            }
            let confirms = publish.wants_outcome();
            match self.lane(publish) {
                Ok(lane) if confirms && !lane.channel.amqp().status().confirm() => {
                    if is_alone {
                        self.preparing = Some(Box::pin(confirm(lane)));
                    }
                    return;
                }
                Ok(lane) => {
                    if let Some(publish) = self.waiting.pop_front() {
                        self.send(publish, &lane, events);
                    }
                }
                Err(preparing) => {
                    self.preparing = Some(preparing);
                    return;
                }
            }
        }
    }

    /// The channel for this publish, or what has to be done first.
    fn lane(&self, publish: &Publish) -> Result<Arc<SharedChannel>, Preparing> {
        let settings = self.lease.settings();
        let exchange = &publish.target.exchange;
        let is_common =
            exchange.is_empty() || *exchange == settings.topic_exchange || self.known.has(exchange);
        let is_shared = self.lease.is_service() && is_common && !publish.mandatory;
        let lane = if is_shared { &self.shared } else { &self.own };
        let Some(lane) = lane.as_ref().filter(|lane| lane.channel.is_open()) else {
            return Err(Box::pin(open(self.lease.clone(), is_shared)));
        };
        if let Some(queue) = &publish.target.declare
            && !self.declared.contains_key(&queue.queue)
        {
            return Err(Box::pin(declare(self.lease.clone(), self.link, queue.clone())));
        }
        Ok(Arc::clone(lane))
    }

    /// Hands one message to lapin.
    fn send(&mut self, publish: Publish, lane: &Arc<SharedChannel>, events: &mut Events) {
        let Publish { token, after: _, target, message, confirm, mandatory, returned } = publish;
        let bytes = message.size();
        let frame_size = lane.channel.frame_size();
        let properties = match to_amqp(&message.properties, self.lease.user(), frame_size) {
            Ok(properties) => properties,
            Err(error) => return events.push_back(Event::Failed { token, error }),
        };
        if !lane.channel.amqp().status().confirm() {
            self.unconfirmed = Some(token);
        }
        let Target { exchange, key, declare } = target;
        let declares = declare.is_some();
        let names = (exchange.as_str().into(), key.as_str().into());
        let (body, on) = (message.body, Arc::clone(lane));
        let mut future: BoxFuture<'static, _> = Box::pin(async move {
            let options =
                BasicPublishOptions { mandatory: mandatory || declares, immediate: false };
            let (exchange, key) = names;
            let channel = on.channel.amqp();
            channel.basic_publish(exchange, key, options, &body, properties).await?.await
        });
        let polled = {
            let _numbering = lock(&lane.publish_lock);
            future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        };
        let progress = match polled {
            Poll::Pending => Progress::Running(future),
            Poll::Ready(done) => Progress::Done(Box::new(done)),
        };
        self.in_flight_bytes += bytes;
        let is_shared = self.shared.as_ref().is_some_and(|shared| Arc::ptr_eq(shared, lane));
        let lane = Arc::clone(lane);
        self.in_flight.push_back(InFlight {
            token,
            exchange,
            confirm,
            mandatory,
            declares,
            returned,
            bytes,
            lane,
            is_shared,
            progress,
        });
    }

    /// Reports what is known from the front on. True if nothing is in flight any more that was.
    fn poll_in_flight(&mut self, cx: &mut Context<'_>, events: &mut Events) -> bool {
        let was_idle = self.in_flight.is_empty();
        while let Some(front) = self.in_flight.front_mut() {
            let Poll::Ready(done) = front.poll(cx) else {
                return false;
            };
            match done {
                Ok(confirmation) => {
                    if let Some(front) = self.in_flight.pop_front() {
                        self.in_flight_bytes -= front.bytes;
                        self.settled(front, confirmation, events);
                    }
                }
                Err(error) => self.fail(&error, cx, events),
            }
        }
        !was_idle
    }

    /// The channel of the front closed. What was in flight on it failed with it; what had its
    /// outcome before still has it, and what went by the other channel goes on.
    fn fail(&mut self, error: &lapin::Error, cx: &mut Context<'_>, events: &mut Events) {
        let Some(front) = self.in_flight.pop_front() else {
            return;
        };
        let (lane, is_shared) = (Arc::clone(&front.lane), front.is_shared);
        let mut failed = vec![front];
        for mut one in mem::take(&mut self.in_flight) {
            if !Arc::ptr_eq(&one.lane, &lane) {
                self.in_flight.push_back(one);
            } else if let Poll::Ready(Ok(confirmation)) = one.poll(cx) {
                self.settled(one, confirmation, events);
            } else {
                failed.push(one);
            }
        }
        self.in_flight_bytes = self.in_flight.iter().map(|one| one.bytes).sum();
        if !is_shared {
            self.unconfirmed = None;
        }
        let error = broker_error(error);
        let guilty = if error.kind == BrokerErrorKind::Unavailable {
            None
        } else if is_shared {
            // The mistake may be another link's, but whoever publishes to that exchange makes it.
            self.known.forget_refused(&error);
            failed.iter().position(|one| is_about(&error, &one.exchange))
        } else {
            let is_named = |one: &InFlight| {
                !one.exchange.is_empty() && error.text.contains(&format!("'{}'", one.exchange))
            };
            Some(failed.iter().position(is_named).unwrap_or_default())
        };
        for (at, one) in failed.into_iter().enumerate() {
            let error = if guilty == Some(at) { error.clone() } else { unknown(&error) };
            events.push_back(Event::Failed { token: one.token, error });
        }
    }

    /// A message has its outcome, unless it is another one that came back: that goes out again, and
    /// its outcome is the one of both.
    fn settled(&mut self, one: InFlight, confirmation: Confirmation, events: &mut Events) {
        match confirmation {
            Confirmation::Ack(Some(returned)) | Confirmation::Nack(Some(returned))
                if one.declares || !one.mandatory =>
            {
                self.again((one.token, one.confirm, one.returned), returned, events);
            }
            confirmation => events.extend(one.outcome(&confirmation)),
        }
    }

    /// Keeps a message that came back until it can go out again.
    fn again(
        &mut self,
        (token, confirm, returned): (Token, bool, u8),
        mut message: BasicReturnMessage,
        events: &mut Events,
    ) {
        self.is_repairing = true;
        let Publication { routing_key: key, message, .. } = publication(&mut message.delivery);
        let declared = self.declared.get(&key).cloned();
        let target = match declared {
            Some(queue) => Ok(Target { exchange: Text::EMPTY, key, declare: Some(queue) }),
            None => Target::of(Address::Queue(key), None, self.lease.settings()),
        };
        match target {
            Ok(target) if returned < MAX_ATTEMPTS => {
                let (mandatory, returned) = (false, returned + 1);
                let after = None;
                let publish =
                    Publish { token, after, target, message, confirm, mandatory, returned };
                self.returned.push(publish);
            }
            Ok(Target { key, .. }) => {
                let text = format!("the queue '{key}' is gone each time it was declared");
                let error = BrokerError::new(BrokerErrorKind::NotFound, text);
                events.push_back(Event::Failed { token, error });
            }
            Err(error) => events.push_back(Event::Failed { token, error }),
        }
    }

    /// Puts what came back before everything that waits, once nothing is in flight. True if that is
    /// done; else it goes on when what is now under way is.
    fn repair(&mut self) -> bool {
        if !self.in_flight.is_empty() {
            return false;
        }
        if mem::take(&mut self.must_fetch)
            && let Some(own) = &self.own
        {
            self.preparing = Some(Box::pin(fetch(Arc::clone(own))));
            return false;
        }
        for publish in mem::take(&mut self.returned).into_iter().rev() {
            self.declared.remove(&publish.target.key);
            self.waiting.push_front(publish);
        }
        self.is_repairing = false;
        true
    }

    /// Notices what happened to the connections: somebody may have to be told that publishing goes
    /// on, or that it does not.
    fn poll_disturbances(&mut self, cx: &mut Context<'_>, events: &mut Events) {
        if is_disturbed(&mut self.own_disturbed, &self.own, cx) {
            self.own_closed(events);
        }
        if let Some(own) = &self.own
            && own.channel.take_returned()
        {
            (self.is_repairing, self.must_fetch) = (true, true);
        }
        if is_disturbed(&mut self.shared_disturbed, &self.shared, cx) {
            let refusal = self.shared.take().and_then(|shared| shared.channel.refusal());
            if let Some(refusal) = refusal {
                self.known.forget_refused(&refusal);
            }
        }
    }

    /// The own channel closed. If nothing is in flight on it, RabbitMQ refused a message without a
    /// confirm after it was written; otherwise what is in flight tells.
    fn own_closed(&mut self, events: &mut Events) {
        let refusal = self.own.take().and_then(|own| own.channel.refusal());
        if let (Some(error), Some(token)) = (refusal, self.unconfirmed.take())
            && self.in_flight.iter().all(|one| one.is_shared)
        {
            events.push_back(Event::Failed { token, error });
        }
    }
}

/// Opens a channel of the link's own, or takes one that is shared.
async fn open(lease: Lease, is_shared: bool) -> Result<Prepared, BrokerError> {
    persist(lease.settings().recovery_timeout, async || {
        if is_shared {
            return lease.shared_channel().await.map(Prepared::Shared);
        }
        let channel = lease.channel(Side::Publish).await?;
        Ok(Prepared::Own(Arc::new(SharedChannel::new(channel))))
    })
    .await
}

async fn declare(lease: Lease, link: u64, queue: Declaration) -> Result<Prepared, BrokerError> {
    let patience = lease.settings().recovery_timeout;
    match persist(patience, || topology::declare(&lease, &queue)).await {
        // The link's own exclusive queue: it is there, and anybody may publish to it. Only the
        // connection for consuming may declare it.
        Err(error)
            if error.kind == BrokerErrorKind::ResourceLocked
                && lock(lease.exclusive()).get(&queue.queue) == Some(&link) => {}
        declared => declared?,
    }
    Ok(Prepared::Declared(queue))
}

/// Refused only if the channel closes, which is then seen, and another one opened.
async fn confirm(lane: Arc<SharedChannel>) -> Result<Prepared, BrokerError> {
    drop(lane.channel.amqp().confirm_select(ConfirmSelectOptions::default()).await);
    Ok(Prepared::Confirming)
}

/// What has come back while a channel had no confirms. It confirms from then on: the answer to
/// `confirm.select` comes behind whatever comes back, and what comes later comes with an outcome.
async fn fetch(lane: Arc<SharedChannel>) -> Result<Prepared, BrokerError> {
    let amqp = lane.channel.amqp();
    drop(amqp.confirm_select(ConfirmSelectOptions::default()).await);
    // Nothing is in flight, so this does not wait.
    Ok(Prepared::Returned(amqp.wait_for_confirms().await.unwrap_or_default()))
}

/// Whether this channel has closed. Polls until its connection has nothing new.
fn is_disturbed(
    disturbed: &mut Option<BoxFuture<'static, ()>>,
    lane: &Option<Arc<SharedChannel>>,
    cx: &mut Context<'_>,
) -> bool {
    while let Some(waiting) = disturbed
        && waiting.as_mut().poll(cx).is_ready()
    {
        let open = lane.as_ref().filter(|lane| lane.channel.is_open());
        *disturbed = open.map(|lane| lane.channel.disturbed());
        if disturbed.is_none() {
            return true;
        }
    }
    false
}
