//! One AMQP connection: opened, watched and closed in order.
//!
//! The socket is ours until AMQP is spoken, and stays ours to cut: lapin writes nothing while
//! RabbitMQ holds a connection back, not even `connection.close`, and has no limit for a handshake.

use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use lapin::protocol::constants::{FRAME_MIN_SIZE, REPLY_SUCCESS};
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{ChannelStatus, ConnectionProperties, ConnectionState, ErrorKind, Event};
use protocols::broker::BrokerError;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::channel::Channel;
use super::error::broker_error;
use super::health::Health;
use super::login::{Failure, Login};
use super::returns::Returns;
use super::screened::{self, Socket, screened};
use super::tls::Trust;
use super::{Endpoint, Settings};
use crate::lock::lock;

/// How long RabbitMQ may take to answer `connection.close`; then the socket is closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a connection is looked at whose end lapin did not report.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// What a connection is for. RabbitMQ holds those back that publish; what is consumed, and settled,
/// goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Messages to RabbitMQ.
    Publish,
    /// Messages from RabbitMQ, and declarations.
    Consume,
}

impl Side {
    /// What RabbitMQ shows as the connection's name.
    fn name(self) -> &'static str {
        match self {
            Self::Publish => "gateway publish",
            Self::Consume => "gateway consume",
        }
    }
}

/// What became of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    Open,
    /// RabbitMQ holds it back (`connection.blocked`).
    Blocked,
    Over,
}

/// An open AMQP connection, or what is left of one.
pub(super) struct Connection {
    amqp: lapin::Connection,
    side: Side,
    runtime: Handle,
    /// For log lines.
    endpoint: Endpoint,
    login: Login,
    /// Changes with every event that channels wait for.
    condition: watch::Sender<Condition>,
    /// Whether `condition` is `Blocked`, for those who ask with every message.
    blocked: AtomicBool,
    /// Closed by us, so its end is no loss.
    closing: AtomicBool,
    /// Taken when it ends.
    cut: Mutex<Option<Cut>>,
    /// Where to leave why RabbitMQ closed a channel. Only for publishing channels: consumers are told
    /// by lapin. Those that are gone are taken out when room is needed.
    refusals: Mutex<Vec<(ChannelStatus, Weak<OnceLock<BrokerError>>)>>,
    /// Which channels messages have come back on.
    returns: Arc<Returns>,
}

/// Ends a connection below AMQP when dropped. Without it, lapin's thread waits for as long as the
/// peer is silent.
struct Cut(std::net::TcpStream);

impl Cut {
    fn new(socket: &impl AsFd) -> io::Result<Self> {
        Ok(Self(socket.as_fd().try_clone_to_owned()?.into()))
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        // It fails where the connection has ended already.
        drop(self.0.shutdown(Shutdown::Both));
    }
}

impl Connection {
    /// Logs in at one endpoint; takes `connect_timeout` at most. Then it is to be
    /// [watched](Self::watch).
    pub(super) async fn open(
        endpoint: &Endpoint,
        login: &Login,
        side: Side,
        settings: &Settings,
        trust: &Trust,
    ) -> Result<Self, Failure> {
        let limit = settings.connect_timeout;
        let returns = Arc::new(Returns::default());
        let login_in = log_in(endpoint, login, side, settings, trust, Arc::clone(&returns));
        let opened = timeout(limit, login_in).await;
        let (amqp, cut) =
            opened.map_err(|_| Failure::Away(format!("no answer within {limit:?}")))??;
        Ok(Self {
            amqp,
            side,
            runtime: Handle::current(),
            endpoint: endpoint.clone(),
            login: login.clone(),
            condition: watch::Sender::new(Condition::Open),
            blocked: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            cut: Mutex::new(Some(cut)),
            refusals: Mutex::default(),
            returns,
        })
    }

