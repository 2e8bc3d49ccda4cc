//! What is compared: frames without what is made up anew each time, and the queues, bindings and
//! consumers of the broker.
//!
//! Left out, because the table in `gateway/docs/STOMP.md` says that they differ: of an ERROR all but
//! its `message` and `subscription`; the `server` header, and what the server expects by `heart-beat`; `receipt` and
//! `transaction` of a SEND, which the plugin hands on; whether a queue without a name is exclusive.
//! RECEIPTs are compared as a set: the plugin sends them as they come.

use std::collections::BTreeSet;
use std::fmt::Write;

use integration_tests::StompFrame;
use rabbitmq_node::{Api, Vhost};
use serde_json::Value;

use crate::script::Bad;

/// What a connection has received.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) frames: Vec<StompFrame>,
    pub(crate) is_logged_in: bool,
    pub(crate) is_closed: bool,
    /// The code that a WebSocket was closed with.
    pub(crate) code: Option<u16>,
    /// Something was waited for that did not come: the script is over for this connection.
    pub(crate) waited_in_vain: bool,
    /// The end of the connection is the client's wish.
    pub(crate) said_goodbye: bool,
    /// What a WebSocket that offered sub-protocols was told: one of them, or `none`.
    pub(crate) protocol: Option<String>,
    /// Something came in a binary message.
    pub(crate) binary: bool,
}

impl Seen {
    pub(crate) fn messages(&self) -> impl Iterator<Item = &StompFrame> {
        self.frames.iter().filter(|frame| frame.verb == "MESSAGE")
    }

    /// Whether there is somebody to talk to.
    pub(crate) const fn goes_on(&self) -> bool {
        !self.is_closed && !self.waited_in_vain
    }

    /// What has happened of what a script has to name.
    pub(crate) fn ends(&self) -> impl Iterator<Item = Bad> {
        let has_error = self.frames.iter().any(|frame| frame.verb == "ERROR");
        [
            has_error.then_some(Bad::Error),
            (self.is_closed && !self.said_goodbye).then_some(Bad::Closed),
            self.waited_in_vain.then_some(Bad::Silence),
        ]
        .into_iter()
        .flatten()
    }

    /// As text that can be compared.
    pub(crate) fn told(&self, name: &str, vhost: &Vhost) -> String {
        let mut tags = Vec::new();
        let mut text = String::new();
        if let Some(protocol) = &self.protocol {
            let _ = writeln!(text, "{name} speaks {protocol}");
        }
        let receipts: BTreeSet<_> =
            self.frames.iter().filter_map(|frame| frame.header("receipt-id")).collect();
        for kind in ["CONNECTED", "MESSAGE", "ERROR"] {
            let mut lines: Vec<_> = self
                .frames
                .iter()
                .filter(|frame| frame.verb == kind)
                .map(|frame| (subscription(frame), line(frame, &mut tags)))
                .collect();
            // The order of different subscriptions among each other means nothing.
            lines.sort_by(|(a, _), (b, _)| a.cmp(b));
            for (_, line) in lines {
                let _ = writeln!(text, "{name} {line}");
            }
        }
        let receipts = receipts.into_iter().filter(|_| !self.frames.is_empty());
        for receipt in receipts.filter(|it| self.is_receipt(it)) {
            let _ = writeln!(text, "{name} RECEIPT {receipt}");
        }
        let end = match (self.is_closed, self.waited_in_vain) {
            (true, _) => self.code.map_or_else(|| "closed".to_owned(), |it| format!("closed {it}")),
            (_, true) => "open, and waits in vain".to_owned(),
            _ => "open".to_owned(),
        };
        let kind = if self.binary { ", and was sent binary messages" } else { "" };
        let _ = writeln!(text, "{name} {end}{kind}");
        text.replace(vhost.name(), "$vhost").replace(vhost.user(), "$user")
    }

    fn is_receipt(&self, id: &str) -> bool {
        let is_it = |it: &StompFrame| it.verb == "RECEIPT" && it.header("receipt-id") == Some(id);
        self.frames.iter().any(is_it)
    }
}

