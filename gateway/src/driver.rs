//! The driver: one task per connection, one poll function, a fixed order of steps, a budget.
//!
//! It moves units between a [`Transport`] and a [`Session`], and commands and events between the
//! session and its broker [`Link`]. It knows no protocol and no broker. Between a client's SEND
//! and the broker, and back, there is no task and no channel of the gateway's own.
//!
//! # Backpressure
//! - The broker takes no publish ([`Link::poll_ready`] pending): the publish and what follows it
//!   are held, at most what one call of the session led to, and nothing more is read from the peer;
//!   after `publish_timeout` the peer is told, and closed.
//! - The peer reads slowly: above `output_high_water` bytes of buffered output nothing more is
//!   taken from the broker or the peer. Deliveries that count as accepted once written stay
//!   outstanding at the broker until then, so its prefetch bounds them.
//! - While reading is stopped the session is told, so that it does not miss heart-beats that it
//!   cannot see.

mod closing;
mod fitting;
mod peers;
mod settling;

use std::collections::VecDeque;
use std::future::Future;
use std::mem;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use broker_adapters::Link;
use closing::{Closing, End};
use futures_core::future::BoxFuture;
use protocols::auth::{AuthReply, AuthRequest, Denial};
use protocols::broker::{BrokerError, BrokerErrorKind, Command, Event};
use protocols::session::OutFrame;
use protocols::violation::Violation;
use protocols::{Actions, Session};
use settling::Settling;
use tokio::time::Sleep;
use tracing::{debug, info};

use crate::auth::Admitted;
use crate::drain::Drain;
use crate::hub::Place;
use crate::hub::share::{Received, Share};
use crate::probe::Probe;
use crate::realm::Seat;
use crate::route::{Route, Tuning};
use crate::transport::{Transport, TransportError};

/// Units of input, and events of the broker, handled in one turn before other connections get
/// theirs.
const BUDGET: usize = 64;

/// Commands and frames that a connection keeps room for when it has handed them on.
const KEPT_ROOM: usize = 8;

/// Everything a connection is run with, besides its transport.
pub(crate) struct Connection {
    /// The protocol state.
    pub(crate) session: Box<dyn Session>,
    /// The route it came in by.
    pub(crate) route: Arc<Route>,
    /// The client's address.
    pub(crate) peer: IpAddr,
    /// How it is run.
    pub(crate) tuning: Tuning,
    /// Tells when this session shall say goodbye.
    pub(crate) drain: Drain,
}

/// Runs one connection until it has ended, and logs how it did.
pub(crate) async fn drive<T: Transport>(transport: T, connection: Connection) {
    Driver::new(transport, connection).await.log();
}

struct Driver<T> {
    transport: T,
    session: Box<dyn Session>,
    route: Arc<Route>,
    peer: IpAddr,
    tuning: Tuning,
    /// Set from the login's success until the connection closes.
    link: Option<Box<dyn Link>>,
    /// What the session shares with others; set with `link`.
    share: Option<Share>,
    /// Its place in the realm that it has joined, if it has.
    seat: Option<Seat>,
    /// Set while a login is being decided; nothing is read meanwhile.
    login: Option<BoxFuture<'static, Result<Admitted, Denial>>>,
    /// Empty between steps.
    actions: Actions,
    /// A publish that waits for the link, and the commands behind it.
    held: VecDeque<Command>,
    /// Since when the first of `held` waits.
    held_since: Option<Instant>,
    /// Since when a goodbye waits for what the link was given and the broker has not got.
    untaken_since: Option<Instant>,
    /// The session has input left, which goes before anything new.
    more_input: bool,
    /// The peer broke a rule below the protocol: there is no more input, only what the session has
    /// to say.
    input_broken: bool,
    /// Deliveries to accept without a word of the peer's.
    settling: Settling,
    /// What the session was last told about reading.
    reading: bool,
    /// Something was left alone in this turn because too much output is buffered.
    throttled: bool,
    /// Shared frames that the peer does not take.
    left_out: u64,
    /// What other sessions have comes before what is shared, in the next turn.
    peers_first: bool,
    /// Since when the socket has taken nothing although output waits, and its count then.
    stalled: Option<(Instant, u64)>,
    probe: Option<Probe>,
    /// This session's turn to say goodbye; cleared once it has come.
    drain: Option<BoxFuture<'static, ()>>,
    closing: Option<Closing>,
    sleep: Pin<Box<Sleep>>,
    /// What `sleep` is set to; `None` when it need not be polled.
    armed: Option<Instant>,
}

