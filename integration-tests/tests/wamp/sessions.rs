//! From the WebSocket to WELCOME, and from there to the end.

use integration_tests::{
    Closing, Frame, Login, REALM, RawWs, Request, Serializer, WampClient, binary, code, opcode,
};
use serde_json::{Value, json};

use crate::{Behind, join, join_by, scenarios};

/// Features that every client can count on.
const ANNOUNCED: [(&str, &str); 16] = [
    ("broker", "subscriber_blackwhite_listing"),
    ("broker", "publisher_exclusion"),
    ("broker", "publisher_identification"),
    ("broker", "pattern_based_subscription"),
    ("broker", "subscription_revocation"),
    ("broker", "session_meta_api"),
    ("broker", "subscription_meta_api"),
    ("dealer", "progressive_call_results"),
    ("dealer", "call_canceling"),
    ("dealer", "call_timeout"),
    ("dealer", "caller_identification"),
    ("dealer", "pattern_based_registration"),
    ("dealer", "shared_registration"),
    ("dealer", "registration_revocation"),
    ("dealer", "session_meta_api"),
    ("dealer", "registration_meta_api"),
];

/// What would be refused, or has no effect.
const NOT_THERE: [(&str, &str); 3] = [
    ("broker", "sharded_subscription"),
    ("broker", "event_history"),
    ("dealer", "sharded_registration"),
];

async fn the_sub_protocol_is_chosen_from_what_is_offered(behind: Behind) {
    let world = behind.world().await;
    for (offered, chosen) in [
        ("wamp.2.json", "wamp.2.json"),
        ("wamp.2.msgpack, wamp.2.json", "wamp.2.msgpack"),
        ("wamp.2.ubjson, wamp.2.cbor", "wamp.2.cbor"),
        ("wamp.2.json, v12.stomp", "wamp.2.json"),
        ("v12.stomp, wamp.2.json", "v12.stomp"),
    ] {
        let request = Request::upgrade("/ws").header("Sec-WebSocket-Protocol", offered);
        let ws = RawWs::open(world.ws_addr(), &request).await;
        assert_eq!(ws.protocol(), Some(chosen), "{offered}");
    }
}

async fn welcome_says_who_the_client_is_and_what_the_router_can(behind: Behind) {
    let world = behind.world().await;
    let mut sessions = Vec::new();
    for serializer in Serializer::ALL {
        let mut client = WampClient::open(world.ws_addr(), serializer).await;
        let mut details = client.join(REALM, Login::Anonymous).await;
        let announced = |role: &str, feature: &str| {
            details["roles"][role]["features"][feature].as_bool().unwrap_or_default()
        };
        for (role, feature) in ANNOUNCED {
            assert!(announced(role, feature), "{role}: {feature}");
        }
        for (role, feature) in NOT_THERE {
            assert!(!announced(role, feature), "{role}: {feature}");
        }
        let authid = details["authid"].take();
        assert!(authid.as_str().unwrap().starts_with("anonymous-"), "{authid}");
        details
            .as_object_mut()
            .unwrap()
            .retain(|key, _| key.starts_with("authr") || key == "authmethod");
        assert_eq!(details, json!({ "authrole": "anonymous", "authmethod": "anonymous" }));
        sessions.push(client.session());
        client.leave().await;
    }
    sessions.sort_unstable();
    sessions.dedup();
    assert_eq!(sessions.len(), Serializer::ALL.len(), "each has a session of its own");
}

async fn arguments_come_as_they_were_sent_whatever_the_serializers(behind: Behind) {
    let world = behind.world().await;
    let args = json!([
        0, -1, 255, 65536, -2_147_483_649_i64, 9_007_199_254_740_992_u64, 2.5, -0.1, true, null, "",
        "grüße, 世界 🦀 \" \\ \u{1}", [[], {}, [{ "x": [1] }]], binary(b"\0\x7f\xff"), binary(b""),
    ]);
    let kwargs = json!({ "größe": { "tief": [null] }, "data": binary([7; 300]), "": 1 });
    for from in Serializer::ALL {
        let mut publisher = join_by(&world, from).await;
        for to in Serializer::ALL {
            let mut subscriber = join_by(&world, to).await;
            subscriber.subscribe("com.example.all").await;
            let options = json!({});
            let published = publisher
                .publish_confirmed("com.example.all", options, args.clone(), kwargs.clone())
                .await
                .unwrap();
            let event = subscriber.event().await;
            assert_eq!((&event.args, &event.kwargs), (&args, &kwargs), "{from:?} to {to:?}");
            assert_eq!((event.publication, event.details), (published, json!({})));
            subscriber.leave().await;
        }
        publisher.leave().await;
    }
}

