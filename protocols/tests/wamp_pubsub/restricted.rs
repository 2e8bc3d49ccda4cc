//! WAMP §Subscriber Black- and Whitelisting: where events go that are for some subscribers only, and who gets
//! them.

use MatchPolicy::{Exact, Prefix};
use protocols::broker::{BrokerError, BrokerErrorKind, ExchangeKind, Outcome};

use super::*;

fn none() -> PublishOptions {
    PublishOptions::default()
}

fn ids(ids: &[u64]) -> Option<Vec<Id>> {
    Some(ids.iter().copied().map(id).collect())
}

fn texts(texts: &[&str]) -> Option<Vec<Text>> {
    Some(texts.iter().copied().map(Text::from).collect())
}

/// One that wants to know what becomes of it.
fn restricted() -> PublishOptions {
    PublishOptions { eligible: ids(&[8]), acknowledge: Some(true), ..none() }
}

/// What the broker was asked for since the last time, in short.
fn asked(client: &mut Client) -> Vec<String> {
    let short = |command| match command {
        Command::DeclareExchange { token, name, kind: ExchangeKind::Topic } => {
            format!("declare {name} as {}", token.0)
        }
        Command::Publish { to: Address::Topic(key), .. } => format!("topic {key}"),
        Command::Publish { to: Address::Exchange { name, key }, .. } => format!("{name} {key}"),
        other => panic!("{other:?}"),
    };
    client.actions.commands.drain(..).map(short).collect()
}

#[test]
fn each_list_keeps_an_event_from_where_others_read() {
    for options in [
        PublishOptions { eligible: ids(&[1]), ..none() },
        PublishOptions { eligible: ids(&[]), ..none() },
        PublishOptions { eligible_authid: texts(&["x"]), ..none() },
        PublishOptions { eligible_authrole: texts(&["x"]), ..none() },
        PublishOptions { exclude: ids(&[1]), ..none() },
        PublishOptions { exclude_authid: texts(&["x"]), ..none() },
        PublishOptions { exclude_authrole: texts(&[]), ..none() },
    ] {
        let mut client = Client::new(Serializer::Json);
        client.publish("a.*", options.clone()).unwrap();
        let expected = ["declare wamp.restricted as 501", "wamp.restricted a.%2A"];
        assert_eq!(asked(&mut client), expected, "{options:?}");
        // That the publisher gets none is nobody's secret.
        client.publish("b", PublishOptions { exclude_me: Some(true), ..none() }).unwrap();
        client.publish("c", options).unwrap();
        assert_eq!(asked(&mut client), ["topic b", "wamp.restricted c"]);
        client.on(&Event::Declared { token: Token(501) });
        client.publish("d", PublishOptions { eligible: ids(&[1]), ..none() }).unwrap();
        assert_eq!(asked(&mut client), ["wamp.restricted d"]);
    }
}

#[test]
fn what_is_refused_asks_for_nothing() {
    let mut client = Client::new(Serializer::Json);
    assert_refused(client.publish("denied", restricted()), Reason::NotAuthorized);
    assert!(client.actions.is_empty());
}

#[test]
fn the_answer_to_a_declaration_is_not_the_clients() {
    let mut client = Client::new(Serializer::Json);
    client.publish("a", restricted()).unwrap();
    let error = BrokerError::new(BrokerErrorKind::AccessRefused, "not yours");
    assert_eq!(client.on(&Event::Failed { token: Token(501), error }), []);
    // It is there all the same.
    let outcome = Outcome::Accepted;
    let answers = client.on(&Event::Confirmed { token: Token(1), outcome });
    assert_eq!(answers.iter().map(in_json).collect::<Vec<_>>(), ["[17,1,1002]"]);
}

#[test]
fn a_publisher_is_told_why_there_is_no_place_for_its_event() {
    let mut client = Client::new(Serializer::Json);
    client.publish("a", restricted()).unwrap();
    asked(&mut client);
    let failed = |token, kind, text| {
        let error = BrokerError::new(kind, text);
        Event::Failed { token: Token(token), error }
    };
    client.on(&failed(501, BrokerErrorKind::AccessRefused, "it may not be made"));
    let answers = client.on(&failed(1, BrokerErrorKind::NotFound, "it is not there"));
    let expected = "[8,16,1,{},\"wamp.error.not_authorized\",[\"it is not there; the exchange was not \
                    made: it may not be made\"]]";
    assert_eq!(answers.iter().map(in_json).collect::<Vec<_>>(), [expected]);
    // The next one asks again; what becomes of others says nothing about it.
    let acknowledge = Some(true);
    client.publish("a", PublishOptions { acknowledge, ..none() }).unwrap();
    client.on(&failed(2, BrokerErrorKind::NotFound, "nothing is there"));
    client.publish("a", restricted()).unwrap();
    let expected = ["topic a", "declare wamp.restricted as 503", "wamp.restricted a"];
    assert_eq!(asked(&mut client), expected);
}

