//! CHALLENGE and AUTHENTICATE: which method is used, who gets in by it as whom, and why others do not.

use std::sync::Arc;

use protocols::auth::{Credentials, DenialKind, Secret};
use protocols::wamp::Wamp;
use protocols::wamp::auth::cra::{Cra, Salting};
use protocols::wamp::message::{Challenge, HelloDetails, WelcomeDetails};
use protocols::wamp::realm::{Anonymous, Realm};
use protocols::wamp::serializer::Serializer;

use crate::client::{Client, Pair, client, denial, each, offer, policy, salting};

/// Who WELCOME says that the client is: authid, authrole, authmethod, authprovider.
fn identity(details: &WelcomeDetails) -> [&str; 4] {
    [&details.authid, &details.authrole, &details.authmethod, &details.authprovider]
        .map(|it| it.as_deref().unwrap())
}

/// The method of the challenge that an offer leads to.
fn method(realm: &str, authid: &str, methods: &[&str]) -> String {
    let mut client = client();
    client.hello_as(realm, authid, methods);
    client.challenge().auth_method.to_string()
}

fn refusal(realm: &str, details: HelloDetails, reason: &str) -> String {
    let mut client = client();
    client.hello(realm, details);
    client.refused(reason)
}

/// The signature of a client that has this password.
fn sign(challenge: &Challenge, password: &str) -> String {
    let extra = &challenge.extra;
    let salting = extra.text("salt").map(|salt| Salting {
        salt,
        iterations: extra.unsigned("iterations").unwrap().try_into().unwrap(),
        keylen: extra.unsigned("keylen").unwrap().try_into().unwrap(),
    });
    let cra = Cra::of_password(&Secret::new(password), salting);
    cra.sign(&extra.text("challenge").unwrap()).expose().to_owned()
}

#[test]
fn advanced_anonymous_clients_are_not_asked_who_they_are() {
    each(|mut client| {
        client.hello_as("open", "root", &["anonymous"]);
        let welcome = client.welcomed();
        let name = "anonymous-18191a1b1c1d1e1f";
        assert_eq!(identity(&welcome.details), [name, "guest", "anonymous", "static"]);
    });
}

#[test]
fn advanced_a_client_that_offers_nothing_is_anonymous() {
    each(|mut client| {
        client.hello("open", HelloDetails::default());
        assert_eq!(identity(&client.welcomed().details)[2], "anonymous");
    });
    let mut client = client();
    client.hello_as("open", "", &[]);
    assert_eq!(identity(&client.welcomed().details)[2], "anonymous");
}

#[test]
fn advanced_authentication_is_required_where_nobody_is_let_in_as_nobody() {
    for details in [HelloDetails::default(), offer("ann", &["anonymous"])] {
        let sentence = refusal("closed", details, "wamp.error.authentication_required");
        assert!(sentence.contains("ticket, wampcra"), "{sentence}");
    }
}

#[test]
fn advanced_a_method_that_the_realm_does_not_have_is_no_way_in() {
    let reason = "wamp.error.no_matching_auth_method";
    let sentence = refusal("closed", offer("ann", &["tls", "cryptosign"]), reason);
    assert!(sentence.contains("ticket, wampcra") && sentence.contains("tls, cryptosign"));
    refusal("open", offer("ann", &["ticket"]), reason);
    refusal("empty", offer("ann", &["ticket", "wampcra", "anonymous"]), reason);
    refusal("empty", HelloDetails::default(), reason);
}

#[test]
fn advanced_a_method_that_the_user_does_not_have_is_no_way_in() {
    let reason = "wamp.error.no_matching_auth_method";
    refusal("closed", offer("ann", &["wampcra"]), reason);
    refusal("closed", offer("bob", &["ticket"]), reason);
}

#[test]
fn advanced_ticket_and_challenge_need_an_authid() {
    for methods in [&["ticket"][..], &["wampcra", "ticket", "anonymous"]] {
        for authid in [None, Some("".into())] {
            let details = HelloDetails { authid, ..offer("", methods) };
            let sentence = refusal("closed", details, "wamp.error.authentication_required");
            assert!(sentence.contains("HELLO.Details.authid"), "{sentence}");
        }
    }
}

