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
//! - Under a service login, whose rights are known, publishes to the default exchange and the topic
//!   exchange share a few channels of the identity. Named exchanges, which may not exist, and
//!   mandatory messages stay on the link's own.
//!
//! # Confirms
//! A channel begins without them. The first publish that wants to know its outcome waits until
//! all before it were written, for lapin lets methods overtake messages and RabbitMQ counts those that come
//! after `confirm.select`; and until that is answered, for lapin counts from there on. A message that RabbitMQ
//! returns comes before its confirm without naming it, and confirms may come many at a time, so a
//! mandatory message travels alone.

use std::collections::{HashSet, VecDeque};
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use futures_core::future::BoxFuture;
use lapin::Confirmation;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use protocols::broker::{BrokerError, BrokerErrorKind, Event, Message, Outcome, Token};
use protocols::text::Text;

use super::error::broker_error;
use super::link::Events;
use super::pool::{Lease, SharedChannel, Side};
use super::properties::to_amqp;
use super::recover::persist;
use super::topology::{self, Declaration, Target};
use crate::lock::lock;

/// Queues a link remembers to have declared. Beyond, it forgets them all and asks again.
const MAX_DECLARED: usize = 1_000;

/// A message to be published.
#[derive(Debug)]
pub(super) struct Publish {
    pub(super) token: Token,
    pub(super) target: Target,
    pub(super) message: Message,
    /// The owner wants to know the outcome.
    pub(super) confirm: bool,
    /// RabbitMQ is to return it if it reaches no queue.
    pub(super) mandatory: bool,
}

impl Publish {
    fn wants_outcome(&self) -> bool {
        self.confirm || self.mandatory
    }
}

/// A message that lapin has.
struct InFlight {
    token: Token,
    exchange: Text,
    confirm: bool,
    mandatory: bool,
    bytes: usize,
    /// What it went by, and whether others use that too.
    lane: Arc<SharedChannel>,
    is_shared: bool,
    progress: Progress,
}

enum Progress {
    Running(BoxFuture<'static, lapin::Result<Confirmation>>),
    Done(Box<lapin::Result<Confirmation>>),
}

/// Something that had to be done first.
enum Prepared {
    Declared(Text),
    Own(Arc<SharedChannel>),
    Shared(Arc<SharedChannel>),
    /// The own channel confirms, or closed before it could.
    Confirming,
}

/// Doing it.
type Preparing = BoxFuture<'static, Result<Prepared, BrokerError>>;

/// The publishing half of a link.
pub(super) struct Publishing {
    lease: Lease,
    /// Whose half it is.
    link: u64,
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
    /// Queues that were declared for a publish.
    declared: HashSet<Text>,
    /// The last publish without a confirm on the own channel: RabbitMQ's refusal of one of them
    /// does not say which it was.
    unconfirmed: Option<Token>,
    /// Resolve when something happened to the connections of the two channels: one was blocked or
    /// unblocked, or a channel on it closed.
    own_disturbed: Option<BoxFuture<'static, ()>>,
    shared_disturbed: Option<BoxFuture<'static, ()>>,
}

impl Publishing {
    pub(super) fn new(lease: Lease, link: u64) -> Self {
        Self {
            lease,
            link,
            own: None,
            shared: None,
            waiting: VecDeque::new(),
            preparing: None,
            in_flight: VecDeque::new(),
            in_flight_bytes: 0,
            declared: HashSet::new(),
            unconfirmed: None,
            own_disturbed: None,
            shared_disturbed: None,
        }
    }

    /// Everything that is under way; what remains has nothing to do.
    pub(super) fn take(&mut self) -> Self {
        mem::replace(self, Self::new(self.lease.clone(), self.link))
    }

    /// Whether another publish may come now.
    pub(super) fn is_ready(&self) -> bool {
        let settings = self.lease.settings();
        let is_blocked = |lane: &Option<Arc<SharedChannel>>| {
            lane.as_ref().is_some_and(|lane| lane.channel.is_blocked())
        };
        self.waiting.is_empty()
            && self.in_flight.len() < settings.window_messages
            && self.in_flight_bytes < settings.window_bytes
            && !is_blocked(&self.own)
            && !is_blocked(&self.shared)
    }

