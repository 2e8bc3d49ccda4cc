//! Brokers, and what routes ask of them.

use broker_adapters::rabbitmq::{self, Endpoint};
use protocols::auth::Secret;
use protocols::stomp::FRAMES_PER_CALL;

use super::{Check, named};
use crate::config::location::KeyPath;
use crate::config::problem::{Problem, quoted};
use crate::config::units::{ByteSize, Millis};
use crate::config::{Broker, Embedded, Rabbitmq, Route, ServiceLogin};

/// Bytes of an AMQP frame: the AMQP client library goes no lower, RabbitMQ no higher by default.
const FRAME_SIZES: (ByteSize, ByteSize) = (ByteSize(8_192), ByteSize(131_072));

/// Seconds between AMQP heart-beats have 16 bits.
const LONGEST_HEARTBEAT: Millis = Millis::seconds(0xFFFF);

/// RabbitMQ counts the milliseconds of `x-expires` with 32 bits.
const LONGEST_EXPIRY: Millis = Millis::seconds(0xFFFF_FFFF / 1_000);

/// Channels that RabbitMQ allows on a connection by default.
const MAX_CHANNELS: usize = 2_047;

/// Bytes of a name in AMQP.
const LONGEST_NAME: usize = 255;

/// Bytes of `queue_prefix`: what follows it must find room in a name.
const LONGEST_PREFIX: usize = 128;

/// A login that the gateway brings itself, and the keys that say it.
pub(super) struct Login<'l> {
    /// Those of the login and of the passcode.
    pub(super) keys: (KeyPath, KeyPath),
    pub(super) login: &'l String,
    pub(super) passcode: &'l Secret,
    /// Where it is to work.
    pub(super) vhost: &'l String,
}

impl<'a> Check<'a> {
    pub(super) fn broker(&mut self, name: &str, broker: &Broker) {
        match broker {
            Broker::Embedded(broker) => self.embedded(name, broker),
            Broker::Rabbitmq(broker) => self.rabbitmq(name, broker),
        }
    }

    /// What a route asks of its broker.
    pub(super) fn at_broker(&mut self, at: &KeyPath, route: &'a Route) {
        let (login_key, passcode_key) = (at.join("default_login"), at.join("default_passcode"));
        match (&route.default_login, &route.default_passcode) {
            (Some(_), None) => self.add(login_key, Problem::Incomplete("default_passcode")),
            (None, Some(_)) => self.add(passcode_key, Problem::Incomplete("default_login")),
            _ => {}
        }
        if let Some(service) = &route.service_login {
            self.service_login(&at.join("service_login"), service);
        }
        if route.conflate_by.is_empty() {
            let problem = Problem::mismatch("the name of a header", "an empty text");
            self.add(at.join("conflate_by"), problem);
        }
        self.no_repeats(&at.concat(&["stomp", "send_to_users"]), &route.stomp.send_to_users);
        match self.config.broker.get(&route.broker) {
            Some(Broker::Embedded(broker)) => self.at_embedded(at, route, broker),
            Some(Broker::Rabbitmq(broker)) => self.at_rabbitmq(at, route, broker),
            None => {}
        }
    }

    fn service_login(&mut self, at: &KeyPath, service: &ServiceLogin) {
        if service.login.is_empty() {
            self.add(at.join("login"), Problem::mismatch("a login", "an empty text"));
        }
        if service.passcode.expose().is_empty() {
            self.add(at.join("passcode"), Problem::mismatch("a passcode", "an empty text"));
        }
    }

    fn at_embedded(&mut self, at: &KeyPath, route: &Route, broker: &Embedded) {
        let name = &route.broker;
        let vhosts = broker.vhosts.iter();
        self.refer(at.join("vhost"), &format!("virtual host of {name:?}"), &route.vhost, vhosts);
        if let (Some(login), Some(passcode)) = (&route.default_login, &route.default_passcode) {
            let keys = (at.join("default_login"), at.join("default_passcode"));
            let login = Login { keys, login, passcode, vhost: &route.vhost };
            self.known_login(login, name, broker);
        }
        if let Some(ServiceLogin { login, passcode, .. }) = &route.service_login
            && !login.is_empty()
            && !passcode.expose().is_empty()
        {
            let at = at.join("service_login");
            let keys = (at.join("login"), at.join("passcode"));
            let login = Login { keys, login, passcode, vhost: &route.vhost };
            self.known_login(login, name, broker);
        }
    }

