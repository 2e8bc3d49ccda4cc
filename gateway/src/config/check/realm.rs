//! Realms, and the routes that serve them.

use std::collections::BTreeMap;

use protocols::wamp::message::MatchPolicy;
use protocols::wamp::uri::{UriRules, is_reserved};

use super::broker::Login;
use super::{Check, named};
use crate::config::location::KeyPath;
use crate::config::problem::Problem;
use crate::config::{Broker, Realm, RealmUser, Role, Route, Rule, Wamp};

/// Depth below which nothing can be said in WAMP, and beyond which transcoding knows nothing.
const DEPTHS: (usize, usize) = (4, 100);

/// Bytes of a URI: a routing key holds no more.
const LONGEST_URI: usize = 255;

impl<'a> Check<'a> {
    pub(super) fn realm(&mut self, name: &'a str, realm: &'a Realm) {
        let at = KeyPath::from(["realm", name]);
        if let Err(why) = UriRules::default().check(name) {
            self.add(at.clone(), Problem::Unusable(why.to_string()));
        }
        let brokers = self.config.broker.keys();
        self.refer(at.join("broker"), "broker", &realm.broker, brokers);
        self.size(at.join("max_body_size"), realm.max_body_size);
        self.no_repeats(&at.join("trusted_logins"), &realm.trusted_logins);
        self.login_of_realm(&at, realm);
        let of_realm = format!("role of {name:?}");
        for (key, role) in
            [("anonymous", &realm.anonymous), ("broker_tickets", &realm.broker_tickets)]
        {
            if let Some(role) = role {
                self.refer(at.join(key), &of_realm, role, realm.role.keys());
            }
        }
        for (authid, user) in &realm.user {
            self.realm_user(&at.concat(&["user", authid]), user, (&of_realm, &realm.role));
        }
        self.size(at.join("calls_buffer"), realm.calls_buffer);
        self.rpc_routes(&at, realm);
        for (role, rules) in &realm.role {
            self.role(&at.concat(&["role", role]), rules);
        }
    }

    fn login_of_realm(&mut self, at: &KeyPath, realm: &'a Realm) {
        if realm.login.is_empty() {
            self.add(at.join("login"), Problem::mismatch("a login", "an empty text"));
        } else if realm.passcode.expose().is_empty() {
            self.add(at.join("passcode"), Problem::mismatch("a passcode", "an empty text"));
        } else if let Some(Broker::Embedded(broker)) = self.config.broker.get(&realm.broker) {
            let vhosts = broker.vhosts.iter();
            let what = format!("virtual host of {:?}", realm.broker);
            self.refer(at.join("vhost"), &what, &realm.vhost, vhosts);
            let login = Login {
                keys: (at.join("login"), at.join("passcode")),
                login: &realm.login,
                passcode: &realm.passcode,
                vhost: &realm.vhost,
            };
            self.known_login(login, &realm.broker, broker);
        }
    }

