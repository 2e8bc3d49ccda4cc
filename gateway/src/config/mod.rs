//! The configuration, as the operator writes it.
//!
//! Layers, later ones win: the defaults of each key, the TOML file (or the built-in one where no
//! file is given), the environment (`GATEWAY_SECTION__NAME__KEY`), flags. Sections that can occur
//! more than once are tables by name. The gateway checks a [`Config`] once and turns it into the
//! values it runs on; nothing else reads it.
//!
//! [`Sources`] is plain data, so loading depends on nothing but its arguments and the file it
//! names. Every problem that can be found is reported at once, each as one sentence that says
//! where the value was written, what was expected and what came.
//!
//! | module | what it does |
//! |---|---|
//! | `layers` | merges the sources and remembers where each value was written |
//! | `read` | turns merged tables into the types of this module |
//! | `check` | checks what only shows across keys |
//! | `problem` | every sentence an operator may be told |

mod broker;
mod check;
mod layers;
mod listener;
mod location;
mod problem;
mod process;
mod read;
mod realm;
mod route;
pub mod units;
mod values;

use std::collections::BTreeMap;

use protocols::Registry;
use serde::Serialize;

pub use broker::{Broker, Embedded, Exchange, ExchangeKind, Rabbitmq, User};
/// Where a RabbitMQ listens.
pub use broker_adapters::rabbitmq::Endpoint;
pub use layers::Sources;
pub use listener::{Listener, ListenerTransport};
pub use location::{KeyPath, Location};
pub use problem::{ConfigError, ConfigErrors, Problem, Suggestion};
pub use process::{Admin, Drain, Log, LogFormat};
/// What passcodes are wrapped in.
pub use protocols::auth::Secret;
pub use protocols::stomp::compat::{Compat, Switch};
pub use realm::{
    Action, AnonymousFrom, Disclose, Match, Realm, RealmUser, Role, RpcPayload, RpcRoute, Rule,
};
pub use route::{Limits, Outgoing, Route, ServiceLogin, SlowClients, Stomp, Verify, Wamp};

/// The top-level tables, which are the fields of [`Config`].
const SECTIONS: [&str; 7] = ["admin", "broker", "drain", "listener", "log", "realm", "route"];

/// Everything an operator can set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Config {
    /// `[listener.NAME]`: what is listened on.
    pub listener: BTreeMap<String, Listener>,
    /// `[route.NAME]`: what is served there.
    pub route: BTreeMap<String, Route>,
    /// `[broker.NAME]`: where messages go.
    pub broker: BTreeMap<String, Broker>,
    /// `[realm.NAME]`: what WAMP clients join.
    pub realm: BTreeMap<String, Realm>,
    /// `[admin]`: health checks.
    pub admin: Admin,
    /// `[drain]`: how the gateway stops.
    pub drain: Drain,
    /// `[log]`: what is logged.
    pub log: Log,
}

impl Config {
    /// Reads and checks what the sources say; `registry` holds the protocols a route may name.
    ///
    /// *Errors.* Every problem found. What shows across keys only ([`Config::validate`]) is
    /// looked for once each key by itself is in order.
    pub fn load(sources: &Sources, registry: &Registry) -> Result<Self, ConfigErrors> {
        let layers = layers::merge(sources)?;
        let config = read::config(&layers)?;
        let errors: Vec<_> = check::problems(&config, registry)
            .into_iter()
            .map(|(key, problem)| ConfigError::new(layers.locate(&key), problem))
            .collect();
        ConfigErrors::unless_empty(errors).map(|()| config)
    }

    /// The built-in configuration: what runs where neither file, environment nor flag says
    /// anything.
    pub fn builtin() -> Self {
        Self::load(&Sources::default(), &Registry::standard())
            .expect("the built-in file is valid, as a test of this crate shows")
    }

    /// Checks a configuration that was put together in code: names that refer to each other,
    /// bounds, and values that clash. [`Config::load`] has done so already.
    ///
    /// *Errors.* Every problem found, located by its key.
    pub fn validate(&self, registry: &Registry) -> Result<(), ConfigErrors> {
        let errors: Vec<_> = check::problems(self, registry)
            .into_iter()
            .map(|(key, problem)| ConfigError::new(Location::of_key(&key), problem))
            .collect();
        ConfigErrors::unless_empty(errors)
    }

    /// The configuration as a file that can be loaded again, but for the secrets, of which
    /// nothing but the word `[redacted]` is shown.
    ///
    /// *Errors.* A number TOML has no way to write, which [`Config::validate`] would refuse.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }
}
