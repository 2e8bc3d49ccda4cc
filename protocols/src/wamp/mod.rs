//! WAMP v2, router side: so far parts of the codec. There is no session yet, and no sub-protocol is
//! registered.

pub mod id;