    fn realm_user(
        &mut self,
        at: &KeyPath,
        user: &'a RealmUser,
        (of_realm, roles): (&str, &'a BTreeMap<String, Role>),
    ) {
        self.refer(at.join("role"), of_realm, &user.role, roles.keys());
        let secrets = [("ticket", &user.ticket), ("secret", &user.secret)];
        if secrets.iter().all(|(_, secret)| secret.is_none()) {
            self.add(at.join("ticket"), Problem::mismatch("a ticket, a secret or both", "none"));
        }
        for (key, secret) in secrets {
            if secret.as_ref().is_some_and(|secret| secret.expose().is_empty()) {
                self.add(at.join(key), Problem::mismatch("a secret", "an empty text"));
            }
        }
        if user.salt.is_some() && user.secret.is_none() {
            self.add(at.join("salt"), Problem::Incomplete("secret"));
        }
        self.count(at.join("iterations"), user.iterations as usize);
        self.count(at.join("keylen"), user.keylen.into());
    }

    fn rpc_routes(&mut self, at: &KeyPath, realm: &'a Realm) {
        let uris = realm.rpc.values().map(|route| route.uri.as_str());
        let uris: Vec<_> = uris.collect();
        for (index, (name, route)) in realm.rpc.iter().enumerate() {
            let at = at.concat(&["rpc", name]);
            if let Err(why) = UriRules::default().check(&route.uri) {
                self.add(at.join("uri"), Problem::Unusable(why.to_string()));
            } else if is_reserved(&route.uri) {
                let why = "URIs that begin with \"wamp.\" are the protocol's own";
                self.add(at.join("uri"), Problem::Unusable(why.to_owned()));
            } else if uris[..index].contains(&route.uri.as_str()) {
                self.add(at.join("uri"), Problem::Repeated(route.uri.clone()));
            }
            if route.exchange.is_empty() && route.key.is_empty() {
                let expected = "the name of a queue, or an exchange";
                self.add(at.join("key"), Problem::mismatch(expected, "an empty text"));
            }
            self.time(at.join("timeout"), route.timeout);
        }
    }

    fn role(&mut self, at: &KeyPath, role: &'a Role) {
        for (name, rule) in &role.rule {
            let at = at.concat(&["rule", name]);
            let Rule { uri, policy, allow, deny, .. } = rule;
            // The names of clients stand where the places are.
            let example = uri.replace("{authid}", "a").replace("{authrole}", "a");
            let rules = UriRules { max_length: LONGEST_URI, ..UriRules::default() };
            if let Err(why) = rules.check_pattern(&example, MatchPolicy::from(*policy)) {
                self.add(at.join("uri"), Problem::Unusable(why.to_string()));
            }
            if allow.is_empty() && deny.is_empty() {
                self.add(
                    at.join("allow"),
                    Problem::mismatch("something to allow or deny", "nothing"),
                );
            }
        }
    }

    /// What a route says of WAMP.
    pub(super) fn wamp(&mut self, at: &KeyPath, route: &'a Route) {
        let config = self.config;
        if route.protocols.iter().any(|id| id == "wamp")
            && config.broker.contains_key(&route.broker)
            && !config.realm.values().any(|realm| realm.broker == route.broker)
        {
            let expected = format!("a table [realm.NAME] with broker = {:?}", route.broker);
            self.add(at.join("protocols"), Problem::mismatch(expected, "\"wamp\" and no realm"));
        }
        let at = at.join("wamp");
        let wamp = &route.wamp;
        let Wamp { max_uri_length, max_depth, max_values, max_transcoded, .. } = *wamp;
        self.count(at.join("max_uri_length"), max_uri_length);
        if max_uri_length > LONGEST_URI {
            self.add(at.join("max_uri_length"), Problem::at_most(LONGEST_URI, max_uri_length));
        }
        let (least, most) = DEPTHS;
        if max_depth < least {
            self.add(at.join("max_depth"), Problem::at_least(least, max_depth));
        } else if max_depth > most {
            self.add(at.join("max_depth"), Problem::at_most(most, max_depth));
        }
        self.count(at.join("max_values"), max_values);
        self.size(at.join("max_transcoded"), max_transcoded);
        self.count(at.join("registrations"), wamp.registrations);
        self.count(at.join("calls"), wamp.calls);
        self.count(at.join("invocations"), wamp.invocations);
        self.time(at.join("call_timeout"), wamp.call_timeout);
        if wamp.max_call_timeout < wamp.call_timeout {
            let bound = named("call_timeout", wamp.call_timeout);
            self.add(at.join("max_call_timeout"), Problem::at_least(bound, wamp.max_call_timeout));
        } else {
            self.time(at.join("max_call_timeout"), wamp.max_call_timeout);
        }
        self.time(at.join("kill_timeout"), wamp.kill_timeout);
        self.size(at.join("max_held"), wamp.max_held);
    }
}
