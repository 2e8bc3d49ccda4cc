//! Whether RabbitMQ can be reached.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use protocols::broker::{BrokerError, BrokerErrorKind};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

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
    pub(super) async fn monitor(&self, settings: &Settings, stop: &CancellationToken) {
        loop {
            if self.open.load(Ordering::Relaxed) == 0 {
                let found = tokio::select! {
                    found = look(&settings.endpoints, settings.connect_timeout) => found,
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

/// Whether an endpoint takes TCP connections.
async fn look(endpoints: &[Endpoint], limit: Duration) -> Result<(), BrokerError> {
    let mut said = Said::default();
    for endpoint in endpoints {
        let address = (endpoint.host.as_str(), endpoint.port);
        match timeout(limit, TcpStream::connect(address)).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => said.add(endpoint, &error.to_string()),
            Err(_) => said.add(endpoint, &format!("no answer within {limit:?}")),
        }
    }
    unavailable(&said.0)
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
    use super::*;

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
