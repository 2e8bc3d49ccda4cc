//! An [`Inbox`]: what all sessions of one identity share, and the task that looks after it.
//!
//! One link, one queue and one consumer at the broker, however many sessions there are. Sessions join
//! and leave under the lock of the topics, from their own tasks; the task carries out what the broker
//! is asked for because of that, and hands each message to every member it is for.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::mem;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use broker_adapters::{Identity, Link};
use protocols::auth::{Denial, DenialKind};
use protocols::broker::restricted::Declaration;
use protocols::broker::{
    BrokerError, BrokerErrorKind, Command, DeliveryTag, Event, SubscriptionId, Token, Verdict,
};
use protocols::delivery::SharedDelivery;
use protocols::text::Text;
use tokio::time::Sleep;
use tracing::{debug, info, warn};

use super::binding::Source;
use super::topics::{Joining, MemberId, Order, Topics, Wakers};
use super::{Hub, INBOX_LINGER};

/// Events of the broker that are dealt with before other tasks have their turn.
const BUDGET: usize = 64;

/// Bytes of bodies after which other tasks have their turn, so that a burst of large messages finds each
/// member at work.
const BYTE_BUDGET: usize = 64 << 10;

/// The one subscription of the link.
const INBOX: SubscriptionId = SubscriptionId(1);

/// What the sessions of one identity in one virtual host share.
#[derive(Debug)]
pub(super) struct Inbox {
    pub(super) vhost: Text,
    pub(super) identity: Identity,
    /// Part of every message's id. Nobody else has it.
    name: Text,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    topics: Topics,
    /// The task, while it waits.
    task: Option<Waker>,
    /// It takes nobody any more.
    is_over: bool,
}

