//! §Session Meta API, §Registration Meta API, §Subscription Meta API: what is asked, what is told, and
//! who is killed.

use bytes::Bytes;
use protocols::broker::Event;
use protocols::session::{CloseCause, CloseCode, Shared};
use protocols::wamp::access::{Access, ActionSet, Disclosure, Effect, Rule};
use protocols::wamp::message::{
    CallOptions, Choice, InvokePolicy, MatchPolicy, RegisterOptions, Subscribe, SubscribeOptions,
    Unsubscribe,
};
use protocols::wamp::pubsub::subscription_id;
use protocols::wamp::serializer::Serializer;
use protocols::wamp::uri::Pattern;

use super::*;

/// Those who come first in most tests.
const ANN: usize = 0;
const BOB: usize = 1;
const EVE: usize = 2;

impl World {
    /// Three clients, of which the first and the last are the same user.
    fn three(serializer: Serializer) -> Self {
        let mut world = Self::new();
        for user in [7, 8, 7] {
            world.join_as(serializer, ALL, user);
        }
        world
    }

    /// CALL with arguments as JSON has them; its ID.
    fn ask(&mut self, who: usize, procedure: &str, args: &str, kwargs: &str) -> Id {
        let part = |json: &str| Some(Bytes::copy_from_slice(json.as_bytes()));
        let serializer = Serializer::Json;
        let payload = Payload { serializer, args: part(args), kwargs: part(kwargs) };
        let to = self.client(who).serializer;
        let payload = payload.transcoded(to, &Limits::DEFAULT).unwrap();
        self.call_with(who, procedure, CallOptions::default(), payload)
    }

    /// The result of a call, as JSON has its arguments.
    fn told(&mut self, who: usize, procedure: &str, args: &str) -> String {
        let call = self.ask(who, procedure, args, "{}");
        let result = self.result(who);
        assert_eq!(result.request, call);
        shown(&result.payload)
    }

    /// Why a call fails.
    fn refused(&mut self, who: usize, procedure: &str, args: &str, kwargs: &str) -> String {
        let call = self.ask(who, procedure, args, kwargs);
        let (request, error) = self.error(who);
        assert_eq!(request, call);
        error
    }

    fn subscribe(&mut self, who: usize, policy: MatchPolicy, topic: &str) -> Id {
        let request = self.next(who);
        let match_policy = Some(Choice::Known(policy));
        let options = SubscribeOptions { match_policy, ..SubscribeOptions::default() };
        self.send(who, Subscribe { request, options, topic: topic.into() });
        if let Some(Shared::Join { token, .. }) = self.client(who).pair.shared.pop_front() {
            self.client(who).pair.event(Event::Subscribed { token });
        }
        let said = self.client(who).messages();
        let Some(Message::Subscribed(subscribed)) = said.first() else { panic!("{said:?}") };
        assert_eq!((said.len(), subscribed.request), (1, request));
        self.settle();
        let pattern = Pattern { policy, uri: topic.into() };
        assert_eq!(subscribed.subscription, subscription_id("open", &pattern));
        subscribed.subscription
    }

    fn unsubscribe(&mut self, who: usize, subscription: Id) {
        let request = self.next(who);
        self.send(who, Unsubscribe { request, subscription });
        if let Some(Shared::Leave { token, .. }) = self.client(who).pair.shared.pop_front() {
            self.client(who).pair.event(Event::Unsubscribed { token });
        }
    }

    /// Subscribes to all that happens; EVENT then names the topics.
    fn watch(&mut self, who: usize) -> Id {
        self.subscribe(who, MatchPolicy::Prefix, "wamp.")
    }

    /// What a client was told on a subscription to a pattern: topics, and arguments as JSON has them.
    fn events(&mut self, who: usize) -> Vec<(String, String)> {
        let said = self.client(who).messages();
        let event = |message| match message {
            Message::Event(event) => {
                (event.details.topic.expect("it names it").to_string(), shown(&event.payload))
            }
            other => panic!("EVENT, not {other:?}"),
        };
        said.into_iter().map(event).collect()
    }

    fn session(&self, who: usize) -> u64 {
        self.at(who).session.get()
    }

