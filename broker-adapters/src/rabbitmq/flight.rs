//! [`Flight`]: many want the same, one does it, all learn how it went.

use std::hash::{BuildHasher, RandomState};
use std::sync::Mutex;
use std::time::Duration;

use protocols::auth::{Denial, DenialKind};
use tokio::time::Instant;

use crate::lock::lock;

/// How long the first failure stands for all who ask; doubles with each that follows.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The longest that a failure stands.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Attempts of which one is made at a time. Who waited for one shares its outcome. That RabbitMQ was
/// not reached stands for a while, so that thousands who come back do not all knock at a dead door.
#[derive(Debug, Default)]
pub(super) struct Flight {
    turn: tokio::sync::Mutex<()>,
    last: Mutex<Last>,
}

/// What is known about attempts that ended.
#[derive(Debug, Default)]
struct Last {
    /// How many.
    finished: u64,
    /// Why the last one failed; `None` if it did not.
    denial: Option<Denial>,
    /// How long that stands; zero unless the last one was not answered.
    pause: Duration,
    /// Until when it stands.
    until: Option<Instant>,
}

impl Flight {
    /// Makes an attempt, unless one was made meanwhile or `is_done` says that it is not needed.
    pub(super) async fn fly(
        &self,
        is_done: impl Fn() -> bool,
        attempt: impl AsyncFnOnce() -> Result<(), Denial>,
    ) -> Result<(), Denial> {
        let seen = {
            let last = lock(&self.last);
            if let (Some(denial), true) = (&last.denial, last.stands_for() > Duration::ZERO) {
                return Err(denial.clone());
            }
            last.finished
        };
        let _turn = self.turn.lock().await;
        {
            let last = lock(&self.last);
            if last.finished > seen {
                return last.denial.clone().map_or(Ok(()), Err);
            }
        }
        if is_done() {
            return Ok(());
        }
        let outcome = attempt().await;
        lock(&self.last).finish(outcome.as_ref().err());
        outcome
    }

    /// How long the last failure will still stand; zero if there is none.
    pub(super) fn stands_for(&self) -> Duration {
        lock(&self.last).stands_for()
    }
}

impl Last {
    fn stands_for(&self) -> Duration {
        self.until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()))
    }

    fn finish(&mut self, denial: Option<&Denial>) {
        self.finished += 1;
        self.denial = denial.cloned();
        if denial.is_some_and(|denial| denial.kind == DenialKind::Unavailable) {
            self.pause = (self.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
            self.until = Some(Instant::now() + jittered(self.pause));
        } else {
            self.pause = Duration::ZERO;
            self.until = None;
        }
    }
}

/// Half of `pause` and a random part of the other half: identities that lost RabbitMQ together do not
/// come back together.
fn jittered(pause: Duration) -> Duration {
    let random = u32::try_from(RandomState::new().hash_one(()) % 1_024).unwrap_or_default();
    pause / 2 + pause / 2 * random / 1_024
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures_util::future::join_all;
    use tokio::task::yield_now;
    use tokio::time::sleep;

    use super::super::login::unavailable;
    use super::*;

    fn refused() -> Denial {
        Denial { kind: DenialKind::BadCredentials, text: "no".into() }
    }

    #[tokio::test]
    async fn many_at_once_make_one_attempt_and_share_its_outcome() {
        for outcome in [Ok(()), Err(refused()), Err(unavailable("away"))] {
            let (flight, attempts) = (Flight::default(), Cell::new(0));
            let attempt = async || {
                attempts.set(attempts.get() + 1);
                yield_now().await;
                outcome.clone()
            };
            let outcomes = join_all((0..100).map(|_| flight.fly(|| false, attempt))).await;
            assert_eq!(attempts.get(), 1);
            assert!(outcomes.iter().all(|it| *it == outcome), "{outcome:?}");
        }
    }

    #[tokio::test]
    async fn who_comes_later_tries_anew_but_not_for_what_is_done() {
        let (flight, attempts) = (Flight::default(), Cell::new(0));
        let attempt = async || {
            attempts.set(attempts.get() + 1);
            Err(refused())
        };
        for _ in 0..2 {
            assert_eq!(flight.fly(|| false, attempt).await, Err(refused()));
        }
        assert_eq!(flight.fly(|| true, attempt).await, Ok(()));
        assert_eq!(attempts.get(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_broker_that_is_away_is_left_alone_for_longer_and_longer() {
        let (flight, attempts) = (Flight::default(), Cell::new(0));
        let attempt = async || {
            attempts.set(attempts.get() + 1);
            Err(unavailable("away"))
        };
        let mut pauses = Vec::new();
        for made in 1..=6 {
            for _ in 0..3 {
                assert_eq!(flight.fly(|| false, attempt).await, Err(unavailable("away")));
                assert_eq!(attempts.get(), made);
            }
            pauses.push(flight.stands_for());
            sleep(flight.stands_for()).await;
        }
        for (pause, longest) in pauses.iter().zip([500, 1_000, 2_000, 4_000, 5_000, 5_000]) {
            assert!((longest / 2..=longest).contains(&pause.as_millis()), "{pauses:?}");
        }
        assert_eq!(flight.fly(|| false, async || Ok(())).await, Ok(()));
        assert_eq!(flight.stands_for(), Duration::ZERO);
    }

    #[tokio::test]
    async fn an_attempt_that_is_given_up_leaves_the_turn_to_the_next() {
        let flight = Flight::default();
        let mut given_up = Box::pin(flight.fly(|| false, async || std::future::pending().await));
        assert!(futures_util::poll!(given_up.as_mut()).is_pending());
        let mut next = Box::pin(flight.fly(|| false, async || Ok(())));
        assert!(futures_util::poll!(next.as_mut()).is_pending());
        drop(given_up);
        assert_eq!(next.await, Ok(()));
    }
}