#[test]
fn advanced_of_the_methods_offered_the_first_that_fits_is_used() {
    assert_eq!(method("closed", "dan", &["ticket", "wampcra"]), "ticket");
    assert_eq!(method("closed", "dan", &["wampcra", "ticket"]), "wampcra");
    assert_eq!(method("closed", "ann", &["wampcra", "ticket"]), "ticket");
    assert_eq!(method("closed", "bob", &["tls", "anonymous", "ticket", "wampcra"]), "wampcra");
    let mut client = client();
    client.hello_as("open", "ann", &["ticket", "anonymous"]);
    assert_eq!(identity(&client.welcomed().details)[2], "anonymous");
}

#[test]
fn advanced_ticket_the_right_one_leads_in() {
    each(|mut client| {
        client.hello_as("closed", "ann", &["ticket"]);
        let challenge = client.challenge();
        assert_eq!(challenge.auth_method, "ticket");
        assert_eq!(challenge.extra.text("challenge"), None);
        assert_eq!(client.pair.auth, None);
        client.authenticate("ann's ticket");
        assert_eq!(client.pair.auth.as_ref().unwrap().credentials, None);
        let welcome = client.welcomed();
        assert_eq!(identity(&welcome.details), ["ann", "user", "ticket", "static"]);
    });
}

#[test]
fn advanced_ticket_a_wrong_one_is_denied() {
    each(|mut client| {
        client.hello_as("closed", "ann", &["ticket"]);
        client.challenge();
        client.authenticate("dan's ticket");
        let sentence = client.refused("wamp.error.authentication_denied");
        assert_eq!(sentence, "the authid or the ticket is wrong");
    });
}

#[test]
fn server_a_ticket_may_be_the_brokers_password() {
    each(|mut client| {
        client.hello_as("broker", "eve", &["wampcra", "ticket"]);
        assert_eq!(client.challenge().auth_method, "ticket");
        client.authenticate("eve's password");
        let login = client.pair.auth.clone().unwrap();
        let passcode = Secret::new("eve's password");
        assert_eq!(login.credentials, Some(Credentials { login: "eve".into(), passcode }));
        assert_eq!(login.realm, Some("broker".into()));
        let welcome = client.welcomed();
        assert_eq!(identity(&welcome.details), ["eve", "member", "ticket", "broker"]);
    });
}

#[test]
fn server_a_ticket_that_the_broker_refuses_is_denied_as_one_of_the_realms() {
    let mut client = client();
    client.hello_as("broker", "eve", &["ticket"]);
    client.challenge();
    client.authenticate("wrong");
    client.login();
    client.pair.reply(denial(DenialKind::BadCredentials));
    let sentence = client.refused("wamp.error.authentication_denied");
    assert_eq!(sentence, "the authid or the ticket is wrong");
}

#[test]
fn server_a_ticket_of_the_realms_is_not_shown_to_the_broker() {
    let mut client = client();
    client.hello_as("broker", "ann", &["ticket"]);
    client.challenge();
    client.authenticate("wrong");
    client.refused("wamp.error.authentication_denied");
}

#[test]
fn advanced_cra_the_challenge_names_all_that_it_must() {
    each(|mut client| {
        client.hello_as("closed", "bob", &["wampcra"]);
        let challenge = client.challenge();
        assert_eq!(challenge.auth_method, "wampcra");
        assert_eq!(
            (challenge.extra.text("salt"), challenge.extra.unsigned("keylen")),
            (None, None)
        );
        let text = challenge.extra.text("challenge").unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let session = 0x0001_0203_0405_0607_u64 + 1;
        let expected = serde_json::json!({
            "authid": "bob", "authrole": "user", "authmethod": "wampcra", "authprovider": "static",
            "nonce": "08090a0b0c0d0e0f1011121314151617", "timestamp": "2014-06-22T16:36:25.448Z",
            "session": session,
        });
        assert_eq!(value, expected);
        client.authenticate(&sign(&challenge, "bob's secret"));
        let welcome = client.welcomed();
        assert_eq!(welcome.session.get(), session);
        assert_eq!(identity(&welcome.details), ["bob", "user", "wampcra", "static"]);
    });
}

#[test]
fn advanced_cra_the_secret_may_be_made_of_a_salted_password() {
    each(|mut client| {
        client.hello_as("closed", "cid", &["wampcra"]);
        let challenge = client.challenge();
        let Salting { salt, iterations, keylen } = salting();
        assert_eq!(challenge.extra.text("salt"), Some(salt));
        assert_eq!(challenge.extra.unsigned("iterations"), Some(iterations.into()));
        assert_eq!(challenge.extra.unsigned("keylen"), Some(keylen.into()));
        client.authenticate(&sign(&challenge, "cid's password"));
        client.welcomed();
    });
}

