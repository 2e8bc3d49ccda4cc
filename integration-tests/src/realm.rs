//! A realm for the tests of WAMP, at the route that they all use.

use gateway::config::{Config, Realm};
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
