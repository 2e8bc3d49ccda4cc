//! Accepts connections, and nothing else: every other step runs in the connection's own task, so
//! that no client can hold up another.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

use crate::drain::Drain;
use crate::handshake;
use crate::route::{Route, Tuning};

/// Clients that are being told at a time that there is no room; more are dropped without a word.
const MAX_REFUSALS: usize = 64;

/// How long accepting pauses after the operating system refused it, mostly for want of file
/// descriptors: trying at once would only burn a core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the connections of one listener share.
pub(crate) struct ListenerState {
    /// Its name in the configuration, for logs.
    pub(crate) name: String,
    /// What is served, each at a path of its own.
    pub(crate) routes: Vec<Arc<Route>>,
    /// How connections are run.
    pub(crate) tuning: Tuning,
    /// Connections at a time.
    pub(crate) max_connections: usize,
    /// Ends the accepting, refuses handshakes that are not done, tells sessions to say goodbye.
    pub(crate) drain: Drain,
    /// Knows every connection's task.
    pub(crate) tracker: TaskTracker,
}

/// Accepts connections until the drain begins. Those that are open end by themselves, or are cut.
pub(crate) async fn serve(listener: TcpListener, state: Arc<ListenerState>) {
    let drain = state.drain.clone();
    let mut door = Door::new(state);
    loop {
        let accepted = tokio::select! {
            biased;
            () = drain.begun() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((io, peer)) => door.admit(io, peer),
            Err(error) if concerns_one_connection(&error) => {}
            Err(error) => {
                door.warn_of(&error);
                tokio::select! {
                    () = drain.begun() => return,
                    () = tokio::time::sleep(ACCEPT_PAUSE) => {}
                }
            }
        }
    }
}

/// Who is let in, and what has been warned of already.
struct Door {
    state: Arc<ListenerState>,
    connections: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    /// Whether accepting failed the last time.
    failing: bool,
    /// Whether the last client found no room.
    full: bool,
}

impl Door {
    fn new(state: Arc<ListenerState>) -> Self {
        let permits = state.max_connections.min(Semaphore::MAX_PERMITS);
        Self {
            state,
            connections: Arc::new(Semaphore::new(permits)),
            refusals: Arc::new(Semaphore::new(MAX_REFUSALS)),
            failing: false,
            full: false,
        }
    }

    /// Starts the task of a connection.
    fn admit(&mut self, io: TcpStream, peer: SocketAddr) {
        self.failing = false;
        // Frames are gathered before they are written; waiting for more would only delay them.
        if let Err(error) = io.set_nodelay(true) {
            tracing::debug!(%peer, %error, "cannot set TCP_NODELAY");
        }
        let state = self.state.clone();
        if let Ok(permit) = self.connections.clone().try_acquire_owned() {
            self.full = false;
            let serve = async move { handshake::serve(io, peer, &state).await };
            self.spawn(serve, permit, peer);
            return;
        }
        if !std::mem::replace(&mut self.full, true) {
            let (listener, limit) = (&state.name, state.max_connections);
            tracing::warn!(
                listener,
                limit,
                "no connection is left, clients are refused"
            );
        }
        if let Ok(permit) = self.refusals.clone().try_acquire_owned() {
            let refuse = async move { handshake::serve_no_room(io, peer, &state).await };
            self.spawn(refuse, permit, peer);
        }
    }

    /// Runs `connection` in a task of its own that holds `permit`. Its panic ends it alone.
    fn spawn<F>(&self, connection: F, permit: OwnedSemaphorePermit, peer: SocketAddr)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let state = self.state.clone();
        self.state.tracker.spawn(async move {
            tokio::select! {
                biased;
                ended = AssertUnwindSafe(connection).catch_unwind() => if ended.is_err() {
                    tracing::error!(listener = state.name, %peer, "a connection panicked");
                },
                () = state.drain.is_cut() => {}
            }
            drop(permit);
        });
    }

    fn warn_of(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.failing, true) {
            let listener = &self.state.name;
            tracing::warn!(listener, %error, "cannot accept connections, trying on");
        }
    }
}

/// Whether only the connection that was to be accepted is lost (`accept(2)`): the next may do.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}
