//! A client as the tests speak: a [`Pair`] and a serializer, the realms that the tests join, and what
//! tests ask of them over and over.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protocols::auth::{AuthReply, AuthRequest, Denial, DenialKind, Grant, Secret};
use protocols::policy::{Limits, Policy};
use protocols::session::{Close, CloseCause, CloseCode, FrameKind};
use protocols::text::Text;
use protocols::wamp::access::{Access, ActionSet, Disclosure, Effect, Rule};
use protocols::wamp::auth::cra::{Cra, Salting};
use protocols::wamp::message::{
    Abort, Authenticate, Challenge, CloseDetails, Features, Goodbye, Hello, HelloDetails,
    MatchPolicy, Message, Role, Roles, Welcome,
};
use protocols::wamp::payload::{Dictionary, Payload};
use protocols::wamp::realm::{Anonymous, Realm, User, Users};
use protocols::wamp::serializer::{Limits as MessageLimits, Serializer};
use protocols::wamp::uri::Pattern;
use protocols::wamp::{Settings, Wamp};

pub(crate) use crate::pair::Pair;

pub(crate) struct Client {
    pub(crate) pair: Pair,
    pub(crate) serializer: Serializer,
}

/// Runs a test with a fresh client of each serializer.
pub(crate) fn each(test: impl Fn(Client)) {
    for serializer in Serializer::ALL {
        test(Client::with_policy(serializer, policy()));
    }
}

/// A client whose serializer does not matter.
pub(crate) fn client() -> Client {
    Client::with_policy(Serializer::Json, policy())
}

/// The realms that the tests join:
///
/// | name | who |
/// |---|---|
/// | `open` | anonymous clients |
/// | `closed` | `ann` by ticket, `bob` by challenge, `cid` by challenge and a salted password, `dan` by both |
/// | `broker` | those of the broker by ticket, `bob` by challenge, `ann` by a ticket of the realm's |
/// | `empty` | nobody |
pub(crate) fn policy() -> Policy {
    let ticket = |it: &str| Some(Secret::new(it));
    let user = |ticket, cra| User { role: "user".into(), ticket, cra };
    let plain = |secret| Some(Cra { secret: Secret::new(secret), salting: None });
    let ann = ("ann".into(), user(ticket("ann's ticket"), None));
    let bob = ("bob".into(), user(None, plain("bob's secret")));
    let dan = ("dan".into(), user(ticket("dan's ticket"), plain("dan's secret")));
    let salted = Cra::of_password(&Secret::new("cid's password"), Some(salting()));
    let cid = ("cid".into(), user(None, Some(salted)));
    let key = Secret::new("key of the realms");
    let realms = [
        Realm {
            anonymous: Some(Anonymous { role: "guest".into(), from_anywhere: false }),
            roles: [("guest".into(), rules())].into_iter().collect(),
            ..Realm::new("open")
        },
        Realm {
            users: Users::new([ann.clone(), bob.clone(), cid, dan], key.clone()),
            ..Realm::new("closed")
        },
        Realm {
            users: Users::new([ann, bob], key),
            tickets_of_broker: Some("member".into()),
            ..Realm::new("broker")
        },
        Realm::new("empty"),
    ];
    let realms = realms.into_iter().map(|realm| (realm.name.clone(), Arc::new(realm)));
    let wamp = Settings { realms: realms.collect(), ..Settings::default() };
    Policy { wamp, ..Policy::default() }
}

/// Everything but what begins with `secret.`.
fn rules() -> Access {
    let rule = |uri: &str, effect| Rule {
        uris: Pattern { policy: MatchPolicy::Prefix, uri: uri.into() },
        actions: ActionSet::ALL,
        effect,
    };
    let rules = vec![rule("", Effect::Allow(Disclosure::Allow)), rule("secret.", Effect::Deny)];
    Access { rules }
}

/// How cid's password is salted.
pub(crate) fn salting() -> Salting {
    Salting { salt: "salt123".into(), iterations: 100, keylen: 32 }
}

/// A broker has said no.
pub(crate) fn denial(kind: DenialKind) -> AuthReply {
    AuthReply::Denied(Denial { kind, text: "the broker says no".into() })
}

impl Client {
    pub(crate) fn with_policy(serializer: Serializer, policy: Policy) -> Self {
        Self { pair: Pair::open(&Wamp, Some(serializer.subprotocol()), policy), serializer }
    }

    pub(crate) fn with_limits(limits: Limits) -> Self {
        Self::with_policy(Serializer::Json, Policy { limits, ..policy() })
    }

    /// In the open realm, WELCOME looked at.
    pub(crate) fn joined(mut self) -> Self {
        self.hello("open", HelloDetails::default());
        self.welcomed();
        self
    }

    /// HELLO of a subscriber and publisher.
    pub(crate) fn hello(&mut self, realm: &str, details: HelloDetails) {
        let roles = Roles::default()
            .with(Role::Subscriber, Features::NONE)
            .with(Role::Publisher, Features::NONE);
        let details = HelloDetails { roles: Some(roles), ..details };
        self.send(Hello { realm: realm.into(), details });
    }

    /// HELLO of someone, with these methods.
    pub(crate) fn hello_as(&mut self, realm: &str, authid: &str, methods: &[&str]) {
        self.hello(realm, offer(authid, methods));
    }

