//! Which callee of a registration gets a call.
//!
//! *Spec.* WAMP §Shared Registration (the invocation policies); §Call Rerouting (one that has
//! refused the call is not asked again). `concurrency` is not of the specification.
//!
//! # Whose turn it is
//! Round-robin needs a count for each registration. If several registrations shared one, or if each
//! caller had its own, calls that alternate between two procedures could go to the same callees
//! forever. The count goes on when callees come and go, and callers that still read an older
//! snapshot count with the others. So it is an atomic number beside the registration, shared by all
//! versions of it and no part of its value: no delta tells of it, and each node counts for itself.
//! Callers on several cores contend for it, as long as an addition takes.
//!
//! Callees that cannot take a call lose their turn, and whoever stands in for them uses up its own.
//!
//! # Who is busy
//! A callee says itself how many calls it has, in a number beside the registration of the same kind. What is
//! on its way to it is not counted, nor is it known of callees on other nodes; so a callee refuses what is
//! too much, and the call goes on to another.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use smallvec::SmallVec;

use super::registration::{Callee, Registration, Seat, SessionAt};
use crate::wamp::message::InvokePolicy;

/// Whose turn it is. Clones share it; all are equal.
#[derive(Debug, Clone, Default)]
pub(super) struct Turn(Arc<AtomicUsize>);

impl PartialEq for Turn {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Turn {}

impl Turn {
    fn take(&self) -> usize {
        // Nothing but the number itself depends on the order.
        self.0.fetch_add(1, Ordering::Relaxed)
    }

    fn skip(&self, callees: usize) {
        if callees > 0 {
            self.0.fetch_add(callees, Ordering::Relaxed);
        }
    }
}

/// Calls of a registration that a callee has now. Clones share it; all are equal.
#[derive(Debug, Clone, Default)]
pub struct Load(Arc<AtomicU32>);

impl PartialEq for Load {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Load {}

impl Load {
    /// It has so many.
    pub fn set(&self, calls: u32) {
        // Nothing but the number itself depends on the order.
        self.0.store(calls, Ordering::Relaxed);
    }

    fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Seat {
    fn has_room(&self) -> bool {
        let load = self.load.as_ref().map_or(0, Load::get);
        self.callee.concurrency.is_none_or(|limit| load < limit.get())
    }
}

/// There are callees, but none can take the call: `wamp.error.no_available_callee`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("none of {callees} callees can take the call: {tried} have refused it, {busy} are busy")]
pub struct NoAvailableCallee {
    /// All of the registration.
    pub callees: usize,
    /// Those that had been tried.
    pub tried: usize,
    /// The others, which have as many calls as they take at once.
    pub busy: usize,
}

impl Registration {
    /// The callee that gets a call, by the registration's policy, among those that have not been
    /// tried and have fewer calls than they take at once.
    ///
    /// *Shape.* `random` is fresh for each call; only the policy `random` looks at it. `first` goes on to
    /// the second, `last` to the last but one, and so forth.
    ///
    /// *Errors.* There is no such callee. *Cost.* O(1) if the callee whose turn it is can take the
    /// call; else linear in callees, each held against all that were tried.
    pub fn pick(&self, random: u64, tried: &[SessionAt]) -> Result<&Callee, NoAvailableCallee> {
        let is_free = |seat: &&Seat| !tried.contains(&seat.callee.at) && seat.has_room();
        let picked = match self.invoke() {
            InvokePolicy::Single | InvokePolicy::First => self.seats().iter().find(is_free),
            InvokePolicy::Last => self.seats().iter().rfind(is_free),
            InvokePolicy::Random => self.any(random, is_free),
            InvokePolicy::RoundRobin => self.next(is_free),
        };
        picked.map(|seat| &seat.callee).ok_or_else(|| {
            let callees = self.callees().len();
            let tried = self.callees().filter(|callee| tried.contains(&callee.at)).count();
            NoAvailableCallee { callees, tried, busy: callees - tried }
        })
    }