    /// A new channel. Waits for as long as RabbitMQ holds the connection back.
    pub(super) async fn channel(self: &Arc<Self>) -> lapin::Result<Channel> {
        let seen = Arc::new(Mutex::new(self.condition.subscribe()));
        let mut condition = self.condition.subscribe();
        // lapin leaves those without an answer who ask while the connection is being lost.
        let amqp = tokio::select! {
            amqp = self.amqp.create_channel() => amqp?,
            _ = condition.wait_for(|now| *now == Condition::Over) => {
                return Err(ErrorKind::InvalidConnectionState(ConnectionState::Error).into());
            }
        };
        let refusal = Arc::new(OnceLock::new());
        if self.side == Side::Publish {
            let mut refusals = lock(&self.refusals);
            if refusals.len() == refusals.capacity() {
                refusals.retain(|(_, refusal)| refusal.strong_count() > 0);
            }
            refusals.push((amqp.status().clone(), Arc::downgrade(&refusal)));
        }
        let returned = self.returns.of(amqp.id());
        Ok(Channel::new(amqp, Arc::clone(self), refusal, seen, returned))
    }

    /// Whether RabbitMQ holds it back. *Cost.* One relaxed load.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Relaxed)
    }

    /// What was negotiated.
    pub(super) fn configuration(&self) -> &lapin::Configuration {
        self.amqp.configuration()
    }

    /// Where channels are closed that somebody dropped.
    pub(super) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Whether channels can be opened on it.
    pub(super) fn is_open(&self) -> bool {
        self.amqp.status().connected() && !self.closing.load(Ordering::Relaxed)
    }

    /// Closes it as AMQP wants it, or by force where that takes too long.
    pub(super) async fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
        let close = self.amqp.close(REPLY_SUCCESS, "OK".into());
        if timeout(CLOSE_TIMEOUT, close).await.is_err() {
            debug!(endpoint = %self.endpoint, "connection.close was not answered in time");
        }
        self.condition.send_replace(Condition::Over);
    }

    /// Follows what happens to it, to its end. To be run once, in a task of its own.
    pub(super) fn watch(
        self: Arc<Self>,
        health: Arc<Health>,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> {
        // From here on nothing is missed: what was before is in the status.
        let events = self.amqp.events_listener().boxed();
        health.opened();
        info!(
            endpoint = %self.endpoint, user = %self.login.credentials.login,
            vhost = %self.login.vhost, side = ?self.side, "connected to RabbitMQ"
        );
        async move { self.watched(events, &health, &stop).await }
    }

    async fn watched(
        &self,
        events: BoxStream<'static, Event>,
        health: &Health,
        stop: &CancellationToken,
    ) {
        if self.amqp.status().blocked() {
            self.hold_back("held back from the start");
        }
        let why = self.follow(events, stop).await;
        self.blocked.store(false, Ordering::Relaxed);
        self.condition.send_replace(Condition::Over);
        drop(lock(&self.cut).take());
        let is_lost = !self.closing.load(Ordering::Relaxed) && !stop.is_cancelled();
        health.closed(is_lost);
        if is_lost {
            warn!(
                endpoint = %self.endpoint, user = %self.login.credentials.login,
                vhost = %self.login.vhost, side = ?self.side, reason = why.as_deref(),
                "lost the connection to RabbitMQ"
            );
        } else {
            info!(
                endpoint = %self.endpoint, user = %self.login.credentials.login,
                vhost = %self.login.vhost, side = ?self.side,
                "closed the connection to RabbitMQ"
            );
        }
    }

    /// Returns when the connection is over; says why if lapin does.
    async fn follow(
        &self,
        mut events: BoxStream<'static, Event>,
        stop: &CancellationToken,
    ) -> Option<String> {
        let mut condition = self.condition.subscribe();
        while self.amqp.status().connected() {
            let event = tokio::select! {
                event = events.next() => event,
                _ = condition.wait_for(|now| *now == Condition::Over) => return None,
                () = stop.cancelled() => return None,
                () = sleep(CHECK_INTERVAL) => continue,
            };
            match event {
                Some(Event::ConnectionBlocked(reason)) => self.hold_back(&reason),
                Some(Event::ConnectionUnblocked) => self.let_go(),
                Some(Event::Error(error)) if self.amqp.status().connected() => {
                    self.channel_closed(&error);
                }
                Some(Event::Error(error)) => return Some(broker_error(&error).text.to_string()),
                Some(_) => {}
                None => return None,
            }
        }
        None
    }

    fn hold_back(&self, reason: &str) {
        self.blocked.store(true, Ordering::Relaxed);
        self.condition.send_replace(Condition::Blocked);
        warn!(
            endpoint = %self.endpoint, user = %self.login.credentials.login,
            vhost = %self.login.vhost, side = ?self.side, reason, "RabbitMQ takes no messages now"
        );
    }

    fn let_go(&self) {
        self.blocked.store(false, Ordering::Relaxed);
        self.condition.send_replace(Condition::Open);
        info!(
            endpoint = %self.endpoint, user = %self.login.credentials.login,
            vhost = %self.login.vhost, side = ?self.side, "RabbitMQ takes messages again"
        );
    }

    /// lapin does not say which channel RabbitMQ closed: it is one that has closed and for which no
    /// reason is known. If several closed at once, each gets one of their reasons.
    fn channel_closed(&self, error: &lapin::Error) {
        let mut refusals = lock(&self.refusals);
        let closed = refusals.iter().position(|(status, refusal)| {
            refusal.strong_count() > 0 && !status.connected() && !status.closing()
        });
        if let Some(at) = closed
            && let Some(refusal) = refusals.swap_remove(at).1.upgrade()
        {
            // Just taken out, so nobody else sets it.
            drop(refusal.set(broker_error(error)));
        }
        drop(refusals);
        self.condition.send_modify(|_| ());
    }
}

