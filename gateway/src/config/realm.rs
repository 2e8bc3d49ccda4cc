//! `[realm.NAME]`: what WAMP clients join, and what it means in the terms of [`protocols`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use protocols::auth::Secret;
use protocols::text::Text;
use protocols::wamp::access::{self, Access, ActionSet, Effect};
use protocols::wamp::auth::cra::{Cra, Salting};
use protocols::wamp::bridge::{self, Form};
use protocols::wamp::message::MatchPolicy;
use protocols::wamp::realm::{self, Anonymous, Users};
use protocols::wamp::uri::Pattern;
use serde::{Deserialize, Serialize};

use super::units::{ByteSize, Millis};
use super::values;

/// A realm: a virtual host of a broker in which the gateway works under a login of its own, the users
/// of it, and what they may do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Realm {
    /// The broker's name. Routes to that broker serve the realm.
    pub broker: String,
    /// The virtual host behind it. Default `/`.
    #[serde(default = "vhost")]
    pub vhost: String,
    /// The gateway's own login at the broker. No client of another protocol should have it.
    pub login: String,
    /// Its passcode.
    #[serde(deserialize_with = "values::secret", serialize_with = "values::redact")]
    pub passcode: Secret,
    /// Logins of other gateways in front of the same broker, where they differ. Default: none.
    #[serde(default)]
    pub trusted_logins: Vec<String>,
    /// The role of anonymous clients; unset: they do not get in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anonymous: Option<String>,
    /// Where anonymous clients may come from. Default `loopback`.
    #[serde(default, deserialize_with = "values::word")]
    pub anonymous_from: AnonymousFrom,
    /// The role of clients that bring a login and passcode of the broker as authid and ticket; unset:
    /// they do not get in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broker_tickets: Option<String>,
    /// With what users are made up that do not exist; unset: something random, so that nodes differ.
    #[serde(
        default,
        deserialize_with = "values::optional_secret",
        serialize_with = "values::redact_optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub decoy_key: Option<Secret>,
    /// Whether a prefix may be subscribed to that ends before the second component: all that is
    /// published in the virtual host then comes to this gateway. Default false.
    #[serde(default)]
    pub broad_prefixes: bool,
    /// Bytes of the arguments of one event. Default 16 MiB.
    #[serde(default = "max_body_size")]
    pub max_body_size: ByteSize,
    /// Bytes of calls to elsewhere, and of answers to elsewhere, that wait to leave. Default 16 MiB.
    #[serde(default = "calls_buffer")]
    pub calls_buffer: ByteSize,
    /// `[realm.NAME.rpc.ROUTE]`: procedures that plain AMQP workers answer.
    #[serde(default)]
    pub rpc: BTreeMap<String, RpcRoute>,
    /// `[realm.NAME.user.AUTHID]`.
    #[serde(default)]
    pub user: BTreeMap<String, RealmUser>,
    /// `[realm.NAME.role.ROLE]`.
    #[serde(default)]
    pub role: BTreeMap<String, Role>,
}

fn vhost() -> String {
    "/".to_owned()
}

const fn max_body_size() -> ByteSize {
    ByteSize(16 << 20)
}

const fn calls_buffer() -> ByteSize {
    ByteSize(16 << 20)
}

/// `[realm.NAME.rpc.ROUTE]`: a procedure that a plain AMQP worker answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RpcRoute {
    /// The procedure.
    pub uri: String,
    /// The exchange that calls go to. Default: the default exchange.
    #[serde(default)]
    pub exchange: String,
    /// The routing key; at the default exchange the name of the worker's queue.
    pub key: String,
    /// What the worker reads. Default `envelope`.
    #[serde(default, deserialize_with = "values::word")]
    pub payload: RpcPayload,
    /// How long its answer is awaited, at most. Default 30 s.
    #[serde(default = "rpc_timeout")]
    pub timeout: Millis,
}

const fn rpc_timeout() -> Millis {
    Millis::seconds(30)
}

/// What a worker reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RpcPayload {
    /// An object of `args` and `kwargs`, in JSON.
    #[default]
    Envelope,
    /// The first argument, in JSON.
    JsonFirstArg,
    /// The first argument: a text or bytes as they are, anything else in JSON.
    RawFirstArg,
    /// The arguments by name, in JSON.
    KwargsObject,
}

impl From<&RpcRoute> for bridge::Route {
    fn from(route: &RpcRoute) -> Self {
        let text = |it: &String| Text::from(it.as_str());
        Self {
            uri: text(&route.uri),
            exchange: text(&route.exchange),
            key: text(&route.key),
            form: match route.payload {
                RpcPayload::Envelope => Form::Envelope,
                RpcPayload::JsonFirstArg => Form::JsonFirstArg,
                RpcPayload::RawFirstArg => Form::RawFirstArg,
                RpcPayload::KwargsObject => Form::KwargsObject,
            },
            timeout: route.timeout.0,
        }
    }
}

/// Where anonymous clients may come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AnonymousFrom {
    /// The gateway's own host.
    #[default]
    Loopback,
    /// Anywhere.
    Anywhere,
}

/// `[realm.NAME.user.AUTHID]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RealmUser {
    /// The role.
    pub role: String,
    /// What a client proves to be the user with by the method `ticket`.
    #[serde(
        default,
        deserialize_with = "values::optional_secret",
        serialize_with = "values::redact_optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub ticket: Option<Secret>,
    /// What a client signs challenges with by the method `wampcra`; with `salt`, the password that it
    /// makes that of.
    #[serde(
        default,
        deserialize_with = "values::optional_secret",
        serialize_with = "values::redact_optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub secret: Option<Secret>,
    /// How the client makes that of its password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
    /// Rounds of PBKDF2, with `salt`. Default 1,000.
    #[serde(default = "iterations")]
    pub iterations: u32,
    /// Bytes that it makes, with `salt`. Default 32.
    #[serde(default = "keylen")]
    pub keylen: u16,
}

