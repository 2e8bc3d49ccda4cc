//! WAMP §Subscribing and Unsubscribing, §Pattern-based Subscription, §Subscription Revocation.

use MatchPolicy::{Exact, Prefix, Wildcard};
use protocols::broker::{BrokerError, BrokerErrorKind};
use protocols::wamp::message::Shard;
use protocols::wamp::pubsub::subscription_id;

use super::*;

fn of_topic(policy: MatchPolicy, uri: &str) -> Id {
    subscription_id("realm1", &Pattern { policy, uri: uri.into() })
}

#[test]
fn a_subscription_is_answered_once_its_topic_is_joined() {
    for serializer in Serializer::ALL {
        let mut client = Client::new(serializer);
        assert_eq!(client.subscribe(Exact, "com.app.news"), Ok(None));
        let (token, _, topic, _) = client.joined();
        assert_eq!(topic, "com.app.news");
        let answers = client.on(&Event::Subscribed { token });
        let expected = format!("[33,1,{}]", of_topic(Exact, "com.app.news"));
        assert_eq!(answers.iter().map(in_json).collect::<Vec<_>>(), [expected]);
    }
}

#[test]
fn the_id_of_a_subscription_is_the_same_on_every_node() {
    // The last 53 bits of `printf 'sub|realm1|exact|com.app.news' | sha256sum`, and 1.
    assert_eq!(of_topic(Exact, "com.app.news").get(), 7_006_815_766_638_503);
    let ids = [of_topic(Exact, "a.b"), of_topic(Prefix, "a.b"), of_topic(Wildcard, "a.b")];
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
    let elsewhere = Pattern { policy: Exact, uri: "a.b".into() };
    assert_ne!(subscription_id("realm2", &elsewhere), ids[0]);
}

#[test]
fn who_subscribes_again_gets_the_same_id_and_one_unsubscribe_ends_it() {
    let mut client = Client::new(Serializer::Json);
    assert_eq!(client.subscribe(Exact, "a"), Ok(None));
    assert_eq!(client.subscribe(Exact, "a"), Ok(None));
    let (token, joined_as, ..) = client.joined();
    assert!(client.actions.shared.is_empty(), "it is joined once");
    let id = of_topic(Exact, "a");
    let answers = client.on(&Event::Subscribed { token });
    let expected = [format!("[33,1,{id}]"), format!("[33,2,{id}]")];
    assert_eq!(answers.iter().map(in_json).collect::<Vec<_>>(), expected);
    let answer = client.subscribe(Exact, "a").unwrap().unwrap();
    assert_eq!(in_json(&answer), format!("[33,3,{id}]"));
    assert_eq!(client.pubsub.subscriptions(), 1);

    assert_eq!(client.unsubscribe(id), Ok(None));
    let Some(Shared::Leave { token, subscription }) = client.actions.shared.pop() else {
        panic!("it leaves");
    };
    assert_eq!(subscription, joined_as);
    assert_refused(client.unsubscribe(id), Reason::NoSuchSubscription);
    let answers = client.on(&Event::Unsubscribed { token });
    assert_eq!(answers.iter().map(in_json).collect::<Vec<_>>(), ["[35,4]"]);
    // It may begin anew.
    assert_eq!(client.subscribe(Exact, "a"), Ok(None));
    assert_ne!(client.joined().1, joined_as);
}

#[test]
fn patterns_are_joined_as_those_of_amqp() {
    for (policy, uri, topic) in [
        (Prefix, "com.app.emer", "com.app.#"),
        (Prefix, "com.", "com.#"),
        (Wildcard, "com..news", "com.*.news"),
        (Exact, "com.*.news", "com.%2A.news"),
    ] {
        let mut client = Client::new(Serializer::Cbor);
        assert_eq!(client.subscribe(policy, uri), Ok(None));
        assert_eq!(client.joined().2, topic);
    }
}

