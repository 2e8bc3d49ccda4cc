//! [`Pending`]: a call that has no final answer yet; [`Table`]: those of a session, by when they
//! have waited long enough.
//!
//! *Spec.* WAMP §Call Timeouts, §Progressive Call Invocations (what of a call is frozen).

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use crate::text::Text;
use crate::wamp::access::Disclosure;
use crate::wamp::id::Id;
use crate::wamp::message::{CancelMode, Feature, Features, Passthru};
use crate::wamp::payload::Payload;
use crate::wamp::refusal::Reason;
use crate::wamp::registry::SessionAt;
use crate::wamp::rpc::exchange::{Ask, CallId, ToCallee};

/// A call that has no final answer yet.
#[derive(Debug)]
pub(super) struct Pending {
    /// The attempt that is running.
    pub(super) call: CallId,
    pub(super) procedure: Text,
    pub(super) registration: Id,
    /// Whether the callee learns who calls.
    pub(super) disclosure: Disclosure,
    /// `CALL.Options.disclose_me`
    pub(super) disclose_me: bool,
    /// `CALL.Options.receive_progress`
    pub(super) receive_progress: bool,
    /// What another callee would be sent. Cleared once this one has begun to answer, or has taken
    /// the first of several parts: then no other can be asked.
    pub(super) first: Option<(Payload, Passthru)>,
    /// Parts of the result that this callee has sent.
    pub(super) results: u64,
    /// Set if the call comes in parts.
    pub(super) parts: Option<Parts>,
    /// Of the callee that is running it.
    pub(super) features: Features,
    /// Callees that were asked. The last one is running it.
    pub(super) tried: SmallVec<[SessionAt; 2]>,
    /// What the caller gives the callee.
    pub(super) timeout: Duration,
    /// What it has itself: longer, if the callee keeps the timeout.
    pub(super) patience: Duration,
    /// The last time that something came of the call or of its result.
    pub(super) since: Instant,
    pub(super) deadline: Instant,
    /// CANCEL with `kill` came: whatever the callee answers is the answer.
    pub(super) is_killed: bool,
}

/// The parts of a call behind the first.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// The last one has come.
    pub(super) are_complete: bool,
    /// The callee has taken the first one.
    pub(super) is_accepted: bool,
    /// Those that the callee has been sent, behind the first.
    pub(super) sent: u64,
    /// Those that wait until it has taken that, each with whether more follow.
    pub(super) waiting: Vec<(Payload, bool)>,
    /// When the latest of those came.
    pub(super) waiting_since: Option<Instant>,
    /// Bytes of those.
    pub(super) waiting_size: usize,
}

impl Pending {
    /// The callee that is running it.
    pub(super) fn callee(&self) -> Option<SessionAt> {
        self.tried.last().copied()
    }

    /// Something came: the time runs anew, unless the call was canceled.
    pub(super) fn restart(&mut self, now: Instant) {
        if !self.is_killed {
            self.since = self.since.max(now);
            self.deadline = self.since + self.patience;
        }
    }

    /// The mode in which the callee can be made to stop.
    pub(super) const fn mode(&self, wanted: CancelMode) -> CancelMode {
        if self.features.has(Feature::CallCanceling) { wanted } else { CancelMode::Skip }
    }

    /// Bytes of the call that are here.
    pub(super) fn held(&self) -> usize {
        let first = self.first.as_ref().map_or(0, |(payload, _)| payload.size());
        first + self.parts.as_ref().map_or(0, |parts| parts.waiting_size)
    }

    /// What tells the callee to stop.
    pub(super) fn interrupt(&self, mode: CancelMode, reason: Reason) -> Option<ToCallee> {
        let reason = Text::from_static(reason.uri());
        let ask = Ask::Interrupt { mode: self.mode(mode), reason };
        Some(ToCallee { to: self.callee()?, call: self.call, ask })
    }
}

impl Parts {
    /// Keeps one more part back.
    pub(super) fn hold(&mut self, now: Instant, payload: Payload, progress: bool) {
        self.waiting_since = Some(now);
        self.waiting_size += payload.size() + size_of::<(Payload, bool)>();
        self.waiting.push((payload, progress));
    }

    /// What brings the callee one more part.
    pub(super) const fn next(&mut self, payload: Payload, progress: bool) -> Ask {
        self.sent += 1;
        Ask::Continue { part: self.sent, payload, progress }
    }
}

/// The pending calls of a session, by their requests and by their deadlines.
#[derive(Debug, Default)]
pub(super) struct Table {
    calls: BTreeMap<Id, Pending>,
    deadlines: BTreeSet<(Instant, Id)>,
    /// Bytes that they hold.
    held: usize,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    /// Bytes that they hold.
    pub(super) const fn held(&self) -> usize {
        self.held
    }

    pub(super) fn get(&self, request: Id) -> Option<&Pending> {
        self.calls.get(&request)
    }

    /// The attempt, if it is still the one that is running.
    pub(super) fn is_running(&self, call: CallId) -> bool {
        self.get(call.request).is_some_and(|pending| pending.call == call)
    }

    /// Takes a call out, for good or to [put](Self::put) it back changed.
    pub(super) fn take(&mut self, request: Id) -> Option<Pending> {
        let pending = self.calls.remove(&request)?;
        self.deadlines.remove(&(pending.deadline, request));
        self.held = self.held.saturating_sub(pending.held());
        Some(pending)
    }

    pub(super) fn put(&mut self, pending: Pending) {
        let request = pending.call.request;
        self.deadlines.insert((pending.deadline, request));
        self.held += pending.held();
        self.calls.insert(request, pending);
    }

    /// Takes out one whose time is up.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Pending> {
        let (deadline, request) = *self.deadlines.first()?;
        if deadline > now {
            return None;
        }
        self.take(request)
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Those that are run by one of these, in the order of their requests.
    pub(super) fn run_by(&self, is_callee: impl Fn(SessionAt) -> bool) -> Vec<Id> {
        let run = self.calls.iter().filter(|(_, call)| call.callee().is_some_and(&is_callee));
        run.map(|(request, _)| *request).collect()
    }

    /// All of them, in the order of their requests.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Pending> + use<> {
        std::mem::take(self).calls.into_values()
    }
}
