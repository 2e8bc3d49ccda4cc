//! How the sessions of a route log in, as its configuration says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use broker_adapters::Identity;
use protocols::Subprotocol;
use protocols::auth::{Credentials, Secret};
use protocols::text::Text;
use protocols::wamp::id::Id;
use protocols::wamp::peers::Realms as _;
use protocols::wamp::pubsub::Trust;
use protocols::wamp::realm::Realm;
use protocols::wamp::registry::{NodeId, SessionAt};
use protocols::wamp::uri::UriRules;
use protocols::wamp::{Wamp, bridge, rpc, serializer};

use super::{Backend, StartError};
use crate::auth::{Login, Logins, RealmLogin, Service};
use crate::config::{self, Config};
use crate::realm::{
    self,
    bridge::{Shore, Worker},
};

/// The realms of each broker, by its name.
pub(super) type Realms = BTreeMap<String, Served>;

/// The realms in front of one broker.
pub(super) struct Served {
    /// What their sessions go by.
    pub(super) settings: BTreeMap<Text, Arc<Realm>>,
    /// What their sessions have in common.
    pub(super) common: Arc<realm::Realms>,
}

/// The realms that there are.
///
/// *Errors.* There is nothing random to make users up with, or to name the node by.
pub(super) fn realms(config: &Config) -> Result<Realms, StartError> {
    let mut random = [0; 40];
    let mut publications = [0; 32];
    getrandom::fill(&mut random).map_err(StartError::Random)?;
    getrandom::fill(&mut publications).map_err(StartError::Random)?;
    let (key, node) = random.split_at(32);
    let key: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let key = Secret::new(&key);
    let node = NodeId(node.iter().fold(0, |node, byte| node << 8 | u64::from(*byte)));
    let served = |broker: &String| {
        let realms = config.realm.iter().filter(|(_, realm)| realm.broker == *broker);
        let settings: BTreeMap<_, _> = realms
            .map(|(name, realm)| (Text::from(name.as_str()), realm.meaning(name, &key)))
            .collect();
        let common = Arc::new(realm::Realms::new(node, &publications, settings.keys().cloned()));
        Served { settings, common }
    };
    Ok(config.broker.keys().map(|broker| (broker.clone(), served(broker))).collect())
}

/// The logins of a route to a broker.
pub(super) fn logins(config: &Config, route: &config::Route, backend: &Backend) -> Logins {
    let served = config.realm.iter().filter(|(_, realm)| realm.broker == route.broker);
    let realms = served
        .map(|(name, realm)| (Text::from(name.as_str()), realm_login(realm, backend)))
        .collect();
    Logins { plain: login(route, backend), realms }
}

fn login(route: &config::Route, backend: &Backend) -> Login {
    let default = route.default_login.as_ref().zip(route.default_passcode.as_ref());
    let service = route.service_login.as_ref().map(|service| Service {
        credentials: credentials(&service.login, &service.passcode),
        verifies: service.verify == config::Verify::Broker,
    });
    Login {
        default: default.map(|(login, passcode)| credentials(login, passcode)),
        service,
        ..door(&route.vhost, backend)
    }
}

/// The bridges of the realms that some route serves.
///
/// *Errors.* There is nothing random to name their queues by.
pub(super) fn bridges(
    config: &Config,
    brokers: &BTreeMap<String, Backend>,
    realms: &Realms,
) -> Result<Vec<Worker>, StartError> {
    let speaks_wamp = |route: &config::Route| route.protocols.iter().any(|id| id == Wamp.id());
    let served: BTreeSet<_> =
        config.route.values().filter(|it| speaks_wamp(it)).map(|it| it.broker.as_str()).collect();
    let mut workers = Vec::new();
    for (name, realm) in config.realm.iter().filter(|(_, it)| served.contains(it.broker.as_str())) {
        let (Some(backend), Some(of_broker)) =
            (brokers.get(&realm.broker), realms.get(&realm.broker))
        else {
            continue;
        };
        let settings = bridge_settings(name, realm, &of_broker.common)?;
        let shore = Shore {
            broker: Arc::clone(&backend.broker),
            vhost: Text::from(realm.vhost.as_str()),
            identity: Identity {
                credentials: credentials(&realm.login, &realm.passcode),
                is_service: true,
            },
        };
        let routes = realm.rpc.values().map(Into::into).collect();
        let capacity = realm.calls_buffer.0;
        workers.extend(Worker::new(&of_broker.common, shore, settings, routes, capacity));
    }
    Ok(workers)
}

fn bridge_settings(
    name: &str,
    realm: &config::Realm,
    realms: &realm::Realms,
) -> Result<bridge::Settings, StartError> {
    let mut session = [0; 8];
    let mut random = [0; 32];
    getrandom::fill(&mut session).map_err(StartError::Random)?;
    getrandom::fill(&mut random).map_err(StartError::Random)?;
    let session = u64::from_be_bytes(session);
    Ok(bridge::Settings {
        realm: Text::from(name),
        at: SessionAt { node: realms.node(), session: Id::from_bits(session) },
        trust: Trust {
            own: Text::from(realm.login.as_str()),
            others: realm.trusted_logins.iter().map(|it| Text::from(it.as_str())).collect(),
        },
        uris: UriRules::default(),
        limits: serializer::Limits::DEFAULT,
        rpc: rpc::Settings::default(),
        random,
    })
}

fn realm_login(realm: &config::Realm, backend: &Backend) -> RealmLogin {
    RealmLogin {
        door: door(&realm.vhost, backend),
        credentials: credentials(&realm.login, &realm.passcode),
    }
}

/// A login to a virtual host that each client must bring itself.
fn door(vhost: &str, backend: &Backend) -> Login {
    Login {
        broker: Arc::clone(&backend.broker),
        vhost: Text::from(vhost),
        default: None,
        loopback_users: Arc::clone(&backend.loopback_users),
        service: None,
    }
}

fn credentials(login: &str, passcode: &Secret) -> Credentials {
    Credentials { login: Text::from(login), passcode: passcode.clone() }
}