    fn authid(&self, who: usize) -> String {
        self.inside[&self.at(who)].1.authid.to_string()
    }

    /// What is said of a session.
    fn details(&self, who: usize) -> String {
        let (session, authid) = (self.session(who), self.authid(who));
        format!(
            r#"{{"session":{session},"authid":"{authid}","authrole":"guest","authmethod":"anonymous","authprovider":"static"}}"#
        )
    }
}

const ALLOWED: Effect = Effect::Allow(Disclosure::Allow);

/// Those of the tests, and rules about URIs that begin so.
fn ruled(rules: &[(&str, Effect)]) -> Policy {
    let mut policy = policy();
    let rule = |(uri, effect): &(&str, Effect)| Rule {
        uris: Pattern { policy: MatchPolicy::Prefix, uri: (*uri).into() },
        actions: ActionSet::ALL,
        effect: *effect,
    };
    let rules = rules.iter().map(rule).collect();
    let realm = Arc::make_mut(policy.wamp.realms.get_mut("open").unwrap());
    realm.roles.insert("guest".into(), Access { rules });
    policy
}

/// Everything is allowed.
fn permissive() -> Policy {
    ruled(&[("", ALLOWED)])
}

fn happened(topic: &str, args: impl ToString) -> (String, String) {
    (topic.to_owned(), args.to_string())
}

fn shared() -> RegisterOptions {
    let invoke = Some(Choice::Known(InvokePolicy::First));
    RegisterOptions { invoke, ..RegisterOptions::default() }
}

fn prefix() -> RegisterOptions {
    let match_policy = Some(Choice::Known(MatchPolicy::Prefix));
    RegisterOptions { match_policy, ..RegisterOptions::default() }
}

