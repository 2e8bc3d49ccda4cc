//! Realms: what a client can join, who may, and in which role.
//!
//! Values only: the gateway makes them of its configuration. A realm is a virtual host of the broker
//! in which the gateway itself is logged in; what each client may do there is up to the realm's rules.
//!
//! *Spec.* WAMP §Realms, Sessions and Transports; §Authentication Methods, as far as it is about which
//! methods there are.
//!
//! # Users that do not exist
//! A client that names one is challenged as if it did, so that nobody learns which there are: it is
//! treated as one of those that do exist, always the same one for the same name, with a secret that
//! nobody has. That shows at one place: in a realm with tickets of the broker, which has users that are
//! not listed here, a client that offers a ticket too is asked for that.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::HEXLOWER;

use super::access::Access;
use super::auth::Method;
use super::auth::cra::{self, Cra};
use super::id::Id;
use super::rpc;
use super::serializer::Limits;
use super::uri::UriRules;
use crate::auth::Secret;
use crate::text::Text;

/// Settings of WAMP sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// By name. Default none: nobody gets in.
    pub realms: BTreeMap<Text, Arc<Realm>>,
    /// Which URIs clients may use.
    pub uris: UriRules,
    /// Bounds on calls and registrations, and how long they wait.
    pub rpc: rpc::Settings,
    /// Bounds on messages.
    pub limits: Limits,
    /// Sent as `agent` in WELCOME; `None`: nothing is sent. Default none.
    pub agent: Option<Text>,
    /// How often the transport probes a silent client, for WAMP has no heart-beats. Zero: never.
    /// Default 30 s.
    pub probe: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            realms: BTreeMap::new(),
            uris: UriRules::default(),
            rpc: rpc::Settings::default(),
            limits: Limits::DEFAULT,
            agent: None,
            probe: Duration::from_secs(30),
        }
    }
}

/// A realm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Realm {
    /// As clients ask for it.
    pub name: Text,
    /// What clients that are nobody are; `None` if they do not get in.
    pub anonymous: Option<Anonymous>,
    /// Those that the realm knows.
    pub users: Users,
    /// If set, a ticket is the broker's password for the authid, unless the realm has a ticket of its
    /// own for that. The role of those that get in so and are not among `users`.
    pub tickets_of_broker: Option<Text>,
    /// What each role may do. A role that is not here may do nothing.
    pub roles: BTreeMap<Text, Access>,
    /// Logins of other gateways in front of the same broker, where they differ from this one's.
    pub trusted: Vec<Text>,
    /// Whether a prefix may be subscribed to that ends before the second component.
    pub broad_prefixes: bool,
    /// Bytes of a payload, as the body of a broker's message.
    pub body_size: usize,
}

/// What clients are that do not say who they are, or need not prove it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anonymous {
    /// Their role.
    pub role: Text,
    /// Whether they may come from anywhere, and not from the gateway's own host only.
    pub from_anywhere: bool,
}

/// What a realm knows of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The role.
    pub role: Text,
    /// The ticket, if it may come with one of the realm's.
    pub ticket: Option<Secret>,
    /// What it shares with the realm, if it may come by challenge and response.
    pub cra: Option<Cra>,
}

/// The users of a realm by authid.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Users {
    by_authid: BTreeMap<Text, usize>,
    users: Vec<User>,
    /// With which users are made up that do not exist.
    key: Secret,
}

impl Users {
    /// Of two users with one authid the last one counts.
    ///
    /// *Shape.* `key` is a text that nobody can guess, the same on all nodes and after restarts: whoever
    /// finds that it differs can tell users that do not exist. It must not be made of the users' own
    /// secrets, or else guesses of these could be tried out on what is made up with it.
    pub fn new(users: impl IntoIterator<Item = (Text, User)>, key: Secret) -> Self {
        let users: BTreeMap<Text, User> = users.into_iter().collect();
        let (names, users): (Vec<_>, Vec<_>) = users.into_iter().unzip();
        let by_authid = names.into_iter().enumerate().map(|(at, authid)| (authid, at)).collect();
        Self { by_authid, users, key }
    }

    fn find(&self, authid: &str) -> Option<&User> {
        self.by_authid.get(authid).and_then(|at| self.users.get(*at))
    }

    /// A user that stands in for one that does not exist.
    fn decoy(&self, authid: &str) -> Option<User> {
        let made_up = |what: &str| cra::hmac(&self.key, &[what.as_bytes(), authid.as_bytes()]);
        let [a, b, c, d, ..] = made_up("user ");
        let at = u32::from_be_bytes([a, b, c, d]) as usize % self.users.len().max(1);
        let user = self.users.get(at)?;
        let secret = |what| Secret::new(&HEXLOWER.encode(&made_up(what)));
        Some(User {
            role: user.role.clone(),
            ticket: user.ticket.as_ref().map(|_| secret("ticket ")),
            cra: user.cra.as_ref().map(|cra| cra.decoy(secret("secret "), &made_up("salt "))),
        })
    }
}

/// How a client can prove who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) role: Text,
    pub(super) proof: Proof,
}

/// What proves that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Proof {
    Ticket(Secret),
    /// A ticket that the broker judges.
    TicketOfBroker,
    Cra(Cra),
}

impl Realm {
    /// One that nobody gets into yet.
    pub fn new(name: impl Into<Text>) -> Self {
        Self {
            name: name.into(),
            anonymous: None,
            users: Users::default(),
            tickets_of_broker: None,
            roles: BTreeMap::new(),
            trusted: Vec::new(),
            broad_prefixes: false,
            body_size: 16 << 20,
        }
    }