fn subscription(frame: &StompFrame) -> String {
    frame.header("subscription").unwrap_or_default().to_owned()
}

fn line(frame: &StompFrame, tags: &mut Vec<String>) -> String {
    if frame.verb == "ERROR" {
        let message = frame.header("message").unwrap_or_default();
        return format!("ERROR {message} {}", frame.header("subscription").unwrap_or_default());
    }
    let mut headers = BTreeSet::new();
    for (name, value) in &frame.headers {
        let value = match name.as_str() {
            "server" => continue,
            "receipt" | "transaction" if frame.verb == "MESSAGE" => continue,
            "heart-beat" if value.starts_with("0,") => continue,
            "heart-beat" => value.split(',').next().unwrap_or_default().to_owned(),
            "session" => "…".to_owned(),
            "message-id" | "ack" => without_session(value, tags),
            "reply-to" | "destination" => without_generated(value),
            _ => value.clone(),
        };
        headers.insert(format!("{name}:{value}"));
    }
    let headers: Vec<_> = headers.into_iter().collect();
    format!("{} {} | {:?}", frame.verb, headers.join(" "), frame.body.escape_ascii().to_string())
}

/// `T_0@@session-…@@7` with the number of the delivery, in the order they came.
fn without_session(value: &str, tags: &mut Vec<String>) -> String {
    let consumer = value.split("@@").next().unwrap_or_default().to_owned();
    if !tags.iter().any(|tag| tag == value) {
        tags.push(value.to_owned());
    }
    let of_consumer = tags.iter().filter(|tag| tag.starts_with(&format!("{consumer}@@")));
    let at = of_consumer.take_while(|tag| *tag != value).count();
    format!("{consumer}@@…@@{}", at + 1)
}

/// A name that is made up anew each time, as one that is not. That of a durable queue never is.
fn without_generated(name: &str) -> String {
    let bare = name.trim_start_matches("/reply-queue/").trim_start_matches("/queue/");
    let is_generated = bare.starts_with("amq.gen-") || bare.starts_with("stomp-subscription-");
    if is_generated { name.replace(bare, "generated") } else { name.to_owned() }
}

/// Queues, bindings and consumers, as text that can be compared. Several that are alike show as one.
pub(crate) async fn objects(vhost: &Vhost) -> String {
    let mut lines = BTreeSet::new();
    let queues = vhost.queues_at_once().await;
    let shown = |name: &str| {
        let is_durable = queues.iter().any(|queue| queue.durable && queue.name == name);
        if is_durable { name.to_owned() } else { without_generated(name) }
    };
    for queue in &queues {
        let name = shown(&queue.name);
        let exclusive = queue.exclusive && name == queue.name;
        lines.insert(format!(
            "queue {name} durable:{} auto-delete:{} exclusive:{exclusive} {} messages:{}",
            queue.durable,
            queue.auto_delete,
            queue.arguments,
            queue.messages.unwrap_or_default()
        ));
    }
    let path = format!("/bindings/{}", Api::segment(vhost.name()));
    let bindings = vhost.api().get(&path).await;
    for binding in bindings.as_array().into_iter().flatten() {
        let field = |name: &str| binding[name].as_str().unwrap_or_default();
        if field("source").is_empty() {
            continue;
        }
        let to = shown(field("destination"));
        let arguments: &Value = &binding["arguments"];
        lines.insert(format!(
            "binding {} {:?} {to} {arguments}",
            field("source"),
            field("routing_key")
        ));
    }
    let path = format!("/consumers/{}", Api::segment(vhost.name()));
    for consumer in vhost.api().get(&path).await.as_array().into_iter().flatten() {
        let of = shown(consumer["queue"]["name"].as_str().unwrap_or_default());
        let prefetch = match consumer["prefetch_count"].as_u64() {
            // What each means by "as many as there are".
            Some(0 | 100 | 65_535) | None => "any".to_owned(),
            Some(number) => number.to_string(),
        };
        let arguments = &consumer["arguments"];
        lines.insert(format!("consumer {of} prefetch:{prefetch} {arguments}"));
    }
    lines.into_iter().map(|line| line + "\n").collect()
}
