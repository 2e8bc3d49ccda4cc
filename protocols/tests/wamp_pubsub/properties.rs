//! Who gets an event, for generated subscriptions, subscribers and lists: as a naive model of the
//! specification says, sentence by sentence.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

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
        prop_assert_eq!(encoder.fits(&publication), is_matched(&pattern, &topic));
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
}
