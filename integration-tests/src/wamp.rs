//! A WAMP client over [`RawWs`](crate::RawWs), written from the specification (WAMP v2, both profiles).
//!
//! Messages are lists of [`serde_json::Value`], whatever the serializer: so a test can also send what
//! no library would, and compares what came with `json!`. Binary data is in them what it is in JSON, a
//! text of NUL and base64 (§Binary support in JSON): see [`binary`].

mod client;
mod login;
mod message;
mod requests;
mod serializer;
#[cfg(test)]
mod tests;

pub use client::WampClient;
pub use login::Login;
pub use message::{Invocation, Payload, WampError, WampEvent, WampMessage, code};
pub use serializer::{Serializer, binary};
