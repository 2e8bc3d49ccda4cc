//! Plays a script against one side.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use integration_tests::{Incoming, StompClient, StompFrame, frame_bytes};
use rabbitmq_node::{Permissions, Vhost};
use serde_json::json;
use tokio::time::timeout;

use crate::observed::{self, Seen};
use crate::script::{Script, Step};

/// How long something that a script waits for may take. Sides that leave it out are told apart by
/// that, so it is far longer than either needs.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who is spoken to, in a virtual host of its own.
pub(crate) struct Side {
    pub(crate) address: SocketAddr,
    pub(crate) vhost: Vhost,
}

/// A connection, and what it has received.
struct Connection {
    client: StompClient,
    seen: Seen,
    syncs: usize,
}

/// One side after a script. Its connections stay open until it is dropped.
pub(crate) struct Played {
    vhost: Vhost,
    connections: BTreeMap<String, Connection>,
}

impl Played {
    /// What came of the script, as text that can be compared.
    pub(crate) async fn told(&self) -> String {
        let mut text = String::new();
        for (name, connection) in &self.connections {
            text.push_str(&connection.seen.told(name, &self.vhost));
        }
        text + &observed::objects(&self.vhost).await
    }
}

/// Plays the script against this side.
pub(crate) async fn play(script: &Script, side: Side) -> Played {
    let mut connections: BTreeMap<String, Connection> = BTreeMap::new();
    for step in &script.steps {
        if let Step::Broker { words } = step {
            ask_broker(&side.vhost, words).await;
            continue;
        }
        let (Step::Send { by, .. }
        | Step::Raw { by, .. }
        | Step::Expect { by, .. }
        | Step::Sync { by }) = step
        else {
            unreachable!("the broker was seen to");
        };
        if !connections.contains_key(by) {
            let connection = Connection::open(&side, begins_itself(step)).await;
            connections.insert(by.clone(), connection);
        }
        let connection = connections.get_mut(by).expect("just opened");
        connection.take(step, &side.vhost).await;
    }
    for connection in connections.values_mut() {
        connection.sync().await;
    }
    Played { vhost: side.vhost, connections }
}

fn begins_itself(step: &Step) -> bool {
    match step {
        Step::Send { verb, .. } => matches!(verb.as_str(), "CONNECT" | "STOMP"),
        Step::Raw { .. } => true,
        _ => false,
    }
}

async fn ask_broker(vhost: &Vhost, words: &[String]) {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["declare-queue", name] => vhost.declare_queue(name, json!({})).await,
        ["delete-queue", name] => assert!(vhost.delete_queue(name).await, "{name} is not there"),
        ["declare-exchange", name, kind] => vhost.declare_exchange(name, kind).await,
        ["permit", "nothing"] => vhost.permit(vhost.user(), Permissions::NONE).await,
        other => panic!("the broker is asked for {other:?}"),
    }
}

impl Connection {
    async fn open(side: &Side, begins_itself: bool) -> Self {
        let client = StompClient::over_tcp(side.address).await;
        let mut connection = Self { client, seen: Seen::default(), syncs: 0 };
        if !begins_itself {
            let vhost = &side.vhost;
            let headers = [
                ("accept-version", "1.2"),
                ("host", vhost.name()),
                ("login", vhost.user()),
                ("passcode", vhost.passcode()),
            ];
            connection.client.send("CONNECT", &headers, "").await;
            connection.client.expect("CONNECTED").await;
            connection.seen.is_logged_in = true;
        }
        connection
    }

    async fn take(&mut self, step: &Step, vhost: &Vhost) {
        match step {
            Step::Send { verb, headers, body, .. } => {
                let headers: Vec<(String, String)> = headers
                    .iter()
                    .map(|(name, value)| (self.fill_in(name, vhost), self.fill_in(value, vhost)))
                    .collect();
                let headers: Vec<(&str, &str)> =
                    headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                self.send(&frame_bytes(verb, &headers, unescaped(body))).await;
                if matches!(verb.as_str(), "CONNECT" | "STOMP") {
                    self.receive().await;
                }
            }
            Step::Raw { text, .. } => {
                let text = self.fill_in(text, vhost);
                self.send(text.as_bytes()).await;
            }
            Step::Expect { messages, .. } => {
                while self.seen.goes_on() && self.seen.messages().count() < *messages {
                    self.receive().await;
                }
            }
            Step::Sync { .. } => self.sync().await,
            Step::Broker { .. } => unreachable!("not for a connection"),
        }
    }

    async fn send(&mut self, bytes: &[u8]) {
        if self.seen.goes_on() {
            self.client.send_bytes(bytes).await;
        }
    }

    /// Twice, for the plugin sends receipts that it has confirms for together in any order.
    async fn sync(&mut self) {
        self.sync_once().await;
        self.sync_once().await;
    }

    /// A message that goes nowhere, and is confirmed once all before it has been dealt with.
    async fn sync_once(&mut self) {
        self.syncs += 1;
        let receipt = format!("sync-{}", self.syncs);
        let headers = [("destination", "/exchange/amq.match"), ("receipt", receipt.as_str())];
        if self.seen.is_logged_in {
            self.send(&frame_bytes("SEND", &headers, "")).await;
        }
        while self.seen.goes_on() && self.seen.is_logged_in {
            if self
                .receive()
                .await
                .is_some_and(|it| it.verb == "RECEIPT" && it.header("receipt-id") == Some(&receipt))
            {
                self.seen.frames.pop();
                return;
            }
        }
        // Before a login nothing can be asked for: what comes is an answer or an end.
        if self.seen.goes_on() && self.seen.frames.is_empty() {
            self.receive().await;
        }
    }

    /// The next frame, or the end.
    async fn receive(&mut self) -> Option<StompFrame> {
        loop {
            let Ok(incoming) = timeout(PATIENCE, self.client.incoming()).await else {
                self.seen.waited_in_vain = true;
                return None;
            };
            match incoming {
                Incoming::Frame(frame, _) => {
                    self.seen.is_logged_in |= frame.verb == "CONNECTED";
                    self.seen.frames.push(frame.clone());
                    return Some(frame);
                }
                Incoming::HeartBeat => {}
                Incoming::Closed(_) => {
                    self.seen.is_closed = true;
                    return None;
                }
            }
        }
    }

    fn fill_in(&self, text: &str, vhost: &Vhost) -> String {
        let mut text = text
            .replace("$vhost", vhost.name())
            .replace("$user", vhost.user())
            .replace("$passcode", vhost.passcode());
        for (at, message) in self.seen.messages().enumerate() {
            for (variable, header) in [("ack", "ack"), ("id", "message-id"), ("reply", "reply-to")]
            {
                let value = message.header(header).unwrap_or_default();
                text = text.replace(&format!("${variable}{}", at + 1), value);
            }
        }
        unescaped(&text)
    }
}

fn unescaped(text: &str) -> String {
    text.replace("\\s", " ").replace("\\n", "\n").replace("\\0", "\0")
}
