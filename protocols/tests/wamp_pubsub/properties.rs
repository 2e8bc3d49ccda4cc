//! Who gets an event, for generated subscriptions, subscribers and lists: as a naive model of the
//! specification says, sentence by sentence. And that every request is answered.

use std::collections::{BTreeSet, VecDeque};

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use protocols::broker::{BrokerError, BrokerErrorKind, Outcome};
use protocols::wamp::peers::Request;
use protocols::wamp::pubsub::subscription_id;

use super::*;

/// WAMP §Pattern-based Subscription.
fn is_matched(pattern: &Pattern, topic: &str) -> bool {
    match pattern.policy {
        MatchPolicy::Exact => *pattern.uri == *topic,
        MatchPolicy::Prefix => {
            let prefix: Vec<char> = pattern.uri.chars().collect();
            let topic: Vec<char> = topic.chars().collect();
            topic.len() >= prefix.len() && topic[..prefix.len()] == prefix[..]
        }
        MatchPolicy::Wildcard => {
            let wanted: Vec<&str> = pattern.uri.split('.').collect();
            let components: Vec<&str> = topic.split('.').collect();
            wanted.len() == components.len()
                && wanted
                    .iter()
                    .zip(components)
                    .all(|(wanted, it)| wanted.is_empty() || *wanted == it)
        }
    }
}

/// WAMP §Subscriber Black- and Whitelisting, §Publisher Exclusion.
fn is_allowed(options: &PublishOptions, publisher: &Principal, receiver: &Principal) -> bool {
    fn is_on<T: PartialEq>(list: &Option<Vec<T>>, item: &T, otherwise: bool) -> bool {
        list.as_ref().map_or(otherwise, |list| list.contains(item))
    }
    let excludes_publisher = options.exclude_me.unwrap_or(true);
    !(excludes_publisher && publisher.session == receiver.session)
        && is_on(&options.eligible, &receiver.session, true)
        && is_on(&options.eligible_authid, &receiver.authid, true)
        && is_on(&options.eligible_authrole, &receiver.authrole, true)
        && !is_on(&options.exclude, &receiver.session, false)
        && !is_on(&options.exclude_authid, &receiver.authid, false)
        && !is_on(&options.exclude_authrole, &receiver.authrole, false)
}

fn principals() -> impl Strategy<Value = Principal> {
    (1..4_u64, select(vec!["ann", "bob"]), select(vec!["staff", "guest"]))
        .prop_map(|(session, authid, authrole)| principal(session, authid, authrole))
}

fn texts(of: Vec<&'static str>) -> impl Strategy<Value = Option<Vec<Text>>> {
    option::weighted(0.3, vec(select(of).prop_map(Text::from), 0..3))
}

fn ids() -> impl Strategy<Value = Option<Vec<Id>>> {
    option::weighted(0.3, vec((1..4_u64).prop_map(id), 0..4))
}

fn options() -> impl Strategy<Value = PublishOptions> {
    let users = || texts(vec!["ann", "bob", "staff"]);
    let roles = || texts(vec!["staff", "guest", "ann"]);
    (option::of(any::<bool>()), ids(), ids(), users(), users(), roles(), roles()).prop_map(
        |(exclude_me, eligible, exclude, eligible_authid, exclude_authid, role, not_role)| {
            PublishOptions {
                exclude_me,
                eligible,
                exclude,
                eligible_authid,
                exclude_authid,
                eligible_authrole: role,
                exclude_authrole: not_role,
                ..PublishOptions::default()
            }
        },
    )
}

fn uris(components: Vec<&'static str>) -> impl Strategy<Value = String> {
    vec(select(components), 1..4).prop_map(|components| components.join("."))
}

fn patterns() -> impl Strategy<Value = Pattern> {
    let whole = vec!["a", "ab", "b", "*", "%2A"];
    let exact = uris(whole.clone()).prop_map(|uri| (MatchPolicy::Exact, uri));
    let wildcard =
        uris([whole.clone(), vec!["", ""]].concat()).prop_map(|uri| (MatchPolicy::Wildcard, uri));
    let prefix = (uris(whole), 0..9_usize).prop_map(|(mut uri, length)| {
        uri.truncate(length);
        (MatchPolicy::Prefix, uri)
    });
    prop_oneof![exact, wildcard, prefix]
        .prop_map(|(policy, uri)| Pattern { policy, uri: uri.into() })
}