impl<T: Transport> Future for Driver<T> {
    type Output = End;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<End> {
        let now = tokio::time::Instant::now().into_std();
        let Err(end) = self.poll_session(now, cx) else {
            return Poll::Pending;
        };
        self.leave_realm(now);
        // Whatever fails on the last way, why it was begun is the better reason.
        Poll::Ready(self.closing.take().map_or(end, |closing| closing.end))
    }
}

impl<T: Transport> Driver<T> {
    fn new(transport: T, connection: Connection) -> Self {
        let Connection { session, route, peer, tuning, drain } = connection;
        Self {
            transport,
            session,
            route,
            peer,
            tuning,
            link: None,
            share: None,
            seat: None,
            login: None,
            actions: Actions::default(),
            held: VecDeque::new(),
            held_since: None,
            untaken_since: None,
            more_input: false,
            input_broken: false,
            settling: Settling::default(),
            reading: true,
            throttled: false,
            left_out: 0,
            peers_first: false,
            stalled: None,
            probe: None,
            drain: Some(drain.turn()),
            closing: None,
            sleep: Box::pin(tokio::time::sleep(std::time::Duration::ZERO)),
            armed: None,
        }
    }

    /// One turn. The steps that free memory come first.
    fn poll_session(&mut self, now: Instant, cx: &mut Context<'_>) -> Result<(), End> {
        let turn = self.drive_turn(now, cx);
        if let Some(link) = &mut self.link {
            link.flush();
        }
        turn
    }

    fn drive_turn(&mut self, now: Instant, cx: &mut Context<'_>) -> Result<(), End> {
        self.throttled = false;
        self.drive_output(now, cx)?;
        self.drive_control(now, cx);
        self.release_held(now, cx);
        // Input first: what it asks for is little, and among it is what stops deliveries.
        let mut spent = self.drive_input(now, cx);
        spent |= self.drive_broker(now, cx);
        // By turns: either could fill all the room that a slow client leaves.
        self.peers_first = !self.peers_first;
        if self.peers_first {
            spent |= self.drive_peers(now, cx);
            spent |= self.drive_shared(now, cx);
        } else {
            spent |= self.drive_shared(now, cx);
            spent |= self.drive_peers(now, cx);
        }
        self.drive_timer(now, cx)?;
        self.drive_output(now, cx)?;
        if self.closing.is_some() {
            return self.drive_close(now, cx);
        }
        let throttle_lifted = self.throttled && !self.is_above_high_water();
        if spent || throttle_lifted {
            cx.waker().wake_by_ref();
        }
        Ok(())
    }

    /// Writes what is buffered, and settles what has been written.
    fn drive_output(&mut self, now: Instant, cx: &mut Context<'_>) -> Result<(), End> {
        if self.transport.buffered() == 0 || self.withholds_goodbye(cx) || self.ends_silently() {
            self.stalled = None;
            return Ok(());
        }
        match self.transport.poll_flush(cx) {
            Poll::Ready(Ok(())) => {
                self.stalled = None;
                self.settle_written(now, cx);
            }
            Poll::Ready(Err(TransportError::Io(error))) => return Err(End::Broken(error)),
            Poll::Ready(Err(TransportError::Violation(violation))) => {
                self.session.handle_violation(now, violation, &mut self.actions);
                self.dispatch(now, cx);
            }
            Poll::Pending => {
                let written = self.transport.written();
                if self.stalled.is_none_or(|(_, before)| before != written) {
                    self.stalled = Some((now, written));
                    // A peer that takes output is alive, though the question for a sign of life
                    // may still wait behind that output.
                    if let Some(probe) = &mut self.probe {
                        probe.heard(now);
                    }
                }
            }
        }
        Ok(())
    }

