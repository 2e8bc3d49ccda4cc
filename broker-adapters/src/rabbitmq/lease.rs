//! What RabbitMQ holds for one identity, and [`Lease`], a link's hold on it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use lapin::ErrorKind;
use lapin::options::ConfirmSelectOptions;
use protocols::auth::{Denial, DenialKind};
use protocols::broker::{BrokerError, BrokerErrorKind};
use protocols::text::Text;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::error;

use super::Settings;
use super::channel::Channel;
use super::connection::{Connection, Side};
use super::error::broker_error;
use super::flight::Flight;
use super::login::{Failure, Login, as_broker_error};
use super::pool::Pool;
use crate::lock::lock;

/// How many connections may be lost under a request for a channel before it fails: one that ends with
/// every attempt was ended because of it.
const MAX_LOST: usize = 2;

/// What there is for one virtual host, login and passcode.
pub(super) struct Entry {
    pub(super) login: Login,
    publish: Connections,
    consume: Connections,
    /// When RabbitMQ last let this login in; `None` once it refused it.
    verified: Mutex<Option<Instant>>,
    /// Leases that exist, counting those of logins that are under way.
    leases: watch::Sender<usize>,
    /// Exclusive queues that links of this identity declared, and which link it was.
    exclusive: Mutex<HashMap<Text, u64>>,
    /// Confirming channels that the links of a service login share.
    shared: Box<[tokio::sync::Mutex<Option<Arc<SharedChannel>>>]>,
    next_shared: AtomicUsize,
}

/// The connections of one side.
#[derive(Default)]
struct Connections {
    flight: Flight,
    /// In the order they were opened. Those that were lost are taken out when somebody looks.
    open: Mutex<Vec<Arc<Connection>>>,
    /// How many were ever opened.
    opened: AtomicUsize,
}

impl Connections {
    fn usable(&self) -> Vec<Arc<Connection>> {
        let mut open = lock(&self.open);
        open.retain(|connection| connection.is_open());
        open.clone()
    }

    fn is_empty(&self) -> bool {
        !lock(&self.open).iter().any(|connection| connection.is_open())
    }

    fn push(&self, connection: Arc<Connection>) {
        lock(&self.open).push(connection);
        self.opened.fetch_add(1, Ordering::Relaxed);
    }

    fn opened(&self) -> usize {
        self.opened.load(Ordering::Relaxed)
    }
}

impl Entry {
    pub(super) fn new(login: Login, settings: &Settings) -> Self {
        Self {
            login,
            publish: Connections::default(),
            consume: Connections::default(),
            verified: Mutex::default(),
            leases: watch::Sender::new(0),
            exclusive: Mutex::default(),
            shared: (0..settings.shared_channels.max(1)).map(|_| Default::default()).collect(),
            next_shared: AtomicUsize::new(0),
        }
    }

    /// How many leases there are, and whether that changes.
    pub(super) fn leases(&self) -> watch::Receiver<usize> {
        self.leases.subscribe()
    }

    /// Nobody has it, and nobody is about to.
    pub(super) fn is_unused(&self) -> bool {
        *self.leases.borrow() == 0
    }

    /// RabbitMQ has let it in.
    pub(super) fn is_in(&self) -> bool {
        lock(&self.verified).is_some()
    }

    /// How long it is worth keeping without a lease.
    pub(super) fn linger(&self, settings: &Settings) -> Duration {
        if self.consume.is_empty() && self.publish.is_empty() {
            self.consume.flight.stands_for().max(self.publish.flight.stands_for())
        } else {
            settings.idle_timeout
        }
    }

    /// Closes every connection.
    pub(super) async fn close(&self) {
        let connections =
            [&self.publish, &self.consume].map(|side| std::mem::take(&mut *lock(&side.open)));
        join_all(connections.iter().flatten().map(|connection| connection.close())).await;
    }

    fn side(&self, side: Side) -> &Connections {
        match side {
            Side::Publish => &self.publish,
            Side::Consume => &self.consume,
        }
    }

    /// What an attempt to connect says about the login.
    fn learn(&self, attempt: &Result<Arc<Connection>, Failure>) {
        match attempt {
            Ok(_) | Err(Failure::Full(_)) => *lock(&self.verified) = Some(Instant::now()),
            Err(Failure::Refused(_)) => *lock(&self.verified) = None,
            Err(Failure::Unable(_) | Failure::Away(_)) => {}
        }
    }
}

/// A link's hold on its identity's connections: they stay open while a lease exists, and
/// `idle_timeout` longer.
#[derive(Clone)]
pub(super) struct Lease(Arc<Hold>);

/// What clones of a lease share.
struct Hold {
    pool: Arc<Pool>,
    entry: Arc<Entry>,
    is_service: bool,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.entry.leases.send_modify(|leases| *leases -= 1);
    }
}

impl Lease {
    pub(super) fn new(pool: Arc<Pool>, entry: Arc<Entry>, is_service: bool) -> Self {
        entry.leases.send_modify(|leases| *leases += 1);
        Self(Arc::new(Hold { pool, entry, is_service }))
    }

    /// Has RabbitMQ let the login in, unless an open connection vouches for it.
    pub(super) async fn verify(&self) -> Result<(), Denial> {
        if self.is_vouched_for() {
            return Ok(());
        }
        let consume = &self.0.entry.consume;
        consume.flight.fly(|| self.is_vouched_for(), async || self.log_in().await).await
    }