    /// A login that the gateway brings itself, of which the embedded broker must know.
    pub(super) fn known_login(&mut self, login: Login<'_>, name: &str, broker: &Embedded) {
        let Login { keys: (login_key, passcode_key), login, passcode, vhost } = login;
        let users = broker.user.keys();
        self.refer(login_key.clone(), &format!("user of {name:?}"), login, users);
        let Some(user) = broker.user.get(login) else {
            return;
        };
        let (user_name, broker) = (login.clone(), name.to_owned());
        if user.passcode != *passcode {
            let problem = Problem::OtherPasscode { user: user_name, broker };
            self.add(passcode_key, problem);
        } else if user.vhosts.as_ref().is_some_and(|vhosts| !vhosts.contains(vhost)) {
            let vhost = vhost.clone();
            let problem = Problem::NoAccess { user: user_name, broker, vhost };
            self.add(login_key, problem);
        }
    }

    /// What would turn the broker's slowness into a fault of the client's.
    fn at_rabbitmq(&mut self, at: &KeyPath, route: &Route, broker: &Rabbitmq) {
        let (at, limits, name) = (at.join("limits"), &route.limits, &route.broker);
        let of_broker = |key: &str| format!("{key} of broker {name:?}");
        // A publisher whose every message asks for a receipt must be held back before it is refused.
        let least = broker.window_messages.saturating_add(FRAMES_PER_CALL);
        if limits.pending_receipts < least {
            let window = named(&of_broker("window_messages"), broker.window_messages);
            let bound = format!("{least}, which is {window} and {FRAMES_PER_CALL} more");
            self.add(
                at.join("pending_receipts"),
                Problem::at_least(bound, limits.pending_receipts),
            );
        }
        // A client must hear that the broker cannot be reached, not that it logs in too slowly.
        if limits.login_timeout <= broker.connect_timeout {
            let bound = named(&of_broker("connect_timeout"), broker.connect_timeout);
            self.add(at.join("login_timeout"), Problem::more_than(bound, limits.login_timeout));
        }
    }

    fn rabbitmq(&mut self, name: &str, broker: &Rabbitmq) {
        let at = KeyPath::from(["broker", name]);
        self.endpoints(&at, broker);
        self.time(at.join("connect_timeout"), broker.connect_timeout);
        self.heartbeat(at.join("heartbeat"), broker.heartbeat);
        self.time(at.join("login_cache"), broker.login_cache);
        self.time(at.join("idle_timeout"), broker.idle_timeout);
        self.count(at.join("max_identities"), broker.max_identities);
        let (size, (least, most)) = (broker.publish_frame_size, FRAME_SIZES);
        if size < least {
            self.add(at.join("publish_frame_size"), Problem::at_least(least, size));
        } else if size > most {
            self.add(at.join("publish_frame_size"), Problem::at_most(most, size));
        }
        self.count(at.join("window_messages"), broker.window_messages);
        self.size(at.join("window_bytes"), broker.window_bytes);
        self.count(at.join("shared_channels"), broker.shared_channels);
        if broker.shared_channels > MAX_CHANNELS {
            let problem = Problem::at_most(MAX_CHANNELS, broker.shared_channels);
            self.add(at.join("shared_channels"), problem);
        }
        self.time(at.join("recovery_timeout"), broker.recovery_timeout);
        self.time(at.join("inbox_expires"), broker.inbox_expires);
        if broker.inbox_expires > LONGEST_EXPIRY {
            let problem = Problem::at_most(LONGEST_EXPIRY, broker.inbox_expires);
            self.add(at.join("inbox_expires"), problem);
        }
        self.count(at.join("inbox_messages"), broker.inbox_messages);
        self.count(at.join("resume_messages"), broker.resume_messages);
        self.size(at.join("resume_bytes"), broker.resume_bytes);
        self.count(at.join("inbox_prefetch"), usize::from(broker.inbox_prefetch));
        self.name(at.join("topic_exchange"), &broker.topic_exchange, LONGEST_NAME);
        self.name(at.join("queue_prefix"), &broker.queue_prefix, LONGEST_PREFIX);
        if broker.queue_prefix.starts_with("amq.") {
            let expected = "a prefix other than \"amq.\", which RabbitMQ keeps for itself";
            let problem = Problem::mismatch(expected, quoted(&broker.queue_prefix));
            self.add(at.join("queue_prefix"), problem);
        }
        self.no_repeats(&at.join("loopback_users"), &broker.loopback_users);
    }

