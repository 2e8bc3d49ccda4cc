//! WAMP v2, router side: so far the codec, what is registered in a realm, and what a broker does for
//! one session. There is no session yet, and no sub-protocol is registered.
//!
//! | clause (WAMP) | where |
//! |---|---|
//! | §Messages, of both profiles | [`message`], `envelope.rs`; what is wrong with one: [`error`] |
//! | §Serializers (JSON, MessagePack, CBOR) | [`serializer`] |
//! | §Binary support in JSON | [`transcode`] |
//! | `Arguments`, `ArgumentsKw`, dictionaries between the peers | [`payload`] |
//! | §Feature Announcement | [`message::Roles`] |
//! | §IDs | [`id`] |
//! | §URIs, §Pattern-based Subscription (matching), routing keys | [`uri`] |
//! | §RawSocket Transport | [`rawsocket`] |
//! | §Registering and Unregistering, §Registration Revocation | [`registry`] |
//! | §Pattern-based Registrations (which one a call is for) | [`registry::Registry::best_match`] |
//! | §Shared Registration (which callee gets a call) | [`registry::Registration::pick`] |
//! | §Registration Meta API (what is asked, what is announced) | [`registry`] |
//! | §Sessions, §Protocol Errors (what may come when) | not yet |
//! | §Publish and Subscribe, but for retained events and shards | [`pubsub`] |
//! | §Calling and Invocations | not yet |
//! | §Authentication (`anonymous`, `ticket`, `wampcra`), §Authorization | [`auth`], [`realm`], [`access`] |
//! | §Meta API (else), §Event History, §Testament | not yet |
//!
//! # What is not touched
//! What peers say to each other passes through as the bytes that came: arguments are recognized,
//! so that nobody gets what is malformed, but not decoded. Only for a receiver of another serializer
//! are they [transcoded](payload::Payload::transcoded).

pub mod access;
pub mod auth;
mod envelope;
pub mod error;
pub mod id;
pub mod message;
pub mod payload;
pub mod pubsub;
pub mod rawsocket;
pub mod realm;
pub mod reason;
pub mod registry;
pub mod serializer;
pub mod transcode;
pub mod uri;

pub use realm::Settings;
