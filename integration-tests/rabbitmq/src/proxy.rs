//! [`Proxy`]: what a network can do to a connection, on demand.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::ports::free_address;
use crate::wait::within;

/// Most bytes that the proxy holds of each direction of a connection.
const CHUNK: usize = 16 << 10;

/// How many portions a slowed direction passes on in a second.
const PORTIONS: u64 = 20;

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From who connected to who is behind the proxy.
    ToServer,
    /// Back.
    ToClient,
}

/// How connections end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// With a TCP reset: bytes on their way are lost.
    Reset,
    /// In order, as if both ends had closed.
    Close,
}

/// A TCP proxy in front of one address. All it is told holds for the connections it has and for
/// those to come, except that [`cut`](Self::cut) means those it has. When it is dropped, they end.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    accepting: Mutex<Option<JoinHandle<()>>>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    server: SocketAddr,
    to_server: watch::Sender<Pace>,
    to_client: watch::Sender<Pace>,
    /// Connections with a smaller number have to end.
    cut: watch::Sender<(u64, Cut)>,
    connections: watch::Sender<Connections>,
}

#[derive(Debug, Default)]
struct Connections {
    open: BTreeSet<u64>,
    accepted: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    Free,
    Slow { bytes_per_second: u64 },
    Stalled,
}

impl Proxy {
    /// Starts one in front of `server`. Has to be called inside a tokio runtime.
    pub async fn start(server: SocketAddr) -> Self {
        let shared = Arc::new(Shared {
            server,
            to_server: watch::Sender::new(Pace::Free),
            to_client: watch::Sender::new(Pace::Free),
            cut: watch::Sender::new((0, Cut::Close)),
            connections: watch::Sender::default(),
        });
        let proxy = Self { address: free_address(), accepting: Mutex::new(None), shared };
        proxy.accept().await;
        proxy
    }

    /// Where it listens.
    pub const fn addr(&self) -> SocketAddr {
        self.address
    }

    /// How many connections go through it now.
    pub fn open(&self) -> usize {
        self.shared.connections.borrow().open.len()
    }

    /// How many connections it has had.
    pub fn accepted(&self) -> u64 {
        self.shared.connections.borrow().accepted
    }

    /// Waits until this many connections have come, counted from the start.
    pub async fn await_accepted(&self, count: u64) {
        let mut connections = self.shared.connections.subscribe();
        let come = connections.wait_for(|it| it.accepted >= count);
        within("connections", come).await.expect("the proxy is there");
    }

    /// Ends all connections, and waits until they are gone.
    pub async fn cut(&self, how: Cut) {
        let (next, open) = {
            let connections = self.shared.connections.borrow();
            (connections.accepted, connections.open.clone())
        };
        self.shared.cut.send_replace((next, how));
        let mut connections = self.shared.connections.subscribe();
        let gone = connections.wait_for(|it| it.open.is_disjoint(&open));
        within("the end of connections", gone).await.expect("the proxy is there");
    }

    /// Reads no more of this direction: the sender's socket fills up.
    pub fn stall(&self, direction: Direction) {
        self.shared.pace(direction).send_replace(Pace::Stalled);
    }

    /// Passes on this many bytes of each connection in a second, 20 to 320,000.
    pub fn slow(&self, direction: Direction, bytes_per_second: u64) {
        self.shared.pace(direction).send_replace(Pace::Slow { bytes_per_second });
    }

    /// Passes on everything again.
    pub fn resume(&self, direction: Direction) {
        self.shared.pace(direction).send_replace(Pace::Free);
    }

    /// Refuses new connections; those there are stay.
    pub async fn refuse(&self) {
        if let Some(accepting) = self.take_accepting() {
            accepting.abort();
            // Its listener is closed once it has ended; it ends by being cancelled.
            let _ = accepting.await;
        }
    }

    /// Accepts connections again after [`refuse`](Self::refuse).
    pub async fn accept(&self) {
        self.refuse().await;
        let listener = TcpListener::bind(self.address).await;
        let listener = listener.unwrap_or_else(|error| panic!("{}: {error}", self.address));
        let task = tokio::spawn(accept_all(listener, Arc::clone(&self.shared)));
        *self.accepting.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
    }

    fn take_accepting(&self) -> Option<JoinHandle<()>> {
        self.accepting.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(accepting) = self.take_accepting() {
            accepting.abort();
        }
        self.shared.cut.send_replace((u64::MAX, Cut::Close));
    }
}

impl Shared {
    const fn pace(&self, direction: Direction) -> &watch::Sender<Pace> {
        match direction {
            Direction::ToServer => &self.to_server,
            Direction::ToClient => &self.to_client,
        }
    }
}

async fn accept_all(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        let connection = Connection::new(Arc::clone(&shared));
        tokio::spawn(connection.run(client));
    }
}

/// Counts as open as long as it is there.
struct Connection {
    number: u64,
    shared: Arc<Shared>,
}

impl Connection {
    fn new(shared: Arc<Shared>) -> Self {
        let mut number = 0;
        shared.connections.send_modify(|connections| {
            number = connections.accepted;
            connections.accepted += 1;
            connections.open.insert(number);
        });
        Self { number, shared }
    }

    /// Passes bytes on until both ends have closed, one has failed, or it is cut.
    async fn run(self, mut client: TcpStream) {
        // A server that refuses looks like one that closes at once: more is not known behind a proxy.
        let Ok(mut server) = TcpStream::connect(self.shared.server).await else { return };
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let forth = pass(from_client, to_server, self.shared.to_server.subscribe());
        let back = pass(from_server, to_client, self.shared.to_client.subscribe());
        let mut cuts = self.shared.cut.subscribe();
        let cut = cuts.wait_for(|(below, _)| self.number < *below);
        let how = tokio::select! {
            passed = async { tokio::try_join!(forth, back) } => {
                passed.map_or(Cut::Reset, |_| Cut::Close)
            }
            cut = cut => cut.map_or(Cut::Close, |cut| cut.1),
        };
        if how == Cut::Reset {
            for stream in [&client, &server] {
                // Fails on a socket that is gone already, which is what is wanted.
                let _ = stream.set_zero_linger();
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.connections.send_modify(|connections| {
            connections.open.remove(&self.number);
        });
    }
}

async fn pass(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut pace: watch::Receiver<Pace>,
) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let now = *pace.borrow_and_update();
        let portion = match now {
            Pace::Free => CHUNK,
            Pace::Slow { bytes_per_second } => {
                let portion = usize::try_from(bytes_per_second / PORTIONS);
                portion.unwrap_or(CHUNK).clamp(1, CHUNK)
            }
            Pace::Stalled => 0,
        };
        let read = tokio::select! {
            biased;
            changed = pace.changed() => match changed {
                Ok(()) => continue,
                // The proxy is gone.
                Err(_) => return Ok(()),
            },
            read = from.read(&mut buffer[..portion]), if portion > 0 => read?,
        };
        if read == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..read]).await?;
        if now != Pace::Free {
            tokio::time::sleep(Duration::from_secs(1) / u32::try_from(PORTIONS).unwrap_or(1)).await;
        }
    }
}
