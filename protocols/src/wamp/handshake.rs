//! Letting a client in: HELLO, CHALLENGE and AUTHENTICATE, the login at the broker, and WELCOME or
//! ABORT.
//!
//! The [`Acceptor`] decides, and the session says what it decided. What is known so far is handed from
//! step to step: a [`Challenged`] client, then a [`Candidate`] whose login is asked for.
//!
//! *Spec.* WAMP §Session Establishment, §Authentication Methods.
//!
//! # Choices that the specification leaves open
//! - Of the methods that a client offers, the first is used that leads into the realm with the authid
//!   that it names. A client that offers none is `anonymous`.
//! - The gateway logs in at the broker with a login of its own, for all but tickets of the broker's.
//! - A client that is nobody gets a name that was made up, whatever it calls itself.
//! - A client that asks for an `authrole` gets that or none.
//! - Whether the authid or its proof is wrong is not said; see [`realm`](super::realm).

use std::array;
use std::sync::Arc;
use std::time::Duration;

use super::access::{Access, Rights};
use super::auth::{Method, cra, ticket};
use super::dealer::{self, Dealer, Entrant};
use super::id::Id;
use super::message::{
    Authenticate, Challenge, Feature, Features, Hello, Role, Roles, Welcome, WelcomeDetails,
};
use super::payload::Dictionary;
use super::peers::Realms;
use super::pen::Pen;
use super::pubsub::{self, Most, PubSub, Trust};
use super::realm::{Account, Anonymous, Principal, Proof, Realm, Settings};
use super::reason;
use crate::auth::{AuthReply, AuthRequest, Credentials, Denial, DenialKind, Secret};
use crate::policy::Policy;
use crate::registry::SessionSetup;
use crate::session::CloseCode;
use crate::text::Text;
use crate::violation::shown;

/// Lets clients of one session in.
#[derive(Debug)]
pub(super) struct Acceptor {
    policy: Arc<Policy>,
    realms: Arc<dyn Realms>,
    pen: Pen,
    random: [u8; 32],
    /// What the session will be called.
    session: Id,
    nonce: [u8; 16],
    /// What a client will be called that is nobody.
    nobody: Text,
    time_of_day: Duration,
    /// Whether the client is on the gateway's own host.
    is_local: bool,
}

/// What follows on a message of the client's.
#[derive(Debug)]
pub(super) enum Step {
    /// The client must prove who it is.
    Challenge(Challenge, Challenged),
    /// It has done so: the broker is asked.
    LogIn(AuthRequest, Candidate),
}

/// A client that has been asked for a proof.
#[derive(Debug)]
pub(super) struct Challenged {
    candidate: Candidate,
    expected: Expected,
}

#[derive(Debug)]
enum Expected {
    /// This: a ticket, or a signature.
    Proof(Secret),
    /// A ticket that the broker takes.
    TicketOfBroker,
}

/// A client that has proved who it is, or says that the broker will.
#[derive(Debug)]
pub(super) struct Candidate {
    realm: Arc<Realm>,
    principal: Principal,
    /// The role that it asks for.
    wanted_role: Option<Text>,
}

/// A client that is in.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) rights: Rights,
    pub(super) pubsub: PubSub,
    /// If the realm has one. Taken when the session has left.
    pub(super) dealer: Option<Dealer>,
}

/// Why a client is not let in.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) reason: &'static str,
    /// What was wrong, and what would be right.
    pub(super) sentence: Text,
    pub(super) code: CloseCode,
}

impl Acceptor {
    pub(super) fn new(setup: &SessionSetup, pen: Pen) -> Self {
        let word = |from: usize| u64::from_be_bytes(array::from_fn(|at| setup.random[from + at]));
        Self {
            policy: Arc::clone(&setup.policy),
            realms: Arc::clone(&setup.realms),
            pen,
            random: setup.random,
            session: Id::from_bits(word(0)),
            nonce: array::from_fn(|at| setup.random[8 + at]),
            nobody: Text::from(format!("anonymous-{:016x}", word(24))),
            time_of_day: setup.time_of_day,
            is_local: setup.is_local,
        }
    }

