//! A realm for the tests of WAMP, at the route that they all use.

use gateway::config::{Config, Listener, ListenerTransport, Realm, Route};
use serde_json::{Value, json};

/// The name of the realm.
pub const REALM: &str = "realm1";

/// Has the route `stomp` serve WAMP too, with the realm [`REALM`] in the route's virtual host, under
/// the login that clients of the route have who bring none.
///
/// Anonymous clients, and others of the role `anonymous`, may do everything there. `changes` are keys
/// of `[realm.NAME]` besides these, or instead of them.
pub fn serve_wamp(config: &mut Config, changes: Value) {
    let route = config.route.get_mut("stomp").expect("the built-in configuration has it");
    route.protocols = vec!["stomp".to_owned(), "wamp".to_owned()];
    let everything = json!({
        "uri": "", "match": "prefix", "allow": ["publish", "subscribe", "call", "register"],
    });
    let mut realm = json!({
        "broker": route.broker,
        "vhost": route.vhost,
        "login": route.default_login.as_ref().expect("the route has a default login"),
        "passcode": route.default_passcode.as_ref().expect("and its passcode").expose(),
        "anonymous": "anonymous",
        "role": { "anonymous": { "rule": { "everything": everything } } },
    });
    let Value::Object(changes) = changes else { panic!("not keys of a table: {changes}") };
    for (key, value) in changes {
        realm[key] = value;
    }
    let realm: Realm = serde_json::from_value(realm).expect("the tests know the configuration");
    config.realm.insert(REALM.to_owned(), realm);
}

/// Adds a listener `raw` for WAMP over RawSocket, with a route `raw` that is else like the one at `/ws`.
pub fn serve_rawsocket(config: &mut Config) {
    let transport = ListenerTransport::WampRawsocket;
    let raw = Listener { transport, ..config.listener["web"].clone() };
    config.listener.insert("raw".to_owned(), raw);
    let (listener, protocols) = ("raw".to_owned(), vec!["wamp".to_owned()]);
    let route = Route { listener, protocols, ..config.route["stomp"].clone() };
    config.route.insert("raw".to_owned(), route);
}
