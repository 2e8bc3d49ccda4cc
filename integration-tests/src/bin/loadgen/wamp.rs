//! WAMP v2 as far as the load generator speaks it.
//!
//! What is said before and after the measurement is written by the test client's serializer. What is
//! said during it is not: messages are encoded beforehand but for their numbers ([`Template`]), and of
//! those that come only what is needed is looked at ([`read`]), which is not copied.

mod item;
mod template;

pub(crate) use item::read;
pub(crate) use template::Template;

use integration_tests::{Serializer, code};
use serde_json::{Value, json};

use crate::fault::Fault;
use crate::websocket::Kind;

/// A message from the server.
#[derive(Debug, PartialEq, Eq, Default)]
pub(crate) struct Message<'a> {
    /// What it is.
    pub(crate) code: u64,
    /// The IDs behind that, of which there may be fewer.
    pub(crate) ids: [u64; 2],
    /// The first argument, if it is a text; or the reason, in messages that have one.
    pub(crate) text: &'a [u8],
}

/// The kind of WebSocket messages that this serializer asks for.
pub(crate) const fn kind(serializer: Serializer) -> Kind {
    if serializer.is_text() { Kind::Text } else { Kind::Binary }
}

/// Asks for a realm, as nobody.
pub(crate) fn hello(realm: &str) -> Value {
    let roles = json!({ "publisher": {}, "subscriber": {}, "caller": {}, "callee": {} });
    json!([code::HELLO, realm, { "roles": roles, "authmethods": ["anonymous"] }])
}

/// Ends a session.
pub(crate) fn goodbye() -> Value {
    json!([code::GOODBYE, {}, "wamp.close.close_realm"])
}

/// Says no to what refuses a session or a request.
///
/// *Errors.* What the server says in it.
pub(crate) fn check(message: &Message<'_>) -> Result<(), Fault> {
    let verb = match message.code {
        code::ABORT => "ABORT",
        code::ERROR => "ERROR",
        _ => return Ok(()),
    };
    Err(Fault::Refused { verb, text: String::from_utf8_lossy(message.text).into_owned() })
}
