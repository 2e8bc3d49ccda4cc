//! How the sessions of a route log in, as its configuration says.

use std::collections::BTreeMap;
use std::sync::Arc;

use protocols::auth::{Credentials, Secret};
use protocols::text::Text;
use protocols::wamp::realm::Realm;
use protocols::wamp::registry::NodeId;

use super::{Backend, StartError};
use crate::auth::{Login, Logins, RealmLogin, Service};
use crate::config::{self, Config};
use crate::realm;

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
    getrandom::fill(&mut random).map_err(StartError::Random)?;
    let (key, node) = random.split_at(32);
    let key: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let key = Secret::new(&key);
    let node = NodeId(node.iter().fold(0, |node, byte| node << 8 | u64::from(*byte)));
    let served = |broker: &String| {
        let realms = config.realm.iter().filter(|(_, realm)| realm.broker == *broker);
        let settings: BTreeMap<_, _> = realms
            .map(|(name, realm)| (Text::from(name.as_str()), realm.meaning(name, &key)))
            .collect();
        let common = Arc::new(realm::Realms::new(node, settings.keys().cloned()));
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
