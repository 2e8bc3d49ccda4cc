//! Listening sockets: how they are bound, and an accepting that outlasts failures.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Connections the operating system keeps until they are accepted.
const BACKLOG: u32 = 1024;

/// How long accepting pauses after the operating system refused it, mostly for want of file
/// descriptors: trying at once would only burn a core.
const PAUSE: Duration = Duration::from_millis(100);

/// A socket that listens.
#[derive(Debug)]
pub(crate) struct Acceptor {
    socket: TcpListener,
    addr: SocketAddr,
    failures: Failures,
}

impl Acceptor {
    /// Listens at `addr`; `name` is for logs. With `send_buffer` that is how many bytes the
    /// operating system takes for each connection before the peer has acknowledged them; else it
    /// takes what it sees fit.
    pub(crate) fn bind(name: &str, addr: SocketAddr, send_buffer: Option<u32>) -> io::Result<Self> {
        let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // A gateway that is started again must not wait for the connections of the one before.
        socket.set_reuseaddr(true)?;
        if let Some(bytes) = send_buffer {
            // Connections inherit it (tcp(7)).
            socket.set_send_buffer_size(bytes)?;
        }
        socket.bind(addr)?;
        let socket = socket.listen(BACKLOG)?;
        let addr = socket.local_addr()?;
        Ok(Self { socket, addr, failures: Failures { name: name.to_owned(), last: false } })
    }

    /// Where it listens: with port 0 the system has chosen one.
    pub(crate) const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The next connection, sooner or later.
    pub(crate) async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        let Self { socket, failures, .. } = self;
        failures.outlast(|| socket.accept()).await
    }
}

/// What is known of failures.
#[derive(Debug)]
struct Failures {
    name: String,
    /// Whether accepting failed the last time, which was warned of then.
    last: bool,
}

impl Failures {
    /// Tries until `accept` succeeds.
    async fn outlast<T, F>(&mut self, mut accept: impl FnMut() -> F) -> T
    where
        F: Future<Output = io::Result<T>>,
    {
        loop {
            let error = match accept().await {
                Ok(accepted) => {
                    self.last = false;
                    return accepted;
                }
                Err(error) if concerns_one_connection(&error) => continue,
                Err(error) => error,
            };
            if !std::mem::replace(&mut self.last, true) {
                tracing::warn!(listener = self.name, %error, "cannot accept connections, trying on");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Whether only the connection that was to be accepted is lost (`accept(2)`): the next may do.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::future::ready;
    use std::sync::{Arc, Mutex};

    use tokio::time::Instant;
    use tracing::subscriber::DefaultGuard;

    use super::*;

    const ABORTED: i32 = 103;
    const TOO_MANY_FILES: i32 = 24;

    /// Any free port of this machine.
    pub(crate) const ANY: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

    /// The log of a test.
    #[derive(Clone, Default)]
    pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

    impl Log {
        /// Takes what this thread logs until the guard is dropped.
        pub(crate) fn capture() -> (Self, DefaultGuard) {
            let log = Self::default();
            let writer = log.clone();
            let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
            (log, tracing::subscriber::set_default(subscriber))
        }

        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_streak_of_failures_is_warned_of_once_and_does_not_burn_a_core() {
        let (log, _guard) = Log::capture();
        let mut failures = Failures { name: "web".into(), last: false };
        for streak in 1..=2 {
            let begun = Instant::now();
            let mut codes = [TOO_MANY_FILES, ABORTED, TOO_MANY_FILES, TOO_MANY_FILES].into_iter();
            failures
                .outlast(|| {
                    ready(codes.next().map_or(Ok(()), |it| Err(io::Error::from_raw_os_error(it))))
                })
                .await;
            assert!(begun.elapsed() >= 3 * PAUSE);
            assert_eq!(log.text().matches("cannot accept").count(), streak, "{}", log.text());
        }
    }

    #[tokio::test]
    async fn connections_have_the_send_buffer_that_was_asked_for() {
        let mut acceptor = Acceptor::bind("web", ANY, Some(32 << 10)).unwrap();
        let _client = TcpStream::connect(acceptor.addr()).await.unwrap();
        let (accepted, _) = acceptor.accept().await;
        let socket = TcpSocket::from_std_stream(accepted.into_std().unwrap());
        let size = socket.send_buffer_size().unwrap();
        // Linux doubles it, for its own bookkeeping.
        assert!((32 << 10..=64 << 10).contains(&size), "{size}");
    }
}
