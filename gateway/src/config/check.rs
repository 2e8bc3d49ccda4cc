//! Checks what only shows across keys: names that refer to each other, bounds, and values that
//! clash. What concerns brokers, and what routes ask of them, is in [`broker`]; realms are in [`realm`];
//! what a listener's transport asks of its route is in [`transport`].

mod broker;
mod realm;
mod transport;

use std::collections::BTreeSet;
use std::fmt::Display;
use std::net::SocketAddr;
use std::time::Duration;

use protocols::Registry;

use super::location::KeyPath;
use super::problem::{Problem, Suggestion, quoted};
use super::units::{ByteSize, Millis};
use super::{Config, Limits, Listener, Route, Stomp};
use crate::telemetry;

/// The highest of the numbers that count things.
const MAX_COUNT: usize = 0xFFFF_FFFF;

/// The largest buffer of a socket: the operating system counts it in an `int`, and doubles it.
const MAX_SOCKET_BUFFER: ByteSize = ByteSize(1 << 29);

/// What `x-expires` can say, twice over: the longest that a route may have sessions stay.
const LONGEST_RESUME: Millis = Millis::seconds(7 * 24 * 3_600);

/// The shortest heart-beat interval that may be agreed to: below it, heart-beats are the load.
const SHORTEST_HEARTBEAT: Millis = Millis(Duration::from_millis(100));

/// Every problem, in the order of sections and tables.
pub(super) fn problems(config: &Config, registry: &Registry) -> Vec<(KeyPath, Problem)> {
    let mut check = Check { config, registry, problems: Vec::new() };
    check.names();
    for (name, listener) in &config.listener {
        check.listener(&KeyPath::from(["listener", name]), listener);
    }
    check.addresses();
    for (name, route) in &config.route {
        check.route(&KeyPath::from(["route", name]), route);
    }
    check.paths();
    check.used_listeners();
    for (name, broker) in &config.broker {
        check.broker(name, broker);
    }
    for (name, realm) in &config.realm {
        check.realm(name, realm);
    }
    check.process();
    check.problems
}

struct Check<'a> {
    config: &'a Config,
    registry: &'a Registry,
    problems: Vec<(KeyPath, Problem)>,
}