impl Inbox {
    pub(super) fn new(vhost: Text, identity: Identity, name: Text) -> Self {
        Self { vhost, identity, name, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a member; `None` if it takes nobody any more.
    pub(super) fn join(&self, hub: &Hub, topic: &Text, joining: &Joining) -> Option<MemberId> {
        let mut wakers = Wakers::new();
        let mut state = self.lock();
        if state.is_over {
            return None;
        }
        let times = (now(), hub.settings.trusted);
        let id = state.topics.join(topic, joining.clone(), times, &mut wakers);
        wakers.extend(state.task.take());
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        Some(id)
    }

    pub(super) fn leave(&self, topic: &Text, joining: &Joining, id: MemberId) {
        let mut state = self.lock();
        state.topics.leave(topic, joining.encoder.key(), id, now());
        let task = state.task.take();
        drop(state);
        task.into_iter().for_each(Waker::wake);
    }

    /// Ends it for everybody.
    pub(super) fn end(&self, error: &BrokerError) {
        let mut wakers = Wakers::new();
        let mut state = self.lock();
        state.is_over = true;
        state.topics.end(error, &mut wakers);
        wakers.extend(state.task.take());
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Ends it if nobody is there. Whether it is over.
    pub(super) fn end_if_unused(&self) -> bool {
        let mut state = self.lock();
        state.is_over |= state.topics.is_empty();
        state.is_over
    }
}

/// Looks after an inbox until it is over.
pub(super) async fn run(inbox: Arc<Inbox>, hub: Weak<Hub>) {
    let Some(broker) = hub.upgrade().map(|hub| Arc::clone(&hub.broker)) else {
        return;
    };
    let opened = broker.open(inbox.vhost.clone(), inbox.identity.clone()).await;
    let error = match opened {
        Ok(link) => look_after(&inbox, &hub, link).await,
        Err(denial) => Some(refused(denial)),
    };
    let login = &inbox.identity.credentials.login;
    if let Some(error) = error {
        warn!(user = %login, vhost = %inbox.vhost, "an inbox has ended: {error}");
        inbox.end(&error);
        if let Some(hub) = hub.upgrade() {
            hub.forget(&inbox);
        }
    } else {
        debug!(user = %login, vhost = %inbox.vhost, "nobody needs the inbox any more");
    }
}

/// Why sessions that were let in themselves are refused now.
fn refused(denial: Denial) -> BrokerError {
    let kind = match denial.kind {
        DenialKind::Unavailable => BrokerErrorKind::Unavailable,
        _ => BrokerErrorKind::AccessRefused,
    };
    BrokerError::new(kind, denial.text)
}

/// `None` if it ended because nobody needs it.
async fn look_after(
    inbox: &Arc<Inbox>,
    hub: &Weak<Hub>,
    mut link: Box<dyn Link>,
) -> Option<BrokerError> {
    let prefetch = hub.upgrade()?.settings.prefetch;
    let token = Token(0);
    link.submit(Command::OpenInbox { token, subscription: INBOX, prefetch });
    match poll_fn(|cx| link.poll_event(cx)).await {
        Event::Subscribed { .. } => {}
        Event::Failed { error, .. } | Event::Canceled { error, .. } | Event::Down { error } => {
            return Some(error);
        }
        other => debug_assert!(false, "an inbox was asked for, not {other:?}"),
    }
    info!(user = %inbox.identity.credentials.login, vhost = %inbox.vhost, "opened an inbox");
    let mut worker = Worker {
        inbox,
        hub,
        link,
        asked: HashMap::new(),
        last_token: 0,
        restricted: Declaration::default(),
        sequence: 0,
        unsettled: None,
        wakers: Wakers::new(),
        unused_since: None,
        sleep: Box::pin(tokio::time::sleep(INBOX_LINGER)),
    };
    poll_fn(|cx| worker.poll(cx)).await
}

/// The task's own.
struct Worker<'a> {
    inbox: &'a Arc<Inbox>,
    hub: &'a Weak<Hub>,
    link: Box<dyn Link>,
    /// What the broker was asked for and has not answered.
    asked: HashMap<Token, Order>,
    last_token: u64,
    /// The exchange of what is for some sessions only: the link asks for it before it is bound to it.
    restricted: Declaration,
    /// Messages so far.
    sequence: u64,
    /// The last one that was distributed and is not settled.
    unsettled: Option<DeliveryTag>,
    /// Woken once the topics are not locked; empty between turns.
    wakers: Wakers,
    unused_since: Option<Instant>,
    sleep: Pin<Box<Sleep>>,
}

impl Worker<'_> {
    /// One turn. Ready when the inbox is over, with the reason if there is one.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<BrokerError>> {
        let over = self.turn(cx);
        // Everybody is woken once for all that came in a turn.
        mem::take(&mut self.wakers).into_iter().for_each(Waker::wake);
        over
    }

    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<Option<BrokerError>> {
        let mut is_spent = true;
        let mut bytes = 0;
        for _ in 0..BUDGET {
            self.carry_out_orders();
            if bytes >= BYTE_BUDGET {
                break;
            }
            let Poll::Ready(event) = self.link.poll_event(cx) else {
                is_spent = false;
                break;
            };
            if let Event::Delivery { publication, .. } = &event {
                bytes += publication.message.body.len();
            }
            if let Err(error) = self.on_event(event) {
                return Poll::Ready(Some(error));
            }
        }
        if let Some(up_to) = self.unsettled.take() {
            // Whoever it was for has it: it is in the memory of this process.
            self.link.submit(Command::Settle {
                subscription: INBOX,
                up_to,
                verdict: Verdict::Accept,
                cumulative: true,
            });
        }
        self.link.flush();
        if is_spent {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.rest(cx)
    }

    fn on_event(&mut self, event: Event) -> Result<(), BrokerError> {
        if self.restricted.on_event(&event) {
            return Ok(());
        }
        let now = now();
        match event {
            Event::Delivery { tag, redelivered, publication, .. } => {
                self.sequence += 1;
                let delivery = SharedDelivery {
                    inbox: &self.inbox.name,
                    sequence: self.sequence,
                    redelivered,
                    publication: &publication,
                };
                let mut state = self.inbox.lock();
                let done = state.topics.distribute(&delivery, now, &mut self.wakers);
                drop(state);
                self.unsettled = Some(tag);
                if let Some(hub) = self.hub.upgrade() {
                    hub.counters.add(done);
                }
            }
            Event::Subscribed { token } => {
                if let Some(Order::Bind(source, topic)) = self.asked.remove(&token) {
                    self.on_bound(source, &topic, Ok(()));
                }
            }
            Event::Unsubscribed { token } => {
                if let Some(Order::Unbind(source, topic)) = self.asked.remove(&token) {
                    self.inbox.lock().topics.unbound((source, &topic), true, now);
                }
            }
            Event::Failed { token, error } => match self.asked.remove(&token) {
                Some(Order::Bind(source, topic)) => self.on_bound(source, &topic, Err(error)),
                Some(Order::Unbind(source, topic)) => {
                    self.inbox.lock().topics.unbound((source, &topic), false, now);
                }
                None => {}
            },
            Event::Canceled { error, .. } | Event::Down { error } => return Err(error),
            // Nothing of the kind was asked for.
            Event::Confirmed { .. }
            | Event::Declared { .. }
            | Event::Resumed { .. }
            | Event::Gap { .. } => {}
        }
        Ok(())
    }

    /// The broker has bound a topic, or has not.
    fn on_bound(&mut self, source: Source, topic: &Text, outcome: Result<(), BrokerError>) {
        let is_bound = outcome.is_ok();
        let judged = match source {
            Source::Topics => outcome,
            Source::Restricted => self.restricted.judge(outcome),
        };
        if is_bound && judged.is_err() {
            // To what it should not be.
            let (token, inbox) = (self.next_token(), INBOX);
            let (exchange, topic) = (source.exchange(), topic.clone());
            self.link.submit(Command::Unbind { token, inbox, exchange, topic });
        }
        let mut state = self.inbox.lock();
        match judged {
            Ok(()) => state.topics.bound((source, topic), now(), &mut self.wakers),
            Err(error) => state.topics.refused((source, topic), &error, now(), &mut self.wakers),
        }
    }

    /// Asks the broker for what sessions have led to.
    fn carry_out_orders(&mut self) {
        loop {
            let mut state = self.inbox.lock();
            state.topics.expire(now());
            let Some(order) = state.topics.next_order(now()) else {
                return;
            };
            drop(state);
            if let Order::Bind(Source::Restricted, _) = order {
                let token = self.next_token();
                if let Some(declare) = self.restricted.ask(token) {
                    self.link.submit(declare);
                }
            }
            let (token, inbox) = (self.next_token(), INBOX);
            self.link.submit(match order.clone() {
                Order::Bind(source, topic) => {
                    Command::Bind { token, inbox, exchange: source.exchange(), topic }
                }
                Order::Unbind(source, topic) => {
                    Command::Unbind { token, inbox, exchange: source.exchange(), topic }
                }
            });
            self.asked.insert(token, order);
        }
    }

    fn next_token(&mut self) -> Token {
        self.last_token += 1;
        Token(self.last_token)
    }

    /// There is nothing to do: waits for an order, or a deadline. Ready if there is no need to.
    fn rest(&mut self, cx: &mut Context<'_>) -> Poll<Option<BrokerError>> {
        loop {
            let mut state = self.inbox.lock();
            if state.is_over {
                return Poll::Ready(None);
            }
            let is_unused = state.topics.is_empty() && self.asked.is_empty();
            let deadline = if is_unused {
                Some(*self.unused_since.get_or_insert_with(now) + INBOX_LINGER)
            } else {
                self.unused_since = None;
                state.topics.next_expiry()
            };
            state.task = Some(cx.waker().clone());
            if state.topics.has_orders() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            drop(state);
            let Some(deadline) = deadline else {
                return Poll::Pending;
            };
            self.sleep.as_mut().reset(deadline.into());
            if pin!(&mut self.sleep).poll(cx).is_pending() {
                return Poll::Pending;
            }
            if is_unused {
                match self.hub.upgrade() {
                    Some(hub) if !hub.forget_if_unused(self.inbox) => self.unused_since = None,
                    _ => return Poll::Ready(None),
                }
            } else {
                // Something is due: the next turn sees to it.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }
}

/// On tokio's clock, which tests can turn.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
