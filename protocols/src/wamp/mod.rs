//! WAMP v2, router side: so far parts of the codec. There is no session yet, and no sub-protocol is
//! registered.

pub mod id;
#[allow(dead_code, unused_imports, reason = "the messages will use it")]
pub mod serializer;
#[allow(dead_code, reason = "the messages will use it")]
pub mod transcode;
