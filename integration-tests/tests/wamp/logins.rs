//! Who is let in, as whom, and who is not.

use integration_tests::{Login, REALM, Serializer, WampClient, WampMessage, World, code};
use serde_json::{Value, json};

use crate::{Behind, scenarios};

/// Users of every kind, and nobody else.
fn users() -> Value {
    json!({
        "anonymous": null,
        "role": { "anonymous": {}, "user": {} },
        "user": {
            "ann": { "role": "user", "ticket": "an open ticket ü" },
            "bob": { "role": "user", "secret": "a shared secret ü" },
            "cyd": { "role": "user", "secret": "a password ü", "salt": "salt of cyd" },
            "dan": {
                "role": "user", "secret": "another", "salt": "s", "iterations": 3, "keylen": 48,
            },
        },
    })
}

async fn knock(world: &World, serializer: Serializer, login: Login<'_>) -> WampMessage {
    let mut client = WampClient::open(world.ws_addr(), serializer).await;
    let answer = client.knock(REALM, login).await;
    if answer.code() == code::ABORT {
        assert_eq!(client.closing().await.code, Some(1008), "{answer:?}");
    } else {
        client.leave().await;
    }
    answer
}

async fn users_prove_who_they_are(behind: Behind) {
    let world = behind.realm(users()).await;
    let logins = [
        Login::Ticket { authid: "ann", ticket: "an open ticket ü" },
        Login::Wampcra { authid: "bob", secret: "a shared secret ü" },
        Login::Wampcra { authid: "cyd", secret: "a password ü" },
        Login::Wampcra { authid: "dan", secret: "another" },
    ];
    for serializer in Serializer::ALL {
        for login in logins {
            let welcome = knock(&world, serializer, login).await.expecting(code::WELCOME);
            let (authid, method) = match login {
                Login::Ticket { authid, .. } => (authid, "ticket"),
                Login::Wampcra { authid, .. } => (authid, "wampcra"),
                Login::Anonymous => unreachable!("nobody is among them"),
            };
            let details = welcome.at(2);
            let who = ["authid", "authrole", "authmethod", "authprovider"]
                .map(|key| details[key].as_str().unwrap());
            assert_eq!(who, [authid, "user", method, "static"]);
        }
    }
}

async fn a_wrong_proof_and_an_unknown_user_are_refused_alike(behind: Behind) {
    let world = behind.realm(users()).await;
    let logins = [
        Login::Ticket { authid: "ann", ticket: "wrong" },
        Login::Ticket { authid: "ann", ticket: "" },
        Login::Wampcra { authid: "bob", secret: "wrong" },
        Login::Wampcra { authid: "cyd", secret: "wrong" },
    ];
    let mut sentences = Vec::new();
    for login in logins {
        let abort = knock(&world, Serializer::Json, login).await.expecting(code::ABORT);
        assert_eq!(abort.text(2), "wamp.error.authentication_denied", "{login:?}");
        sentences.push(abort.at(1)["message"].clone());
    }
    assert_eq!(sentences[0], sentences[1]);
    assert_eq!(sentences[2], sentences[3]);

    // Of many that are not there, some stand in for users with a secret.
    let mut challenged = 0;
    for number in 0..20 {
        let authid = &format!("nobody-{number}");
        let login = Login::Wampcra { authid, secret: "a guess" };
        let abort = knock(&world, Serializer::Json, login).await.expecting(code::ABORT);
        if abort.at(1)["message"] == sentences[2] {
            assert_eq!(abort.text(2), "wamp.error.authentication_denied");
            challenged += 1;
        }
    }
    assert!(challenged > 0, "as if none was there");
}

async fn who_does_not_say_who_it_is_does_not_get_in(behind: Behind) {
    let world = behind.realm(users()).await;
    let abort = knock(&world, Serializer::Json, Login::Anonymous).await.expecting(code::ABORT);
    assert_eq!(abort.text(2), "wamp.error.authentication_required");
    for (details, reason) in [
        (json!({ "authmethods": ["ticket"] }), "wamp.error.authentication_required"),
        (
            json!({ "authmethods": ["cryptosign"], "authid": "ann" }),
            "wamp.error.no_matching_auth_method",
        ),
        (
            json!({ "authmethods": ["wampcra"], "authid": "ann" }),
            "wamp.error.no_matching_auth_method",
        ),
    ] {
        let mut client = WampClient::open(world.ws_addr(), Serializer::Json).await;
        let mut hello = details.clone();
        hello["roles"] = json!({ "subscriber": {} });
        client.send(json!([code::HELLO, REALM, hello])).await;
        let abort = client.expect(code::ABORT).await;
        assert_eq!(abort.text(2), reason, "{details}");
        assert_eq!(client.closing().await.code, Some(1008), "{details}");
    }
}

async fn a_challenge_is_answered_once(behind: Behind) {
    let world = behind.realm(users()).await;
    let mut client = WampClient::open(world.ws_addr(), Serializer::Json).await;
    let login = Login::Wampcra { authid: "bob", secret: "a shared secret ü" };
    client.send(json!([code::HELLO, REALM, login.hello_details()])).await;
    let first = client.expect(code::CHALLENGE).await;
    client.send(json!([code::HELLO, REALM, login.hello_details()])).await;
    let abort = client.expect(code::ABORT).await;
    assert_eq!(abort.text(2), "wamp.error.protocol_violation");
    client.closing().await;

    // The answer to one is none to another.
    let mut other = WampClient::open(world.ws_addr(), Serializer::Json).await;
    other.send(json!([code::HELLO, REALM, login.hello_details()])).await;
    let second = other.expect(code::CHALLENGE).await;
    assert_ne!(first.at(2)["challenge"], second.at(2)["challenge"]);
    let stale = login.signature("wampcra", first.at(2));
    other.send(json!([code::AUTHENTICATE, stale, {}])).await;
    let abort = other.expect(code::ABORT).await;
    assert_eq!(abort.text(2), "wamp.error.authentication_denied");
}

async fn a_ticket_can_be_the_brokers_to_judge(behind: Behind) {
    let changes = json!({ "anonymous": null, "broker_tickets": "anonymous" });
    let world = behind.realm(changes).await;
    let right = Login::Ticket { authid: &world.user, ticket: &world.passcode };
    let welcome = knock(&world, Serializer::MsgPack, right).await.expecting(code::WELCOME);
    let details = welcome.at(2);
    assert_eq!(
        (&details["authid"], &details["authprovider"]),
        (&json!(world.user), &json!("broker"))
    );
    for (authid, ticket) in [(world.user.as_str(), "wrong"), ("nobody-here", "guest")] {
        let login = Login::Ticket { authid, ticket };
        let abort = knock(&world, Serializer::MsgPack, login).await.expecting(code::ABORT);
        assert_eq!(abort.text(2), "wamp.error.authentication_denied", "{authid}");
    }
}

scenarios!(
    logins,
    [
        users_prove_who_they_are,
        a_wrong_proof_and_an_unknown_user_are_refused_alike,
        who_does_not_say_who_it_is_does_not_get_in,
        a_challenge_is_answered_once,
        a_ticket_can_be_the_brokers_to_judge,
    ]
);