async fn a_realm_that_is_not_there_cannot_be_joined(behind: Behind) {
    let world = behind.world().await;
    for realm in ["realm2", "Realm1", ""] {
        let mut client = WampClient::open(world.ws_addr(), Serializer::Json).await;
        let abort = client.knock(realm, Login::Anonymous).await.expecting(code::ABORT);
        assert_eq!(abort.text(2), "wamp.error.no_such_realm", "{abort:?}");
        assert!(abort.at(1)["message"].is_string(), "{abort:?}");
        assert_eq!(client.closing().await.code, Some(1008));
    }
}

async fn goodbye_is_answered_and_ends_the_connection(behind: Behind) {
    let world = behind.world().await;
    for serializer in Serializer::ALL {
        let mut client = join_by(&world, serializer).await;
        client.subscribe("com.example.left").await;
        let closing = Closing { code: Some(1000), reason: String::new() };
        assert_eq!(client.leave().await, closing);
    }
}

async fn a_draining_gateway_says_goodbye(behind: Behind) {
    let world = behind.world().await;
    let mut clients = Vec::new();
    for serializer in Serializer::ALL {
        clients.push(join_by(&world, serializer).await);
    }
    let leaving = async {
        for client in &mut clients {
            let goodbye = client.expect(code::GOODBYE).await;
            assert_eq!(goodbye.text(2), "wamp.close.system_shutdown");
            client.send(json!([code::GOODBYE, {}, "wamp.close.goodbye_and_out"])).await;
            assert_eq!(client.closing().await.code, Some(1001));
        }
    };
    let (drained, ()) = tokio::join!(world.gateway.stop(), leaving);
    assert_eq!(drained.cut, 0);
}

/// What breaks the protocol before and after WELCOME, as text or binary.
async fn what_breaks_the_protocol_ends_the_session(behind: Behind) {
    let world = behind.world().await;
    let subscribe = |request: u64| json!([code::SUBSCRIBE, request, {}, "com.example.x"]);
    let message = |value: Value| Frame::text(value.to_string());
    let cases = [
        Frame::text("nonsense"),
        Frame::text("{}"),
        Frame::new(opcode::BINARY, subscribe(1).to_string()),
        message(json!([code::SUBSCRIBED, 1, 1])),
        message(json!([code::HELLO, REALM, { "roles": { "caller": {} } }])),
        message(json!([code::SUBSCRIBE, 1, {}])),
        message(json!([code::SUBSCRIBE, 1, [], "com.example.x"])),
        message(subscribe(0)),
        message(subscribe(2)),
    ];
    for frame in cases {
        let mut client = join(&world).await;
        client.ws().send(&frame).await;
        let abort = client.expect(code::ABORT).await;
        assert_eq!(abort.text(2), "wamp.error.protocol_violation", "{frame:?}");
        assert!(abort.at(1)["message"].is_string(), "{abort:?}");
        assert_eq!(client.closing().await.code, Some(1002), "{frame:?}");
    }
    for first in [subscribe(1), json!([code::HELLO, REALM, {}]), json!([code::GOODBYE, {}, "a.b"])]
    {
        let mut client = WampClient::open(world.ws_addr(), Serializer::Cbor).await;
        client.send(first.clone()).await;
        let abort = client.expect(code::ABORT).await;
        assert_eq!(abort.text(2), "wamp.error.protocol_violation", "{first}");
        assert_eq!(client.closing().await.code, Some(1002), "{first}");
    }
}

async fn a_message_may_come_in_fragments(behind: Behind) {
    let world = behind.world().await;
    let mut client = join(&world).await;
    let text = json!([code::SUBSCRIBE, 1, {}, "com.example.grüße"]).to_string().into_bytes();
    // Inside of a character.
    let cut = text.iter().position(|byte| *byte >= 0x80).unwrap() + 1;
    client.ws().send(&Frame::text(&text[..cut]).unfinished()).await;
    client.ws().send(&Frame::new(opcode::PING, "between")).await;
    client.ws().send(&Frame::new(opcode::CONTINUATION, &text[cut..])).await;
    assert_eq!(client.expect(code::SUBSCRIBED).await.id(1), 1);
}

scenarios!(
    sessions,
    [
        the_sub_protocol_is_chosen_from_what_is_offered,
        welcome_says_who_the_client_is_and_what_the_router_can,
        arguments_come_as_they_were_sent_whatever_the_serializers,
        a_realm_that_is_not_there_cannot_be_joined,
        goodbye_is_answered_and_ends_the_connection,
        a_draining_gateway_says_goodbye,
        what_breaks_the_protocol_ends_the_session,
        a_message_may_come_in_fragments,
    ]
);