    /// HELLO: which realm, who, and how that is found out.
    pub(super) fn on_hello(&self, hello: &Hello) -> Result<Step, Refusal> {
        let details = &hello.details;
        let Some(realm) = self.settings().realms.get(hello.realm.as_str()) else {
            return Err(no_such_realm(&hello.realm));
        };
        let offered = details.authmethods.as_deref().unwrap_or_default();
        let methods = known_methods(offered);
        let authid = details.authid.as_ref().filter(|authid| !authid.is_empty());
        let candidate = |authid: Text, role, method: Method, authprovider| Candidate {
            realm: Arc::clone(realm),
            principal: Principal {
                session: self.session,
                authid,
                authrole: role,
                authmethod: method.as_str(),
                authprovider,
            },
            wanted_role: details.authrole.as_ref().map(Text::detached),
        };
        for method in methods.iter().copied() {
            match (method, realm.nobody(self.is_local), authid) {
                (Method::Anonymous, Some(Anonymous { role, .. }), _) => {
                    let nobody = self.nobody.clone();
                    let candidate = candidate(nobody, role.clone(), method, "static");
                    return Ok(candidate.log_in(None));
                }
                (Method::Ticket | Method::Wampcra, _, Some(authid)) => {
                    let Some(account) = realm.account(authid, method, &methods) else {
                        continue;
                    };
                    let Account { role, proof } = account;
                    let provider = if proof == Proof::TicketOfBroker { "broker" } else { "static" };
                    let candidate = candidate(authid.detached(), role, method, provider);
                    return Ok(self.challenge(candidate, proof));
                }
                (Method::Anonymous, None, _) | (Method::Ticket | Method::Wampcra, _, None) => {}
            }
        }
        Err(no_way_in((realm, self.is_local), offered, &methods, authid.is_some()))
    }

    fn challenge(&self, candidate: Candidate, proof: Proof) -> Step {
        let mut extra = Dictionary::empty(self.pen.serializer);
        let expected = match proof {
            Proof::Ticket(ticket) => Expected::Proof(ticket),
            Proof::TicketOfBroker => Expected::TicketOfBroker,
            Proof::Cra(cra) => {
                let principal = &candidate.principal;
                let challenge = cra::challenge(principal, &self.nonce, self.time_of_day);
                let signature = cra.sign(&challenge);
                let limits = &self.settings().limits;
                extra = Dictionary::of_entries(self.pen.serializer, &cra.extra(challenge), limits)
                    .expect("texts and integers can be written in every serializer");
                Expected::Proof(signature)
            }
        };
        let auth_method = Text::from_static(candidate.principal.authmethod);
        Step::Challenge(Challenge { auth_method, extra }, Challenged { candidate, expected })
    }

    /// The login is decided: WELCOME, and who it is for. `roles` are those that the client announced.
    pub(super) fn on_reply(
        &self,
        candidate: Candidate,
        reply: AuthReply,
        roles: Roles,
    ) -> Result<(Welcome, Member), Refusal> {
        let Candidate { realm, principal, wanted_role } = candidate;
        let grant = match reply {
            AuthReply::Granted(grant) => grant,
            AuthReply::Denied(denial) => return Err(denied(&principal, denial)),
        };
        // Not before: what role a user has is nobody else's business.
        if let Some(wanted) = wanted_role.filter(|wanted| *wanted != principal.authrole) {
            return Err(no_such_role(&principal, &wanted));
        }
        let rights = realm.roles.get(principal.authrole.as_str()).map(|role| role.of(&principal));
        let rights = rights.unwrap_or_else(|| Access::default().of(&principal));
        let principal = Arc::new(principal);
        let settings = self.settings();
        let (name, random) = (&realm.name, &self.random);
        let entrant = Entrant { realm: name, principal: &principal, roles, pen: self.pen, random };
        let dealer = Dealer::open(&self.realms, &entrant, settings);
        let details = WelcomeDetails {
            roles: Some(announced_roles(dealer.is_some())),
            agent: self.settings().agent.clone(),
            authid: Some(principal.authid.clone()),
            authrole: Some(principal.authrole.clone()),
            authmethod: Some(Text::from_static(principal.authmethod)),
            authprovider: Some(Text::from_static(principal.authprovider)),
            ..WelcomeDetails::default()
        };
        // Whoever works under the same login is a gateway.
        let trust = Trust { own: grant.user, others: realm.trusted.clone() };
        let realm = pubsub::Realm {
            name: realm.name.clone(),
            uris: settings.uris,
            trust,
            limits: settings.limits,
            body_size: realm.body_size,
            broad_prefixes: realm.broad_prefixes,
        };
        let most = Most::from(&self.policy.limits);
        let pubsub = PubSub::new(Arc::new(realm), principal, self.pen.serializer, most);
        Ok((Welcome { session: self.session, details }, Member { rights, pubsub, dealer }))
    }

    fn settings(&self) -> &Settings {
        &self.policy.wamp
    }
}

impl Challenged {
    /// AUTHENTICATE: whether the proof is right, as far as that can be said here.
    pub(super) fn on_authenticate(self, message: &Authenticate) -> Result<Step, Refusal> {
        let Self { candidate, expected } = self;
        match expected {
            Expected::Proof(expected) if ticket::is_same(&expected, &message.signature) => {
                Ok(candidate.log_in(None))
            }
            Expected::Proof(_) => Err(wrong_proof(&candidate.principal)),
            Expected::TicketOfBroker => {
                let login = candidate.principal.authid.clone();
                let passcode = Secret::new(&message.signature);
                Ok(candidate.log_in(Some(Credentials { login, passcode })))
            }
        }
    }
}

impl Candidate {
    /// Asks the broker.
    fn log_in(self, credentials: Option<Credentials>) -> Step {
        let realm = Some(self.realm.name.clone());
        Step::LogIn(AuthRequest { credentials, vhost: None, realm }, self)
    }
}

