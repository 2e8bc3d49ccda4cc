//! Plays a script against one side.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use integration_tests::{Incoming, RawWs, Request, StompClient, StompFrame, frame_bytes};
use rabbitmq_node::{Api, Permissions, Vhost};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::observed::{self, Seen};
use crate::script::{Bad, Script, Step};

/// How long something that a script waits for may take. Sides that leave it out are told apart by
/// that, so it is far longer than either needs.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a look takes whether something has come.
const A_LOOK: Duration = Duration::from_millis(20);

/// What carries the frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    /// At `/ws`.
    WebSocket,
}

/// Who is spoken to, in a virtual host of its own.
pub(crate) struct Side {
    pub(crate) address: SocketAddr,
    pub(crate) transport: Transport,
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
    /// What has come of the script until now, as text that can be compared.
    pub(crate) async fn told(&mut self) -> String {
        let mut text = String::new();
        for (name, connection) in &mut self.connections {
            connection.take_late().await;
            text.push_str(&connection.seen.told(name, &self.vhost));
        }
        text + &observed::objects(&self.vhost).await
    }

    /// Hangs up; the virtual host.
    pub(crate) fn vhost(self) -> Vhost {
        self.vhost
    }

    /// What has happened of what a script has to name.
    pub(crate) fn ends(&self) -> BTreeSet<Bad> {
        self.connections.values().flat_map(|connection| connection.seen.ends()).collect()
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
        | Step::Offers { by, .. }
        | Step::Expect { by, .. }
        | Step::ExpectError { by }
        | Step::Sync { by }) = step
        else {
            unreachable!("the broker was seen to");
        };
        if !connections.contains_key(by) {
            let connection = Connection::open(&side, step).await;
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
        Step::Raw { .. } | Step::Offers { .. } => true,
        _ => false,
    }
}

async fn ask_broker(vhost: &Vhost, words: &[String]) {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["declare-queue", name] => vhost.declare_queue(name, json!({})).await,
        ["declare-queue", name, arguments] => {
            vhost.declare_queue(name, serde_json::from_str(arguments).unwrap()).await;
        }
        ["delete-queue", name] => assert!(vhost.delete_queue(name).await, "{name} is not there"),
        ["declare-exchange", name, kind] => vhost.declare_exchange(name, kind).await,
        ["declare-internal-exchange", name, kind] => {
            let path = format!("/exchanges/{}/{}", Api::segment(vhost.name()), Api::segment(name));
            vhost
                .api()
                .put(&path, json!({ "type": kind, "durable": true, "internal": true }))
                .await;
        }
        ["permit", "nothing"] => vhost.permit(vhost.user(), Permissions::NONE).await,
        ["permit", configure, write, read] => {
            vhost.permit(vhost.user(), Permissions { configure, write, read }).await;
        }
        ["exclude"] => vhost.exclude(vhost.user()).await,
        ["allow-connections", most] => {
            vhost.limit("max-connections", most.parse().unwrap()).await;
        }
        ["publish", queue, properties] => {
            let properties: Value = serde_json::from_str(properties).unwrap();
            vhost.publish(queue, properties, "hello").await;
        }
        other => panic!("the broker is asked for {other:?}"),
    }
}

