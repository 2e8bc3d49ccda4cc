//! RabbitMQ: AMQP 0-9-1 over lapin.

mod binder;
mod channel;
mod connection;
mod consume;
mod consumer;
mod declaring;
mod endpoint;
mod error;
mod flight;
mod guarded;
mod health;
mod in_flight;
mod inbox;
mod lasting;
mod lease;
mod ledger;
mod link;
mod login;
mod losses;
mod pool;
mod properties;
mod publish;
mod recover;
mod returns;
mod screen;
mod screened;
mod session;
mod subscription;
mod tls;
mod topology;
mod woken;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_core::future::BoxFuture;
use protocols::auth::Denial;
use protocols::broker::BrokerError;
use protocols::text::Text;

pub use endpoint::{Endpoint, EndpointError};
pub use tls::check_authorities;

use link::RabbitLink;
use pool::Pool;

use crate::{Broker, Identity, Link};

/// A RabbitMQ, or a cluster of them. Logins are RabbitMQ's own: every identity gets connections of
/// its own, opened with what it brought, and shares them between its links.
#[derive(Debug)]
pub struct RabbitMq {
    pool: Arc<Pool>,
}

impl RabbitMq {
    /// Starts to look for it; connections are opened when somebody logs in. To be called inside a
    /// tokio runtime.
    pub fn start(settings: Settings) -> Self {
        Self { pool: Pool::new(Arc::new(settings)) }
    }
}

impl Broker for RabbitMq {
    fn open(
        &self,
        vhost: Text,
        identity: Identity,
    ) -> BoxFuture<'_, Result<Box<dyn Link>, Denial>> {
        Box::pin(async move {
            let lease = self.pool.open(vhost, &identity).await?;
            Ok(Box::new(RabbitLink::new(lease)) as Box<dyn Link>)
        })
    }

    fn ready(&self) -> Result<(), BrokerError> {
        self.pool.ready()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.pool.close())
    }
}

impl Drop for RabbitMq {
    fn drop(&mut self) {
        self.pool.stop();
    }
}

/// How a RabbitMQ is reached and used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where it listens; tried in turn. At least one.
    pub endpoints: Vec<Endpoint>,
    /// A PEM file of certificate authorities to trust for `amqps`; `None` for the system's.
    pub tls_ca: Option<PathBuf>,
    /// Longest time for one connection, from TCP to `connection.open-ok`.
    pub connect_timeout: Duration,
    /// AMQP heart-beats: a peer that is silent for twice as long is given up. Whole seconds.
    pub heartbeat: Duration,
    /// How long an open connection vouches for the login it was opened with.
    pub login_cache: Duration,
    /// How long a connection stays open when nobody uses it.
    pub idle_timeout: Duration,
    /// Most identities (virtual host, login and passcode) with connections at a time.
    pub max_identities: usize,
    /// Bytes of the largest AMQP frame on connections that publish; a message's properties must fit
    /// into one. Each such connection costs about 64 times as much memory at worst.
    pub publish_frame_size: usize,
    /// Messages that one link may have published and not yet seen taken.
    pub window_messages: usize,
    /// Bytes of messages that one link may have published and not yet seen taken; one message is
    /// let through however large.
    pub window_bytes: usize,
    /// Publishing channels that the links of a service login share.
    pub shared_channels: usize,
    /// How long a link waits for a broker that went away before it is down.
    pub recovery_timeout: Duration,
    /// How long an inbox collects for a link that lost its connection, or ended without a word.
    pub inbox_expires: Duration,
    /// Messages that wait in an inbox at most; with one more its subscription ends. Those that were
    /// delivered and are not settled yet do not count.
    pub inbox_messages: usize,
    /// Messages that wait for a lasting subscription at most; with one more the oldest goes, and its
    /// owner is told of a gap.
    pub resume_messages: usize,
    /// Bytes of their bodies that wait at most, likewise.
    pub resume_bytes: usize,
    /// The exchange that topics live in.
    pub topic_exchange: Text,
    /// What the names of queues begin with that the gateway makes.
    pub queue_prefix: Text,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            tls_ca: None,
            connect_timeout: Duration::from_secs(5),
            heartbeat: Duration::from_secs(10),
            login_cache: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(30),
            max_identities: 1_000,
            publish_frame_size: 16 << 10,
            window_messages: 1_000,
            window_bytes: 4 << 20,
            shared_channels: 4,
            recovery_timeout: Duration::from_secs(60),
            inbox_expires: Duration::from_secs(60),
            inbox_messages: 100_000,
            resume_messages: 10_000,
            resume_bytes: 64 << 20,
            topic_exchange: Text::from_static("amq.topic"),
            queue_prefix: Text::from_static("stomp-subscription-gw-"),
        }
    }
}
