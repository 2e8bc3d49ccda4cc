//! The task behind a realm's [`Bridge`]: it brings what the sessions of the realm call elsewhere to the
//! broker, and what is called from elsewhere to them.
//!
//! One link for a realm and node, for as long as the gateway runs. If it is lost, it is opened anew; until
//! then calls to elsewhere fail, and so does what is to be registered. Sessions of this node call each
//! other without it.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use broker_adapters::mailbox::{Mailbox, Weight};
use broker_adapters::{Broker, Identity, Link};
use futures_core::future::BoxFuture;
use protocols::auth::Denial;
use protocols::broker::{BrokerError, BrokerErrorKind, Command};
use protocols::text::Text;
use protocols::wamp::bridge::{Bridge, FEATURES, Output, Route, Settings};
use protocols::wamp::message::InvokePolicy;
use protocols::wamp::peers::Request;
use protocols::wamp::realm::Principal;
use protocols::wamp::registry::Callee;
use tokio::time::Sleep;
use tracing::{info, warn};

use super::claims::Errand;
use super::dealer::{self, Dealer};
use super::{Realms, Seat};

/// Events, and things of sessions, that are dealt with before other tasks have their turn.
const BUDGET: usize = 64;

/// How long a gateway that stops waits until the broker has taken what its sessions have said at last.
const FAREWELL: Duration = Duration::from_secs(2);

/// What the bridge is as a user.
pub(super) const BRIDGE: &str = "bridge";

/// Time until a link is opened anew after the first failure; it doubles up to [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_millis(500);

const LONGEST_PAUSE: Duration = Duration::from_secs(10);

impl Weight for Errand {
    /// There are no more than the sessions may register.
    fn weight(&self) -> usize {
        0
    }
}

/// Where a bridge leads, and as whom.
pub(crate) struct Shore {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) vhost: Text,
    pub(crate) identity: Identity,
}

/// A bridge and what it stands between.
pub(crate) struct Worker {
    shore: Shore,
    realm: Text,
    bridge: Bridge,
    seat: Seat,
    dealer: Arc<Dealer>,
    errands: Arc<Mailbox<Errand>>,
    batch: VecDeque<Errand>,
    link: State,
    /// What the link does not take yet, and what is behind it.
    held: VecDeque<Command>,
    /// There was a failure, of which was warned, and the link has not been of use since.
    is_failing: bool,
    /// That answers are not taken was said, for this link.
    has_warned: bool,
    /// How long the next failure is waited out.
    pause: Duration,
    output: Output,
    sleep: Pin<Box<Sleep>>,
}

enum State {
    /// It has never been open: what is to be registered waits.
    Opening(BoxFuture<'static, Result<Box<dyn Link>, Denial>>),
    Open(Box<dyn Link>),
    /// It was lost, or could not be opened.
    Closed(Instant),
}

impl Worker {
    /// A bridge that has not been begun. `None`: there is no such realm, or its name is taken.
    pub(crate) fn new(
        realms: &Arc<Realms>,
        shore: Shore,
        settings: Settings,
        routes: Vec<Route>,
        capacity: usize,
    ) -> Option<Self> {
        let realm = settings.realm.clone();
        let principal = Arc::new(Principal {
            session: settings.at.session,
            authid: shore.identity.credentials.login.clone(),
            authrole: Text::from_static("gateway"),
            authmethod: BRIDGE,
            authprovider: "broker",
        });
        let entrant = (settings.at, Arc::clone(&principal));
        let seat = Seat::enter_unseen(realms, &realm, entrant, capacity)?;
        let dealer = Arc::clone(realms.dealer(&realm)?);
        let callee = Callee {
            at: settings.at,
            registered: dealer::now(),
            wants_caller: false,
            keeps_timeouts: false,
            concurrency: None,
            features: FEATURES,
        };
        let errands = dealer.attach(callee, routes.iter().map(|route| route.uri.clone()));
        let realms = Arc::clone(realms) as _;
        let bridge = Bridge::new(settings, principal, realms, routes);
        let link = State::Closed(now());
        Some(Self {
            shore,
            realm,
            bridge,
            seat,
            dealer,
            errands,
            batch: VecDeque::new(),
            link,
            held: VecDeque::new(),
            is_failing: false,
            has_warned: false,
            pause: PAUSE,
            output: Output::default(),
            sleep: Box::pin(tokio::time::sleep(Duration::ZERO)),
        })
    }

