//! Waiting for something that has to happen, with a ceiling that only a failure reaches.

use std::future::Future;
use std::time::Duration;

/// The longest any single thing may take. Generous: reached by a failing test only.
pub const CEILING: Duration = Duration::from_secs(120);

/// The outcome of `future`; panics with `what` was awaited if that takes longer than [`CEILING`].
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(CEILING, future).await {
        Ok(outcome) => outcome,
        Err(_) => panic!("waited {CEILING:?} in vain for {what}"),
    }
}
