//! [`Table`]: the invocations of a session, by their requests, by their calls and by when they have
//! waited long enough; and how many each registration has.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use crate::wamp::id::Id;
use crate::wamp::message::InvocationDetails;
use crate::wamp::registry::Load;
use crate::wamp::rpc::exchange::CallId;

/// A call that the callee has been sent, and has not answered for the last time.
#[derive(Debug)]
pub(super) struct Running {
    /// That of INVOCATION.
    pub(super) request: Id,
    pub(super) call: CallId,
    pub(super) registration: Id,
    pub(super) receive_progress: bool,
    /// For the INVOCATIONs that follow; `None` once the last part has been sent.
    pub(super) details: Option<Box<InvocationDetails>>,
    pub(super) state: State,
    /// Parts of the call that the callee has been sent.
    pub(super) parts: u64,
    /// Parts of the result that the caller has been sent.
    pub(super) results: u64,
    /// How long it waits for the callee, the caller or the end of both.
    pub(super) patience: Duration,
    pub(super) deadline: Instant,
}

/// Who waits for the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// The caller.
    Wanted,
    /// The caller, for whatever the callee makes of INTERRUPT.
    Killed,
    /// Nobody. The callee does not know that, and still has the work.
    Unwanted,
}

/// The invocations of a session.
#[derive(Debug, Default)]
pub(super) struct Table {
    running: BTreeMap<Id, Running>,
    requests: HashMap<CallId, Id>,
    deadlines: BTreeSet<(Instant, Id)>,
    /// Of each registration, how many; none that has none.
    loads: BTreeMap<Id, u32>,
    /// Where that is said for those who pick a callee, of the registrations that there are now.
    told: BTreeMap<Id, Load>,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.running.len()
    }

    pub(super) fn load(&self, registration: Id) -> u32 {
        self.loads.get(&registration).copied().unwrap_or(0)
    }

    /// Says from now on how many a registration has. It may have some of before.
    pub(super) fn tell_at(&mut self, registration: Id, told: Option<Load>) {
        match told {
            Some(told) => {
                told.set(self.load(registration));
                self.told.insert(registration, told);
            }
            None => {
                self.told.remove(&registration);
            }
        }
    }

    fn tell(&self, registration: Id, calls: u32) {
        if let Some(load) = self.told.get(&registration) {
            load.set(calls);
        }
    }

    pub(super) fn has(&self, call: CallId) -> bool {
        self.requests.contains_key(&call)
    }

    /// Takes one out, for good or to [put](Self::put) it back changed.
    pub(super) fn take(&mut self, request: Id) -> Option<Running> {
        let running = self.running.remove(&request)?;
        self.requests.remove(&running.call);
        self.deadlines.remove(&(running.deadline, request));
        let mut left = 0;
        if let Some(load) = self.loads.get_mut(&running.registration) {
            *load = load.saturating_sub(1);
            left = *load;
        }
        if left == 0 {
            self.loads.remove(&running.registration);
        }
        self.tell(running.registration, left);
        Some(running)
    }

    pub(super) fn take_call(&mut self, call: CallId) -> Option<Running> {
        let request = *self.requests.get(&call)?;
        self.take(request)
    }

    pub(super) fn put(&mut self, running: Running) {
        let request = running.request;
        self.requests.insert(running.call, request);
        self.deadlines.insert((running.deadline, request));
        let load = self.loads.entry(running.registration).or_default();
        *load += 1;
        let load = *load;
        self.tell(running.registration, load);
        self.running.insert(request, running);
    }

    /// Takes out one whose time is up.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Running> {
        let (deadline, request) = *self.deadlines.first()?;
        if deadline > now {
            return None;
        }
        self.take(request)
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// The calls of some, in the order of their requests.
    pub(super) fn calls(&self, is_meant: impl Fn(CallId) -> bool) -> Vec<CallId> {
        let calls = self.running.values().map(|running| running.call);
        calls.filter(|call| is_meant(*call)).collect()
    }

    /// All of them, in the order of their requests.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Running> + use<> {
        std::mem::take(self).running.into_values()
    }
}