#[test]
fn an_exchange_that_has_gone_is_asked_for_again_whoever_misses_it() {
    let mut client = Client::new(Serializer::Json);
    let silent = || PublishOptions { acknowledge: None, ..restricted() };
    client.publish("a", silent()).unwrap();
    client.on(&Event::Declared { token: Token(501) });
    let failed = |token, text| {
        let error = BrokerError::new(BrokerErrorKind::NotFound, text);
        Event::Failed { token: Token(token), error }
    };
    client.publish("b", none()).unwrap();
    assert_eq!(client.pubsub.on_event(&failed(2, "no exchange 'amq.topic'")), None);
    client.publish("a", silent()).unwrap();
    assert_eq!(client.pubsub.on_event(&failed(3, "no exchange 'wamp.restricted'")), None);
    client.publish("a", silent()).unwrap();
    let expected = [
        "declare wamp.restricted as 501",
        "wamp.restricted a",
        "topic b",
        "wamp.restricted a",
        "declare wamp.restricted as 504",
        "wamp.restricted a",
    ];
    assert_eq!(asked(&mut client), expected);
}

#[test]
fn an_event_is_for_those_whom_all_lists_let_in() {
    let session = |session, authid: &str, authrole: &str| {
        Client::of(Serializer::Json, principal(session, authid, authrole), realm())
            .encoder(Exact, "a")
    };
    let receivers = [
        session(1, "ann", "staff"),
        session(2, "ann", "guest"),
        session(3, "bob", "staff"),
        session(4, "carl", "guest"),
    ];
    for (options, expected) in [
        (PublishOptions { eligible: ids(&[1, 4]), ..none() }, [true, false, false, true]),
        (PublishOptions { eligible: ids(&[]), ..none() }, [false; 4]),
        (PublishOptions { eligible_authid: texts(&["ann"]), ..none() }, [true, true, false, false]),
        (
            PublishOptions { eligible_authrole: texts(&["guest", "x"]), ..none() },
            [false, true, false, true],
        ),
        (PublishOptions { exclude: ids(&[1, 4]), ..none() }, [false, true, true, false]),
        (PublishOptions { exclude: ids(&[]), ..none() }, [true; 4]),
        (
            PublishOptions { exclude_authid: texts(&["ann", "carl"]), ..none() },
            [false, false, true, false],
        ),
        (
            PublishOptions { exclude_authrole: texts(&["staff"]), ..none() },
            [false, true, false, true],
        ),
        (
            PublishOptions {
                eligible: ids(&[1, 2, 3]),
                eligible_authrole: texts(&["staff"]),
                exclude_authid: texts(&["bob"]),
                ..none()
            },
            [true, false, false, false],
        ),
        (
            PublishOptions { eligible_authid: texts(&["ann"]), exclude: ids(&[2]), ..none() },
            [true, false, false, false],
        ),
    ] {
        let mut publisher = Client::new(Serializer::Json);
        publisher.publish("a", options.clone()).unwrap();
        let publication = publisher.published();
        for (receiver, expected) in receivers.iter().zip(expected) {
            assert!(receiver.takes_restricted() && receiver.fits(&publication));
            assert_eq!(receiver.accepts(&publication), expected, "{options:?} {receiver:?}");
        }
    }
}

#[test]
fn what_comes_that_way_and_no_gateway_has_published_is_for_nobody() {
    let mut publisher = Client::new(Serializer::Json);
    publisher.publish("a.b", PublishOptions { exclude: ids(&[1]), ..none() }).unwrap();
    let mut publication = publisher.published();
    let mut subscriber = Client::of(Serializer::Json, principal(8, "bob", "guest"), realm());
    let encoders = [subscriber.encoder(Exact, "a.b"), subscriber.encoder(Prefix, "a.")];
    for (user, fits) in [
        (Some(GATEWAY), true),
        (Some("other-gateway"), true),
        (Some("a-gateway-not-trusted"), false),
        (None, false),
    ] {
        publication.message.properties.user_id = user.map(Text::from);
        for encoder in &encoders {
            assert_eq!(encoder.fits(&publication), fits, "{user:?}");
        }
        // Elsewhere everybody may speak, to everybody.
        let open = Publication { exchange: "amq.topic".into(), ..publication.clone() };
        assert!(encoders.iter().all(|encoder| encoder.fits(&open)));
    }
}

/// Each subscriber is looked up in them.
#[test]
fn the_lists_of_an_event_name_so_many_subscribers() {
    let many: Vec<u64> = (1..=200).collect();
    for (exclude, is_allowed) in [(56, true), (57, false)] {
        let mut publisher = Client::new(Serializer::Json);
        let options = PublishOptions {
            eligible: ids(&many),
            exclude: ids(&many[..exclude]),
            acknowledge: Some(true),
            ..none()
        };
        let outcome = publisher.publish("a.b", options);
        if is_allowed {
            outcome.unwrap();
        } else {
            assert_refused(outcome, Reason::InvalidArgument);
        }
    }
}