    fn settle_written(&mut self, now: Instant, cx: &mut Context<'_>) {
        if let Some(link) = &mut self.link {
            self.settling.on_written(|command| link.submit(command));
            self.ask(now, cx);
        }
    }

    /// Asks the peer what it has received, where that is to be known.
    fn ask(&mut self, now: Instant, cx: &mut Context<'_>) {
        // Behind what is buffered the question would come too early.
        let is_written = self.transport.buffered() == 0;
        if is_written && self.settling.wants_to_ask() && self.transport.ask() {
            self.settling.on_asked(now);
            // The question itself is to be written.
            cx.waker().wake_by_ref();
        }
    }

    /// The drain signal, and the answer to a login.
    fn drive_control(&mut self, now: Instant, cx: &mut Context<'_>) {
        if let Some(drain) = &mut self.drain
            && drain.as_mut().poll(cx).is_ready()
        {
            self.drain = None;
            self.session.start_drain(now, &mut self.actions);
            self.dispatch(now, cx);
        }
        let Some(login) = &mut self.login else { return };
        let Poll::Ready(answer) = login.as_mut().poll(cx) else {
            return;
        };
        self.login = None;
        let reply = match answer {
            Ok(Admitted { grant, link, identity }) => {
                info!(user = %grant.user, vhost = %grant.vhost, "logged in");
                self.link = Some(link);
                let place = Place { vhost: grant.vhost.clone(), identity };
                let hub = Arc::clone(&self.route.hub);
                self.share = Some(Share::new(hub, place, &self.route.pending));
                AuthReply::Granted(grant)
            }
            Err(denial) => AuthReply::Denied(denial),
        };
        self.session.handle_auth(now, reply, &mut self.actions);
        self.dispatch(now, cx);
    }

    /// Events of the broker. True if the budget was spent.
    fn drive_broker(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        for _ in 0..BUDGET {
            if self.closing.is_some() {
                return false;
            }
            let is_throttled = self.is_above_high_water();
            let Some(link) = &mut self.link else {
                return false;
            };
            if is_throttled {
                self.throttled = true;
                // Another connection may want what this one cannot get rid of.
                link.attend(cx);
                return false;
            }
            let Poll::Ready(event) = link.poll_event(cx) else {
                return false;
            };
            self.session.handle_event(now, event, &mut self.actions);
            self.dispatch(now, cx);
        }
        true
    }

    /// What the session shares with others. True if the budget was spent.
    fn drive_shared(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        let mut has_output = false;
        let mut spent = true;
        for _ in 0..BUDGET {
            if self.is_above_high_water() {
                self.throttled = true;
            }
            let is_open = self.closing.is_none() && !self.is_above_high_water();
            let Some(share) = self.share.as_mut().filter(|_| is_open) else {
                spent = false;
                break;
            };
            let Poll::Ready(received) = share.poll_next(cx) else {
                spent = false;
                break;
            };
            match received {
                Received::Event(event) => {
                    self.session.handle_event(now, event, &mut self.actions);
                    self.dispatch(now, cx);
                }
                Received::Frame(frame, dropped) => {
                    let bytes = match dropped {
                        0 => frame.bytes,
                        _ => self.session.tell_dropped(frame.bytes, dropped),
                    };
                    has_output |= self.queue_shared(OutFrame::new(frame.kind, bytes));
                }
            }
        }
        if has_output {
            self.session.note_shared_output(now);
        }
        spent
    }

    /// Units from the peer, while there is room for what they lead to. True if the budget was spent.
    fn drive_input(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        for _ in 0..BUDGET {
            if self.closing.is_some() || self.login.is_some() || self.input_broken {
                return false;
            }
            if self.is_above_high_water() {
                self.throttled = true;
            }
            let reading = self.held.is_empty() && !self.is_above_high_water();
            self.set_reading(now, reading);
            if !reading {
                return false;
            }
            if mem::take(&mut self.more_input) {
                self.session.resume_input(now, &mut self.actions);
            } else if self.drive_unit(now, cx).is_pending() {
                return false;
            }
            self.dispatch(now, cx);
            // The answers that are there already: a client that sends much and is answered much
            // must not have them pile up behind its input.
            if self.drive_broker(now, cx) {
                return true;
            }
        }
        true
    }

