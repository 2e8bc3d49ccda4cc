//! [`Recent`]: calls that are over, remembered for a while.
//!
//! What is carried by a broker may come twice, and an interrupt may come before the call that it is
//! about. Either would run a procedure for nobody, or once too often.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::wamp::rpc::exchange::CallId;

/// Calls that are over, for as long as they may still be heard of.
#[derive(Debug)]
pub(super) struct Recent {
    fates: HashMap<CallId, Fate>,
    /// The oldest first, each with the time when it is forgotten.
    order: VecDeque<(Instant, CallId)>,
    linger: Duration,
    most: usize,
}

/// Why a call is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It was run, or refused.
    Finished,
    /// It was interrupted before it came. It has still to be answered, if the caller waits for that.
    InterruptedBefore {
        /// Whether it does.
        is_awaited: bool,
    },
}

impl Recent {
    pub(super) fn new(linger: Duration, most: usize) -> Self {
        Self { fates: HashMap::new(), order: VecDeque::new(), linger, most }
    }

    pub(super) fn fate(&self, call: CallId) -> Option<Fate> {
        self.fates.get(&call).copied()
    }

    /// A call is over. If it was already, the time runs on.
    pub(super) fn insert(&mut self, now: Instant, call: CallId, fate: Fate) {
        if self.fates.insert(call, fate).is_none() {
            self.order.push_back((now + self.linger, call));
        }
        while self.order.len() > self.most {
            self.forget_oldest();
        }
    }

    pub(super) fn forget_due(&mut self, now: Instant) {
        while self.next_deadline().is_some_and(|deadline| deadline <= now) {
            self.forget_oldest();
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.order.front().map(|(deadline, _)| *deadline)
    }

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    fn forget_oldest(&mut self) {
        if let Some((_, call)) = self.order.pop_front() {
            self.fates.remove(&call);
        }
    }
}
