//! How the gateway stops: first no new connections, then each session says goodbye in its turn,
//! then what is left is cut.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::future::BoxFuture;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// The signal that everything running listens to. Clones are the same signal.
#[derive(Debug, Clone)]
pub(crate) struct Drain {
    begun: Arc<Signal>,
    cut: Arc<Signal>,
    spread: Duration,
    turns: Arc<AtomicU32>,
}

impl Drain {
    /// A signal that has not been given. Goodbyes will be spread over `spread`, so that clients do
    /// not all come back at the same moment.
    pub(crate) fn new(spread: Duration) -> Self {
        Self { begun: Arc::default(), cut: Arc::default(), spread, turns: Arc::default() }
    }

    /// Gives the signal.
    pub(crate) fn begin(&self) {
        self.begun.raise();
    }

    /// Whether it was given. New work is refused from then on.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun.is_raised()
    }

    /// Ready once it was given.
    pub(crate) fn begun(&self) -> Raised {
        Raised::new(&self.begun)
    }

    /// The moment at which one session shall say goodbye. Each call gets its own place in the
    /// spread.
    pub(crate) fn turn(&self) -> BoxFuture<'static, ()> {
        // Multiples of the golden ratio fill an interval evenly, however many there are.
        const GOLDEN: u32 = 0x9E37_79B9;
        let turn = self.turns.fetch_add(1, Ordering::Relaxed).wrapping_mul(GOLDEN);
        let delay = self.spread.mul_f64(f64::from(turn) / f64::from(u32::MAX));
        let begun = self.begun();
        Box::pin(async move {
            begun.await;
            tokio::time::sleep(delay).await;
        })
    }

    /// Ends what has not ended by itself.
    pub(crate) fn cut(&self) {
        self.cut.raise();
    }

    /// Ready once what is left is to end at once.
    pub(crate) fn is_cut(&self) -> Raised {
        Raised::new(&self.cut)
    }
}

/// Raised once, for good.
#[derive(Debug, Default)]
struct Signal {
    is_raised: AtomicBool,
    token: CancellationToken,
}

impl Signal {
    fn raise(&self) {
        self.is_raised.store(true, Ordering::Release);
        self.token.cancel();
    }

    fn is_raised(&self) -> bool {
        self.is_raised.load(Ordering::Acquire)
    }
}

/// Ready once a signal is raised.
///
/// *Order.* Polled by one task only: its waker is registered once. *Cost.* One atomic load: every
/// connection asks in every turn, and a token's lock would be one for all of them.
#[derive(Debug)]
pub(crate) struct Raised {
    signal: Arc<Signal>,
    waiting: Pin<Box<WaitForCancellationFutureOwned>>,
    is_registered: bool,
}

impl Raised {
    fn new(signal: &Arc<Signal>) -> Self {
        let waiting = Box::pin(signal.token.clone().cancelled_owned());
        Self { signal: Arc::clone(signal), waiting, is_registered: false }
    }
}

impl Future for Raised {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_registered && !self.signal.is_raised() {
            return Poll::Pending;
        }
        self.is_registered = true;
        self.waiting.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinSet;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn turns_come_after_the_signal_and_are_spread_evenly() {
        let drain = Drain::new(Duration::from_secs(10));
        let start = Instant::now();
        let mut turns = JoinSet::new();
        for _ in 0..100 {
            let turn = drain.turn();
            turns.spawn(async move {
                turn.await;
                start.elapsed()
            });
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(turns.try_join_next().is_none(), "no turn comes before the signal");
        drain.begin();
        let mut delays = turns.join_all().await;
        delays.sort();
        let signal = Duration::from_secs(60);
        for (place, delay) in delays.into_iter().enumerate() {
            let even = signal + Duration::from_millis(100) * u32::try_from(place).unwrap();
            assert!(delay.abs_diff(even) < Duration::from_millis(300), "{place}: {delay:?}");
        }
    }
}
