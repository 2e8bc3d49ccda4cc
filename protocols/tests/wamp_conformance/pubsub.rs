//! §Publish and Subscribe, as a session does it: what goes to the broker, what is answered, and what its
//! role allows. What events look like is tested with the encoders.

use protocols::broker::{
    Address, BrokerError, BrokerErrorKind, Command, Event, ExchangeKind, Outcome, SubscriptionId,
    Token,
};
use protocols::session::{CloseCause, Shared};
use protocols::wamp::id::Id;
use protocols::wamp::message::{
    Choice, Feature, Features, Hello, HelloDetails, MatchPolicy, Message, Publish, PublishOptions,
    Role, Roles, Subscribe, SubscribeOptions, Unsubscribe,
};
use protocols::wamp::payload::Payload;

use crate::client::{Client, client, each};

fn id(value: u64) -> Id {
    Id::new(value).unwrap()
}

fn subscribe(client: &mut Client, request: u64, topic: &str) {
    let options = SubscribeOptions {
        match_policy: Some(Choice::Known(MatchPolicy::Prefix)),
        ..SubscribeOptions::default()
    };
    client.send(Subscribe { request: id(request), options, topic: topic.into() });
}

fn publish(client: &mut Client, request: u64, topic: &str, acknowledge: Option<bool>) {
    let options = PublishOptions { acknowledge, ..PublishOptions::default() };
    let payload = Payload::empty(client.serializer);
    client.send(Publish { request: id(request), options, topic: topic.into(), payload });
}

/// The join that was asked for.
fn joined(client: &mut Client) -> (Token, SubscriptionId, String) {
    match client.pair.shared.pop_front() {
        Some(Shared::Join { token, subscription, topic, .. }) => {
            (token, subscription, topic.to_string())
        }
        other => panic!("a join, not {other:?}"),
    }
}

/// The publish that was asked for.
fn published(client: &mut Client) -> (Token, String, bool) {
    match client.pair.commands.pop_front() {
        Some(Command::Publish { token, to: Address::Topic(key), confirm, .. }) => {
            (token, key.to_string(), confirm)
        }
        other => panic!("a publish, not {other:?}"),
    }
}

/// The ERROR that was sent: the request, and why.
fn refused(client: &mut Client) -> (Id, String) {
    match client.message() {
        Message::Error(error) => (error.request, error.error.to_string()),
        other => panic!("ERROR, not {other:?}"),
    }
}

#[test]
fn basic_subscribe_is_answered_once_the_topic_is_joined_and_unsubscribe_once_it_is_left() {
    each(|client| {
        let mut client = client.joined();
        subscribe(&mut client, 1, "com.app.news");
        let (token, joined_as, topic) = joined(&mut client);
        assert_eq!(topic, "com.app.#");
        assert_eq!(client.messages(), []);
        client.pair.event(Event::Subscribed { token });
        let Message::Subscribed(subscribed) = client.message() else { panic!("SUBSCRIBED") };
        assert_eq!(subscribed.request, id(1));
        let subscription = subscribed.subscription;
        client.send(Unsubscribe { request: id(2), subscription });
        let Some(Shared::Leave { token, subscription }) = client.pair.shared.pop_front() else {
            panic!("it leaves")
        };
        assert_eq!(subscription, joined_as);
        client.pair.event(Event::Unsubscribed { token });
        let Message::Unsubscribed(unsubscribed) = client.message() else { panic!("UNSUBSCRIBED") };
        assert_eq!(unsubscribed.request, Some(id(2)));
    });
}

#[test]
fn basic_publish_is_answered_if_it_asks_for_that_once_the_broker_has_it() {
    each(|client| {
        let mut client = client.joined();
        publish(&mut client, 1, "com.app.news", None);
        let (_, key, confirm) = published(&mut client);
        assert_eq!((key.as_str(), confirm), ("com.app.news", false));
        publish(&mut client, 2, "com.app.news", Some(true));
        let (token, _, confirm) = published(&mut client);
        assert!(confirm);
        assert_eq!(client.messages(), []);
        client.pair.event(Event::Confirmed { token, outcome: Outcome::Accepted });
        let Message::Published(first) = client.message() else { panic!("PUBLISHED") };
        assert_eq!(first.request, id(2));
        publish(&mut client, 3, "com.app.news", Some(true));
        let (token, ..) = published(&mut client);
        client.pair.event(Event::Confirmed { token, outcome: Outcome::Accepted });
        let Message::Published(second) = client.message() else { panic!("PUBLISHED") };
        assert_ne!(first.publication, second.publication);
    });
}

