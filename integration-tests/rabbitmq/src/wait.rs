//! Waiting for something that has to happen, with a ceiling that only a failure reaches.

use std::future::Future;
use std::time::{Duration, Instant};

/// The longest any single thing may take. Generous: reached by a failing test only.
pub const CEILING: Duration = Duration::from_secs(120);

/// How often a condition is looked at that nobody announces.
const PAUSE: Duration = Duration::from_millis(20);

/// The outcome of `future`; panics with `what` was awaited if that takes longer than [`CEILING`].
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(CEILING, future).await {
        Ok(outcome) => outcome,
        Err(_) => panic!("waited {CEILING:?} in vain for {what}"),
    }
}

/// Looks again and again until there is something; panics with `what` was awaited if that takes
/// longer than [`CEILING`].
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(start.elapsed() < CEILING, "waited {CEILING:?} in vain for {what}");
        tokio::time::sleep(PAUSE).await;
    }
}