    fn endpoints(&mut self, at: &KeyPath, broker: &Rabbitmq) {
        if broker.url.is_empty() {
            self.add(at.join("url"), Problem::at_least("one URL", "none"));
        }
        let urls: Vec<_> = broker.url.iter().map(Endpoint::to_string).collect();
        self.no_repeats(&at.join("url"), &urls);
        if broker.tls_ca.is_some() && !broker.url.iter().any(|endpoint| endpoint.tls) {
            let problem = Problem::Incomplete("a url that starts with \"amqps://\"");
            self.add(at.join("tls_ca"), problem);
        } else if let Some(file) = &broker.tls_ca
            && let Err(why) = rabbitmq::check_authorities(file)
        {
            let got = format!("{}: {why}", quoted(&file.display().to_string()));
            let expected = "a PEM file of certificate authorities";
            self.add(at.join("tls_ca"), Problem::mismatch(expected, got));
        }
    }

    fn heartbeat(&mut self, key: KeyPath, heartbeat: Millis) {
        if heartbeat < Millis::seconds(1) {
            self.add(key, Problem::at_least("1s", heartbeat));
        } else if heartbeat > LONGEST_HEARTBEAT {
            self.add(key, Problem::at_most(LONGEST_HEARTBEAT, heartbeat));
        } else if heartbeat.0.subsec_nanos() != 0 {
            self.add(key, Problem::mismatch("whole seconds", heartbeat.to_string()));
        }
    }

    /// A name, or the beginning of one, as AMQP takes it.
    fn name(&mut self, key: KeyPath, name: &str, longest: usize) {
        if name.is_empty() {
            self.add(key, Problem::mismatch("a name", "an empty text"));
        } else if name.len() > longest {
            let (bound, got) = (format!("{longest} bytes"), name.len());
            self.add(key, Problem::at_most(bound, got));
        }
    }

    fn embedded(&mut self, name: &str, broker: &Embedded) {
        let at = KeyPath::from(["broker", name]);
        if broker.vhosts.is_empty() {
            self.add(at.join("vhosts"), Problem::at_least("one virtual host", "none"));
        }
        self.no_repeats(&at.join("vhosts"), &broker.vhosts);
        self.size(at.join("memory_limit"), broker.memory_limit);
        self.size(at.join("link_buffer"), broker.link_buffer);
        self.size(at.join("private_queue_bytes"), broker.private_queue_bytes);
        self.count(at.join("resume_messages"), broker.resume_messages);
        self.size(at.join("resume_bytes"), broker.resume_bytes);
        self.count(at.join("max_queues"), broker.max_queues);
        self.count(at.join("max_private_queues"), broker.max_private_queues);
        self.count(at.join("max_topic_words"), broker.max_topic_words);
        self.count(at.join("max_topic_hashes"), broker.max_topic_hashes);
        self.size(at.join("max_argument_bytes"), broker.max_argument_bytes);
        for (name, exchange) in &broker.exchange {
            let at = at.concat(&["exchange", name]);
            self.name(at.clone(), name, LONGEST_NAME);
            if name.starts_with("amq.") {
                let expected = "a name that does not begin with \"amq.\"";
                self.add(at.clone(), Problem::mismatch(expected, quoted(name)));
            }
            for vhost in exchange.vhosts.iter().flatten() {
                self.refer(at.join("vhosts"), "virtual host", vhost, broker.vhosts.iter());
            }
        }
        self.loopback_users(at.join("loopback_users"), name, broker);
        for (login, user) in &broker.user {
            let at = at.concat(&["user", login]);
            if login.is_empty() {
                self.add(at.clone(), Problem::mismatch("a login", "an empty name"));
            }
            if user.passcode.expose().is_empty() {
                self.add(at.join("passcode"), Problem::mismatch("a passcode", "an empty text"));
            }
            for vhost in user.vhosts.iter().flatten() {
                self.refer(at.join("vhosts"), "virtual host", vhost, broker.vhosts.iter());
            }
        }
    }

    /// A misspelt name would open its user to everybody. What nobody wrote is not misspelt.
    fn loopback_users(&mut self, at: KeyPath, name: &str, broker: &Embedded) {
        self.no_repeats(&at, &broker.loopback_users);
        if broker.loopback_users == Embedded::default().loopback_users {
            return;
        }
        for login in &broker.loopback_users {
            self.refer(at.clone(), &format!("user of {name:?}"), login, broker.user.keys());
        }
    }
}