impl Connection {
    async fn open(side: &Side, first: &Step) -> Self {
        let mut seen = Seen::default();
        let client = match (side.transport, first) {
            (Transport::Tcp, _) => StompClient::over_tcp(side.address).await,
            (Transport::WebSocket, step) => {
                let mut request = Request::upgrade("/ws");
                if let Step::Offers { names, .. } = step
                    && !names.is_empty()
                {
                    request = request.header("Sec-WebSocket-Protocol", names);
                }
                let ws = RawWs::open(side.address, &request).await;
                if matches!(step, Step::Offers { .. }) {
                    seen.protocol = Some(ws.protocol().unwrap_or("none").to_owned());
                }
                StompClient::over(ws)
            }
        };
        let mut connection = Self { client, seen, syncs: 0 };
        if !begins_itself(first) {
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
                self.seen.said_goodbye |= verb == "DISCONNECT";
                self.send(frame_bytes(verb, &headers, unescaped(body)), false).await;
                if matches!(verb.as_str(), "CONNECT" | "STOMP") {
                    self.receive().await;
                }
            }
            Step::Raw { text, binary, .. } => {
                let bytes = unescaped(&self.filled_in(text, vhost));
                self.send(bytes, *binary).await;
            }
            Step::Offers { .. } => {}
            Step::Expect { messages, .. } => {
                while self.seen.goes_on() && self.seen.messages().count() < *messages {
                    self.receive().await;
                }
            }
            Step::ExpectError { .. } => {
                let is_error = |frame: &StompFrame| frame.verb == "ERROR";
                while self.seen.goes_on() && !self.seen.frames.iter().any(is_error) {
                    self.receive().await;
                }
            }
            Step::Sync { .. } => self.sync().await,
            Step::Broker { .. } => unreachable!("not for a connection"),
        }
    }

    async fn send(&mut self, bytes: Vec<u8>, binary: bool) {
        if self.seen.goes_on() {
            self.client.send_unit(bytes, binary).await;
        }
    }

    /// Twice, for the plugin sends receipts that it has confirms for together in any order. Those of
    /// messages to queues may be later still.
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
            self.send(frame_bytes("SEND", &headers, ""), false).await;
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
        let received = self.receive_within(PATIENCE).await;
        self.seen.waited_in_vain |= received.is_none() && !self.seen.is_closed;
        received
    }

    /// What nobody has waited for.
    async fn take_late(&mut self) {
        while !self.seen.is_closed && self.receive_within(A_LOOK).await.is_some() {}
    }

    async fn receive_within(&mut self, patience: Duration) -> Option<StompFrame> {
        loop {
            let incoming = timeout(patience, self.client.incoming()).await.ok()?;
            match incoming {
                Incoming::Frame(frame, is_binary) => {
                    self.seen.binary |= is_binary;
                    self.seen.is_logged_in |= frame.verb == "CONNECTED";
                    self.seen.frames.push(frame.clone());
                    return Some(frame);
                }
                Incoming::HeartBeat => {}
                Incoming::Closed(closing) => {
                    self.seen.is_closed = true;
                    self.seen.code = closing.code;
                    return None;
                }
            }
        }
    }

    /// A header's name or value.
    fn fill_in(&self, text: &str, vhost: &Vhost) -> String {
        let bytes = unescaped(&self.filled_in(text, vhost));
        String::from_utf8(bytes).expect("what is not UTF-8 is sent by raw")
    }

    fn filled_in(&self, text: &str, vhost: &Vhost) -> String {
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
        text
    }
}

/// See the module `script`. A backslash before another letter stands for itself.
fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (length, meant) = escaped(rest).unwrap_or_else(|| {
            let length = first.len_utf8();
            (length, rest.as_bytes()[..length].to_vec())
        });
        bytes.extend(meant);
        rest = &rest[length..];
    }
    bytes
}

/// What the text begins with, if that is not itself: its length, and what it stands for.
fn escaped(text: &str) -> Option<(usize, Vec<u8>)> {
    if let Some(rest) = text.strip_prefix('{') {
        let (number, _) = rest.split_once('}')?;
        return Some((number.len() + 2, vec![b'x'; number.parse().ok()?]));
    }
    let rest = text.strip_prefix('\\')?;
    let byte = match rest.chars().next()? {
        's' => b' ',
        't' => b'\t',
        'r' => b'\r',
        'n' => b'\n',
        '0' => 0,
        'x' => return Some((4, vec![u8::from_str_radix(rest.get(1..3)?, 16).ok()?])),
        _ => return None,
    };
    Some((2, vec![byte]))
}