    /// What a client is that is nobody, if it gets in; `is_local`: it is on the gateway's own host.
    pub(super) fn nobody(&self, is_local: bool) -> Option<&Anonymous> {
        self.anonymous.as_ref().filter(|anonymous| is_local || anonymous.from_anywhere)
    }

    /// Whether some client from there can come by this method.
    pub fn takes(&self, method: Method, is_local: bool) -> bool {
        let users = &self.users.users;
        match method {
            Method::Anonymous => self.nobody(is_local).is_some(),
            Method::Ticket => {
                self.tickets_of_broker.is_some() || users.iter().any(|user| user.ticket.is_some())
            }
            Method::Wampcra => users.iter().any(|user| user.cra.is_some()),
        }
    }

    /// How a client that has this name, or none, can come by a method, if it can.
    ///
    /// `offered` is what it offers in all.
    pub(super) fn account(
        &self,
        authid: &str,
        method: Method,
        offered: &[Method],
    ) -> Option<Account> {
        // Always made, so that it takes as long for users that exist.
        let decoy = self.users.decoy(authid);
        let listed = self.users.find(authid);
        let user = listed.or(decoy.as_ref());
        let own = |user: &User, proof| Account { role: user.role.clone(), proof };
        match (method, &self.tickets_of_broker) {
            (Method::Anonymous, _) => None,
            (Method::Ticket, Some(role)) => {
                let ticket = listed.and_then(|user| user.ticket.clone());
                let proof = ticket.map_or(Proof::TicketOfBroker, Proof::Ticket);
                let role = listed.map_or(role, |user| &user.role).clone();
                Some(Account { role, proof })
            }
            (Method::Ticket, None) => {
                user.and_then(|user| Some(own(user, Proof::Ticket(user.ticket.clone()?))))
            }
            (Method::Wampcra, Some(_)) if listed.is_none() && offered.contains(&Method::Ticket) => {
                None
            }
            (Method::Wampcra, _) => {
                user.and_then(|user| Some(own(user, Proof::Cra(user.cra.clone()?))))
            }
        }
    }
}

/// Who a client is, and how that was found out. Set by WELCOME, for as long as the session lasts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The session.
    pub session: Id,
    /// Its user.
    pub authid: Text,
    /// The user's role.
    pub authrole: Text,
    /// The method by which it came.
    pub authmethod: &'static str,
    /// Who has judged: `static` for the realm itself, `broker` for the broker.
    pub authprovider: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wamp::auth::cra::Salting;

    fn realm() -> Realm {
        let text = Text::from_static;
        let salting = Salting { salt: text("0123456789"), iterations: 7, keylen: 32 };
        let cra = Cra { secret: Secret::new("key"), salting: Some(salting) };
        let role = text("user");
        let ticket = Some(Secret::new("t"));
        let users = [
            (text("ann"), User { role: role.clone(), ticket, cra: None }),
            (text("bob"), User { role, ticket: None, cra: Some(cra) }),
        ];
        Realm { users: Users::new(users, Secret::new("key of the realm")), ..Realm::new("r") }
    }

    #[test]
    fn a_user_that_does_not_exist_is_as_one_that_does_and_always_the_same() {
        let realm = realm();
        let mut kinds = [0; 2];
        for authid in (0..100).map(|number| format!("nobody-{number}")) {
            let decoy = realm.users.decoy(&authid).unwrap();
            assert_eq!(Some(&decoy), self::realm().users.decoy(&authid).as_ref());
            match (&decoy.ticket, &decoy.cra) {
                (Some(ticket), None) => {
                    assert_ne!(ticket, &Secret::new("t"));
                    kinds[0] += 1;
                }
                (None, Some(Cra { secret, salting: Some(salting) })) => {
                    assert_ne!(secret, &Secret::new("key"));
                    assert_eq!((salting.iterations, salting.keylen), (7, 32));
                    assert!(salting.salt.len() == 10 && salting.salt != "0123456789");
                    kinds[1] += 1;
                }
                other => panic!("as ann or as bob, not {other:?}"),
            }
        }
        assert!(kinds.iter().all(|count| *count > 20), "{kinds:?}");
    }

    #[test]
    fn a_realm_without_users_has_nobody_to_stand_in() {
        let realm = Realm { users: Users::default(), ..realm() };
        assert_eq!(realm.account("ann", Method::Ticket, &[Method::Ticket]), None);
        assert!(!realm.takes(Method::Ticket, true) && !realm.takes(Method::Wampcra, true));
    }

    #[test]
    fn a_ticket_of_the_realms_goes_before_one_of_the_brokers() {
        let realm = Realm { tickets_of_broker: Some(Text::from_static("guest")), ..realm() };
        let both = [Method::Wampcra, Method::Ticket];
        let account = |authid, method| {
            realm.account(authid, method, &both).map(|account| (account.role, account.proof))
        };
        let of_broker = |role| Some((Text::from_static(role), Proof::TicketOfBroker));
        let own = Proof::Ticket(Secret::new("t"));
        assert_eq!(account("ann", Method::Ticket), Some((Text::from_static("user"), own)));
        assert_eq!(account("bob", Method::Ticket), of_broker("user"));
        assert_eq!(account("eve", Method::Ticket), of_broker("guest"));
        assert_eq!(account("eve", Method::Wampcra), None);
        assert!(account("bob", Method::Wampcra).is_some());
    }
}