    /// Whether everything was handed to RabbitMQ and has its outcome.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.in_flight.is_empty()
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
            if self.poll_in_flight(cx, events) && !self.waiting.is_empty() {
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
                self.declared.insert(queue);
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
            Ok(Prepared::Confirming) => {}
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
        while let Some(publish) = self.waiting.front() {
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
        let is_common = exchange.is_empty() || *exchange == settings.topic_exchange;
        let is_shared = self.lease.is_service() && is_common && !publish.mandatory;
        let lane = if is_shared { &self.shared } else { &self.own };
        let Some(lane) = lane.as_ref().filter(|lane| lane.channel.is_open()) else {
            return Err(Box::pin(open(self.lease.clone(), is_shared)));
        };
        if let Some(queue) = &publish.target.declare
            && !self.declared.contains(&queue.queue)
        {
            return Err(Box::pin(declare(self.lease.clone(), self.link, queue.clone())));
        }
        Ok(Arc::clone(lane))
    }

    /// Hands one message to lapin.
    fn send(&mut self, publish: Publish, lane: &Arc<SharedChannel>, events: &mut Events) {
        let Publish { token, target, message, confirm, mandatory } = publish;
        let bytes = message.size();
        let frame_size = lane.channel.frame_size();
        let properties = match to_amqp(&message.properties, self.lease.user(), frame_size) {
            Ok(properties) => properties,
            Err(error) => return events.push_back(Event::Failed { token, error }),
        };
        if !lane.channel.amqp().status().confirm() {
            self.unconfirmed = Some(token);
        }
        let Target { exchange, key, .. } = target;
        let names = (exchange.as_str().into(), key.as_str().into());
        let (body, on) = (message.body, Arc::clone(lane));
        let mut future: BoxFuture<'static, _> = Box::pin(async move {
            let options = BasicPublishOptions { mandatory, immediate: false };
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
        let one =
            InFlight { token, exchange, confirm, mandatory, bytes, lane, is_shared, progress };
        self.in_flight.push_back(one);
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
                        events.extend(front.outcome(&confirmation));
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
                events.extend(one.outcome(&confirmation));
            } else {
                failed.push(one);
            }
        }
        self.in_flight_bytes = self.in_flight.iter().map(|one| one.bytes).sum();
        if !is_shared {
            self.unconfirmed = None;
        }
        let error = broker_error(error);
        // On a shared channel the mistake may be another link's.
        let guilty = if is_shared || error.kind == BrokerErrorKind::Unavailable {
            None
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

    /// Notices what happened to the connections: somebody may have to be told that publishing goes
    /// on, or that it does not.
    fn poll_disturbances(&mut self, cx: &mut Context<'_>, events: &mut Events) {
        if is_disturbed(&mut self.own_disturbed, &self.own, cx) {
            self.own_closed(events);
        }
        if is_disturbed(&mut self.shared_disturbed, &self.shared, cx) {
            self.shared = None;
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
    Ok(Prepared::Declared(queue.queue))
}

/// Refused only if the channel closes, which is then seen, and another one opened.
async fn confirm(lane: Arc<SharedChannel>) -> Result<Prepared, BrokerError> {
    drop(lane.channel.amqp().confirm_select(ConfirmSelectOptions::default()).await);
    Ok(Prepared::Confirming)
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

impl InFlight {
    /// How it went, once: it must not be polled again.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<lapin::Result<Confirmation>> {
        match &mut self.progress {
            Progress::Running(future) => {
                let done = ready!(future.as_mut().poll(cx));
                self.progress = resolved();
                Poll::Ready(done)
            }
            Progress::Done(done) => {
                Poll::Ready(mem::replace(&mut **done, Ok(Confirmation::NotRequested)))
            }
        }
    }

    /// What to report, if anything was asked for.
    fn outcome(&self, confirmation: &Confirmation) -> Option<Event> {
        let outcome = match confirmation {
            Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_)) if self.mandatory => {
                Outcome::Unroutable
            }
            Confirmation::Ack(_) => Outcome::Accepted,
            Confirmation::Nack(_) => Outcome::Rejected,
            Confirmation::NotRequested => return None,
        };
        let is_told = self.confirm || outcome == Outcome::Unroutable;
        is_told.then_some(Event::Confirmed { token: self.token, outcome })
    }
}

/// Stands for an outcome that was taken out.
fn resolved() -> Progress {
    Progress::Done(Box::new(Ok(Confirmation::NotRequested)))
}

/// What a message is answered with whose channel closed for another reason.
fn unknown(cause: &BrokerError) -> BrokerError {
    let text = format!("the outcome is unknown, the message may or may not have arrived: {cause}");
    BrokerError::new(BrokerErrorKind::Unavailable, text)
}
