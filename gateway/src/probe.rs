//! Signs of life: when to ask a silent peer for one, and when to give it up.
//!
//! For sessions whose protocol agreed on no heart-beat. RFC 6455 §5.5.2 makes every peer answer a
//! ping, also a browser tab whose scripts are throttled.

use std::time::{Duration, Instant};

/// Watches one peer. A peer is asked once it was silent for an interval, and given up after two.
#[derive(Debug)]
pub(crate) struct Probe {
    interval: Duration,
    /// When the peer was last heard, or reading from it resumed.
    heard: Instant,
    /// Set from the question until something is heard.
    asked: bool,
    /// While nothing is read, nothing can be heard.
    reading: bool,
}

impl Probe {
    /// A watch that starts now; `None` for the interval zero.
    pub(crate) fn new(now: Instant, interval: Duration) -> Option<Self> {
        (!interval.is_zero()).then_some(Self { interval, heard: now, asked: false, reading: true })
    }

    /// Something was received.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.asked = false;
    }

    /// Reading stopped or resumed.
    pub(crate) fn set_reading(&mut self, now: Instant, reading: bool) {
        self.reading = reading;
        if reading {
            self.heard(now);
        }
    }

    /// Whether the peer is to be asked now; true once for each silence.
    pub(crate) fn is_due(&mut self, now: Instant) -> bool {
        let due = self.reading && !self.asked && now >= self.heard + self.interval;
        self.asked |= due;
        due
    }

    /// How long the peer has been silent, if that is too long.
    pub(crate) fn silence_exceeded(&self, now: Instant) -> Option<Duration> {
        let exceeded = self.reading && self.asked && now >= self.heard + self.interval * 2;
        exceeded.then(|| now - self.heard)
    }

    /// When to look again; `None` while nothing is read.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let intervals = if self.asked { 2 } else { 1 };
        self.reading.then(|| self.heard + self.interval * intervals)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_silent_peer_is_asked_once_and_then_given_up() {
        let start = Instant::now();
        let mut probe = Probe::new(start, 10 * SECOND).unwrap();
        assert!(!probe.is_due(start + 9 * SECOND));
        assert_eq!(probe.next_deadline(), Some(start + 10 * SECOND));
        assert!(probe.is_due(start + 10 * SECOND));
        assert!(!probe.is_due(start + 11 * SECOND));
        assert_eq!(probe.silence_exceeded(start + 19 * SECOND), None);
        assert_eq!(probe.silence_exceeded(start + 20 * SECOND), Some(20 * SECOND));
    }

    #[test]
    fn an_answer_starts_the_watch_anew() {
        let start = Instant::now();
        let mut probe = Probe::new(start, 10 * SECOND).unwrap();
        assert!(probe.is_due(start + 10 * SECOND));
        probe.heard(start + 11 * SECOND);
        assert_eq!(probe.next_deadline(), Some(start + 21 * SECOND));
        assert_eq!(probe.silence_exceeded(start + 20 * SECOND), None);
    }

    #[test]
    fn nothing_is_expected_while_nothing_is_read() {
        let start = Instant::now();
        let mut probe = Probe::new(start, 10 * SECOND).unwrap();
        probe.set_reading(start + SECOND, false);
        assert_eq!(probe.next_deadline(), None);
        assert!(!probe.is_due(start + 60 * SECOND));
        probe.set_reading(start + 60 * SECOND, true);
        assert_eq!(probe.next_deadline(), Some(start + 70 * SECOND));
    }

    #[test]
    fn the_interval_zero_means_no_watch() {
        assert!(Probe::new(Instant::now(), Duration::ZERO).is_none());
    }
}