#[test]
fn advanced_subscriber_blackwhite_listing_keeps_events_for_some_from_the_topics_of_all() {
    each(|mut client| {
        client.hello("open", HelloDetails::default());
        let roles = client.welcomed().details.roles.unwrap();
        assert!(roles.has(Role::Broker, Feature::SubscriberBlackwhiteListing));
        for request in 1..3 {
            let options = PublishOptions {
                acknowledge: Some(true),
                eligible_authrole: Some(vec!["guest".into()]),
                ..PublishOptions::default()
            };
            let (topic, payload) = ("com.app.news".into(), Payload::empty(client.serializer));
            client.send(Publish { request: id(request), options, topic, payload });
            if request == 1 {
                let declared = client.pair.commands.pop_front();
                let Some(Command::DeclareExchange { token, name, kind }) = declared else {
                    panic!("{declared:?}")
                };
                assert_eq!((&*name, kind), ("wamp.restricted", ExchangeKind::Topic));
                client.pair.event(Event::Declared { token });
            }
            let asked = client.pair.commands.pop_front();
            let Some(Command::Publish { token, to, confirm: true, mandatory: false, .. }) = asked
            else {
                panic!("{asked:?}")
            };
            let (name, key) = ("wamp.restricted".into(), "com.app.news".into());
            assert_eq!(to, Address::Exchange { name, key });
            assert_eq!(client.messages(), []);
            client.pair.event(Event::Confirmed { token, outcome: Outcome::Accepted });
            let Message::Published(published) = client.message() else { panic!("PUBLISHED") };
            assert_eq!(published.request, id(request));
        }
        publish(&mut client, 3, "com.app.news", None);
        assert_eq!(published(&mut client).1, "com.app.news");
        // Subscribers take from both, and each gets what is for it.
        subscribe(&mut client, 4, "com.app.news");
        let Some(Shared::Join { encoder, .. }) = client.pair.shared.pop_front() else {
            panic!("a join")
        };
        assert!(encoder.takes_restricted() && encoder.is_choosy());
    });
}

#[test]
fn server_what_the_role_does_not_allow_is_an_error() {
    let mut client = client().joined();
    subscribe(&mut client, 1, "secret.plans");
    assert_eq!(refused(&mut client), (id(1), "wamp.error.not_authorized".into()));
    // A pattern that stands for what is denied among other things.
    subscribe(&mut client, 2, "secret");
    assert_eq!(refused(&mut client).0, id(2));
    publish(&mut client, 3, "secret.plans", Some(true));
    assert_eq!(refused(&mut client), (id(3), "wamp.error.not_authorized".into()));
    publish(&mut client, 4, "secret.plans", None);
    assert_eq!(client.messages(), [], "nobody wants to know");
    assert!(client.pair.commands.is_empty() && client.pair.shared.is_empty());
}

#[test]
fn basic_a_subscription_that_is_not_there_cannot_be_given_up() {
    let mut client = client().joined();
    client.send(Unsubscribe { request: id(1), subscription: id(77) });
    assert_eq!(refused(&mut client), (id(1), "wamp.error.no_such_subscription".into()));
}

#[test]
fn advanced_a_subscription_that_has_ended_by_itself_is_told_to_who_understands() {
    for understands in [true, false] {
        let mut client = client();
        let features = if understands { &[Feature::SubscriptionRevocation][..] } else { &[] };
        let roles = Roles::default().with(Role::Subscriber, Features::of(features));
        let details = HelloDetails { roles: Some(roles), ..HelloDetails::default() };
        client.send(Hello { realm: "open".into(), details });
        client.welcomed();
        subscribe(&mut client, 1, "com.app");
        let (token, subscription, _) = joined(&mut client);
        client.pair.event(Event::Subscribed { token });
        client.message();
        let error = BrokerError::new(BrokerErrorKind::NotFound, "the queue was deleted");
        client.pair.event(Event::Canceled { subscription, error });
        match client.message() {
            Message::Unsubscribed(unsubscribed) if understands => {
                assert_eq!(unsubscribed.request, None);
                assert!(client.pair.close.is_none());
            }
            Message::Goodbye(_) if !understands => {
                assert!(matches!(client.pair.shared.pop_front(), Some(Shared::LeaveAll)));
                client.goodbye("wamp.close.goodbye_and_out");
                assert_eq!(client.pair.close.take().unwrap().cause, CloseCause::Broker);
            }
            other => panic!("{understands}: {other:?}"),
        }
    }
}

#[test]
fn basic_nothing_of_what_is_shared_comes_after_goodbye() {
    let mut client = client().joined();
    subscribe(&mut client, 1, "com.app");
    joined(&mut client);
    client.goodbye("wamp.close.normal");
    assert!(matches!(client.message(), Message::Goodbye(_)));
    assert!(matches!(client.pair.shared.pop_front(), Some(Shared::LeaveAll)));
    assert_eq!(client.pair.close.take().unwrap().cause, CloseCause::Peer);
}

#[test]
fn server_publishes_that_wait_when_the_broker_is_lost_are_told_so() {
    let mut client = client().joined();
    publish(&mut client, 1, "com.app.news", Some(true));
    let error = BrokerError::new(BrokerErrorKind::Unavailable, "gone");
    client.pair.event(Event::Down { error });
    let messages = client.messages();
    let [Message::Error(error), Message::Goodbye(_)] = messages.as_slice() else {
        panic!("{messages:?}")
    };
    assert_eq!(error.error, "wamp.error.network_failure");
}
