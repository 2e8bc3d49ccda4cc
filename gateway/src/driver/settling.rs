//! [`Settling`]: deliveries that count as accepted without a word of the peer's, and when they do.
//!
//! Once their frames are written to the socket; or, where that is not enough, once the peer has confirmed
//! that it has received them: it is asked behind what was written, one question at a time, so that a busy
//! connection asks once for each round trip however much it carries.

use std::mem;
use std::time::Instant;

use protocols::broker::{Command, Verdict};
use protocols::session::{Once, Settled};

/// See the module. Bounded by the prefetches of the session's subscriptions.
#[derive(Debug, Default)]
pub(super) struct Settling {
    /// Their frames are not all written.
    queued: Vec<Settled>,
    /// Written; the peer was not asked yet.
    written: Vec<Settled>,
    /// The peer was asked. Not empty until it has answered.
    asked: Vec<Settled>,
    /// Since when an answer could have come. Set while there is a question, and the peer is read.
    since: Option<Instant>,
}

impl Settling {
    /// The delivery of a frame that was queued.
    pub(super) fn add(&mut self, settled: Option<Settled>) {
        self.queued.extend(settled);
    }

    /// Everything queued is written. What that settles is handed to `submit`.
    pub(super) fn on_written(&mut self, submit: impl FnMut(Command)) {
        let once_received = |it: &mut Settled| it.once == Once::Received;
        self.written.extend(self.queued.extract_if(.., once_received));
        settle(&mut self.queued, submit);
    }

    /// Whether the peer is to be asked. If it is, it must be told by [`on_asked`](Self::on_asked).
    pub(super) fn wants_to_ask(&self) -> bool {
        !self.written.is_empty() && self.asked.is_empty() && self.queued.is_empty()
    }

    pub(super) fn on_asked(&mut self, now: Instant) {
        mem::swap(&mut self.written, &mut self.asked);
        self.since = Some(now);
    }

    /// Reading stopped or resumed. Meanwhile no answer can be seen.
    pub(super) fn set_reading(&mut self, now: Instant, reading: bool) {
        self.since = Some(now).filter(|_| reading && !self.asked.is_empty());
    }

    /// Since when an answer is owed.
    pub(super) const fn asked_since(&self) -> Option<Instant> {
        self.since
    }

    /// No answer is waited for any more. What was asked for is not settled.
    pub(super) fn give_up(&mut self) {
        self.since = None;
    }

    /// The peer has answered.
    pub(super) fn on_confirmed(&mut self, submit: impl FnMut(Command)) {
        settle(&mut self.asked, submit);
        self.since = None;
    }
}

/// Deliveries of one subscription are in order: the last of a run stands for all.
fn settle(settled: &mut Vec<Settled>, mut submit: impl FnMut(Command)) {
    for run in settled.chunk_by(|a, b| a.subscription == b.subscription) {
        if let Some(&Settled { subscription, tag: up_to, .. }) = run.last() {
            let (verdict, cumulative) = (Verdict::Accept, true);
            submit(Command::Settle { subscription, up_to, verdict, cumulative });
        }
    }
    settled.clear();
}
