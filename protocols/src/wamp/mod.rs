//! WAMP v2, router side: sessions that subscribe and publish, register and call, and what is registered
//! in a realm.
//!
//! A session reaches its subscribers and publishers through the AMQP broker, and its callers and callees
//! through [the other sessions of its realm](peers). In a realm that nobody carries anything for there is
//! no dealer: what is asked of it is an error.
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
//! | §Registering and Unregistering, §Registration Revocation | `dealer/register.rs`, [`registry`] |
//! | §Pattern-based Registrations (which one a call is for) | [`registry::Registry::best_match`] |
//! | §Shared Registration (which callee gets a call) | [`registry::Registration::pick`] |
//! | §Session Meta API, §Registration Meta API, §Subscription Meta API | [`meta`], `dealer/meta.rs`, `pubsub/meta.rs` |
//! | §Sessions, §Protocol Errors (what may come when) | `session/` |
//! | §Session Establishment, §Authentication Methods | `handshake.rs`, [`auth`] |
//! | §Realms, §Authorization | [`realm`], [`access`] |
//! | §Predefined URIs | [`reason`], [`refusal`]; the table of violations is beside [`Violation`](crate::violation) |
//! | §Publish and Subscribe, but for retained events and shards | [`pubsub`] |
//! | §Calling and Invocations, §Caller Leaving, §Callee Leaving | `dealer/mod.rs`, [`rpc`] |
//! | §Call Canceling | [`rpc::Calls::on_cancel`], [`rpc::Invocations::on_ask`] |
//! | §Call Timeouts | [`rpc::Calls::handle_timeout`]; the callee's own: [`rpc::Invoke::timeout`] |
//! | §Progressive Call Results, §Progressive Call Invocations | [`rpc::calls`], [`rpc::invocations`] |
//! | §Caller Identification | [`access::Disclosure`], [`rpc::Invoke::caller`] |
//! | §Call Rerouting | [`rpc::Calls::on_answer`] |
//! | §Event History, §Testament | not yet |
//!
//! # What is announced
//! In `WELCOME.Details.roles`, and which tests show that it is so: of the names in
//! `tests/wamp_conformance/`, and beneath those of the parts.
//!
//! | broker | tests |
//! |---|---|
//! | `subscriber_blackwhite_listing` | `pubsub.rs`: `advanced_subscriber_blackwhite_listing_…`; `wamp_pubsub/restricted.rs` |
//! | `publisher_exclusion` | `wamp_pubsub/event.rs`: `a_publisher_gets_its_own_event_only_if_…` |
//! | `publisher_identification` | `wamp_pubsub/publish.rs`: `publishers_are_disclosed_as_…`; `event.rs`: `who_published_…` |
//! | `pattern_based_subscription` | `wamp_pubsub/subscribe.rs`: `patterns_are_joined_…`; `event.rs`: `patterns_say_the_topic_…` |
//! | `subscription_revocation` | `pubsub.rs`: `advanced_a_subscription_that_has_ended_by_itself_…` |
//! | `session_meta_api`, where there is a dealer | `dealer/meta.rs`: `advanced_session_meta_api_…` |
//! | `subscription_meta_api`, where there is a dealer | `dealer/meta.rs`: `advanced_subscription_meta_api_…` |
//!
//! | dealer | tests: `dealer/`, and beneath |
//! |---|---|
//! | `progressive_call_results` | `parts.rs`: `advanced_progressive_call_results_…`; `wamp_rpc/parts.rs` |
//! | `progressive_call_invocations` | `parts.rs`: `advanced_progressive_call_invocations_…`; `wamp_rpc/parts.rs` |
//! | `call_canceling` | `cancel.rs`: `advanced_call_canceling_…`; `wamp_rpc/cancel.rs` |
//! | `call_timeout` | `cancel.rs`: `advanced_call_timeout_…`; `wamp_rpc/cancel.rs` |
//! | `caller_identification` | `call.rs`: `advanced_caller_identification_…` |
//! | `call_reroute` | `call.rs`: `advanced_call_rerouting_…`; `wamp_rpc/reroute.rs` |
//! | `pattern_based_registration` | `register.rs`: `advanced_pattern_based_registration_…`; `wamp_registry/matching.rs` |
//! | `shared_registration` | `register.rs`: `advanced_shared_registration_…`; `registry/pick.rs` |
//! | `registration_revocation` | `revoke.rs` |
//! | `registration_meta_api` | `meta.rs`: `advanced_registration_meta_api_…`; `wamp_registry/meta.rs` |
//! | `session_meta_api` | `meta.rs`: `advanced_session_meta_api_…` |
//!
//! # What is not touched
//! What peers say to each other passes through as the bytes that came: arguments are recognized,
//! so that nobody gets what is malformed, but not decoded. Only for a receiver of another serializer
//! are they [transcoded](payload::Payload::transcoded).

pub mod access;
pub mod auth;
pub mod bridge;
mod dealer;
mod envelope;
pub mod error;
mod handshake;
pub mod id;
pub mod message;
pub mod meta;
pub mod payload;
pub mod peers;
mod pen;
mod publications;
pub mod pubsub;
pub mod rawsocket;
pub mod realm;
pub mod reason;
pub mod refusal;
pub mod registry;
pub mod rpc;
pub mod serializer;
mod session;
mod timestamp;
pub mod transcode;
pub mod uri;

use crate::registry::{SessionSetup, Subprotocol};
use crate::session::Session;
pub use realm::Settings;
use serializer::Serializer;
use session::WampSession;

/// The sub-protocol `wamp`: one message of WAMP in each message of the transport.
///
/// The name stands for the serializer; a client that offers no name speaks JSON.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wamp;

impl Subprotocol for Wamp {
    fn id(&self) -> &'static str {
        "wamp"
    }

    fn names(&self) -> &'static [&'static str] {
        const {
            &[
                Serializer::Cbor.subprotocol(),
                Serializer::MsgPack.subprotocol(),
                Serializer::Json.subprotocol(),
            ]
        }
    }

    /// They differ by the serializer.
    fn is_by_clients_order(&self) -> bool {
        true
    }

    fn open(&self, setup: SessionSetup) -> Box<dyn Session> {
        Box::new(WampSession::new(&setup))
    }
}
