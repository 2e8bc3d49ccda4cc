//! A session and everything around it: its peer, its broker and its clock are the test's.
//!
//! Whatever a session decides is collected here, and what must hold of every call is asserted here:
//! a text unit is UTF-8, and nothing comes after the close.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use protocols::auth::{AuthReply, AuthRequest};
use protocols::broker::{Command, Event};
use protocols::policy::Policy;
use protocols::session::{Close, Established, FrameKind, OutFrame, Shared, Unit};
use protocols::text::Text;
use protocols::wamp::peers::{NoRealms, Request};
use protocols::{Actions, Session, SessionSetup, Subprotocol};

/// The session id that every session under test is given.
pub(crate) const SESSION_ID: &str = "session-1";

/// When every session under test begins: 2014-06-22T16:36:25.448Z.
const TIME_OF_DAY: Duration = Duration::from_millis(1_403_454_985_448);

/// A session between a scripted peer and a scripted broker, in virtual time.
pub(crate) struct Pair {
    session: Box<dyn Session>,
    now: Instant,
    actions: Actions,
    /// Sent to the peer and not yet looked at.
    pub(crate) frames: VecDeque<OutFrame>,
    /// Sent to the broker and not yet looked at.
    pub(crate) commands: VecDeque<Command>,
    /// Sent to whoever distributes what sessions share, and not yet looked at.
    pub(crate) shared: VecDeque<Shared>,
    /// Asked of other sessions, and not yet looked at.
    pub(crate) peers: VecDeque<Request>,
    pub(crate) auth: Option<AuthRequest>,
    pub(crate) established: Option<Established>,
    pub(crate) close: Option<Close>,
    /// Most commands that one call has led to.
    pub(crate) largest_step: usize,
}

impl Pair {
    /// A session that was just opened, on a transport that can tell what the peer has received, by a peer
    /// of the gateway's own host.
    pub(crate) fn open(
        protocol: &dyn Subprotocol,
        name: Option<&'static str>,
        policy: Policy,
    ) -> Self {
        Self::open_as(protocol, name, policy, |_| {})
    }

    /// As [`open`](Self::open), of another set-up.
    pub(crate) fn open_as(
        protocol: &dyn Subprotocol,
        name: Option<&'static str>,
        policy: Policy,
        adapt: impl FnOnce(&mut SessionSetup),
    ) -> Self {
        let now = start();
        let mut setup = SessionSetup {
            name,
            session_id: Text::from_static(SESSION_ID),
            secret: protocols::auth::Secret::new("secret"),
            random: std::array::from_fn(|at| at as u8),
            is_local: true,
            realms: Arc::new(NoRealms),
            can_confirm: true,
            most_output: usize::MAX,
            policy: Arc::new(policy),
            now,
            time_of_day: TIME_OF_DAY,
        };
        adapt(&mut setup);
        let session = protocol.open(setup);
        Self {
            session,
            now,
            actions: Actions::default(),
            frames: VecDeque::new(),
            commands: VecDeque::new(),
            shared: VecDeque::new(),
            peers: VecDeque::new(),
            auth: None,
            established: None,
            close: None,
            largest_step: 0,
        }
    }

    /// One unit from the peer.
    pub(crate) fn input(&mut self, kind: FrameKind, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        self.step(|session, now, actions| session.handle_input(now, Unit { kind, bytes }, actions));
    }

    /// One event from the broker.
    pub(crate) fn event(&mut self, event: Event) {
        self.step(|session, now, actions| session.handle_event(now, event, actions));
    }

    /// The answer to a login.
    pub(crate) fn reply(&mut self, reply: AuthReply) {
        self.step(|session, now, actions| session.handle_auth(now, reply, actions));
    }

    /// Lets time pass, and every deadline in it come true at its instant.
    pub(crate) fn advance(&mut self, by: Duration) {
        let target = self.now + by;
        while let Some(deadline) = self.next_timeout().filter(|deadline| *deadline <= target) {
            self.now = self.now.max(deadline);
            self.step(|session, now, actions| session.handle_timeout(now, actions));
            assert!(!self.is_overdue(), "a deadline that has come true moves on");
        }
        self.now = target;
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.session.next_timeout()
    }

    pub(crate) fn is_overdue(&self) -> bool {
        self.next_timeout().is_some_and(|deadline| deadline <= self.now)
    }

    pub(crate) fn set_reading(&mut self, reading: bool) {
        self.session.set_reading(self.now, reading);
    }

    pub(crate) fn start_drain(&mut self) {
        self.step(|session, now, actions| session.start_drain(now, actions));
    }

    /// Any call, the rest of the input that it left, and what must hold after each.
    pub(crate) fn step(&mut self, call: impl FnOnce(&mut dyn Session, Instant, &mut Actions)) {
        let was_closed = self.close.is_some();
        call(&mut *self.session, self.now, &mut self.actions);
        if was_closed {
            assert!(self.actions.is_empty(), "after the close: {:?}", self.actions);
            assert_eq!(self.session.next_timeout(), None);
        }
        self.largest_step = self.largest_step.max(self.actions.commands.len());
        while self.collect() {
            self.session.resume_input(self.now, &mut self.actions);
            self.largest_step = self.largest_step.max(self.actions.commands.len());
        }
    }

    /// Takes what the session decided. True if it left input.
    fn collect(&mut self) -> bool {
        for frame in &self.actions.frames {
            if frame.kind == FrameKind::Text {
                assert!(std::str::from_utf8(&frame.bytes).is_ok(), "{frame:?}");
            }
        }
        self.frames.extend(self.actions.frames.drain(..));
        self.commands.extend(self.actions.commands.drain(..));
        self.shared.extend(self.actions.shared.drain(..));
        self.peers.extend(self.actions.peers.drain(..));
        self.auth = self.actions.auth.take().or_else(|| self.auth.take());
        self.established = self.actions.established.take().or_else(|| self.established.take());
        self.close = self.actions.close.take().or_else(|| self.close.take());
        std::mem::take(&mut self.actions.more_input)
    }
}

#[allow(clippy::disallowed_methods, reason = "virtual time must begin somewhere")]
fn start() -> Instant {
    Instant::now()
}