/// TCP, TLS if the endpoint wants it, AMQP. Dropped halfway, it leaves nothing behind.
async fn log_in(
    endpoint: &Endpoint,
    login: &Login,
    side: Side,
    settings: &Settings,
    trust: &Trust,
    returns: Arc<Returns>,
) -> Result<(lapin::Connection, Cut), Failure> {
    let address = (endpoint.host.as_str(), endpoint.port);
    let socket = tokio::net::TcpStream::connect(address).await.map_err(away)?;
    socket.set_nodelay(true).map_err(away)?;
    let cut = Cut::new(&socket).map_err(away)?;
    let socket: Box<dyn Socket> = if endpoint.tls {
        Box::new(trust.connect(&endpoint.host, socket).await.map_err(away)?)
    } else {
        Box::new(socket)
    };
    let stream = Mutex::new(Some(screened(socket, returns)));
    let hand_over = async move |_, _| {
        lock(&stream).take().ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected).into())
    };
    let (uri, properties) = (uri(login, side, settings), properties(login, side));
    let runtime = screened::runtime();
    let amqp = lapin::Connection::connector(uri, runtime, hand_over, properties).await;
    Ok((amqp.map_err(|error| login.failure(&error))?, cut))
}

fn away(error: impl ToString) -> Failure {
    Failure::Away(error.to_string())
}

/// What lapin is to negotiate. The passcode is not in here, see [`Login`].
fn uri(login: &Login, side: Side, settings: &Settings) -> AMQPUri {
    let frame_max = match side {
        Side::Publish => {
            let wanted = u32::try_from(settings.publish_frame_size).unwrap_or(u32::MAX);
            Some(wanted.max(FRAME_MIN_SIZE))
        }
        Side::Consume => None,
    };
    let heartbeat = u16::try_from(settings.heartbeat.as_secs()).unwrap_or(u16::MAX);
    AMQPUri {
        // Neither is used: the stream is open already.
        scheme: AMQPScheme::AMQP,
        authority: AMQPAuthority {
            userinfo: AMQPUserInfo {
                username: login.credentials.login.to_string(),
                password: String::new(),
            },
            ..AMQPAuthority::default()
        },
        vhost: login.vhost.to_string(),
        query: AMQPQueryString { frame_max, heartbeat: Some(heartbeat), ..Default::default() },
    }
}

fn properties(login: &Login, side: Side) -> ConnectionProperties {
    ConnectionProperties::default()
        .with_connection_name(side.name().into())
        .with_client_property("product".into(), "gateway".into())
        .with_client_property("version".into(), env!("CARGO_PKG_VERSION").into())
        .with_auth_provider(login.clone())
}