    /// Stands until `stop` ends, and then until what sessions have said has left, but for no longer than
    /// [`FAREWELL`]. *Order.* No session says anything once `stop` has ended.
    pub(crate) async fn run(mut self, stop: impl Future<Output = ()>) {
        self.open();
        let mut stop = pin!(stop);
        poll_fn(|cx| {
            self.turn(cx);
            stop.as_mut().poll(cx)
        })
        .await;
        let farewell = poll_fn(|cx| {
            let is_spent = self.turn(cx);
            if is_spent { Poll::Pending } else { self.poll_said(cx) }
        });
        if tokio::time::timeout(FAREWELL, farewell).await.is_err() {
            warn!(realm = %self.realm, "the broker has not taken all answers to calls in time");
        }
    }

    /// Whether what sessions have said has left. *Order.* After a turn.
    fn poll_said(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.link {
            State::Open(link) if self.bridge.is_open() => {
                // The turn has taken all that there was, unless the broker takes no more.
                if self.held.is_empty() { link.poll_taken(cx) } else { Poll::Pending }
            }
            _ => Poll::Ready(()),
        }
    }

    fn open(&mut self) {
        let Shore { broker, vhost, identity } = &self.shore;
        let (broker, vhost, identity) = (Arc::clone(broker), vhost.clone(), identity.clone());
        let opening = async move { broker.open(vhost, identity).await };
        self.link = State::Opening(Box::pin(opening));
    }

    /// One turn. True if there may be more to do, for which it wakes.
    fn turn(&mut self, cx: &mut Context<'_>) -> bool {
        let now = now();
        let mut is_spent = self.drive_link(now, cx);
        is_spent |= self.drive_errands(cx);
        // Before it is asked whether the broker takes more: what it takes at once holds up nobody.
        self.release_held(cx);
        is_spent |= self.drive_seat(now, cx);
        if self.bridge.next_timeout().is_some_and(|deadline| deadline <= now) {
            self.bridge.handle_timeout(now, &mut self.output);
            self.carry_out();
        }
        self.release_held(cx);
        if let State::Open(link) = &mut self.link {
            link.flush();
        }
        is_spent |= self.is_due(cx);
        if is_spent {
            cx.waker().wake_by_ref();
        }
        is_spent
    }

    /// The link itself, and what comes by it. True if the budget was spent.
    fn drive_link(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        for _ in 0..BUDGET {
            match &mut self.link {
                State::Closed(until) if *until <= now => self.open(),
                State::Closed(_) => return false,
                State::Opening(opening) => match opening.as_mut().poll(cx) {
                    Poll::Ready(Ok(link)) => {
                        self.link = State::Open(link);
                        self.has_warned = false;
                        self.bridge.on_link(&mut self.output);
                    }
                    Poll::Ready(Err(denial)) => self.on_denied(now, &denial),
                    Poll::Pending => return false,
                },
                State::Open(link) => {
                    let Poll::Ready(event) = link.poll_event(cx) else {
                        return false;
                    };
                    if let Some(error) = self.bridge.is_fatal(&event) {
                        self.close(now, &error);
                    } else {
                        self.bridge.on_event(now, event, &mut self.output);
                        if self.bridge.is_open() && std::mem::take(&mut self.is_failing) {
                            info!(realm = %self.realm, "calls leave this gateway again");
                            self.pause = PAUSE;
                        }
                    }
                }
            }
            self.carry_out();
        }
        true
    }

    fn on_denied(&mut self, now: Instant, denial: &Denial) {
        let error = BrokerError::new(BrokerErrorKind::Unavailable, denial.text.clone());
        self.close(now, &error);
    }