    fn is_vouched_for(&self) -> bool {
        let Hold { pool, entry, is_service } = &*self.0;
        let limit = pool.settings().login_cache;
        // Nobody brought the passcode of a service login, so nobody can have brought an old one.
        let is_fresh = *is_service || lock(&entry.verified).is_some_and(|at| at.elapsed() < limit);
        is_fresh && !(entry.consume.is_empty() && entry.publish.is_empty())
    }

    async fn log_in(&self) -> Result<(), Denial> {
        let Hold { pool, entry, .. } = &*self.0;
        let attempt = pool.connect(&entry.login, Side::Consume).await;
        entry.learn(&attempt);
        match attempt {
            Ok(connection) if entry.consume.is_empty() => entry.consume.push(connection),
            // It was opened to see whether the login is still good.
            Ok(connection) => pool.close_later(connection),
            // The connections that are open took the last places, and they are what is needed.
            Err(Failure::Full(_)) if !entry.consume.is_empty() => {}
            Err(failure) => return Err(failure.into()),
        }
        Ok(())
    }

    /// A new channel on a connection of this side. Opens a connection if there is none, or another if
    /// no connection takes more channels. Waits for as long as RabbitMQ holds the connection back.
    ///
    /// *Errors.* `Unavailable` is worth trying again: RabbitMQ was not reached, now or just before.
    /// Others are not.
    pub(super) async fn channel(&self, side: Side) -> Result<Channel, BrokerError> {
        let connections = self.0.entry.side(side);
        let mut lost = 0;
        loop {
            let seen = connections.opened();
            for connection in connections.usable() {
                let error = match connection.channel().await {
                    Ok(channel) => return Ok(channel),
                    Err(error) => error,
                };
                if matches!(error.kind(), ErrorKind::ChannelsLimitReached) {
                    continue;
                }
                lost += 1;
                if connection.is_open() || lost == MAX_LOST {
                    return Err(broker_error(&error));
                }
            }
            let is_done = || connections.opened() > seen;
            let attempt = async || self.add_connection(side).await;
            connections
                .flight
                .fly(is_done, attempt)
                .await
                .map_err(|denial| self.refusal(denial))?;
        }
    }

    /// What a refused login means to those who were let in before. That of a service is the
    /// operator's fault, and they may go on once it is mended.
    fn refusal(&self, denial: Denial) -> BrokerError {
        if !self.is_service() || denial.kind == DenialKind::Unavailable {
            return as_broker_error(denial);
        }
        error!(login = %self.user(), "the broker refuses the service login: {}", denial.text);
        let text = "the broker refuses the gateway's own login";
        BrokerError::new(BrokerErrorKind::Unavailable, text)
    }

    async fn add_connection(&self, side: Side) -> Result<(), Denial> {
        let Hold { pool, entry, .. } = &*self.0;
        let attempt = pool.connect(&entry.login, side).await;
        entry.learn(&attempt);
        entry.side(side).push(attempt?);
        Ok(())
    }

    /// One of `shared_channels` publishing channels of the identity, in turn. They confirm.
    ///
    /// *Errors.* As [`channel`](Self::channel).
    pub(super) async fn shared_channel(&self) -> Result<Arc<SharedChannel>, BrokerError> {
        let Entry { shared, next_shared, .. } = &*self.0.entry;
        let at = next_shared.fetch_add(1, Ordering::Relaxed) % shared.len();
        let mut place = shared[at].lock().await;
        if let Some(shared) = place.as_ref().filter(|shared| shared.channel.is_open()) {
            return Ok(Arc::clone(shared));
        }
        let channel = self.channel(Side::Publish).await?;
        let confirming = channel.amqp().confirm_select(ConfirmSelectOptions::default()).await;
        confirming.map_err(|error| broker_error(&error))?;
        let shared = Arc::new(SharedChannel::new(channel));
        *place = Some(Arc::clone(&shared));
        Ok(shared)
    }

    pub(super) fn settings(&self) -> &Arc<Settings> {
        self.0.pool.settings()
    }

    pub(super) fn pool(&self) -> &Arc<Pool> {
        &self.0.pool
    }

    /// The login.
    pub(super) fn user(&self) -> &Text {
        &self.0.entry.login.credentials.login
    }

    pub(super) fn vhost(&self) -> &Text {
        &self.0.entry.login.vhost
    }

    /// Whether it is the gateway's own login, which many clients share.
    pub(super) fn is_service(&self) -> bool {
        self.0.is_service
    }

    /// Exclusive queues that links of this identity declared: name, and which link it was.
    pub(super) fn exclusive(&self) -> &Mutex<HashMap<Text, u64>> {
        &self.0.entry.exclusive
    }
}

/// A publishing channel that several links may use.
pub(super) struct SharedChannel {
    pub(super) channel: Channel,
    /// Held while a message is handed to lapin, so that confirms are counted in the order written.
    pub(super) publish_lock: Mutex<()>,
}

impl SharedChannel {
    pub(super) fn new(channel: Channel) -> Self {
        Self { channel, publish_lock: Mutex::new(()) }
    }
}
