//! How the clients of these tests log in, and come back after they were told to go.

use std::net::SocketAddr;
use std::time::Duration;

use integration_tests::{Incoming, RawWs, Request, StompClient, TestGateway};
use rabbitmq_node::{Vhost, within};

/// How long a client waits that was turned away, before it comes again.
const PAUSE: Duration = Duration::from_millis(500);

/// Where a client logs in, and as whom.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    gateway: SocketAddr,
    vhost: String,
    login: String,
    passcode: String,
}

impl Access {
    /// As the virtual host's user.
    pub(crate) fn new(gateway: &TestGateway, vhost: &Vhost) -> Self {
        Self {
            gateway: gateway.ws_addr(),
            vhost: vhost.name().to_owned(),
            login: vhost.user().to_owned(),
            passcode: vhost.passcode().to_owned(),
        }
    }

    /// A session. Whoever is turned away, because the broker is, comes again.
    pub(crate) async fn log_in(&self) -> StompClient {
        within("a login", async {
            loop {
                match self.knock().await {
                    Ok(client) => return client,
                    Err(why) => assert_eq!(why, "Broker unavailable"),
                }
                tokio::time::sleep(PAUSE).await;
            }
        })
        .await
    }

    /// A session, or the message of the ERROR there was instead.
    async fn knock(&self) -> Result<StompClient, String> {
        let ws = RawWs::open(self.gateway, &Request::upgrade("/ws")).await;
        let mut client = StompClient::over(ws);
        let headers = [
            ("accept-version", "1.2"),
            ("host", self.vhost.as_str()),
            ("login", self.login.as_str()),
            ("passcode", self.passcode.as_str()),
        ];
        client.send("CONNECT", &headers, "").await;
        let answer = client.recv().await;
        match answer.verb.as_str() {
            "CONNECTED" => Ok(client),
            "ERROR" => {
                client.closing().await;
                Err(answer.expect_header("message").to_owned())
            }
            _ => panic!("{answer:?}"),
        }
    }
}

/// Says goodbye, which is answered once the broker has taken what came before it.
pub(crate) async fn say_goodbye(mut client: StompClient) {
    client.send("DISCONNECT", &[("receipt", "goodbye")], "").await;
    loop {
        match client.incoming().await {
            Incoming::Frame(frame, _) if frame.verb == "RECEIPT" => {
                assert_eq!(frame.header("receipt-id"), Some("goodbye"));
                return;
            }
            Incoming::Frame(frame, _) => assert_eq!(frame.verb, "MESSAGE", "{frame:?}"),
            Incoming::HeartBeat => {}
            Incoming::Closed(closing) => panic!("no receipt for a goodbye: {closing:?}"),
        }
    }
}
