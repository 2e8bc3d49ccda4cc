//! From a configuration to a running gateway.

mod logins;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use broker_adapters::Broker;
use broker_adapters::embedded::{self, Embedded};
use broker_adapters::rabbitmq::RabbitMq;
use protocols::policy::Policy;
use protocols::stomp::Stomp;
use protocols::stomp::compat::Switch;
use protocols::text::Text;
use protocols::{Registry, Subprotocol};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use self::logins::{Realms, Served};
use crate::acceptor::Acceptor;
use crate::admin::{self, Health};
use crate::config::{self, Config, ConfigErrors};
use crate::drain::Drain;
use crate::hub::outbox::Overflow;
use crate::hub::share::Pending;
use crate::hub::{self, Hub};
use crate::listener::{self, ListenerState};
use crate::route::{Route, Tuning};
use crate::running::Running;

/// A gateway that has not been started.
pub struct Gateway {
    config: Config,
    registry: Registry,
}

/// Why a gateway could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is wrong.
    #[error("{0}")]
    Config(#[from] ConfigErrors),
    /// An address cannot be listened on.
    #[error("{key} = {addr}: cannot listen there: {source}")]
    Bind {
        /// The configuration key that names the address.
        key: String,
        /// The address.
        addr: SocketAddr,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// There are no random numbers, without which nothing is secret.
    #[error("the operating system gives no random numbers: {0}")]
    Random(getrandom::Error),
}

impl Gateway {
    /// A gateway with this configuration that speaks every protocol of [`protocols`].
    pub fn new(config: Config) -> Self {
        Self { config, registry: Registry::standard() }
    }

    /// Adds a sub-protocol of one's own; routes name it by its id.
    #[must_use]
    pub fn with_subprotocol(mut self, protocol: Arc<dyn Subprotocol>) -> Self {
        self.registry = self.registry.with(protocol);
        self
    }

    /// Checks the configuration, binds every listener and serves.
    ///
    /// *Errors.* Everything wrong with the configuration, or the first address that cannot be
    /// listened on; nothing runs then.
    pub async fn start(self) -> Result<Running, StartError> {
        let Self { config, registry } = self;
        config.validate(&registry)?;
        let realms = logins::realms(&config)?;
        let brokers: BTreeMap<_, _> = config
            .broker
            .iter()
            .map(|(name, broker)| (name.clone(), Backend::new(broker)))
            .collect();
        let drain = Drain::new(config.drain.spread.0);
        let connections = TaskTracker::new();

        let mut bound = Vec::new();
        for (name, settings) in &config.listener {
            let key = format!("listener.{name}.bind");
            let send_buffer = u32::try_from(settings.socket_send_buffer.0)
                .expect("a valid configuration stays below what the operating system counts");
            let acceptor = bind(name, key, settings.bind, Some(send_buffer))?;
            let state = ListenerState {
                name: name.clone(),
                routes: routes(name, &config, &registry, (&brokers, &realms)),
                transport: settings.transport,
                tcp_keepalive: settings.tcp_keepalive.0,
                rawsocket_pings: settings.rawsocket_pings,
                tuning: tuning(settings),
                max_connections: settings.max_connections,
                drain: drain.clone(),
                tracker: connections.clone(),
            };
            bound.push((acceptor, Arc::new(state)));
        }
        let admin = match config.admin.bind {
            Some(addr) => Some(bind("admin", "admin.bind", addr, None)?),
            None => None,
        };

        let mut bridges = JoinSet::new();
        let stop_bridges = CancellationToken::new();
        for worker in logins::bridges(&config, &brokers, &realms)? {
            bridges.spawn(worker.run(stop_bridges.clone().cancelled_owned()));
        }
        let hubs = brokers.values().map(|backend| Arc::clone(&backend.hub)).collect();
        let brokers: BTreeMap<_, _> =
            brokers.into_iter().map(|(name, backend)| (name, backend.broker)).collect();
        let mut accepting = JoinSet::new();
        let mut addrs = BTreeMap::new();
        for (acceptor, state) in bound {
            let addr = acceptor.addr();
            info!(listener = state.name, %addr, "listening");
            addrs.insert(state.name.clone(), addr);
            accepting.spawn(listener::serve(acceptor, state));
        }
        let mut admin_task = JoinSet::new();
        let admin = admin.map(|acceptor| {
            let addr = acceptor.addr();
            info!(%addr, "admin listening");
            let health = Health { drain: drain.clone(), brokers: brokers.clone() };
            admin_task.spawn(admin::serve(acceptor, Arc::new(health)));
            addr
        });
        let grace = config.drain.grace.0;
        Ok(Running {
            addrs,
            admin,
            drain,
            grace,
            accepting,
            admin_task,
            connections,
            bridges,
            stop_bridges,
            hubs,
            brokers,
        })
    }
}

fn bind(
    name: &str,
    key: impl Into<String>,
    addr: SocketAddr,
    send_buffer: Option<u32>,
) -> Result<Acceptor, StartError> {
    Acceptor::bind(name, addr, send_buffer).map_err(|source| StartError::Bind {
        key: key.into(),
        addr,
        source,
    })
}

/// A broker, and what the gateway itself checks about its users.
struct Backend {
    broker: Arc<dyn Broker>,
    /// What the sessions in front of it share.
    hub: Arc<Hub>,
    loopback_users: Arc<[Text]>,
    /// Begins the names of queues that sessions make up; `None` for the default.
    queue_prefix: Option<Text>,
}

impl Backend {
    fn new(broker: &config::Broker) -> Self {
        match broker {
            config::Broker::Embedded(settings) => Self::embedded(settings),
            config::Broker::Rabbitmq(settings) => {
                let broker: Arc<dyn Broker> = Arc::new(RabbitMq::start(settings.into()));
                let hub = hub::Settings {
                    prefetch: settings.inbox_prefetch,
                    trusted: settings.login_cache.0,
                };
                Self {
                    hub: Hub::new(Arc::clone(&broker), hub),
                    broker,
                    loopback_users: texts(&settings.loopback_users),
                    queue_prefix: Some(Text::from(settings.queue_prefix.as_str())),
                }
            }
        }
    }

    fn embedded(settings: &config::Embedded) -> Self {
        let users = settings.user.iter().map(|(login, user)| embedded::User {
            login: Text::from(login.as_str()),
            passcode: user.passcode.clone(),
            vhosts: user.vhosts.as_deref().map(texts),
        });
        let exchanges = settings.exchange.iter().map(|(name, it)| embedded::DeclaredExchange {
            name: Text::from(name.as_str()),
            kind: it.kind.into(),
            internal: it.internal,
            vhosts: it.vhosts.as_deref().map(texts),
        });
        let embedded = Embedded::new(embedded::Settings {
            vhosts: texts(&settings.vhosts),
            exchanges: exchanges.collect(),
            users: users.collect(),
            memory_limit: settings.memory_limit.0,
            link_buffer: settings.link_buffer.0,
            private_queue_bytes: settings.private_queue_bytes.0,
            resume_messages: settings.resume_messages,
            resume_bytes: settings.resume_bytes.0,
            max_queues: settings.max_queues,
            max_private_queues: settings.max_private_queues,
            max_topic_words: settings.max_topic_words,
            max_topic_hashes: settings.max_topic_hashes,
            max_argument_bytes: settings.max_argument_bytes.0,
        });
        let loopback_users = texts(&settings.loopback_users);
        let broker: Arc<dyn Broker> = Arc::new(embedded);
        // Its link's buffer bounds them, and nobody's rights change.
        let hub = hub::Settings { prefetch: u16::MAX, trusted: Duration::MAX };
        let hub = Hub::new(Arc::clone(&broker), hub);
        Self { broker, hub, loopback_users, queue_prefix: None }
    }
}

fn texts<C: FromIterator<Text>>(names: &[String]) -> C {
    names.iter().map(|name| Text::from(name.as_str())).collect()
}

/// The routes of one listener. Every name has been checked to mean something.
fn routes(
    listener: &str,
    config: &Config,
    registry: &Registry,
    (brokers, realms): (&BTreeMap<String, Backend>, &Realms),
) -> Vec<Arc<Route>> {
    let served = config.route.iter().filter(|(_, route)| route.listener == listener);
    let route = |(name, settings): (&String, &config::Route)| {
        let backend = brokers.get(&settings.broker)?;
        let realms = realms.get(&settings.broker)?;
        let known = settings.protocols.iter().filter_map(|id| registry.find(id).cloned());
        let protocols: Vec<_> = known.collect();
        let stomp = protocols.iter().find(|protocol| protocol.id() == Stomp.id());
        let takes_any = settings.compat.has(Switch::AnySubprotocol);
        Some(Arc::new(Route {
            name: name.clone(),
            path: settings.path.clone(),
            fallback: stomp.filter(|_| takes_any).cloned(),
            protocols,
            policy: Arc::new(policy(settings, backend, realms)),
            max_message_size: settings.max_message_size(),
            logins: logins::logins(config, settings, backend),
            hub: Arc::clone(&backend.hub),
            realms: Arc::clone(&realms.common),
            pending: pending(settings),
        }))
    };
    served.filter_map(route).collect()
}

fn policy(route: &config::Route, backend: &Backend, realms: &Served) -> Policy {
    let mut policy = route.policy();
    policy.wamp.realms = realms.settings.clone();
    if let Some(prefix) = &backend.queue_prefix {
        policy.stomp.queue_prefix = prefix.clone();
    }
    policy
}

fn pending(route: &config::Route) -> Pending {
    let overflow = match route.slow_clients {
        config::SlowClients::Disconnect => Overflow::Disconnect,
        config::SlowClients::DropOldest => Overflow::DropOldest,
        config::SlowClients::Conflate => Overflow::Conflate(Text::from(route.conflate_by.as_str())),
    };
    Pending { bytes: route.limits.pending_bytes.0, overflow }
}

fn tuning(settings: &config::Listener) -> Tuning {
    Tuning {
        handshake_timeout: settings.handshake_timeout.0,
        write_timeout: settings.write_timeout.0,
        publish_timeout: settings.publish_timeout.0,
        close_timeout: settings.close_timeout.0,
        output_high_water: settings.output_high_water.0,
    }
}
