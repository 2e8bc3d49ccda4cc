//! Heart-beats: what is agreed at CONNECT, and the two deadlines that follow from it.
//!
//! *Spec.* STOMP 1.1 and 1.2 §Heart-beating. The settings, and what is agreed for each wish of a
//! client, are described at [`HeartbeatSettings`].

use std::time::{Duration, Instant};

use crate::stomp::HeartbeatSettings;
use crate::violation::{Violation, shown};

/// After this many agreed intervals without any input a client is taken for dead: the margin of
/// error that the specification asks for.
const TOLERATED_INTERVALS: u32 = 2;

/// What a `heart-beat` header of CONNECT asks for, in milliseconds; zeros if there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Wish {
    /// `cx`: the client can send this often.
    sends: u32,
    /// `cy`: the client wants to hear this often.
    wants: u32,
}

impl Wish {
    /// The value of the header.
    ///
    /// *Errors.* [`Violation::BadHeader`] if it is not two numbers.
    pub(super) fn parse(value: &str, verb: &'static str) -> Result<Self, Violation> {
        let number = |text: &str| text.trim().parse().ok();
        value
            .split_once(',')
            .and_then(|(sends, wants)| Some(Self { sends: number(sends)?, wants: number(wants)? }))
            .ok_or_else(|| Violation::BadHeader {
                verb,
                header: "heart-beat",
                expected: "two numbers of milliseconds, such as 10000,10000",
                got: shown(value),
            })
    }
}

/// What was agreed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Agreement {
    /// The server sends this often; zero: never.
    sends: Duration,
    /// The client sends this often; zero: it promised nothing.
    expects: Duration,
    /// What a client that promised nothing may be offered, and is probed at.
    default: Duration,
}

impl Agreement {
    /// What these settings make of a wish.
    pub(super) fn new(wish: Wish, settings: &HeartbeatSettings) -> Self {
        let wished = |millis: u32| Duration::from_millis(millis.into()).max(settings.min);
        Self {
            sends: if wish.wants == 0 {
                Duration::ZERO
            } else {
                wished(wish.wants).min(settings.max)
            },
            expects: if wish.sends == 0 { Duration::ZERO } else { wished(wish.sends) },
            default: settings.default,
        }
    }

    /// The `heart-beat` header of CONNECTED.
    pub(super) fn header(&self) -> String {
        let offered = if self.expects.is_zero() { self.default } else { self.expects };
        format!("{},{}", millis(self.sends), millis(offered))
    }

    /// How often the transport probes the client; zero: never, for it sends heart-beats.
    pub(super) const fn probe(&self) -> Duration {
        if self.expects.is_zero() { self.default } else { Duration::ZERO }
    }
}

/// The two deadlines.
#[derive(Debug, Default)]
pub(super) struct Heartbeat {
    ours: Option<Beat>,
    theirs: Option<Beat>,
    /// Reading is stopped: what the client sends cannot be seen.
    is_paused: bool,
}

#[derive(Debug)]
struct Beat {
    every: Duration,
    last: Instant,
}

impl Heartbeat {
    /// Heart-beats begin, both ways.
    pub(super) fn start(&mut self, now: Instant, agreement: &Agreement) {
        let beat = |every: Duration| (!every.is_zero()).then_some(Beat { every, last: now });
        self.ours = beat(agreement.sends);
        self.theirs = beat(agreement.expects);
    }

    /// Input was received, whatever it was.
    pub(super) fn heard(&mut self, now: Instant) {
        if let Some(beat) = &mut self.theirs {
            beat.last = now;
        }
    }

    /// A frame or a heart-beat was sent.
    pub(super) fn sent(&mut self, now: Instant) {
        if let Some(beat) = &mut self.ours {
            beat.last = now;
        }
    }

    /// Nothing more is expected of the client: it has said goodbye, or is not listened to.
    pub(super) fn expect_nothing(&mut self) {
        self.theirs = None;
    }

    /// Pauses the client's deadline while it cannot be heard; it starts afresh afterwards.
    pub(super) fn set_reading(&mut self, now: Instant, reading: bool) {
        self.is_paused = !reading;
        if reading {
            self.heard(now);
        }
    }

    /// Whether a heart-beat must be sent, for nothing else was.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.ours.as_ref().is_some_and(|beat| beat.due() <= now)
    }

    /// *Errors.* [`Violation::HeartbeatMissed`] once the client has been silent for too long.
    pub(super) fn check(&self, now: Instant) -> Result<(), Violation> {
        match &self.theirs {
            Some(beat) if !self.is_paused && beat.missed() <= now => {
                let silence = now.saturating_duration_since(beat.last);
                Err(Violation::HeartbeatMissed {
                    millis: millis(silence),
                    agreed: millis(beat.every),
                })
            }
            _ => Ok(()),
        }
    }

    /// The earlier of the two deadlines.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let due = self.ours.as_ref().map(Beat::due);
        let missed = self.theirs.as_ref().filter(|_| !self.is_paused).map(Beat::missed);
        due.into_iter().chain(missed).min()
    }
}

impl Beat {
    /// A tenth early: the promise is "at least this often", and timers and networks are late.
    fn due(&self) -> Instant {
        self.last + (self.every - self.every / 10)
    }

    fn missed(&self) -> Instant {
        self.last + self.every * TOLERATED_INTERVALS
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> HeartbeatSettings {
        HeartbeatSettings::default()
    }

    fn agreed(header: &str) -> Agreement {
        Agreement::new(Wish::parse(header, "CONNECT").unwrap(), &settings())
    }

    #[test]
    fn wishes_are_clamped() {
        assert_eq!(agreed("5000,5000").header(), "5000,5000");
        assert_eq!(agreed("1,1").header(), "1000,1000");
        assert_eq!(agreed("600000,600000").header(), "60000,600000");
        assert_eq!(agreed("0,0").header(), "0,30000");
        assert_eq!(agreed("4294967295,0").header(), "0,4294967295");
    }

    #[test]
    fn bounds_that_contradict_each_other_do_no_harm() {
        let settings = HeartbeatSettings {
            min: Duration::from_secs(9),
            max: Duration::from_secs(3),
            ..settings()
        };
        let wish = Wish::parse("1,1", "CONNECT").unwrap();
        assert_eq!(Agreement::new(wish, &settings).header(), "3000,9000");
    }

    #[test]
    fn only_a_client_that_promised_nothing_is_probed() {
        assert_eq!(agreed("0,1000").probe(), settings().default);
        assert_eq!(agreed("1000,0").probe(), Duration::ZERO);
    }

    #[test]
    fn a_header_is_two_numbers() {
        for value in ["", "1", "1,", ",1", "a,b", "1,2,3", "-1,0", "1.5,0", "4294967296,0"] {
            assert!(Wish::parse(value, "CONNECT").is_err(), "{value}");
        }
        assert_eq!(Wish::parse(" 1 , 2", "CONNECT"), Ok(Wish { sends: 1, wants: 2 }));
    }
}