impl<'a> Check<'a> {
    fn names(&mut self) {
        let config = self.config;
        for (section, is_empty) in
            [("listener", config.listener.is_empty()), ("route", config.route.is_empty())]
        {
            if is_empty {
                self.add(KeyPath::from([section]), Problem::NoTable(section));
            }
        }
        let listeners = config.listener.keys().map(|name| ("listener", name));
        let routes = config.route.keys().map(|name| ("route", name));
        let brokers = config.broker.keys().map(|name| ("broker", name));
        for (section, name) in listeners.chain(routes).chain(brokers) {
            let is_plain = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '-' | '_');
            if name.is_empty() || !name.chars().all(is_plain) {
                let problem = Problem::mismatch("a name of a-z, 0-9, - and _", quoted(name));
                self.add(KeyPath::from([section, name]), problem);
            }
        }
    }

    fn listener(&mut self, at: &KeyPath, listener: &Listener) {
        self.count(at.join("max_connections"), listener.max_connections);
        self.time(at.join("handshake_timeout"), listener.handshake_timeout);
        self.time(at.join("write_timeout"), listener.write_timeout);
        self.time(at.join("publish_timeout"), listener.publish_timeout);
        self.time(at.join("close_timeout"), listener.close_timeout);
        self.size(at.join("output_high_water"), listener.output_high_water);
        self.size(at.join("socket_send_buffer"), listener.socket_send_buffer);
        if listener.socket_send_buffer > MAX_SOCKET_BUFFER {
            let problem = Problem::at_most(MAX_SOCKET_BUFFER, listener.socket_send_buffer);
            self.add(at.join("socket_send_buffer"), problem);
        }
    }

    fn addresses(&mut self) {
        let config = self.config;
        let listeners = config
            .listener
            .iter()
            .map(|(name, listener)| (KeyPath::from(["listener", name, "bind"]), listener.bind));
        let admin = config.admin.bind.map(|bind| (KeyPath::from(["admin", "bind"]), bind));
        let mut taken: Vec<(KeyPath, SocketAddr)> = Vec::new();
        for (key, address) in listeners.chain(admin) {
            match taken.iter().find(|(_, earlier)| clash(*earlier, address)) {
                Some((by, _)) => {
                    let by = by.clone();
                    let address = address.to_string();
                    self.add(key, Problem::AddressTaken { address, by });
                }
                None => taken.push((key, address)),
            }
        }
    }

    fn route(&mut self, at: &KeyPath, route: &'a Route) {
        let config = self.config;
        self.refer(at.join("listener"), "listener", &route.listener, config.listener.keys());
        self.refer(at.join("broker"), "broker", &route.broker, config.broker.keys());
        // As it stands in a request line: anything else could never be asked for.
        let is_in_url = |c: char| c.is_ascii_graphic() && !matches!(c, '?' | '#');
        if !route.path.starts_with('/') || !route.path.chars().all(is_in_url) {
            let expected = "a path such as \"/ws\", percent-encoded, without \"?\" and \"#\"";
            self.add(at.join("path"), Problem::mismatch(expected, quoted(&route.path)));
        }
        self.protocols(at.join("protocols"), &route.protocols);
        self.sole_route(at, route);
        if let Some(size) = route.max_message_size {
            self.size(at.join("max_message_size"), size);
        }
        self.at_broker(at, route);
        self.limits(&at.join("limits"), &route.limits);
        self.stomp(&at.join("stomp"), &route.stomp);
        self.wamp(at, route);
    }

    fn protocols(&mut self, at: KeyPath, protocols: &[String]) {
        if protocols.is_empty() {
            self.add(at.clone(), Problem::at_least("one protocol", "none"));
        }
        for id in protocols.iter().filter(|id| self.registry.find(id).is_none()) {
            let problem = unknown("protocol", id, self.registry.ids());
            self.add(at.clone(), problem);
        }
        self.no_repeats(&at, protocols);
    }

    fn limits(&mut self, at: &KeyPath, limits: &Limits) {
        self.size(at.join("frame_size_before_login"), limits.frame_size_before_login);
        if limits.frame_size < limits.frame_size_before_login {
            let bound = named("frame_size_before_login", limits.frame_size_before_login);
            self.add(at.join("frame_size"), Problem::at_least(bound, limits.frame_size));
        }
        self.count(at.join("header_count"), limits.header_count);
        self.size(at.join("header_size"), limits.header_size);
        self.time(at.join("login_timeout"), limits.login_timeout);
        self.time(at.join("leave_timeout"), limits.leave_timeout);
        self.count(at.join("subscriptions"), limits.subscriptions);
        self.count(at.join("transactions"), limits.transactions);
        self.count(at.join("transaction_frames"), limits.transaction_frames);
        self.size(at.join("transaction_bytes"), limits.transaction_bytes);
        self.count(at.join("pending_receipts"), limits.pending_receipts);
        self.size(at.join("pending_bytes"), limits.pending_bytes);
    }

    fn stomp(&mut self, at: &KeyPath, stomp: &Stomp) {
        let Stomp { heartbeat_min: min, heartbeat_max: max, heartbeat_default: default, .. } =
            *stomp;
        if min < SHORTEST_HEARTBEAT {
            let problem = Problem::at_least(SHORTEST_HEARTBEAT, min);
            self.add(at.join("heartbeat_min"), problem);
        }
        if max < min {
            let problem = Problem::at_least(named("heartbeat_min", min), max);
            self.add(at.join("heartbeat_max"), problem);
        } else if !default.0.is_zero() && default < min {
            let problem = Problem::at_least(named("heartbeat_min", min), default);
            self.add(at.join("heartbeat_default"), problem);
        } else if default > max {
            let problem = Problem::at_most(named("heartbeat_max", max), default);
            self.add(at.join("heartbeat_default"), problem);
        }
        self.count(at.join("prefetch"), stomp.prefetch.into());
        if stomp.max_prefetch < stomp.prefetch {
            let problem = Problem::at_least(named("prefetch", stomp.prefetch), stomp.max_prefetch);
            self.add(at.join("max_prefetch"), problem);
        }
        if stomp.max_resume > LONGEST_RESUME {
            let problem = Problem::at_most(LONGEST_RESUME, stomp.max_resume);
            self.add(at.join("max_resume"), problem);
        }
    }

    fn paths(&mut self) {
        let routes: Vec<_> = self.config.route.iter().collect();
        for (index, (name, route)) in routes.iter().enumerate() {
            let is_same =
                |other: &Route| other.listener == route.listener && other.path == route.path;
            let earlier = routes[..index].iter().find(|(_, other)| is_same(other));
            if let Some((other, _)) = earlier.filter(|_| self.has_paths(route)) {
                let by = KeyPath::from(["route", other]);
                let (listener, path) = (route.listener.clone(), route.path.clone());
                let key = KeyPath::from(["route", name, "path"]);
                self.add(key, Problem::PathTaken { listener, path, by });
            }
        }
    }

    /// Silent where a route names a listener that is not there: it may have meant this one.
    fn used_listeners(&mut self) {
        let config = self.config;
        let used: BTreeSet<_> = config.route.values().map(|route| &route.listener).collect();
        if used.is_empty() || used.iter().any(|name| !config.listener.contains_key(*name)) {
            return;
        }
        for name in config.listener.keys().filter(|name| !used.contains(name)) {
            let problem = Problem::UnusedListener(name.clone());
            self.add(KeyPath::from(["listener", name]), problem);
        }
    }

    fn process(&mut self) {
        let config = self.config;
        if config.drain.spread > config.drain.grace {
            let bound = named("grace", config.drain.grace);
            let problem = Problem::at_most(bound, config.drain.spread);
            self.add(KeyPath::from(["drain", "spread"]), problem);
        }
        if telemetry::filter(&config.log.filter).is_err() {
            let expected = "a filter such as \"info\" or \"warn,gateway=debug\"";
            let problem = Problem::mismatch(expected, quoted(&config.log.filter));
            self.add(KeyPath::from(["log", "filter"]), problem);
        }
    }

    fn count(&mut self, key: KeyPath, count: usize) {
        if count == 0 {
            self.add(key, Problem::at_least(1, 0));
        } else if count > MAX_COUNT {
            self.add(key, Problem::at_most(MAX_COUNT, count));
        }
    }

    fn size(&mut self, key: KeyPath, size: ByteSize) {
        if size.0 == 0 {
            self.add(key, Problem::at_least("1 byte", 0));
        } else if size > ByteSize::MAX {
            self.add(key, Problem::at_most(ByteSize::MAX, size));
        }
    }

    fn time(&mut self, key: KeyPath, time: Millis) {
        if time.0.is_zero() {
            self.add(key, Problem::at_least("1ms", time));
        } else if time > Millis::MAX {
            self.add(key, Problem::at_most(Millis::MAX, time));
        }
    }

    fn no_repeats(&mut self, at: &KeyPath, entries: &[String]) {
        let mut seen = BTreeSet::new();
        let repeated: BTreeSet<_> = entries.iter().filter(|entry| !seen.insert(*entry)).collect();
        for entry in repeated {
            self.add(at.clone(), Problem::Repeated(entry.clone()));
        }
    }

    fn refer<'n>(
        &mut self,
        key: KeyPath,
        what: &str,
        name: &str,
        mut known: impl Iterator<Item = &'n String> + Clone,
    ) {
        if !known.clone().any(|candidate| candidate == name) {
            let problem = unknown(what, name, known.by_ref().map(String::as_str));
            self.add(key, problem);
        }
    }

    fn add(&mut self, key: KeyPath, problem: Problem) {
        self.problems.push((key, problem));
    }
}

fn unknown<'n>(what: &str, name: &str, known: impl Iterator<Item = &'n str>) -> Problem {
    let suggestion = Suggestion::for_name(name, known);
    Problem::UnknownName { what: what.to_owned(), name: name.to_owned(), suggestion }
}

/// A bound together with the key that sets it.
fn named(key: &str, bound: impl Display) -> String {
    format!("{key} ({bound})")
}

/// Whether both sockets cannot be bound: the same port at the same address, or at every address of
/// the same family.
fn clash(one: SocketAddr, other: SocketAddr) -> bool {
    let is_same_ip = one.ip() == other.ip();
    let is_same_family = one.is_ipv4() == other.is_ipv4();
    let covers = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && (is_same_ip || is_same_family && covers)
}