#[test]
fn advanced_cra_a_wrong_signature_is_denied() {
    for signature in ["", "gir1mSx+deCDUV7wRM5SGIn/+R/ClqLZuH4m7FJeBVI=", "bob's secret"] {
        let mut client = client();
        client.hello_as("closed", "bob", &["wampcra"]);
        client.challenge();
        client.authenticate(signature);
        let sentence = client.refused("wamp.error.authentication_denied");
        assert_eq!(sentence, "the authid or the signature is wrong");
    }
}

/// What a client sees that says it is `authid`, and proves it wrongly, if it is challenged.
fn seen(authid: &str, methods: &[&str]) -> String {
    let mut client = client();
    client.hello_as("closed", authid, methods);
    if client.is_open() {
        let challenge = client.challenge();
        let keys = ["salt", "keylen", "iterations", "challenge"];
        let shape: String = keys
            .map(|key| {
                let text = challenge.extra.text(key);
                let number = challenge.extra.unsigned(key);
                format!("{key} {:?} {number:?}, ", text.map(|text| text.len()))
            })
            .concat();
        client.authenticate("wrong");
        return shape + &client.refused("wamp.error.authentication_denied");
    }
    client.refused("wamp.error.no_matching_auth_method")
}

#[test]
fn server_a_user_that_does_not_exist_looks_as_one_that_does() {
    let offers: [&[&str]; 4] =
        [&["ticket"], &["wampcra"], &["wampcra", "ticket"], &["ticket", "wampcra"]];
    let of = |authid: &str| offers.map(|methods| seen(authid, methods));
    let real = ["ann", "bob", "cid", "dan"].map(of);
    let mut found = [0; 4];
    for authid in (0..40).map(|number| format!("{:03}", number * 7)) {
        let unknown = of(&authid);
        let twin = real.iter().position(|known| *known == unknown);
        found[twin.unwrap_or_else(|| panic!("{unknown:?} is none of {real:#?}"))] += 1;
        assert_eq!(unknown, of(&authid), "the same each time");
    }
    assert!(found.iter().all(|count| *count > 0), "{found:?}");
}

#[test]
fn advanced_a_role_that_is_asked_for_is_had_or_not() {
    let asked = |client: &mut Client, role: &str| {
        let details = HelloDetails { authrole: Some(role.into()), ..offer("ann", &["ticket"]) };
        client.hello("closed", details);
        client.challenge();
        client.authenticate("ann's ticket");
    };
    let mut client = client();
    asked(&mut client, "user");
    assert_eq!(identity(&client.welcomed().details)[1], "user");
    let mut client = crate::client::client();
    asked(&mut client, "admin");
    client.login();
    client.grant();
    let sentence = client.refused("wamp.error.no_such_role");
    assert!(sentence.contains("\"admin\"") && sentence.contains("\"user\""), "{sentence}");
}

#[test]
fn advanced_a_challenge_is_answered_by_authenticate_alone_and_once() {
    each(|mut client| {
        client.hello_as("closed", "ann", &["ticket"]);
        client.challenge();
        client.goodbye("wamp.close.normal");
        let sentence = client.protocol_violation();
        assert!(sentence.contains("AUTHENTICATE or ABORT is due"), "{sentence}");
    });
    let mut client = client();
    client.hello_as("closed", "ann", &["ticket"]);
    client.challenge();
    client.authenticate("ann's ticket");
    client.authenticate("ann's ticket");
    client.protocol_violation();
    let mut client = crate::client::client().joined();
    client.authenticate("x");
    client.protocol_violation();
}

#[test]
fn choice_a_realm_takes_anonymous_clients_from_the_gateways_own_host_unless_it_says_otherwise() {
    for (from_anywhere, is_local) in [(false, true), (true, false), (true, true), (false, false)] {
        let mut policy = policy();
        let anonymous = Some(Anonymous { role: "guest".into(), from_anywhere });
        let realm = Arc::new(Realm { anonymous, ..Realm::new("open") });
        policy.wamp.realms.insert("open".into(), realm);
        let name = Some(Serializer::Json.subprotocol());
        let pair = Pair::open_as(&Wamp, name, policy, |setup| setup.is_local = is_local);
        let mut client = Client { pair, serializer: Serializer::Json };
        client.hello("open", HelloDetails::default());
        if from_anywhere || is_local {
            client.welcomed();
        } else {
            let (sentence, _) = client.aborted("wamp.error.authentication_denied");
            assert!(sentence.contains("from the gateway's own host only"), "{sentence}");
        }
    }
}
