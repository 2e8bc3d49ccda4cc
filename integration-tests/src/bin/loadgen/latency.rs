//! How long deliveries take: when what was sent, and how many took how long.
//!
//! Publishers send up to a window of messages at once, so that most of what is measured is the wait
//! behind those before. It can be compared between servers under the same load, and is no answer to
//! how fast a single message is.

use std::time::{Duration, Instant};

/// Values below this each have a bucket of their own; above, there are so many in each octave. So a
/// percentile is at most 1/64 too large.
const BUCKETS_PER_OCTAVE: u64 = 64;

/// Octaves of microseconds that are told apart; the last one begins at an hour.
const OCTAVES: u64 = 28;

/// When the messages of a publisher were sent that may still be on their way.
#[derive(Debug)]
pub(crate) struct SendTimes {
    epoch: Instant,
    /// Microseconds since `epoch`, at the number of the message modulo the length.
    sent: Vec<u64>,
}

impl SendTimes {
    /// For a publisher that has at most so many messages on their way.
    pub(crate) fn new(underway: u64) -> Self {
        let length = usize::try_from(underway).expect("a window fits into memory");
        Self { epoch: Instant::now(), sent: vec![0; length] }
    }

    /// The message with this number goes out now.
    pub(crate) fn note(&mut self, number: u64, now: Instant) {
        let place = self.place(number);
        self.sent[place] = micros(now.saturating_duration_since(self.epoch));
    }

    /// How long ago the message with this number was sent, in microseconds.
    fn since(&self, number: u64, now: Instant) -> u64 {
        let now = micros(now.saturating_duration_since(self.epoch));
        now.saturating_sub(self.sent[self.place(number)])
    }

    fn place(&self, number: u64) -> usize {
        let place = number % self.sent.len() as u64;
        usize::try_from(place).expect("a place in a vector")
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// How many deliveries took how long.
#[derive(Debug)]
pub(crate) struct Latencies {
    buckets: Vec<u64>,
    count: u64,
}

impl Latencies {
    /// None yet.
    pub(crate) fn new() -> Self {
        let buckets = bucket(u64::MAX) + 1;
        Self { buckets: vec![0; buckets], count: 0 }
    }

    /// The message with this number is there now, if it is as it should be.
    pub(crate) fn book_since(&mut self, times: &SendTimes, number: Option<u64>, now: Instant) {
        if let Some(number) = number {
            self.book(times.since(number, now));
        }
    }

    /// A delivery took so many microseconds.
    fn book(&mut self, micros: u64) {
        self.buckets[bucket(micros)] += 1;
        self.count += 1;
    }

    /// Microseconds within which this part of the deliveries came, 0.5 for the median; `None` of none.
    pub(crate) fn percentile(&self, part: f64) -> Option<u64> {
        let rank = (self.count as f64 * part).ceil().max(1.0) as u64;
        let mut passed = 0;
        let place = self.buckets.iter().position(|count| {
            passed += count;
            passed >= rank
        });
        place.map(longest)
    }
}

/// Where a value is counted.
fn bucket(micros: u64) -> usize {
    let longest = (BUCKETS_PER_OCTAVE << OCTAVES) - 1;
    let micros = micros.min(longest);
    let octave = (micros / BUCKETS_PER_OCTAVE).checked_ilog2().map_or(0, |octave| octave + 1);
    let within = match octave {
        0 => micros,
        octave => (micros >> (octave - 1)) - BUCKETS_PER_OCTAVE,
    };
    let bucket = u64::from(octave) * BUCKETS_PER_OCTAVE + within;
    usize::try_from(bucket).expect("the last bucket is a small number")
}

/// The largest value that is counted there.
fn longest(bucket: usize) -> u64 {
    let (octave, within) = (bucket as u64 / BUCKETS_PER_OCTAVE, bucket as u64 % BUCKETS_PER_OCTAVE);
    match octave {
        0 => within,
        octave => ((BUCKETS_PER_OCTAVE + within + 1) << (octave - 1)) - 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_in_a_bucket_hardly_larger_than_it() {
        for value in (0..1000).chain((10..34).flat_map(|bit| [(1 << bit) - 1, 1 << bit])) {
            let shown = longest(bucket(value));
            assert!(shown >= value && shown - value <= value / BUCKETS_PER_OCTAVE, "{value}");
        }
        assert_eq!(bucket(u64::MAX), bucket((BUCKETS_PER_OCTAVE << OCTAVES) - 1));
    }

    #[test]
    fn percentiles_are_where_so_many_have_come() {
        let mut latencies = Latencies::new();
        assert_eq!(latencies.percentile(0.5), None);
        for micros in 1..=50 {
            latencies.book(micros);
        }
        assert_eq!(
            [0.0, 0.5, 0.99, 1.0].map(|it| latencies.percentile(it)),
            [Some(1), Some(25), Some(50), Some(50)]
        );
    }

    #[test]
    fn a_window_of_messages_is_remembered() {
        let mut times = SendTimes::new(2);
        let start = times.epoch;
        let after = |micros| start + Duration::from_micros(micros);
        times.note(6, after(10));
        times.note(7, after(30));
        assert_eq!((times.since(6, after(110)), times.since(7, after(110))), (100, 80));
        times.note(8, after(100));
        assert_eq!(times.since(8, after(110)), 10);
    }
}