/// What happens to a session.
#[derive(Debug, Clone, Copy)]
enum Step {
    Subscribe(&'static str),
    Unsubscribe(&'static str),
    Publish {
        acknowledge: bool,
    },
    /// What was asked for first is answered.
    Answer {
        well: bool,
    },
    /// The first subscription that has been joined ends by itself.
    Cancel,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let topics = || select(vec!["a", "b", "c", "d", "a..b", "wamp.x"]);
    let step = prop_oneof![
        3 => topics().prop_map(Step::Subscribe),
        2 => topics().prop_map(Step::Unsubscribe),
        1 => any::<bool>().prop_map(|acknowledge| Step::Publish { acknowledge }),
        4 => prop::bool::weighted(0.8).prop_map(|well| Step::Answer { well }),
        1 => Just(Step::Cancel),
    ];
    vec(step, 0..60)
}

/// A session, what has not been answered to it in the order in which it was asked for, and what it has
/// answered to its peer.
struct Run {
    client: Client,
    unanswered: VecDeque<(Token, Option<SubscriptionId>)>,
    joined: VecDeque<SubscriptionId>,
    answers: Vec<Id>,
}

impl Run {
    fn step(&mut self, step: Step) {
        let of_topic = |uri: &str| {
            subscription_id("realm1", &Pattern { policy: MatchPolicy::Exact, uri: uri.into() })
        };
        let outcome = match step {
            Step::Subscribe(topic) => self.client.subscribe(MatchPolicy::Exact, topic),
            Step::Unsubscribe(topic) => self.client.unsubscribe(of_topic(topic)),
            Step::Publish { acknowledge } => {
                let acknowledge = Some(acknowledge);
                let options = PublishOptions { acknowledge, ..PublishOptions::default() };
                self.client.publish("a", options).map(|()| None)
            }
            Step::Answer { well } => return self.answer(well),
            Step::Cancel => return self.cancel(),
        };
        match outcome {
            Ok(message) => self.answers.extend(message.iter().filter_map(request_of)),
            Err(refusal) => {
                let message = refusal.to_message(Serializer::Json);
                self.answers.extend(message.iter().filter_map(request_of));
            }
        }
        for shared in self.client.actions.shared.drain(..) {
            match shared {
                Shared::Join { token, subscription, .. } => {
                    self.unanswered.push_back((token, Some(subscription)));
                }
                Shared::Leave { token, subscription } => {
                    self.joined.retain(|joined| *joined != subscription);
                    self.unanswered.push_back((token, None));
                }
                Shared::LeaveAll => unreachable!("that is the session's to say"),
            }
        }
        for command in self.client.actions.commands.drain(..) {
            if let Command::Publish { token, confirm: true, .. } = command {
                let event = Event::Confirmed { token, outcome: Outcome::Accepted };
                let messages = self.client.pubsub.on_event(&event).unwrap();
                self.answers.extend(messages.iter().filter_map(request_of));
            }
        }
    }

    fn answer(&mut self, well: bool) {
        let event = match self.unanswered.pop_front() {
            Some((token, Some(subscription))) if well => {
                self.joined.push_back(subscription);
                Event::Subscribed { token }
            }
            Some((token, Some(_))) => {
                let error = BrokerError::new(BrokerErrorKind::Unavailable, "no");
                Event::Failed { token, error }
            }
            Some((token, None)) => Event::Unsubscribed { token },
            None => return,
        };
        let messages = self.client.on(&event);
        self.answers.extend(messages.iter().filter_map(request_of));
    }

    fn cancel(&mut self) {
        if let Some(subscription) = self.joined.pop_front() {
            let error = BrokerError::new(BrokerErrorKind::ResourceError, "too slow");
            let messages = self.client.on(&Event::Canceled { subscription, error });
            assert_eq!(messages.len(), 1);
        }
    }
}

/// The request that a message answers.
fn request_of(message: &Message) -> Option<Id> {
    match message {
        Message::Subscribed(it) => Some(it.request),
        Message::Unsubscribed(it) => it.request,
        Message::Published(it) => Some(it.request),
        Message::Error(it) => Some(it.request),
        other => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_subscriber_gets_what_the_specification_says(
        pattern in patterns(),
        topic in uris(vec!["a", "ab", "b", "*", "%2A"]),
        publisher in principals(),
        receiver in principals(),
        options in options(),
        of_gateway in prop::bool::weighted(0.9),
    ) {
        let realm = Realm { broad_prefixes: true, ..realm() };
        let mut subscriber = Client::of(Serializer::Json, receiver.clone(), realm.clone());
        let encoder = subscriber.encoder(pattern.policy, &pattern.uri);
        let mut client = Client::of(Serializer::Cbor, publisher.clone(), realm);
        client.publish(&topic, options.clone()).unwrap();
        let mut publication = client.published();
        if !of_gateway {
            publication.message.properties.user_id = Some("eve".into());
        }
        let is_for_anybody = of_gateway || publication.exchange == "amq.topic";
        prop_assert_eq!(encoder.fits(&publication), is_for_anybody && is_matched(&pattern, &topic));
        let is_allowed = !of_gateway || is_allowed(&options, &publisher, &receiver);
        prop_assert_eq!(encoder.accepts(&publication), is_allowed);
    }

    /// Whatever bytes come, an encoder says that it cannot write them, or writes a message.
    #[test]
    fn no_body_is_too_much_for_an_encoder(
        body in vec(any::<u8>(), 0..40),
        content_type in select(vec![
            "application/vnd.wamp+json", "application/vnd.wamp+msgpack", "application/vnd.wamp+cbor",
            "application/json", "text/plain", "", "x",
        ]),
        to in select(Serializer::ALL.to_vec()),
    ) {
        let mut message = Body { body: body.into(), ..Body::default() };
        message.properties.content_type = Some(content_type.into());
        let encoder = Client::new(to).encoder(MatchPolicy::Exact, "a");
        if let Ok((_, bytes)) = encode(&*encoder, &foreign("a", message)) {
            let decoded = Message::decode(to, &bytes, &Limits::DEFAULT).unwrap();
            prop_assert!(matches!(decoded, Message::Event(_)));
        }
    }

    /// But for a PUBLISH that wants no answer. And the realm knows what is subscribed to.
    #[test]
    fn every_request_is_answered_once_whatever_happens(steps in steps()) {
        let mut run = Run {
            client: Client::new(Serializer::Json),
            unanswered: VecDeque::new(),
            joined: VecDeque::new(),
            answers: Vec::new(),
        };
        let mut expected = Vec::new();
        for step in steps {
            let request = run.client.requests;
            run.step(step);
            let wants_none = matches!(step, Step::Publish { acknowledge: false });
            if run.client.requests != request && !wants_none {
                expected.push(request);
            }
        }
        while !run.unanswered.is_empty() {
            run.answer(true);
        }
        run.answers.sort_unstable();
        prop_assert_eq!(run.answers, expected);
        let mut known = BTreeSet::new();
        for request in run.client.pubsub.take_requests() {
            match request {
                Request::Subscribed { subscription, pattern } => {
                    prop_assert_eq!(subscription, subscription_id("realm1", &pattern));
                    prop_assert!(known.insert(subscription));
                }
                Request::Unsubscribed { subscription } => prop_assert!(known.remove(&subscription)),
                other => panic!("{other:?}"),
            }
        }
        prop_assert_eq!(run.client.pubsub.subscriptions(), known.len());
        let own = Pattern { policy: MatchPolicy::Exact, uri: "wamp.x".into() };
        known.remove(&subscription_id("realm1", &own));
        prop_assert_eq!(run.joined.len(), known.len());
        // Nothing is held to be waiting any more.
        for _ in 0..4 {
            let options = PublishOptions { acknowledge: Some(true), ..PublishOptions::default() };
            run.client.publish("a", options).unwrap();
        }
    }
}
