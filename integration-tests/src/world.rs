//! [`World`]: a gateway in front of either broker, and who may log in to it.

use std::net::SocketAddr;

use ::gateway::config::Config;
use rabbitmq_node::{Node, Vhost};

use crate::gateway::TestGateway;
use crate::http::Request;
use crate::raw_ws::RawWs;
use crate::stomp::{StompClient, StompFrame};

/// A gateway, and who may log in to it.
#[derive(Debug)]
pub struct World {
    /// The gateway; there may be more in front of the same broker.
    pub gateway: TestGateway,
    /// The virtual host of its clients.
    pub vhost: String,
    /// Their login.
    pub user: String,
    /// Their passcode.
    pub passcode: String,
    /// The RabbitMQ behind it; `None` for the embedded broker.
    pub rabbitmq: Option<Vhost>,
}

impl World {
    /// In front of the embedded broker.
    pub async fn embedded() -> Self {
        Self::embedded_with(|_| {}).await
    }

    /// The same, configured so.
    pub async fn embedded_with(change: impl FnOnce(&mut Config)) -> Self {
        let gateway = TestGateway::embedded().config(change).start().await;
        let [vhost, user, passcode] = ["/", "guest", "guest"].map(str::to_owned);
        Self { gateway, vhost, user, passcode, rabbitmq: None }
    }

    /// In front of a virtual host of its own, with a user of its own, on the RabbitMQ that all tests
    /// of the process share.
    pub async fn rabbitmq() -> Self {
        Self::rabbitmq_with(|_| {}).await
    }

    /// The same, configured so.
    pub async fn rabbitmq_with(change: impl FnOnce(&mut Config)) -> Self {
        let host = Node::shared().await.vhost().await;
        let gateway = TestGateway::rabbitmq(&host).config(change).start().await;
        Self::rabbitmq_at(gateway, host)
    }

    /// A gateway in front of this virtual host, whose user its clients are.
    pub fn rabbitmq_at(gateway: TestGateway, host: Vhost) -> Self {
        let [vhost, user, passcode] =
            [host.name(), host.user(), host.passcode()].map(str::to_owned);
        Self { gateway, vhost, user, passcode, rabbitmq: Some(host) }
    }

    /// Where the listener `web` is.
    pub fn ws_addr(&self) -> SocketAddr {
        self.gateway.ws_addr()
    }

    /// A client that is logged in with STOMP 1.2.
    pub async fn client(&self) -> StompClient {
        self.client_of("1.2").await
    }

    /// A client that is logged in with this version.
    pub async fn client_of(&self, version: &str) -> StompClient {
        let (client, connected) = self.client_with(&[("accept-version", version)]).await;
        assert_eq!(connected.header("version"), Some(version), "{connected:?}");
        client
    }

    /// A client that has logged in with these headers besides; with the CONNECTED frame.
    pub async fn client_with(&self, headers: &[(&str, &str)]) -> (StompClient, StompFrame) {
        self.log_in(&Request::upgrade("/ws"), headers).await
    }

    /// A client on a new connection that was opened with this request and has logged in with these
    /// headers besides; with the CONNECTED frame.
    pub async fn log_in(
        &self,
        request: &Request,
        headers: &[(&str, &str)],
    ) -> (StompClient, StompFrame) {
        self.log_in_at(self.ws_addr(), request, headers).await
    }

    /// The same at another gateway.
    pub async fn log_in_at(
        &self,
        address: SocketAddr,
        request: &Request,
        headers: &[(&str, &str)],
    ) -> (StompClient, StompFrame) {
        let mut client = StompClient::over(RawWs::open(address, request).await);
        let login = [
            ("host", self.vhost.as_str()),
            ("login", self.user.as_str()),
            ("passcode", self.passcode.as_str()),
        ];
        let own = login.iter().filter(|(name, _)| headers.iter().all(|(other, _)| other != name));
        let all: Vec<(&str, &str)> = own.chain(headers).copied().collect();
        client.send("CONNECT", &all, "").await;
        let connected = client.expect("CONNECTED").await;
        (client, connected)
    }
}
