//! [`Pool`]: connections to RabbitMQ, by identity.
//!
//! An identity is a virtual host, a login and a passcode. A wrong passcode is another identity: it
//! opens, and fails, a connection of its own and never joins the one of the right passcode.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use protocols::auth::Denial;
use protocols::broker::BrokerError;
use protocols::text::Text;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use super::Settings;
pub(super) use super::channel::Channel;
use super::connection::Connection;
pub(super) use super::connection::Side;
use super::health::{Health, Said};
use super::lease::Entry;
pub(super) use super::lease::{Lease, SharedChannel};
use super::login::{Failure, Login, unavailable};
use super::tls::Trust;
use crate::Identity;
use crate::lock::lock;

/// How long a shutdown waits for what links that were dropped still have to hand over.
const LAST_DEEDS: Duration = Duration::from_secs(4);

/// AMQP logins under way at a time; others wait for their turn. Each takes a thread, and RabbitMQ a
/// good part of a millisecond: when a connection was lost that a thousand identities come back from,
/// they are not to push each other over `connect_timeout`.
const LOGINS_UNDER_WAY: usize = 64;

/// The same for logins that are [large](Login::is_large), so that they keep only each other waiting.
const LARGE_LOGINS_UNDER_WAY: usize = 4;

/// See the module.
pub(super) struct Pool {
    settings: Arc<Settings>,
    trust: Arc<Trust>,
    health: Arc<Health>,
    /// The map's own hasher is keyed with randomness of this process, and passcodes are compared in
    /// constant time. `None` once the pool has closed.
    identities: Mutex<Option<HashMap<Login, Arc<Entry>>>>,
    /// Turns of logins, and of large ones.
    turns: [Semaphore; 2],
    /// The endpoint that worked last: the first to be tried next.
    endpoint: AtomicUsize,
    /// What links that were dropped still have to do.
    tracker: TaskTracker,
    /// Those who watch over connections and identities.
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Pool {
    /// Starts looking for RabbitMQ. To be called inside a tokio runtime, which is the one that
    /// everything runs on.
    pub(super) fn new(settings: Arc<Settings>) -> Arc<Self> {
        let (health, stop, tasks) =
            (Arc::new(Health::new()), CancellationToken::new(), TaskTracker::new());
        let trust = Arc::new(Trust::new(settings.tls_ca.clone()));
        let looking =
            (Arc::clone(&health), Arc::clone(&settings), Arc::clone(&trust), stop.clone());
        tasks.spawn(async move {
            let (health, settings, trust, stop) = looking;
            health.monitor(&settings, &trust, &stop).await;
        });
        Arc::new(Self {
            trust,
            settings,
            health,
            identities: Mutex::new(Some(HashMap::new())),
            turns: [LOGINS_UNDER_WAY, LARGE_LOGINS_UNDER_WAY].map(Semaphore::new),
            endpoint: AtomicUsize::new(0),
            tracker: TaskTracker::new(),
            tasks,
            stop,
        })
    }

    /// Lets the identity in: by an open connection that vouches for it, else by a new AMQP login.
    pub(super) async fn open(
        self: &Arc<Self>,
        vhost: Text,
        identity: &Identity,
    ) -> Result<Lease, Denial> {
        let login = Login::new(vhost, identity.credentials.clone())?;
        let lease = self.lease(login, identity.is_service)?;
        lease.verify().await?;
        Ok(lease)
    }

    fn lease(self: &Arc<Self>, login: Login, is_service: bool) -> Result<Lease, Denial> {
        let mut identities = lock(&self.identities);
        let identities = identities.as_mut().ok_or_else(closing)?;
        if let Some(entry) = identities.get(&login) {
            return Ok(Lease::new(Arc::clone(self), Arc::clone(entry), is_service));
        }
        self.make_room(identities)?;
        let entry = Arc::new(Entry::new(login.clone(), &self.settings));
        identities.insert(login, Arc::clone(&entry));
        let lease = Lease::new(Arc::clone(self), Arc::clone(&entry), is_service);
        self.tasks.spawn(Arc::clone(self).keep(entry));
        Ok(lease)
    }

    /// Sees to it that there is a place for one more identity. Whoever is not in yet has none: there
    /// are as many of those as connections of clients, for the time a login takes.
    ///
    /// *Errors.* All places are taken by identities that somebody uses.
    ///
    /// *Cost.* O(n) in the identities, once there are `max_identities`.
    fn make_room(&self, identities: &mut HashMap<Login, Arc<Entry>>) -> Result<(), Denial> {
        let max = self.settings.max_identities;
        if identities.len() < max {
            return Ok(());
        }
        if let Some(unused) = identities.values().find(|entry| entry.is_unused()).cloned() {
            identities.remove(&unused.login);
            self.tasks.spawn(async move { unused.close().await });
            return Ok(());
        }
        let taken = identities.values().filter(|entry| entry.is_in()).count();
        if taken < max { Ok(()) } else { Err(full(max)) }
    }

    /// Keeps an identity until nobody has needed it for long enough.
    async fn keep(self: Arc<Self>, entry: Arc<Entry>) {
        let mut leases = entry.leases();
        loop {
            tokio::select! {
                // An error would say that the entry is gone, but it is held here.
                _ = leases.wait_for(|leases| *leases == 0) => {}
                () = self.stop.cancelled() => return,
            }
            tokio::select! {
                _ = leases.changed() => continue,
                () = sleep(entry.linger(&self.settings)) => {}
                () = self.stop.cancelled() => return,
            }
            if self.forget(&entry) {
                entry.close().await;
                return;
            }
        }
    }

    /// Takes an identity out, unless somebody needs it again. It may have made room before, and have
    /// come back as another entry.
    fn forget(&self, entry: &Arc<Entry>) -> bool {
        let mut identities = lock(&self.identities);
        let is_unused = entry.is_unused();
        if is_unused
            && let Some(identities) = identities.as_mut()
            && identities.get(&entry.login).is_some_and(|found| Arc::ptr_eq(found, entry))
        {
            identities.remove(&entry.login);
        }
        is_unused
    }

    /// Opens a connection: at the endpoint that worked last, then at the others.
    pub(super) async fn connect(
        &self,
        login: &Login,
        side: Side,
    ) -> Result<Arc<Connection>, Failure> {
        let Self { settings, trust, .. } = self;
        let turn = self.turns[usize::from(login.is_large())].acquire().await;
        let _turn = turn.expect("a semaphore that nobody closes");
        let (count, first) = (settings.endpoints.len(), self.endpoint.load(Ordering::Relaxed));
        let (mut said, mut refusal) = (Said::default(), None);
        for at in (0..count).map(|offset| (first + offset) % count) {
            if self.stop.is_cancelled() {
                return Err(Failure::Unable(closing()));
            }
            let endpoint = &settings.endpoints[at];
            // Whoever gives up while an endpoint is silent leaves the next one to those after it.
            let moving_on = MovingOn { endpoint: &self.endpoint, next: (at + 1) % count };
            match Connection::open(endpoint, login, side, settings, trust).await {
                Ok(connection) => {
                    drop(moving_on);
                    self.endpoint.store(at, Ordering::Relaxed);
                    return Ok(self.adopt(connection));
                }
                Err(Failure::Away(why)) => said.add(endpoint, &why),
                Err(unable @ Failure::Unable(_)) => refusal = Some(unable),
                Err(refused) => {
                    drop(moving_on);
                    self.endpoint.store(at, Ordering::Relaxed);
                    return Err(refused);
                }
            }
        }
        Err(refusal.unwrap_or_else(|| {
            self.health.away(&said.0);
            Failure::Away(said.0)
        }))
    }

    fn adopt(&self, connection: Connection) -> Arc<Connection> {
        let connection = Arc::new(connection);
        let watch = Arc::clone(&connection).watch(Arc::clone(&self.health), self.stop.clone());
        self.tasks.spawn(watch);
        connection
    }

    /// Closes a connection that nobody uses.
    pub(super) fn close_later(&self, connection: Arc<Connection>) {
        self.tasks.spawn(async move { connection.close().await });
    }

    /// Whether logins can succeed now.
    ///
    /// *Errors.* Which endpoint said what.
    pub(super) fn ready(&self) -> Result<(), BrokerError> {
        self.health.ready()
    }

    /// Where links leave what they still have to do when they are dropped.
    pub(super) fn tracker(&self) -> &TaskTracker {
        &self.tracker
    }

    pub(super) fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// Lets nobody in any more, waits for the last deeds of links, and closes every connection.
    pub(super) async fn close(&self) {
        let identities = lock(&self.identities).take();
        self.tracker.close();
        if timeout(LAST_DEEDS, self.tracker.wait()).await.is_err() {
            warn!("shut down before RabbitMQ took the last messages of clients that had left");
        }
        let entries: Vec<_> = identities.into_iter().flatten().map(|(_, entry)| entry).collect();
        join_all(entries.iter().map(|entry| entry.close())).await;
        self.stop();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Ends all tasks; connections that are still open are closed behind them.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }
}

/// Makes the next endpoint the first to be tried, when dropped.
struct MovingOn<'a> {
    endpoint: &'a AtomicUsize,
    next: usize,
}

impl Drop for MovingOn<'_> {
    fn drop(&mut self) {
        self.endpoint.store(self.next, Ordering::Relaxed);
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let identities = lock(&self.identities).as_ref().map_or(0, HashMap::len);
        f.debug_struct("Pool")
            .field("endpoints", &self.settings.endpoints)
            .field("identities", &identities)
            .finish_non_exhaustive()
    }
}

fn closing() -> Denial {
    unavailable("the gateway is shutting down")
}

fn full(max: usize) -> Denial {
    unavailable(format!(
        "the gateway is connected for as many identities as it may be (max_identities = {max})"
    ))
}

#[cfg(test)]
mod tests;