    /// The next unit from the peer, or the end of its input.
    fn drive_unit(&mut self, now: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let received = self.transport.poll_recv(cx);
        if self.transport.take_heard()
            && let Some(probe) = &mut self.probe
        {
            probe.heard(now);
        }
        if self.transport.take_confirmed()
            && let Some(link) = &mut self.link
        {
            self.settling.on_confirmed(|command| link.submit(command));
            self.ask(now, cx);
        }
        match ready!(received) {
            Some(Ok(unit)) => self.session.handle_input(now, unit, &mut self.actions),
            Some(Err(TransportError::Violation(violation))) => {
                self.input_broken = true;
                self.session.handle_violation(now, violation, &mut self.actions);
            }
            Some(Err(TransportError::Io(error))) => self.start_close(now, End::Broken(error)),
            None => self.start_close(now, End::PeerGone),
        }
        Poll::Ready(())
    }

    fn set_reading(&mut self, now: Instant, reading: bool) {
        if self.reading == reading {
            return;
        }
        self.reading = reading;
        self.session.set_reading(now, reading);
        self.settling.set_reading(now, reading);
        if let Some(probe) = &mut self.probe {
            probe.set_reading(now, reading);
        }
    }

    /// Deadlines: the session's, the probe's, the socket's. One timer, moved only when the earliest
    /// deadline moves earlier; one that moved later is noticed when the timer fires.
    fn drive_timer(&mut self, now: Instant, cx: &mut Context<'_>) -> Result<(), End> {
        if self.session.next_timeout().is_some_and(|deadline| deadline <= now) {
            self.session.handle_timeout(now, &mut self.actions);
            self.dispatch(now, cx);
        }
        if let Some(probe) = &mut self.probe {
            if probe.is_due(now) {
                self.transport.probe();
            }
            if let Some(silence) = probe.silence_exceeded(now) {
                let millis = u64::try_from(silence.as_millis()).unwrap_or(u64::MAX);
                self.probe = None;
                let violation = Violation::Silent { millis };
                self.session.handle_violation(now, violation, &mut self.actions);
                self.dispatch(now, cx);
            }
        }
        if self.answer_deadline().is_some_and(|deadline| deadline <= now) {
            self.settling.give_up();
            let timeout = self.tuning.write_timeout.as_millis();
            let millis = u64::try_from(timeout).unwrap_or(u64::MAX);
            self.session.handle_violation(now, Violation::Unanswered { millis }, &mut self.actions);
            self.dispatch(now, cx);
        }
        if self.publish_deadline().is_some_and(|deadline| deadline <= now) {
            self.give_up_publishing(now, cx);
        }
        if self.write_deadline().is_some_and(|deadline| deadline <= now) {
            return Err(End::WriteTimeout { buffered: self.transport.buffered() });
        }
        self.arm(cx);
        Ok(())
    }

    /// When the peer must have answered what it was asked. An end of the connection that takes nothing, and
    /// one that says nothing of what it has taken, are given up alike.
    fn answer_deadline(&self) -> Option<Instant> {
        Some(self.settling.asked_since()? + self.tuning.write_timeout)
    }

    fn write_deadline(&self) -> Option<Instant> {
        self.stalled.map(|(since, _)| since + self.tuning.write_timeout)
    }

    fn publish_deadline(&self) -> Option<Instant> {
        let since = self.held_since.or(self.untaken_since)?;
        Some(since + self.tuning.publish_timeout)
    }

