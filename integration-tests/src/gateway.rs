//! A whole gateway in the test's process.

use std::net::{Ipv4Addr, SocketAddr};

use ::gateway::config::{Broker, Config, Listener, ListenerTransport, Rabbitmq, Secret};
use ::gateway::{Drained, Gateway, Running};
use rabbitmq_node::Vhost;

use crate::wait::within;

/// Any free port of this machine, reachable from it only.
const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A gateway on ports of its own. It is cut when it is dropped.
#[derive(Debug)]
pub struct TestGateway(Running);

impl TestGateway {
    /// The built-in configuration: the embedded broker, `guest`, one listener `web` with one
    /// route at `/ws`.
    pub fn embedded() -> Settings {
        let mut config = Config::builtin();
        for listener in config.listener.values_mut() {
            listener.bind = ANY_PORT;
        }
        config.admin.bind = Some(ANY_PORT);
        Settings(config)
    }

    /// As [`embedded`](Self::embedded), but in front of this virtual host of a RabbitMQ. Clients that
    /// name no virtual host get this one, and clients that send no login are its user.
    pub fn rabbitmq(vhost: &Vhost) -> Settings {
        Self::embedded().config(|config| {
            let url = format!("amqp://{}", vhost.amqp_addr());
            let url = vec![url.parse().expect("an address makes an endpoint")];
            let rabbitmq = Rabbitmq { url, ..Rabbitmq::default() };
            config.broker.insert("main".to_owned(), Broker::Rabbitmq(rabbitmq));
            for route in config.route.values_mut() {
                route.vhost = vhost.name().to_owned();
                route.default_login = Some(vhost.user().to_owned());
                route.default_passcode = Some(Secret::new(vhost.passcode()));
            }
        })
    }

    /// The address of the listener `web`.
    pub fn ws_addr(&self) -> SocketAddr {
        self.addr("web")
    }

    /// The address of this listener.
    pub fn addr(&self, listener: &str) -> SocketAddr {
        self.0.addr(listener).unwrap_or_else(|| panic!("no listener {listener}"))
    }

    /// The address of the admin listener.
    pub fn admin_addr(&self) -> SocketAddr {
        self.0.admin_addr().expect("the admin listener was configured")
    }

    /// Stops it in order.
    pub async fn stop(self) -> Drained {
        within("the drain", self.0.drain()).await
    }
}

/// A gateway to be started.
#[derive(Debug, Clone)]
#[must_use]
pub struct Settings(Config);

impl Settings {
    /// Changes the configuration.
    pub fn config(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.0);
        self
    }

    /// Adds a listener `plain` for STOMP over TCP, with a route `plain` like the one at `/ws`.
    pub fn with_stomp_tcp(self) -> Self {
        self.config(|config| {
            let transport = ListenerTransport::StompTcp;
            let plain = Listener { transport, ..config.listener["web"].clone() };
            config.listener.insert("plain".to_owned(), plain);
            let mut route = config.route["stomp"].clone();
            route.listener = "plain".to_owned();
            route.protocols = vec!["stomp".to_owned()];
            config.route.insert("plain".to_owned(), route);
        })
    }

    /// Starts it; panics with the reason if it does not start.
    pub async fn start(self) -> TestGateway {
        let started = within("the start", Gateway::new(self.0).start()).await;
        TestGateway(started.unwrap_or_else(|error| panic!("{error}")))
    }
}