    /// Any that is free, each with the same probability.
    fn any<'a>(&'a self, random: u64, is_free: impl Fn(&&'a Seat) -> bool) -> Option<&'a Seat> {
        let count = self.seats().len() as u64;
        let first = self.seats().get(random.checked_rem(count)? as usize)?;
        if is_free(&first) {
            return Some(first);
        }
        // The bits that are left choose among the free ones, as if there were no others.
        let free: SmallVec<[&Seat; 16]> = self.seats().iter().filter(is_free).collect();
        let place = (random / count).checked_rem(free.len() as u64)?;
        free.get(place as usize).copied()
    }

    /// The first free one from the one on whose turn it is.
    fn next<'a>(&'a self, is_free: impl Fn(&&'a Seat) -> bool) -> Option<&'a Seat> {
        let count = self.seats().len();
        let start = self.turn().take().checked_rem(count)?;
        for skipped in 0..count {
            let seat = self.seats().get((start + skipped) % count)?;
            if is_free(&seat) {
                self.turn().skip(skipped);
                return Some(seat);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Text;
    use crate::wamp::id::Id;
    use crate::wamp::message::{Features, MatchPolicy};
    use crate::wamp::registry::registration::{NodeId, Row, Timestamp};
    use crate::wamp::uri::Pattern;
    use InvokePolicy::{First, Last, Random, RoundRobin, Single};
    use std::collections::BTreeMap;
    use std::num::NonZeroU32;

    fn at(session: u64) -> SessionAt {
        SessionAt { node: NodeId(1), session: Id::new(session).unwrap() }
    }

    fn row(invoke: InvokePolicy, session: u64, concurrency: u32) -> Row {
        let pattern = Pattern { policy: MatchPolicy::Exact, uri: Text::from_static("a.b") };
        let callee = Callee {
            at: at(session),
            registered: Timestamp(session),
            wants_caller: false,
            keeps_timeouts: false,
            concurrency: NonZeroU32::new(concurrency),
            features: Features::NONE,
        };
        Row { pattern, invoke, created: Timestamp(1), callee }
    }

    /// Sessions 1, 2 and so on, with these limits; 0 is none. Each has one call.
    fn registration(invoke: InvokePolicy, limits: &[u32]) -> Registration {
        let mut rows = (1..).zip(limits).map(|(session, limit)| row(invoke, session, *limit));
        let first = Registration::new(Id::MIN, &rows.next().unwrap());
        let registration = rows.fold(first, |registration, row| registration.with(&row));
        registration.seats().iter().filter_map(|seat| seat.load.as_ref()).for_each(|it| it.set(1));
        registration
    }

    fn picked(registration: &Registration, random: u64, tried: &[u64]) -> Option<u64> {
        let tried: Vec<SessionAt> = tried.iter().map(|session| at(*session)).collect();
        let callee = registration.pick(random, &tried).ok();
        callee.map(|callee| callee.at.session.get())
    }

    /// §Shared Registration: `first` and `last` are in the order of registering.
    #[test]
    fn first_and_last_go_on_to_their_neighbours() {
        for (invoke, order) in [(Single, [1, 2, 3]), (First, [1, 2, 3]), (Last, [3, 2, 1])] {
            let registration = registration(invoke, &[0, 0, 0]);
            assert_eq!(picked(&registration, 7, &[]), Some(order[0]));
            assert_eq!(picked(&registration, 7, &order[..1]), Some(order[1]));
            assert_eq!(picked(&registration, 7, &order[..2]), Some(order[2]));
            assert_eq!(picked(&registration, 7, &order), None);
        }
    }

    /// §Shared Registration: `roundrobin`.
    #[test]
    fn everybody_has_a_turn_whichever_snapshot_the_call_is_routed_by() {
        let before = registration(RoundRobin, &[0, 0, 0]);
        let sessions = |_| picked(&before, 0, &[]).unwrap();
        assert_eq!([(); 4].map(sessions), [1, 2, 3, 1]);
        let after = before.with(&row(RoundRobin, 4, 0));
        // The count is at 4: the first of four.
        assert_eq!(picked(&after, 0, &[]), Some(1));
        assert_eq!(picked(&before, 0, &[]), Some(3));
        assert_eq!(picked(&after, 0, &[]), Some(3));
        assert_eq!(before.without(at(1)).unwrap().turn().take(), 7);
    }

    #[test]
    fn who_stands_in_for_others_does_not_get_a_second_turn() {
        let registration = registration(RoundRobin, &[0, 1, 0]);
        let sessions = |_| picked(&registration, 0, &[]).unwrap();
        assert_eq!([(); 6].map(sessions), [1, 3, 1, 3, 1, 3]);
        assert_eq!(picked(&registration, 0, &[1]), Some(3));
        assert_eq!(picked(&registration, 0, &[1]), Some(3));
    }

    /// §Shared Registration: `random`.
    #[test]
    fn any_free_callee_is_as_likely_as_any_other() {
        let registration = registration(Random, &[0, 1, 0, 0]);
        let mut counts = BTreeMap::new();
        for random in 0..1200 {
            *counts.entry(picked(&registration, random, &[]).unwrap()).or_insert(0) += 1;
        }
        assert_eq!(counts, BTreeMap::from([(1, 400), (3, 400), (4, 400)]));
        assert_eq!(picked(&registration, 5, &[1, 3, 4]), None);
    }

    #[test]
    fn the_load_counts_where_there_is_a_limit() {
        let before = registration(First, &[2, 0]);
        let load = before.load(at(1)).unwrap().clone();
        assert_eq!(before.load(at(2)), None);
        // It is known in all snapshots.
        let after = before.with(&row(First, 3, 0));
        for (calls, session) in [(1, 1), (2, 2), (3, 2), (0, 1)] {
            load.set(calls);
            assert_eq!(picked(&before, 0, &[]), Some(session));
            assert_eq!(picked(&after, 0, &[]), Some(session));
        }
    }

    /// §Call Rerouting: `wamp.error.no_available_callee`.
    #[test]
    fn that_nobody_is_left_is_said_with_the_numbers() {
        for invoke in [Single, First, Last, Random, RoundRobin] {
            let registration = registration(invoke, &[1, 0, 1]);
            let none = registration.pick(9, &[at(2)]).unwrap_err();
            assert_eq!(none, NoAvailableCallee { callees: 3, tried: 1, busy: 2 });
        }
    }
}