    /// The broker has held this client back for too long: for the session it is as good as gone.
    fn give_up_publishing(&mut self, now: Instant, cx: &mut Context<'_>) {
        let withholds_goodbye = self.withholds_goodbye(cx);
        self.held.clear();
        (self.held_since, self.untaken_since) = (None, None);
        if withholds_goodbye && let Some(closing) = &mut self.closing {
            closing.end = End::NotTaken { why: "publish_timeout" };
            return;
        }
        let text = format!(
            "the broker has taken no message for {} ms; those without a RECEIPT may be lost",
            self.tuning.publish_timeout.as_millis()
        );
        let error = BrokerError::new(BrokerErrorKind::Unavailable, text);
        self.session.handle_event(now, Event::Down { error }, &mut self.actions);
        self.dispatch(now, cx);
    }

    fn arm(&mut self, cx: &mut Context<'_>) {
        let deadlines = [
            self.session.next_timeout(),
            self.probe.as_ref().and_then(Probe::next_deadline),
            self.write_deadline(),
            self.answer_deadline(),
            self.publish_deadline(),
            self.closing.as_ref().map(|closing| closing.deadline),
        ];
        let wanted = deadlines.into_iter().flatten().min();
        loop {
            if let Some(wanted) = wanted
                && self.armed.is_none_or(|armed| wanted < armed)
            {
                self.sleep.as_mut().reset(wanted.into());
                self.armed = Some(wanted);
            }
            if self.armed.is_none() || self.sleep.as_mut().poll(cx).is_pending() {
                return;
            }
            let fired = self.armed.take();
            if wanted.is_some_and(|wanted| fired >= Some(wanted)) {
                // Due between the reading of `now` and here: the next turn sees to it.
                cx.waker().wake_by_ref();
                return;
            }
        }
    }

    /// The one place that acts on what a session decided. Called after every call to it.
    fn dispatch(&mut self, now: Instant, cx: &mut Context<'_>) {
        self.queue_frames(now);
        // Before the commands: what is published by them reaches what was joined here.
        if let Some(share) = &mut self.share {
            let asked = self.actions.shared.drain(..);
            if asked.len() > 0 {
                // What is answered without asking has nobody else to wake for it.
                cx.waker().wake_by_ref();
            }
            asked.for_each(|shared| share.apply(shared));
        }
        self.apply_requests(now, cx);
        self.held.extend(self.actions.commands.drain(..));
        self.actions.commands.shrink_to(KEPT_ROOM);
        self.release_held(now, cx);
        if mem::take(&mut self.actions.more_input) {
            self.more_input = true;
            // The turn may be past the input already.
            cx.waker().wake_by_ref();
        }
        if let Some(request) = self.actions.auth.take() {
            self.start_login(request);
            // The new future has no waker yet; the turn that follows polls it.
            cx.waker().wake_by_ref();
        }
        if let Some(established) = self.actions.established.take() {
            self.transport.establish();
            let probe = Probe::new(now, established.probe);
            self.probe = probe.filter(|_| self.transport.can_probe());
        }
        if let Some(close) = self.actions.close.take() {
            self.start_close(now, End::Closed(close));
        }
    }

    /// Submits held commands in order, up to the next publish that the link does not take yet.
    fn release_held(&mut self, now: Instant, cx: &mut Context<'_>) {
        let Some(link) = &mut self.link else {
            debug_assert!(self.held.is_empty(), "commands before a login");
            return;
        };
        let is_joining = self.share.as_ref().is_some_and(Share::is_joining);
        while let Some(command) = self.held.front() {
            let is_publish = matches!(command, Command::Publish { .. });
            if is_publish && (is_joining || link.poll_ready(cx).is_pending()) {
                self.held_since.get_or_insert(now);
                return;
            }
            self.held_since = None;
            if let Some(command) = self.held.pop_front() {
                link.submit(command);
            }
        }
        self.held_since = None;
        self.held.shrink_to(KEPT_ROOM);
    }

    fn start_login(&mut self, request: AuthRequest) {
        debug!(vhost = ?request.vhost, realm = ?request.realm, "login requested");
        let (route, peer) = (Arc::clone(&self.route), self.peer);
        self.login = Some(Box::pin(async move { route.logins.log_in(request, peer).await }));
    }

    fn is_above_high_water(&self) -> bool {
        self.transport.buffered() >= self.tuning.output_high_water
    }
}

#[cfg(test)]
mod tests;