#[test]
fn what_cannot_be_subscribed_to_is_refused() {
    let mut client = Client::new(Serializer::Json);
    let many = vec!["a"; 33].join(".");
    for (policy, uri, reason) in [
        (Exact, "a..b", Reason::InvalidUri),
        (Exact, "a b", Reason::InvalidUri),
        (Prefix, "a.#", Reason::InvalidUri),
        (Exact, many.as_str(), Reason::InvalidUri),
        (Exact, "denied", Reason::NotAuthorized),
        (Exact, "gw.user.ann.news", Reason::NotAuthorized),
        (Prefix, "gw.user.a", Reason::NotAuthorized),
        (Wildcard, "gw.user..news", Reason::NotAuthorized),
        (Prefix, "com", Reason::OptionNotAllowed),
        (Prefix, "", Reason::OptionNotAllowed),
    ] {
        assert_refused(client.subscribe(policy, uri), reason);
    }
    let match_policy = Some(Choice::Other("regex".into()));
    let options = SubscribeOptions { match_policy, ..Default::default() };
    assert_refused(client.subscribe_with("a", options), Reason::OptionNotAllowed);
    let options = SubscribeOptions { nkey: Some(Shard("k".into())), ..Default::default() };
    assert_refused(client.subscribe_with("a", options), Reason::NotSupported);
    assert!(client.actions.is_empty());
    assert_eq!(client.pubsub.subscriptions(), 0);
    let broad = Realm { broad_prefixes: true, ..realm() };
    let mut client = Client::of(Serializer::Json, principal(7, "ann", "staff"), broad);
    assert_eq!(client.subscribe(Prefix, "com"), Ok(None));
    assert_eq!(client.joined().2, "#");
}

#[test]
fn subscriptions_and_requests_that_wait_are_bounded() {
    let mut client = Client::new(Serializer::Json);
    for topic in ["a", "b", "c"] {
        assert_eq!(client.subscribe(Exact, topic), Ok(None));
    }
    assert_refused(client.subscribe(Exact, "d"), Reason::Unavailable);
    assert_eq!(client.subscribe(Exact, "a"), Ok(None));
    assert_refused(client.subscribe(Exact, "a"), Reason::Unavailable);
    for token in 1..=3 {
        client.on(&Event::Subscribed { token: Token(token) });
    }
    assert!(client.subscribe(Exact, "a").unwrap().is_some());
}

#[test]
fn what_the_broker_refuses_is_refused_to_all_who_wait() {
    let mut client = Client::new(Serializer::Json);
    client.subscribe(Exact, "a").unwrap();
    client.subscribe(Exact, "a").unwrap();
    let token = client.joined().0;
    let error = BrokerError::new(BrokerErrorKind::AccessRefused, "ACCESS_REFUSED - no");
    let answers = client.on(&Event::Failed { token, error });
    let expected = [1, 2].map(|request| {
        format!(r#"[8,32,{request},{{}},"wamp.error.not_authorized",["ACCESS_REFUSED - no"]]"#)
    });
    assert_eq!(answers.iter().map(in_json).collect::<Vec<_>>(), expected);
    assert_eq!(client.pubsub.subscriptions(), 0);
    client.subscribe(Exact, "a").unwrap();
    client.joined();
}

#[test]
fn a_subscription_that_is_not_answered_cannot_be_ended() {
    let mut client = Client::new(Serializer::Json);
    client.subscribe(Exact, "a").unwrap();
    let refusal = client.unsubscribe(of_topic(Exact, "a")).unwrap_err();
    let message = refusal.to_message(Serializer::Json).unwrap();
    let expected = format!(
        r#"[8,34,2,{{}},"wamp.error.no_such_subscription",["there is no subscription with the ID {}"]]"#,
        of_topic(Exact, "a")
    );
    assert_eq!(in_json(&message), expected);
}

#[test]
fn a_subscription_that_ends_by_itself_is_revoked() {
    let mut client = Client::new(Serializer::Json);
    client.subscribe(Exact, "a").unwrap();
    let (token, subscription, ..) = client.joined();
    client.on(&Event::Subscribed { token });
    let error = BrokerError::new(BrokerErrorKind::ResourceError, "too slow");
    let answers = client.on(&Event::Canceled { subscription, error: error.clone() });
    let expected = format!(
        r#"[35,0,{{"subscription":{},"reason":"wamp.error.unavailable"}}]"#,
        of_topic(Exact, "a")
    );
    assert_eq!(answers.iter().map(in_json).collect::<Vec<_>>(), [expected]);
    assert_eq!(client.pubsub.on_event(&Event::Canceled { subscription, error }), None);
    assert_eq!(client.pubsub.subscriptions(), 0);
}