    /// The link is of no use: it is opened anew after a while.
    fn close(&mut self, now: Instant, error: &BrokerError) {
        if !std::mem::replace(&mut self.is_failing, true) {
            warn!(realm = %self.realm, "calls do not leave this gateway now: {error}");
        }
        self.link = State::Closed(now + self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        self.held.clear();
        self.bridge.on_down(error, &mut self.output);
    }

    /// Whether it is being tried to reach the broker: until that has come to something, nobody is told that it
    /// cannot be reached.
    fn is_opening(&self) -> bool {
        match self.link {
            State::Opening(_) => true,
            State::Open(_) => !self.bridge.is_open(),
            State::Closed(_) => false,
        }
    }

    /// What sessions have registered, or not any more. True if there may be more.
    fn drive_errands(&mut self, cx: &mut Context<'_>) -> bool {
        if self.is_opening() {
            return false;
        }
        if self.errands.poll_take(cx, &mut self.batch).is_pending() {
            return false;
        }
        for errand in std::mem::take(&mut self.batch) {
            match errand {
                Errand::Claim(uri, invoke) => {
                    self.bridge.claim(&uri, sharing(invoke), &mut self.output);
                }
                Errand::Release(uri) => self.bridge.release(&uri, &mut self.output),
            }
        }
        self.carry_out();
        true
    }

    /// What sessions call elsewhere, and what they answer. True if the budget was spent.
    fn drive_seat(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        if self.is_opening() {
            return false;
        }
        for _ in 0..BUDGET {
            let is_busy = !self.held.is_empty();
            if is_busy && matches!(&self.link, State::Open(_)) {
                // The broker holds publishers back, and wakes this task when it does so no more. What
                // sessions call waits in the mailbox, which is bounded.
                return false;
            }
            let Poll::Ready(notice) = self.seat.poll_next(cx) else {
                return false;
            };
            self.bridge.on_notice(now, notice, &mut self.output);
            self.carry_out();
            self.release_held(cx);
        }
        true
    }

    /// The one place that acts on what the bridge has decided.
    fn carry_out(&mut self) {
        let Output { commands, asks, answers, outcomes, unsaid } = &mut self.output;
        for error in unsaid.drain(..) {
            if !std::mem::replace(&mut self.has_warned, true) {
                warn!(
                    realm = %self.realm,
                    "the broker has not taken an answer to a call, and may not take others; the \
                     login of the realm needs to write to the default exchange and to wamp.interrupt: \
                     {error}"
                );
            }
        }
        self.held.extend(commands.drain(..));
        for ask in asks.drain(..) {
            self.seat.apply(Request::Ask(ask));
        }
        for answer in answers.drain(..) {
            self.seat.apply(Request::Answer(answer));
        }
        for outcome in outcomes.drain(..) {
            self.dealer.on_outcome(outcome);
        }
    }

    /// Submits what is held, in order, up to the next publish that the link does not take yet.
    fn release_held(&mut self, cx: &mut Context<'_>) {
        let State::Open(link) = &mut self.link else {
            self.held.clear();
            return;
        };
        while let Some(command) = self.held.front() {
            if matches!(command, Command::Publish { .. }) && link.poll_ready(cx).is_pending() {
                return;
            }
            if let Some(command) = self.held.pop_front() {
                link.submit(command);
            }
        }
    }

    /// Waits for the next deadline. True if it has come already.
    fn is_due(&mut self, cx: &mut Context<'_>) -> bool {
        let reopening = match &self.link {
            State::Closed(until) => Some(*until),
            _ => None,
        };
        let Some(deadline) = self.bridge.next_timeout().into_iter().chain(reopening).min() else {
            return false;
        };
        self.sleep.as_mut().reset(deadline.into());
        self.sleep.as_mut().poll(cx).is_ready()
    }
}

/// How callees share a procedure, as a number; `None` if there is one alone.
const fn sharing(invoke: InvokePolicy) -> Option<u16> {
    match invoke {
        InvokePolicy::Single => None,
        InvokePolicy::RoundRobin => Some(1),
        InvokePolicy::Random => Some(2),
        InvokePolicy::First => Some(3),
        InvokePolicy::Last => Some(4),
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
mod tests;
