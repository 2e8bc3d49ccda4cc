//! WAMP over WebSocket end to end: real sockets, and behind them the embedded broker or RabbitMQ.
//!
//! Each scenario is a function that takes the broker it is to be [`Behind`]; [`scenarios!`] runs all of
//! them in front of one.
//!
//! Whether something does *not* arrive is told by what arrives in its place: events of one publisher
//! keep their order, and so do those of two of which the second publishes when the first has its answer.

#![allow(missing_docs, clippy::unwrap_used, reason = "a panic is how a test fails")]

mod calls;
mod elsewhere;
mod logins;
mod lost;
mod many;
mod meta;
mod nodes;
mod pubsub;
mod restricted;
mod sessions;
mod stomp;
mod stomp_calls;
mod topics;

use gateway::config::Config;
use integration_tests::{REALM, Serializer, WampClient, World, serve_wamp};
use serde_json::{Value, json};

/// Which broker a gateway has.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Behind {
    Embedded,
    RabbitMq,
}

impl Behind {
    /// With a realm in which everybody may do everything.
    pub(crate) async fn world(self) -> World {
        self.realm(json!({})).await
    }

    /// With these keys of the realm besides.
    pub(crate) async fn realm(self, changes: Value) -> World {
        let change = |config: &mut Config| serve_wamp(config, changes);
        match self {
            Self::Embedded => World::embedded_with(change).await,
            Self::RabbitMq => World::rabbitmq_with(change).await,
        }
    }
}

/// An anonymous client that speaks JSON.
pub(crate) async fn join(world: &World) -> WampClient {
    join_by(world, Serializer::Json).await
}

/// An anonymous client that speaks this.
pub(crate) async fn join_by(world: &World, serializer: Serializer) -> WampClient {
    WampClient::connect(world.ws_addr(), serializer, REALM).await
}

/// Runs every scenario in front of a broker.
macro_rules! scenarios {
    ($module:ident, $broker:ident, $behind:ident, [$($scenario:ident),* $(,)?]) => {
        mod $broker {
            $(
                #[tokio::test]
                async fn $scenario() {
                    crate::$module::$scenario(crate::Behind::$behind).await;
                }
            )*
        }
    };
    ($module:ident, $scenarios:tt) => {
        scenarios!($module, embedded, Embedded, $scenarios);
        scenarios!($module, rabbitmq, RabbitMq, $scenarios);
    };
}
pub(crate) use scenarios;
