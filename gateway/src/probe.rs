//! Signs of life: when to ask a silent peer for one, and when to give it up.
//!
//! For sessions whose protocol agreed on no heart-beat. RFC 6455 §5.5.2 makes every peer answer a
//! ping, also a browser tab whose scripts are throttled.

use std::time::{Duration, Instant};

/// Watches one peer. A peer is asked once it was silent for an interval, and given up after two.
///
/// While nothing is read, nothing can be heard, so nobody is given up; but the peer is asked all
/// the same, every interval: if its socket is closed, the question fails to be written.
#[derive(Debug)]
pub(crate) struct Probe {
    interval: Duration,
    /// When the peer was last heard, or reading from it resumed.
    heard: Instant,
    /// When it was last asked; cleared when something is heard.
    asked: Option<Instant>,
    reading: bool,
}

impl Probe {
    /// A watch that starts now; `None` for the interval zero.
    pub(crate) fn new(now: Instant, interval: Duration) -> Option<Self> {
        (!interval.is_zero()).then_some(Self { interval, heard: now, asked: None, reading: true })
    }

    /// Something was received.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.asked = None;
    }

    /// Reading stopped or resumed.
    pub(crate) fn set_reading(&mut self, now: Instant, reading: bool) {
        self.reading = reading;
        if reading {
            self.heard(now);
        }
    }

    /// Whether the peer is to be asked now.
    pub(crate) fn is_due(&mut self, now: Instant) -> bool {
        let due = self.next_question().is_some_and(|question| question <= now);
        if due {
            self.asked = Some(now);
        }
        due
    }

    /// How long the peer has been silent, if that is too long.
    pub(crate) fn silence_exceeded(&self, now: Instant) -> Option<Duration> {
        let exceeded = self.end().is_some_and(|end| end <= now);
        exceeded.then(|| now - self.heard)
    }

    /// When to look again.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.next_question().into_iter().chain(self.end()).min()
    }

    fn next_question(&self) -> Option<Instant> {
        match self.asked {
            None => Some(self.heard + self.interval),
            Some(asked) if !self.reading => Some(asked + self.interval),
            Some(_) => None,
        }
    }

    fn end(&self) -> Option<Instant> {
        (self.reading && self.asked.is_some()).then(|| self.heard + self.interval * 2)
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
    fn while_nothing_is_read_the_peer_is_asked_but_not_given_up() {
        let start = Instant::now();
        let mut probe = Probe::new(start, 10 * SECOND).unwrap();
        probe.set_reading(start + SECOND, false);
        for tens in 1..6 {
            assert_eq!(probe.next_deadline(), Some(start + tens * 10 * SECOND));
            assert!(probe.is_due(start + tens * 10 * SECOND));
            assert_eq!(probe.silence_exceeded(start + tens * 10 * SECOND), None);
        }
        probe.set_reading(start + 55 * SECOND, true);
        assert_eq!(probe.next_deadline(), Some(start + 65 * SECOND));
    }

    #[test]
    fn the_interval_zero_means_no_watch() {
        assert!(Probe::new(Instant::now(), Duration::ZERO).is_none());
    }
}
