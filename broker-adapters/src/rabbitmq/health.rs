//! Whether RabbitMQ can be reached.

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use protocols::broker::{BrokerError, BrokerErrorKind};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::tls::Trust;
use super::{Endpoint, Settings};
use crate::lock::lock;

/// How often the endpoints are tried while no connection is open.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// What is known about RabbitMQ: an open connection says that it is there, else a check does.
#[derive(Debug)]
pub(super) struct Health {
    /// Connections that are open.
    open: AtomicUsize,
    /// What the last check found. Means nothing while a connection is open.
    checked: Mutex<Result<(), BrokerError>>,
    /// The last connection was lost: a check is due.
    lost: Notify,
}

impl Health {
    pub(super) fn new() -> Self {
        Self {
            open: AtomicUsize::new(0),
            checked: Mutex::new(unavailable("RabbitMQ was not looked for yet")),
            lost: Notify::new(),
        }
    }

    /// *Errors.* Which endpoint said what.
    pub(super) fn ready(&self) -> Result<(), BrokerError> {
        if self.open.load(Ordering::Relaxed) > 0 { Ok(()) } else { lock(&self.checked).clone() }
    }

    /// A connection was opened, so RabbitMQ was there.
    pub(super) fn opened(&self) {
        self.report(Ok(()));
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection ended, by itself or as we wanted.
    pub(super) fn closed(&self, is_lost: bool) {
        let was_last = self.open.fetch_sub(1, Ordering::Relaxed) == 1;
        if is_lost && was_last {
            self.away("the connection to RabbitMQ was lost");
            self.lost.notify_one();
        }
    }

    /// An attempt to connect did not reach RabbitMQ. An open connection knows better.
    pub(super) fn away(&self, said: &str) {
        if self.open.load(Ordering::Relaxed) == 0 {
            self.report(unavailable(said));
        }
    }

    /// Keeps what was found. Tells the operator when it is not what was known.
    fn report(&self, found: Result<(), BrokerError>) {
        let known = std::mem::replace(&mut *lock(&self.checked), found.clone());
        match (known, found) {
            (Ok(()), Err(reason)) => warn!(%reason, "RabbitMQ cannot be reached"),
            (Err(_), Ok(())) => info!("RabbitMQ can be reached"),
            (Err(known), Err(reason)) if known != reason => {
                debug!(%reason, "RabbitMQ still cannot be reached");
            }
            _ => {}
        }
    }

    /// Looks for RabbitMQ until it is told to stop.
    pub(super) async fn monitor(
        &self,
        settings: &Settings,
        trust: &Trust,
        stop: &CancellationToken,
    ) {
        loop {
            if self.open.load(Ordering::Relaxed) == 0 {
                let depth = if self.ready().is_ok() { Depth::Tcp } else { Depth::Amqp };
                let found = tokio::select! {
                    found = look(settings, trust, depth) => found,
                    () = stop.cancelled() => return,
                };
                self.report(found);
            }
            tokio::select! {
                () = sleep(CHECK_INTERVAL) => {}
                () = self.lost.notified() => {}
                () = stop.cancelled() => return,
            }
        }
    }
}

/// How far a look goes. RabbitMQ writes a line to its log for every handshake that was begun and
/// left, so that one that is known to speak AMQP is not asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// Whether it takes TCP connections.
    Tcp,
    /// Whether it can be trusted, where TLS is wanted, and answers as AMQP 0-9-1 does.
    Amqp,
}

/// Whether there is a RabbitMQ at one of the endpoints.
async fn look(settings: &Settings, trust: &Trust, depth: Depth) -> Result<(), BrokerError> {
    let limit = settings.connect_timeout;
    let mut said = Said::default();
    for endpoint in &settings.endpoints {
        match timeout(limit, knock(endpoint, trust, depth)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => said.add(endpoint, &error.to_string()),
            Err(_) => said.add(endpoint, &format!("no answer within {limit:?}")),
        }
    }
    unavailable(&said.0)
}

async fn knock(endpoint: &Endpoint, trust: &Trust, depth: Depth) -> io::Result<()> {
    let socket = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await?;
    match depth {
        Depth::Tcp => Ok(()),
        Depth::Amqp if endpoint.tls => greet(trust.connect(&endpoint.host, socket).await?).await,
        Depth::Amqp => greet(socket).await,
    }
}

/// Sends the protocol header, which is answered with `connection.start`, a method frame (AMQP 0-9-1
/// §4.2.2, §4.2.3).
async fn greet(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    stream.write_all(b"AMQP\x00\x00\x09\x01").await?;
    match stream.read_u8().await? {
        1 => Ok(()),
        other => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("expected a method frame of AMQP 0-9-1, which begins with 1, got {other}"),
        )),
    }
}

fn unavailable(text: &str) -> Result<(), BrokerError> {
    Err(BrokerError::new(BrokerErrorKind::Unavailable, text))
}

/// Which endpoint said what, as a list.
#[derive(Debug, Default)]
pub(super) struct Said(pub(super) String);

impl Said {
    pub(super) fn add(&mut self, endpoint: &Endpoint, what: &str) {
        let separator = if self.0.is_empty() { "" } else { "; " };
        self.0.push_str(&format!("{separator}{endpoint}: {what}"));
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// What a look finds where whoever connects is answered so, and then nothing more.
    async fn found(answer: &'static [u8], depth: Depth) -> Result<(), BrokerError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let endpoint = Endpoint { host: "127.0.0.1".into(), port: address.port(), tls: false };
        let settings = Settings {
            endpoints: vec![endpoint],
            connect_timeout: Duration::from_millis(200),
            ..Settings::default()
        };
        let trust = Trust::new(None);
        let answering = async {
            let mut peers = Vec::new();
            loop {
                let mut peer = listener.accept().await.unwrap().0;
                peer.write_all(answer).await.unwrap();
                peers.push(peer);
            }
        };
        tokio::select! {
            found = look(&settings, &trust, depth) => found,
            () = answering => unreachable!("it goes on for ever"),
        }
    }

    #[tokio::test]
    async fn who_takes_connections_and_does_not_speak_amqp_is_no_rabbitmq() {
        assert_eq!(found(b"\x01", Depth::Amqp).await, Ok(()));
        let other = found(b"HTTP/1.1 400", Depth::Amqp).await.unwrap_err();
        assert!(other.text.contains("expected a method frame of AMQP 0-9-1"), "{other}");
        let silent = found(b"", Depth::Amqp).await.unwrap_err();
        assert!(silent.text.contains("no answer within"), "{silent}");
        assert_eq!(found(b"", Depth::Tcp).await, Ok(()));
    }

    #[test]
    fn rabbitmq_is_away_once_the_last_connection_was_lost() {
        let health = Health::new();
        assert!(health.ready().is_err(), "not looked for yet");
        health.opened();
        health.opened();
        health.closed(true);
        health.away("one endpoint of two is silent");
        assert_eq!(health.ready(), Ok(()));
        health.closed(false);
        assert_eq!(health.ready(), Ok(()), "closed by us, after nothing was wrong with it");
        health.opened();
        health.closed(true);
        let error = health.ready().expect_err("the last one was lost");
        assert_eq!(error.text, "the connection to RabbitMQ was lost");
    }
}
