//! Trying again while the broker is away.
//!
//! lapin's own recovery is off: it declares queues anew under names that the server made up, and is
//! refused. What a link needs is rebuilt from its own tables, each piece by a future that runs
//! through [`persist`].

use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use protocols::broker::{BrokerError, BrokerErrorKind};
use tokio::time::{Instant, sleep};

/// Before the second attempt; each later pause is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Makes attempts until one succeeds, is refused, or `patience` is over.
///
/// *Errors.* The first refusal; [`BrokerErrorKind::Unavailable`] with the reason of the last
/// attempt.
pub(super) async fn persist<T, F>(
    patience: Duration,
    mut attempt: impl FnMut() -> F,
) -> Result<T, BrokerError>
where
    F: Future<Output = Result<T, BrokerError>>,
{
    let deadline = Instant::now() + patience;
    let mut pause = FIRST_PAUSE;
    loop {
        match attempt().await {
            Err(error) if error.kind == BrokerErrorKind::Unavailable => {
                let pausing = jittered(pause);
                if Instant::now() + pausing >= deadline {
                    return Err(error);
                }
                sleep(pausing).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            done => return done,
        }
    }
}

/// Half of `pause`, and a random part of the other half: links that lost the same connection do
/// not come back all at once.
fn jittered(pause: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish();
    let share = u32::try_from(random % 1_024).unwrap_or_default();
    pause / 2 + pause / 2 * share / 1_024
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn error(kind: BrokerErrorKind) -> BrokerError {
        BrokerError::new(kind, "why")
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_is_repeated_while_the_broker_is_away() {
        let attempts = Cell::new(0);
        let outcome = persist(Duration::from_secs(60), async || {
            attempts.set(attempts.get() + 1);
            if attempts.get() < 7 { Err(error(BrokerErrorKind::Unavailable)) } else { Ok("in") }
        });
        assert_eq!(outcome.await, Ok("in"));
        assert_eq!(attempts.get(), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_ends_it_at_once() {
        let attempts = Cell::new(0);
        let outcome: Result<(), _> = persist(Duration::from_secs(60), async || {
            attempts.set(attempts.get() + 1);
            Err(error(BrokerErrorKind::AccessRefused))
        })
        .await;
        assert_eq!(outcome, Err(error(BrokerErrorKind::AccessRefused)));
        assert_eq!(attempts.get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends() {
        let start = Instant::now();
        let outcome: Result<(), _> =
            persist(Duration::from_secs(60), async || Err(error(BrokerErrorKind::Unavailable)))
                .await;
        assert_eq!(outcome, Err(error(BrokerErrorKind::Unavailable)));
        let took = start.elapsed();
        assert!(took <= Duration::from_secs(60) && took > Duration::from_secs(57), "{took:?}");
    }

    #[test]
    fn a_pause_is_never_longer_than_it_should_be_nor_shorter_than_half() {
        for _ in 0..1_000 {
            let pause = jittered(Duration::from_millis(800));
            assert!((400..=800).contains(&pause.as_millis()), "{pause:?}");
        }
    }
}