/// The roles that the router has, with the features of each.
const fn announced_roles(has_dealer: bool) -> Roles {
    const BROKER: Features = Features::of(&[
        Feature::SubscriberBlackwhiteListing,
        Feature::PublisherExclusion,
        Feature::PublisherIdentification,
        Feature::PatternBasedSubscription,
        Feature::SubscriptionRevocation,
    ]);
    // The procedures of these are the dealer's to answer.
    const META: Features =
        Features::of(&[Feature::SessionMetaApi, Feature::SubscriptionMetaApi]).and(BROKER);
    if has_dealer {
        Roles::NONE.with(Role::Broker, META).with(Role::Dealer, dealer::FEATURES)
    } else {
        Roles::NONE.with(Role::Broker, BROKER)
    }
}

/// The methods that are known here, each once, in the client's order.
fn known_methods(offered: &[Text]) -> Vec<Method> {
    if offered.is_empty() {
        return vec![Method::Anonymous];
    }
    let mut methods = Vec::with_capacity(Method::ALL.len());
    for method in offered.iter().filter_map(|name| Method::of_name(name)) {
        if !methods.contains(&method) {
            methods.push(method);
        }
    }
    methods
}

fn no_such_realm(name: &str) -> Refusal {
    let name = shown(name);
    let sentence =
        format!("there is no realm {name:?} here; the name must be that of one, exactly");
    Refusal::new(reason::NO_SUCH_REALM, sentence)
}

fn no_such_role(principal: &Principal, wanted: &str) -> Refusal {
    let (authid, authrole) = (shown(&principal.authid), shown(&principal.authrole));
    let wanted = shown(wanted);
    let sentence = format!(
        "{authid:?} has the role {authrole:?} here, not {wanted:?}; HELLO.Details.authrole can be left \
         out"
    );
    Refusal::new(reason::NO_SUCH_ROLE, sentence)
}

/// None of the methods that were offered leads into the realm.
fn no_way_in(
    (realm, is_local): (&Realm, bool),
    offered: &[Text],
    methods: &[Method],
    has_authid: bool,
) -> Refusal {
    let name = shown(&realm.name);
    let taken: Vec<_> = Method::ALL.into_iter().filter(|it| realm.takes(*it, is_local)).collect();
    if methods == [Method::Anonymous] && realm.anonymous.is_some() {
        let sentence = format!(
            "anonymous clients get into the realm {name:?} from the gateway's own host only"
        );
        return Refusal::new(reason::AUTHENTICATION_DENIED, sentence);
    }
    if taken.is_empty() {
        let sentence = format!("the realm {name:?} takes no clients yet: no users are set up");
        return Refusal::new(reason::NO_MATCHING_AUTH_METHOD, sentence);
    }
    let listed = taken.iter().map(|method| method.as_str()).collect::<Vec<_>>().join(", ");
    if methods == [Method::Anonymous] {
        let sentence = format!(
            "the realm {name:?} is not open to anonymous clients; HELLO.Details must offer one of \
             {listed} in authmethods, and name a user in authid"
        );
        return Refusal::new(reason::AUTHENTICATION_REQUIRED, sentence);
    }
    if !has_authid && methods.iter().any(|method| taken.contains(method)) {
        let sentence =
            "ticket and wampcra are about a user, whom HELLO.Details.authid must name".to_owned();
        return Refusal::new(reason::AUTHENTICATION_REQUIRED, sentence);
    }
    let offered = offered.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
    let offered = shown(&offered);
    let sentence = format!(
        "the realm {name:?} takes {listed}, each for the users that have it; the client offers {offered:?}"
    );
    Refusal::new(reason::NO_MATCHING_AUTH_METHOD, sentence)
}

fn wrong_proof(principal: &Principal) -> Refusal {
    let wrong =
        if principal.authmethod == Method::Wampcra.as_str() { "signature" } else { "ticket" };
    let sentence = format!("the authid or the {wrong} is wrong");
    Refusal::new(reason::AUTHENTICATION_DENIED, sentence)
}

/// The broker refuses the login.
fn denied(principal: &Principal, denial: Denial) -> Refusal {
    let is_own = principal.authprovider == "broker";
    match denial.kind {
        DenialKind::BadCredentials if is_own => wrong_proof(principal),
        // Not the client's fault: this was the gateway's login.
        DenialKind::BadCredentials | DenialKind::NotLoopback if !is_own => {
            let sentence = "the realm cannot be joined: the broker refuses the gateway's login";
            Refusal {
                code: CloseCode::TryAgainLater,
                ..Refusal::new(reason::AUTHENTICATION_FAILED, sentence)
            }
        }
        kind => {
            Refusal { code: kind.report().code, ..Refusal::new(kind.wamp_reason(), denial.text) }
        }
    }
}

impl Refusal {
    fn new(reason: &'static str, sentence: impl Into<Text>) -> Self {
        Self { reason, sentence: sentence.into(), code: CloseCode::Policy }
    }
}