#[test]
fn advanced_session_meta_api_sessions_are_counted_listed_and_described() {
    for serializer in Serializer::ALL {
        let mut world = World::three(serializer);
        for (args, count) in [
            ("[]", 3),
            ("[null]", 3),
            (r#"[["guest"]]"#, 3),
            (r#"[["admin","guest"]]"#, 3),
            (r#"[["admin"]]"#, 0),
            ("[[]]", 0),
        ] {
            assert_eq!(world.told(ANN, "wamp.session.count", args), format!("[{count}]"), "{args}");
        }
        let mut sessions = [ANN, BOB, EVE].map(|who| world.session(who));
        sessions.sort_unstable();
        let [a, b, c] = sessions;
        assert_eq!(world.told(ANN, "wamp.session.list", "[]"), format!("[[{a},{b},{c}]]"));
        assert_eq!(world.told(ANN, "wamp.session.list", r#"[["admin"]]"#), "[[]]");
        for who in [ANN, BOB] {
            let (args, details) = (format!("[{}]", world.session(who)), world.details(who));
            assert_eq!(world.told(ANN, "wamp.session.get", &args), format!("[{details}]"));
        }
        world.client(BOB).goodbye("wamp.close.normal");
        world.client(BOB).messages();
        world.settle();
        assert_eq!(world.told(ANN, "wamp.session.count", "[]"), "[2]");
        world.assert_silent();
    }
}

#[test]
fn advanced_meta_api_what_cannot_be_answered_is_an_error() {
    let mut world = World::three(Serializer::Json);
    for (procedure, args, error) in [
        ("session.get", "[1]", "no_such_session"),
        ("session.kill", "[1]", "no_such_session"),
        ("registration.get", "[1]", "no_such_registration"),
        ("registration.list_callees", "[1]", "no_such_registration"),
        ("registration.count_callees", "[1]", "no_such_registration"),
        ("subscription.get", "[1]", "no_such_subscription"),
        ("subscription.list_subscribers", "[1]", "no_such_subscription"),
        ("subscription.count_subscribers", "[1]", "no_such_subscription"),
        ("session.count", "[1]", "invalid_argument"),
        ("session.list", "[[1]]", "invalid_argument"),
        ("session.get", "[]", "invalid_argument"),
        ("session.get", "[0]", "invalid_argument"),
        ("session.kill", r#"["1"]"#, "invalid_argument"),
        ("session.kill_by_authid", "[7]", "invalid_argument"),
        ("session.kill_by_authrole", "[]", "invalid_argument"),
        ("registration.lookup", "[]", "invalid_argument"),
        ("registration.lookup", r#"["a.b",[]]"#, "invalid_argument"),
        ("registration.lookup", r#"["a.b",{"match":"regex"}]"#, "invalid_argument"),
        ("registration.match", "[null]", "invalid_argument"),
        ("subscription.match", "[{}]", "invalid_argument"),
        ("session", "[]", "no_such_procedure"),
        ("session.nonsense", "[]", "no_such_procedure"),
        ("registration.list_subscribers", "[1]", "no_such_procedure"),
        ("subscription.list_callees", "[1]", "no_such_procedure"),
        ("subscription.get_events", "[1]", "no_such_procedure"),
    ] {
        let (procedure, error) = (format!("wamp.{procedure}"), format!("wamp.error.{error}"));
        assert_eq!(world.refused(ANN, &procedure, args, "{}"), error, "{procedure} {args}");
    }
    let kwargs = r#"{"reason":"no uri"}"#;
    for kwargs in [kwargs, r#"{"reason":""}"#, r#"{"reason":7}"#] {
        let error = world.refused(ANN, "wamp.session.kill_all", "[]", kwargs);
        assert_eq!(error, "wamp.error.invalid_uri", "{kwargs}");
    }
    let long = format!(r#"{{"message":"{}"}}"#, "m".repeat(1_025));
    for kwargs in [r#"{"message":7}"#, &long] {
        let error = world.refused(ANN, "wamp.session.kill_all", "[]", kwargs);
        assert_eq!(error, "wamp.error.invalid_argument");
    }
    for (roles, is_allowed) in [(64, true), (65, false)] {
        let args = format!("[[{}]]", vec![r#""role""#; roles].join(","));
        if is_allowed {
            assert_eq!(world.told(ANN, "wamp.session.count", &args), "[0]");
        } else {
            let error = world.refused(ANN, "wamp.session.count", &args, "{}");
            assert_eq!(error, "wamp.error.invalid_argument");
        }
    }
    assert_eq!(world.told(ANN, "wamp.session.count", "[]"), "[3]", "nobody was killed");
    world.assert_silent();
}

/// Like those of any procedure, and before anything is done.
#[test]
fn server_the_protocols_own_procedures_are_called_by_the_rules_of_a_role() {
    let rules = [("wamp.session.", ALLOWED), ("wamp.session.kill", Effect::Deny)];
    let mut world = World::with(ruled(&rules));
    world.join(ALL);
    assert_eq!(world.told(ANN, "wamp.session.count", "[]"), "[1]");
    for procedure in ["wamp.session.kill_all", "wamp.registration.list", "wamp.nonsense"] {
        let error = world.refused(ANN, procedure, "[]", "{}");
        assert_eq!(error, "wamp.error.not_authorized", "{procedure}");
    }
    assert_eq!(world.refused(ANN, "wamp..x", "[]", "{}"), "wamp.error.invalid_uri");
}

#[test]
fn server_nobody_answers_in_the_protocols_place() {
    let mut world = World::three(Serializer::Json);
    world.register(BOB, "w", prefix());
    assert_eq!(world.told(ANN, "wamp.session.count", "[]"), "[3]");
    assert_eq!(world.told(ANN, "wamp.registration.match", r#"["wamp.session.count"]"#), "[null]");
    let error = world.refused(ANN, "wamp.nonsense", "[]", "{}");
    assert_eq!(error, "wamp.error.no_such_procedure");
    world.assert_silent();
}

#[test]
fn advanced_session_meta_api_a_session_is_killed_and_told_why() {
    for serializer in Serializer::ALL {
        let mut world = World::three(serializer);
        let (bob, eve) = (world.session(BOB), world.session(EVE));
        assert_eq!(world.told(ANN, "wamp.session.kill", &format!("[{bob}]")), "");
        assert_eq!(world.client(BOB).farewell(), ("wamp.close.killed".into(), None));
        let kwargs = r#"{"reason":"com.app.over","message":"it is late"}"#;
        world.ask(ANN, "wamp.session.kill", &format!("[{eve}]"), kwargs);
        world.result(ANN);
        let farewell = world.client(EVE).farewell();
        assert_eq!(farewell, ("com.app.over".into(), Some("it is late".into())));
        assert_eq!(world.told(ANN, "wamp.session.count", "[]"), "[1]");
        for who in [BOB, EVE] {
            assert!(world.client(who).is_open(), "until it has said goodbye");
            world.client(who).goodbye("wamp.close.goodbye_and_out");
            let close = world.client(who).closed().clone();
            assert_eq!((close.code, close.cause), (CloseCode::Policy, CloseCause::Killed));
        }
        for gone in [bob, eve] {
            let error = world.refused(ANN, "wamp.session.kill", &format!("[{gone}]"), "{}");
            assert_eq!(error, "wamp.error.no_such_session");
        }
    }
}

#[test]
fn advanced_session_meta_api_nobody_kills_itself() {
    let mut world = World::three(Serializer::Json);
    let (own, bob) = (world.session(ANN), world.session(BOB));
    let error = world.refused(ANN, "wamp.session.kill", &format!("[{own}]"), "{}");
    assert_eq!(error, "wamp.error.no_such_session");

    let args = format!("[\"{}\"]", world.authid(ANN));
    let eve = world.session(EVE);
    assert_eq!(world.told(ANN, "wamp.session.kill_by_authid", &args), format!("[[{eve}]]"));
    assert_eq!(world.client(EVE).farewell().0, "wamp.close.killed");
    assert_eq!(world.told(ANN, "wamp.session.kill_by_authid", r#"["nobody"]"#), "[[]]");
    assert_eq!(world.told(ANN, "wamp.session.kill_by_authrole", r#"["admin"]"#), "[[]]");
    let killed = world.told(ANN, "wamp.session.kill_by_authrole", r#"["guest"]"#);
    assert_eq!(killed, format!("[[{bob}]]"));
    assert_eq!(world.client(BOB).farewell().0, "wamp.close.killed");
    for _ in 0..2 {
        world.join(ALL);
    }
    assert_eq!(world.told(ANN, "wamp.session.kill_all", "[]"), "[2]");
    assert_eq!(world.told(ANN, "wamp.session.kill_all", "[]"), "[0]");
    assert_eq!(world.client(3).farewell().0, "wamp.close.killed");
    assert!(world.client(ANN).is_open());
}

#[test]
fn advanced_session_meta_api_who_joins_and_leaves_is_told() {
    for serializer in Serializer::ALL {
        let mut world = World::new();
        world.join_as(serializer, ALL, 7);
        let exact = world.subscribe(ANN, MatchPolicy::Exact, "wamp.session.on_join");
        let pattern = world.subscribe(ANN, MatchPolicy::Wildcard, "wamp.session.");
        world.join_as(serializer, ALL, 8);
        let details = world.details(BOB);
        let mut events = Vec::new();
        for message in world.client(ANN).messages() {
            let Message::Event(event) = message else { panic!("{message:?}") };
            assert_eq!(shown(&event.payload), format!("[{details}]"));
            let topic = event.details.topic.map(|topic| topic.to_string());
            events.push((event.subscription, topic, event.publication));
        }
        let publication = events[0].2;
        let mut expected = [
            (exact, None, publication),
            (pattern, Some("wamp.session.on_join".to_owned()), publication),
        ];
        expected.sort();
        assert_eq!(events, expected, "once for each subscription, and one publication");

        let left = format!("[{},\"{}\",\"guest\"]", world.session(BOB), world.authid(BOB));
        world.client(BOB).goodbye("wamp.close.normal");
        world.settle();
        assert_eq!(world.events(ANN), [happened("wamp.session.on_leave", left)]);
        world.unsubscribe(ANN, pattern);
        world.unsubscribe(ANN, exact);
        assert!(matches!(
            world.client(ANN).messages().as_slice(),
            [Message::Unsubscribed(_), Message::Unsubscribed(_)]
        ));
        world.join_as(serializer, ALL, 9);
        assert_eq!(world.client(ANN).messages(), []);
    }
}

#[test]
fn advanced_registration_meta_api_registrations_are_announced_in_order() {
    let mut world = World::three(Serializer::Cbor);
    world.watch(ANN);
    let registration = world.register(BOB, "a.b", shared());
    world.register(EVE, "a.b", shared());
    let (bob, eve) = (world.session(BOB), world.session(EVE));
    let created = format!(
        r#"[{bob},{{"id":{registration},"created":"1970-01-01T00:00:00.002Z","uri":"a.b","match":"exact","invoke":"first"}}]"#
    );
    let of = |session: u64| format!("[{session},{registration}]");
    let expected = [
        happened("wamp.registration.on_create", created),
        happened("wamp.registration.on_register", of(bob)),
        happened("wamp.registration.on_register", of(eve)),
    ];
    assert_eq!(world.events(ANN), expected);
    world.unregister(BOB, registration);
    assert_eq!(world.events(ANN), [happened("wamp.registration.on_unregister", of(bob))]);
    let left = format!("[{eve},\"{}\",\"guest\"]", world.authid(EVE));
    world.client(EVE).goodbye("wamp.close.normal");
    world.settle();
    let expected = [
        happened("wamp.registration.on_unregister", of(eve)),
        happened("wamp.registration.on_delete", of(eve)),
        happened("wamp.session.on_leave", left),
    ];
    assert_eq!(world.events(ANN), expected);
    // What it does itself it is told, too.
    let (request, options) = (world.next(ANN), RegisterOptions::default());
    world.send(ANN, Register { request, options, procedure: "a.c".into() });
    assert!(matches!(
        world.client(ANN).messages().as_slice(),
        [Message::Registered(_), Message::Event(_), Message::Event(_)]
    ));
}

#[test]
fn advanced_registration_meta_api_registrations_are_listed_found_and_described() {
    for serializer in Serializer::ALL {
        let mut world = World::three(serializer);
        let exact = world.register(BOB, "a.b", shared());
        world.register(EVE, "a.b", shared());
        let prefixed = world.register(BOB, "a.", prefix());
        let (bob, eve) = (world.session(BOB), world.session(EVE));
        for (procedure, args, result) in [
            (
                "list",
                "[]".into(),
                format!(r#"{{"exact":[{exact}],"prefix":[{prefixed}],"wildcard":[]}}"#),
            ),
            ("lookup", r#"["a.b"]"#.into(), exact.to_string()),
            ("lookup", r#"["a.b",{}]"#.into(), exact.to_string()),
            ("lookup", r#"["a.",{"match":"prefix"}]"#.into(), prefixed.to_string()),
            ("lookup", r#"["a."]"#.into(), "null".into()),
            ("match", r#"["a.b"]"#.into(), exact.to_string()),
            ("match", r#"["a.c"]"#.into(), prefixed.to_string()),
            ("match", r#"["b.c"]"#.into(), "null".into()),
            ("list_callees", format!("[{exact}]"), format!("[{bob},{eve}]")),
            ("count_callees", format!("[{exact}]"), "2".into()),
            (
                "get",
                format!("[{prefixed}]"),
                format!(
                    r#"{{"id":{prefixed},"created":"1970-01-01T00:00:00.003Z","uri":"a.","match":"prefix","invoke":"single"}}"#
                ),
            ),
        ] {
            let told = world.told(ANN, &format!("wamp.registration.{procedure}"), &args);
            assert_eq!(told, format!("[{result}]"), "{procedure} {args}");
        }
    }
}

#[test]
fn advanced_subscription_meta_api_subscriptions_are_announced_in_order() {
    let mut world = World::three(Serializer::MsgPack);
    world.watch(ANN);
    let subscription = world.subscribe(BOB, MatchPolicy::Prefix, "a.b");
    world.subscribe(EVE, MatchPolicy::Prefix, "a.b");
    // The same once more adds nobody.
    world.subscribe(EVE, MatchPolicy::Prefix, "a.b");
    let (bob, eve) = (world.session(BOB), world.session(EVE));
    let created = format!(
        r#"[{bob},{{"id":{subscription},"created":"1970-01-01T00:00:00.002Z","uri":"a.b","match":"prefix"}}]"#
    );
    let of = |session: u64| format!("[{session},{subscription}]");
    let expected = [
        happened("wamp.subscription.on_create", created),
        happened("wamp.subscription.on_subscribe", of(bob)),
        happened("wamp.subscription.on_subscribe", of(eve)),
    ];
    assert_eq!(world.events(ANN), expected);
    world.unsubscribe(BOB, subscription);
    assert_eq!(world.events(ANN), [happened("wamp.subscription.on_unsubscribe", of(bob))]);
    let left = format!("[{eve},\"{}\",\"guest\"]", world.authid(EVE));
    world.client(EVE).goodbye("wamp.close.normal");
    world.settle();
    let expected = [
        happened("wamp.subscription.on_unsubscribe", of(eve)),
        happened("wamp.subscription.on_delete", of(eve)),
        happened("wamp.session.on_leave", left),
    ];
    assert_eq!(world.events(ANN), expected);
}

#[test]
fn advanced_subscription_meta_api_subscriptions_are_listed_found_and_described() {
    for serializer in Serializer::ALL {
        let mut world = World::three(serializer);
        let exact = world.subscribe(BOB, MatchPolicy::Exact, "a.b");
        let prefixed = world.subscribe(EVE, MatchPolicy::Prefix, "a.");
        world.subscribe(BOB, MatchPolicy::Prefix, "a.");
        let (bob, eve) = (world.session(BOB), world.session(EVE));
        let ordered = |a: u64, b: u64| format!("[{},{}]", a.min(b), a.max(b));
        for (procedure, args, result) in [
            (
                "list",
                "[]".into(),
                format!(r#"{{"exact":[{exact}],"prefix":[{prefixed}],"wildcard":[]}}"#),
            ),
            ("lookup", r#"["a.b"]"#.into(), exact.to_string()),
            ("lookup", r#"["a.",{"match":"prefix"}]"#.into(), prefixed.to_string()),
            ("lookup", r#"["a.",{"match":"wildcard"}]"#.into(), "null".into()),
            ("match", r#"["a.b"]"#.into(), ordered(exact.get(), prefixed.get())),
            ("match", r#"["a.c"]"#.into(), format!("[{prefixed}]")),
            ("match", r#"["b.c"]"#.into(), "null".into()),
            ("list_subscribers", format!("[{prefixed}]"), ordered(bob, eve)),
            ("count_subscribers", format!("[{prefixed}]"), "2".into()),
            (
                "get",
                format!("[{exact}]"),
                format!(
                    r#"{{"id":{exact},"created":"1970-01-01T00:00:00.001Z","uri":"a.b","match":"exact"}}"#
                ),
            ),
        ] {
            let told = world.told(ANN, &format!("wamp.subscription.{procedure}"), &args);
            assert_eq!(told, format!("[{result}]"), "{procedure} {args}");
        }
        world.unsubscribe(BOB, exact);
        world.client(BOB).messages();
        let error = world.refused(ANN, "wamp.subscription.get", &format!("[{exact}]"), "{}");
        assert_eq!(error, "wamp.error.no_such_subscription");
    }
}

/// They do not come from the broker, and do not go there either.
#[test]
fn server_topics_of_the_protocols_own_are_joined_nowhere() {
    let mut world = World::three(Serializer::Json);
    world.watch(ANN);
    let request = world.next(BOB);
    let options = SubscribeOptions::default();
    world.send(BOB, Subscribe { request, options, topic: "wamp.session.on_leave".into() });
    let Message::Subscribed(subscribed) = world.client(BOB).message() else { panic!() };
    assert!(world.client(BOB).pair.shared.is_empty());
    let subscription = subscribed.subscription;
    let bob = world.session(BOB);
    let args = format!("[{subscription}]");
    let subscribers = world.told(EVE, "wamp.subscription.list_subscribers", &args);
    assert_eq!(subscribers, format!("[[{bob}]]"));
    world.unsubscribe(BOB, subscription);
    assert!(matches!(world.client(BOB).message(), Message::Unsubscribed(_)));
    assert!(world.client(BOB).pair.shared.is_empty());
    assert_eq!(world.events(ANN), [], "those who watch do not hear of each other");
    world.assert_silent();
}

/// It would be told of itself.
#[test]
fn server_nobody_is_told_on_a_subscription_that_it_is_there() {
    let mut world = World::with(permissive());
    world.join(ALL);
    for (policy, topic) in
        [(MatchPolicy::Exact, "wamp.subscription.on_subscribe"), (MatchPolicy::Wildcard, "..")]
    {
        let subscription = world.subscribe(ANN, policy, topic);
        assert_eq!(world.client(ANN).messages(), []);
        world.unsubscribe(ANN, subscription);
        assert!(matches!(world.client(ANN).message(), Message::Unsubscribed(_)));
    }
}

#[test]
fn server_a_pattern_for_topics_of_both_kinds_gets_what_happens_too() {
    let mut world = World::with(permissive());
    world.join(ALL);
    let subscription = world.subscribe(ANN, MatchPolicy::Wildcard, "..on_join");
    let who = world.join(ALL);
    let details = world.details(who);
    let expected = [happened("wamp.session.on_join", format!("[{details}]"))];
    assert_eq!(world.events(ANN), expected);
    world.unsubscribe(ANN, subscription);
    assert!(matches!(world.client(ANN).message(), Message::Unsubscribed(_)));
    world.join(ALL);
    assert_eq!(world.events(ANN), []);
}

/// As of any other subscription that ends by itself.
#[test]
fn server_who_takes_what_happens_too_slowly_loses_the_subscription() {
    for topic in ["wamp.session.on_join", "..on_join"] {
        let mut world = World::with(permissive());
        world.join(&[Feature::SubscriptionRevocation]);
        world.join(&[]);
        for who in [ANN, BOB] {
            let subscription = world.subscribe(who, MatchPolicy::Wildcard, topic);
            world.notice(who, Notice::TooSlow { subscription });
            let left =
                world.client(who).pair.shared.iter().any(|it| matches!(it, Shared::Leave { .. }));
            assert_eq!(left, topic == "..on_join");
            if who == BOB {
                assert_eq!(world.client(BOB).farewell().0, "wamp.error.unavailable");
                continue;
            }
            let Message::Unsubscribed(unsubscribed) = world.client(ANN).message() else { panic!() };
            let details = unsubscribed.details.unwrap();
            assert_eq!(unsubscribed.request, None);
            assert_eq!(details.subscription, Some(subscription));
            assert_eq!(details.reason, Some("wamp.error.unavailable".into()));
            world.settle();
            let args = format!("[{subscription}]");
            let error = world.refused(ANN, "wamp.subscription.get", &args, "{}");
            assert_eq!(error, "wamp.error.no_such_subscription");
            world.notice(ANN, Notice::TooSlow { subscription });
            assert_eq!(world.client(ANN).messages(), []);
        }
    }
}

/// §RawSocket Transport: the longest message.
#[test]
fn server_a_result_that_has_no_room_is_refused_and_an_event_left_out() {
    let mut world = World::new();
    world.join_narrow(300);
    world.watch(ANN);
    for _ in 0..40 {
        world.join(ALL);
    }
    let events = world.events(ANN);
    assert_eq!(events.len(), 40, "they are short");
    assert_eq!(
        world.refused(ANN, "wamp.session.list", "[]", "{}"),
        "wamp.error.payload_size_exceeded"
    );
    assert_eq!(world.told(ANN, "wamp.session.count", "[]"), "[41]");
    // As long as a URI can be.
    let long = format!("a.{}", "x".repeat(198));
    world.register(BOB, &long, RegisterOptions::default());
    let topics: Vec<_> = world.events(ANN).into_iter().map(|(topic, _)| topic).collect();
    assert_eq!(topics, ["wamp.registration.on_register"]);
    assert!(world.client(ANN).is_open());
}

/// The first CALL alone: it is answered, and nothing is left to go on with.
#[test]
fn server_the_protocols_own_procedures_are_not_called_in_parts() {
    let mut world = World::three(Serializer::Json);
    let options = CallOptions { progress: Some(true), ..CallOptions::default() };
    let call = world.call(ANN, "wamp.session.count", options);
    assert_eq!(world.error(ANN), (call, "wamp.error.no_such_procedure".into()));
    world.assert_silent();
}