const fn iterations() -> u32 {
    1_000
}

const fn keylen() -> u16 {
    32
}

/// `[realm.NAME.role.ROLE]`: what its users may do.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Role {
    /// `[realm.NAME.role.ROLE.rule.NAME]`. What no rule allows is denied.
    pub rule: BTreeMap<String, Rule>,
}

/// What a role may do with some URIs. What a rule denies is denied, whatever others allow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The topics and procedures; `{authid}` and `{authrole}` stand for the client's.
    pub uri: String,
    /// How they match. Default `exact`.
    #[serde(default, rename = "match", deserialize_with = "values::word")]
    pub policy: Match,
    /// What may be done with them. Default: nothing.
    #[serde(default)]
    pub allow: BTreeSet<Action>,
    /// What may not. Default: nothing.
    #[serde(default)]
    pub deny: BTreeSet<Action>,
    /// Whether those who get an event or a call learn whose it is. Default `allow`.
    #[serde(default, deserialize_with = "values::word")]
    pub disclose: Disclose,
}

/// How a URI matches (WAMP §Pattern-based Subscription).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Match {
    /// As a whole.
    #[default]
    Exact,
    /// By its beginning.
    Prefix,
    /// Component by component, where empty ones match all.
    Wildcard,
}

/// What clients do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// CALL.
    Call,
    /// PUBLISH.
    Publish,
    /// REGISTER.
    Register,
    /// SUBSCRIBE.
    Subscribe,
}

/// Whether it is disclosed who publishes or calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Disclose {
    /// If the client wants that.
    #[default]
    Allow,
    /// Always.
    Always,
    /// Never: to want it is refused.
    Deny,
}

impl Realm {
    /// A realm of a broker that nobody gets into yet, with the default of every other key.
    pub fn at(broker: &str, login: &str, passcode: &str) -> Self {
        Self {
            broker: broker.to_owned(),
            vhost: vhost(),
            login: login.to_owned(),
            passcode: Secret::new(passcode),
            trusted_logins: Vec::new(),
            anonymous: None,
            anonymous_from: AnonymousFrom::default(),
            broker_tickets: None,
            decoy_key: None,
            broad_prefixes: false,
            max_body_size: max_body_size(),
            calls_buffer: calls_buffer(),
            rpc: BTreeMap::new(),
            user: BTreeMap::new(),
            role: BTreeMap::new(),
        }
    }

    /// What its sessions go by; `random` stands for a `decoy_key` that is not set.
    ///
    /// *Cost.* PBKDF2 for each user with a salt.
    pub fn meaning(&self, name: &str, random: &Secret) -> Arc<realm::Realm> {
        let text = |it: &String| Text::from(it.as_str());
        let users = self.user.iter().map(|(authid, user)| (text(authid), user.into()));
        let key = self.decoy_key.as_ref().unwrap_or(random).clone();
        Arc::new(realm::Realm {
            name: Text::from(name),
            anonymous: self.anonymous.as_ref().map(|role| Anonymous {
                role: text(role),
                from_anywhere: self.anonymous_from == AnonymousFrom::Anywhere,
            }),
            users: Users::new(users, key),
            tickets_of_broker: self.broker_tickets.as_ref().map(text),
            roles: self.role.iter().map(|(name, role)| (text(name), role.into())).collect(),
            trusted: self.trusted_logins.iter().map(text).collect(),
            broad_prefixes: self.broad_prefixes,
            body_size: self.max_body_size.0,
        })
    }
}

impl From<&RealmUser> for realm::User {
    fn from(user: &RealmUser) -> Self {
        let salting = user.salt.as_ref().map(|salt| Salting {
            salt: Text::from(salt.as_str()),
            iterations: user.iterations,
            keylen: user.keylen,
        });
        Self {
            role: Text::from(user.role.as_str()),
            ticket: user.ticket.clone(),
            cra: user.secret.as_ref().map(|secret| Cra::of_password(secret, salting)),
        }
    }
}

impl From<&Role> for Access {
    fn from(role: &Role) -> Self {
        Self { rules: role.rule.values().flat_map(Rule::meaning).collect() }
    }
}

impl Rule {
    /// What it allows, and what it denies.
    fn meaning(&self) -> impl Iterator<Item = access::Rule> {
        let uris = Pattern { policy: self.policy.into(), uri: Text::from(self.uri.as_str()) };
        let allow = Effect::Allow(self.disclose.into());
        [(&self.allow, allow), (&self.deny, Effect::Deny)]
            .into_iter()
            .filter(|(actions, _)| !actions.is_empty())
            .map(move |(actions, effect)| access::Rule {
                uris: uris.clone(),
                actions: action_set(actions),
                effect,
            })
    }
}

fn action_set(actions: &BTreeSet<Action>) -> ActionSet {
    ActionSet {
        publish: actions.contains(&Action::Publish),
        subscribe: actions.contains(&Action::Subscribe),
        call: actions.contains(&Action::Call),
        register: actions.contains(&Action::Register),
    }
}

impl From<Match> for MatchPolicy {
    fn from(policy: Match) -> Self {
        match policy {
            Match::Exact => Self::Exact,
            Match::Prefix => Self::Prefix,
            Match::Wildcard => Self::Wildcard,
        }
    }
}

impl From<Disclose> for access::Disclosure {
    fn from(disclose: Disclose) -> Self {
        match disclose {
            Disclose::Allow => Self::Allow,
            Disclose::Always => Self::Always,
            Disclose::Deny => Self::Deny,
        }
    }
}
