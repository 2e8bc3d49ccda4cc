//! Accepts connections, and nothing else: every other step runs in the connection's own task, so
//! that no client can hold up another.

use std::future::Future;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

use crate::acceptor::Acceptor;
use crate::config::ListenerTransport;
use crate::drain::Drain;
use crate::handshake;
use crate::route::{Route, Tuning};
use crate::stomp_tcp;
use crate::wamp_rawsocket;

/// Clients that are being told at a time that there is no room; more are dropped without a word.
const MAX_REFUSALS: usize = 64;

const SECOND: Duration = Duration::from_secs(1);

/// What the connections of one listener share.
pub(crate) struct ListenerState {
    /// Its name in the configuration, for logs.
    pub(crate) name: String,
    /// What is served, each at a path of its own.
    pub(crate) routes: Vec<Arc<Route>>,
    /// What carries units.
    pub(crate) transport: ListenerTransport,
    /// After how much silence TCP itself asks whether the client is there; zero: never.
    pub(crate) tcp_keepalive: Duration,
    /// Whether clients on RawSocket are sent pings.
    pub(crate) rawsocket_pings: bool,
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
pub(crate) async fn serve(mut acceptor: Acceptor, state: Arc<ListenerState>) {
    let drain = state.drain.clone();
    let mut door = Door::new(state);
    loop {
        tokio::select! {
            biased;
            () = drain.begun() => return,
            (io, peer) = acceptor.accept() => door.admit(io, peer),
        }
    }
}

/// Who is let in, and what has been warned of already.
struct Door {
    state: Arc<ListenerState>,
    connections: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
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
            full: false,
        }
    }

    /// Starts the task of a connection.
    fn admit(&mut self, io: TcpStream, peer: SocketAddr) {
        // Frames are gathered before they are written; waiting for more would only delay them.
        if let Err(error) = io.set_nodelay(true) {
            tracing::debug!(%peer, %error, "cannot set TCP_NODELAY");
        }
        self.keep_alive(&io, peer);
        let state = self.state.clone();
        if let Ok(permit) = self.connections.clone().try_acquire_owned() {
            self.full = false;
            let serve = async move {
                match state.transport {
                    ListenerTransport::Websocket => handshake::serve(io, peer, &state).await,
                    ListenerTransport::StompTcp => stomp_tcp::serve(io, peer, &state).await,
                    ListenerTransport::WampRawsocket => {
                        wamp_rawsocket::serve(io, peer, &state).await;
                    }
                }
            };
            self.spawn(serve, permit, peer);
            return;
        }
        if !std::mem::replace(&mut self.full, true) {
            let (listener, limit) = (&state.name, state.max_connections);
            tracing::warn!(listener, limit, "no connection is left, clients are refused");
        }
        if let Ok(permit) = self.refusals.clone().try_acquire_owned() {
            let refuse = async move {
                match state.transport {
                    ListenerTransport::Websocket => {
                        handshake::serve_no_room(io, peer, &state).await;
                    }
                    ListenerTransport::StompTcp => {
                        stomp_tcp::serve_no_room(io, peer, &state).await;
                    }
                    ListenerTransport::WampRawsocket => {
                        wamp_rawsocket::serve_no_room(io, &state).await;
                    }
                }
            };
            self.spawn(refuse, permit, peer);
        }
    }

    /// A WebSocket is asked by pings.
    fn keep_alive(&self, io: &TcpStream, peer: SocketAddr) {
        let time = self.state.tcp_keepalive;
        if self.state.transport == ListenerTransport::Websocket || time.is_zero() {
            return;
        }
        // Counted in seconds (tcp(7)).
        let (time, interval) = (time.max(SECOND), (time / 3).max(SECOND));
        let keepalive = TcpKeepalive::new().with_time(time).with_interval(interval);
        if let Err(error) = SockRef::from(io).set_tcp_keepalive(&keepalive.with_retries(3)) {
            tracing::debug!(%peer, %error, "cannot set SO_KEEPALIVE");
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
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::task::JoinHandle;
    use tokio::time::timeout;

    use super::*;
    use crate::acceptor::tests::{ANY, Log};
    use crate::handshake::tests::{Answer, head, request, state, text};

    /// Far longer than anything here takes.
    const CEILING: Duration = Duration::from_secs(60);

    struct Running {
        state: Arc<ListenerState>,
        addr: SocketAddr,
        accepting: JoinHandle<()>,
    }

    async fn start(max_connections: usize) -> Running {
        let acceptor = Acceptor::bind("web", ANY, None).unwrap();
        let addr = acceptor.addr();
        let state = state(max_connections);
        let accepting = tokio::spawn(serve(acceptor, state.clone()));
        Running { state, addr, accepting }
    }

    impl Running {
        /// Opens a WebSocket that echoes, or is refused.
        async fn open(&self) -> (TcpStream, Answer) {
            let mut client = TcpStream::connect(self.addr).await.unwrap();
            client.write_all(request("GET /echo HTTP/1.1", &[]).as_bytes()).await.unwrap();
            let answer = timeout(CEILING, head(&mut client)).await.unwrap();
            (client, answer)
        }

        /// Opens a WebSocket as soon as there is room for it.
        async fn open_in_time(&self) -> TcpStream {
            let open = async {
                loop {
                    let (client, answer) = self.open().await;
                    if answer.status == 101 {
                        return client;
                    }
                }
            };
            timeout(CEILING, open).await.unwrap()
        }
    }

    async fn assert_echoes(client: &mut TcpStream) {
        client.write_all(&text("hello")).await.unwrap();
        let mut echo = [0; 7];
        timeout(CEILING, client.read_exact(&mut echo)).await.unwrap().unwrap();
        assert_eq!(echo, *b"\x81\x05hello");
    }

    #[tokio::test]
    async fn one_connection_too_many_is_told_so_and_room_is_given_back() {
        let running = start(1).await;
        let (mut first, answer) = running.open().await;
        assert_eq!(answer.status, 101);
        let (mut second, answer) = running.open().await;
        assert_eq!(answer.status, 503);
        assert_eq!(answer.header("retry-after"), ["5"]);
        let mut body = String::new();
        second.read_to_string(&mut body).await.unwrap();
        assert!(body.starts_with("All 1 connections"), "{body}");
        assert_echoes(&mut first).await;
        drop(first);
        assert_echoes(&mut running.open_in_time().await).await;
    }

    #[tokio::test]
    async fn a_refusal_arrives_though_the_client_is_still_sending() {
        let running = start(1).await;
        let client = TcpStream::connect(running.addr).await.unwrap();
        let (mut from_server, mut to_server) = client.into_split();
        let sender = tokio::spawn(async move {
            let head = request("POST /ws HTTP/1.1", &["Content-Length: 8388608"]);
            to_server.write_all(head.as_bytes()).await.unwrap();
            to_server.write_all(&vec![b'x'; 8 << 20]).await.unwrap();
        });
        let answer = timeout(CEILING, head(&mut from_server)).await.unwrap();
        assert_eq!(answer.status, 405);
        let mut body = String::new();
        from_server.read_to_string(&mut body).await.unwrap();
        assert_eq!(body, "A WebSocket is opened with GET, this request is POST.\n");
        sender.await.unwrap();
    }

    #[tokio::test]
    async fn a_panic_ends_one_connection_and_is_logged() {
        let (log, _guard) = Log::capture();
        let running = start(2).await;
        let (mut first, _) = running.open().await;
        let (mut second, _) = running.open().await;
        second.write_all(&text("panic")).await.unwrap();
        let mut rest = Vec::new();
        let _ = timeout(CEILING, second.read_to_end(&mut rest)).await.unwrap();
        assert_echoes(&mut first).await;
        assert_echoes(&mut running.open_in_time().await).await;
        assert!(log.text().contains("a connection panicked"), "{}", log.text());
    }

    #[tokio::test]
    async fn a_drain_ends_the_accepting_and_the_sessions() {
        let running = start(2).await;
        let (mut client, _) = running.open().await;
        running.state.drain.begin();
        timeout(CEILING, running.accepting).await.unwrap().unwrap();
        let mut goodbye = [0; 4];
        timeout(CEILING, client.read_exact(&mut goodbye)).await.unwrap().unwrap();
        assert_eq!(goodbye, [0x88, 2, 0x03, 0xe9]);
        // The answer to the goodbye does not come: what is left is cut.
        running.state.tracker.close();
        running.state.drain.cut();
        timeout(CEILING, running.state.tracker.wait()).await.unwrap();
    }
}