    pub(crate) fn authenticate(&mut self, signature: &str) {
        let extra = Dictionary::empty(self.serializer);
        self.send(Authenticate { signature: signature.into(), extra });
    }

    pub(crate) fn goodbye(&mut self, reason: &str) {
        self.send(Goodbye { details: CloseDetails::default(), reason: reason.into() });
    }

    pub(crate) fn abort(&mut self) {
        let (details, payload) = (CloseDetails::default(), Payload::empty(self.serializer));
        self.send(Abort { details, reason: "wamp.close.normal".into(), payload });
    }

    pub(crate) fn send(&mut self, message: impl Into<Message>) {
        let bytes = message.into().encode(self.serializer, &MessageLimits::DEFAULT).unwrap();
        self.pair.input(self.kind(), bytes);
    }

    pub(crate) fn send_raw(&mut self, bytes: impl Into<Bytes>) {
        self.pair.input(self.kind(), bytes);
    }

    pub(crate) fn kind(&self) -> FrameKind {
        if self.serializer.is_text() { FrameKind::Text } else { FrameKind::Binary }
    }

    /// The login that was asked for.
    pub(crate) fn login(&mut self) -> AuthRequest {
        self.pair.auth.take().expect("a login is asked for")
    }

    /// Grants the login that was asked for; the WELCOME that follows.
    pub(crate) fn welcomed(&mut self) -> Welcome {
        self.login();
        self.grant();
        match self.message() {
            Message::Welcome(welcome) => welcome,
            other => panic!("WELCOME, not {other:?}"),
        }
    }

    pub(crate) fn grant(&mut self) {
        self.pair.reply(AuthReply::Granted(Grant { user: "gateway".into(), vhost: "/".into() }));
    }

    /// The messages sent since the last look.
    pub(crate) fn messages(&mut self) -> Vec<Message> {
        let units: Vec<_> = self.pair.frames.drain(..).collect();
        let message = |unit: protocols::session::OutFrame| {
            assert_eq!(unit.kind, self.kind());
            Message::decode(self.serializer, &unit.bytes, &MessageLimits::DEFAULT).unwrap()
        };
        units.into_iter().map(message).collect()
    }

    /// The one message sent since the last look.
    pub(crate) fn message(&mut self) -> Message {
        let mut messages = self.messages();
        assert_eq!(messages.len(), 1, "{messages:#?} {:?}", self.pair.close);
        messages.remove(0)
    }

    /// The CHALLENGE that was sent.
    pub(crate) fn challenge(&mut self) -> Challenge {
        match self.message() {
            Message::Challenge(challenge) => challenge,
            other => panic!("CHALLENGE, not {other:?}"),
        }
    }

    /// The GOODBYE that was sent: its reason, and its sentence.
    pub(crate) fn farewell(&mut self) -> (Text, Option<Text>) {
        match self.message() {
            Message::Goodbye(goodbye) => (goodbye.reason, goodbye.details.message),
            other => panic!("GOODBYE, not {other:?}"),
        }
    }

    pub(crate) fn closed(&self) -> &Close {
        self.pair.close.as_ref().expect("closed")
    }

    pub(crate) fn is_open(&self) -> bool {
        self.pair.close.is_none()
    }

    pub(crate) fn advance(&mut self, millis: u64) {
        self.pair.advance(Duration::from_millis(millis));
    }

    /// The session has ended with an ABORT for this reason; its sentence, and the close.
    pub(crate) fn aborted(&mut self, reason: &str) -> (String, Close) {
        let abort = match self.message() {
            Message::Abort(abort) => abort,
            other => panic!("ABORT, not {other:?}"),
        };
        let sentence = abort.details.message.expect("a sentence").to_string();
        assert_eq!(abort.reason, reason, "{sentence}");
        let close = self.closed().clone();
        assert_eq!(close.reason, *format!("{reason}: {sentence}"));
        (sentence, close)
    }

    /// As [`aborted`](Self::aborted), for a violation; the sentence.
    pub(crate) fn violation(&mut self, reason: &str, code: CloseCode) -> String {
        let (sentence, close) = self.aborted(reason);
        assert_eq!(close.code, code, "{sentence}");
        assert!(matches!(close.cause, CloseCause::Violation(_)), "{close:?}");
        sentence
    }

    pub(crate) fn protocol_violation(&mut self) -> String {
        self.violation("wamp.error.protocol_violation", CloseCode::Protocol)
    }

    /// As [`aborted`](Self::aborted), for a login that was refused; the sentence.
    pub(crate) fn refused(&mut self, reason: &str) -> String {
        let (sentence, close) = self.aborted(reason);
        assert_eq!((close.code, close.cause), (CloseCode::Policy, CloseCause::LoginRefused));
        assert_eq!(self.pair.auth, None, "no login is asked for");
        sentence
    }
}

/// `HELLO.Details` of someone, with these methods.
pub(crate) fn offer(authid: &str, methods: &[&str]) -> HelloDetails {
    HelloDetails {
        authid: Some(authid.into()),
        authmethods: Some(methods.iter().copied().map(Text::from).collect()),
        ..HelloDetails::default()
    }
}
