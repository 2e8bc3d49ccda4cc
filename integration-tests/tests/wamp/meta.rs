//! The meta API over real sockets: what is asked of the gateway, what it tells, and whom it ends.

use std::time::Duration;

use gateway::config::units::Millis;
use integration_tests::{Serializer, WampClient, World, code, serve_wamp};
use serde_json::{Value, json};

use crate::{Behind, join, join_by, scenarios};

/// The one result of a call.
async fn ask(client: &mut WampClient, procedure: &str, args: Value) -> Value {
    let result = client.call(procedure, args, json!({})).await.unwrap();
    assert_eq!(result.kwargs, json!({}), "{procedure}");
    match result.args.as_array().unwrap().as_slice() {
        [result] => result.clone(),
        other => panic!("{procedure} brings one result, not {other:?}"),
    }
}

async fn refused(client: &mut WampClient, procedure: &str, args: Value) -> String {
    let error = client.call(procedure, args, json!({})).await.unwrap_err();
    assert!(error.args[0].is_string(), "a sentence: {error:?}");
    error.uri
}

/// The arguments of the next event, which must be of this topic.
async fn told(client: &mut WampClient, topic: &str) -> Value {
    let event = client.event().await;
    assert_eq!(event.details, json!({ "topic": topic }), "{event:?}");
    event.args
}

/// Takes everything back that a test compares piece by piece: when something was created.
fn without_time(mut details: Value) -> Value {
    let created = details["created"].take();
    let created = created.as_str().unwrap();
    assert!(created.starts_with("20") && created.ends_with('Z'), "{created}");
    details.as_object_mut().unwrap().remove("created");
    details
}

/// Says goodbye because it was told to.
async fn farewell(client: &mut WampClient) -> (Value, String) {
    let goodbye = client.expect(code::GOODBYE).await;
    client.send(json!([code::GOODBYE, {}, "wamp.close.goodbye_and_out"])).await;
    assert_eq!(client.closing().await.code, Some(1008));
    (goodbye.at(1).clone(), goodbye.text(2).to_owned())
}

async fn sessions_are_counted_listed_and_described(behind: Behind) {
    let world = behind.world().await;
    let (mut one, mut two) = (join(&world).await, join(&world).await);
    for serializer in Serializer::ALL {
        let mut client = join_by(&world, serializer).await;
        assert_eq!(ask(&mut client, "wamp.session.count", json!([])).await, 3);
        let none = json!([["nobody"]]);
        assert_eq!(ask(&mut client, "wamp.session.count", none.clone()).await, 0);
        assert_eq!(ask(&mut client, "wamp.session.list", none).await, json!([]));
        let mut expected = [one.session(), two.session(), client.session()];
        expected.sort_unstable();
        let listed = ask(&mut client, "wamp.session.list", json!([["anonymous"]])).await;
        assert_eq!(listed, json!(expected), "without the gateway's own");
        let (own, session) = (client.session(), one.session());
        for session in [session, own] {
            let details = ask(&mut client, "wamp.session.get", json!([session])).await;
            let authid = details["authid"].as_str().unwrap().to_owned();
            let expected = json!({
                "session": session, "authid": authid, "authrole": "anonymous",
                "authmethod": "anonymous", "authprovider": "static",
            });
            assert_eq!(details, expected);
        }
        assert_eq!(
            refused(&mut client, "wamp.session.get", json!([1])).await,
            "wamp.error.no_such_session"
        );
        assert_eq!(
            refused(&mut client, "wamp.session.get", json!([])).await,
            "wamp.error.invalid_argument"
        );
        assert_eq!(
            refused(&mut client, "wamp.session.x", json!([])).await,
            "wamp.error.no_such_procedure"
        );
        client.leave().await;
    }
    one.leave().await;
    // A connection that breaks is a session that has left, as soon as that is seen.
    two.subscribe("wamp.session.on_leave").await;
    let lost = join(&world).await;
    let session = lost.session();
    lost.cut();
    assert_eq!(two.event().await.args[0], session);
    assert_eq!(ask(&mut two, "wamp.session.count", json!([])).await, 1);
}

async fn who_comes_and_goes_and_what_it_has_is_told_in_order(behind: Behind) {
    let world = behind.world().await;
    for serializer in Serializer::ALL {
        let mut watcher = join_by(&world, serializer).await;
        watcher.subscribe_match("wamp.", "prefix").await;
        let mut client = join(&world).await;
        let session = client.session();
        let details = ask(&mut watcher, "wamp.session.get", json!([session])).await;
        let authid = details["authid"].clone();
        assert_eq!(told(&mut watcher, "wamp.session.on_join").await, json!([details]));

        let registration = client.register("com.example.add", json!({})).await.unwrap();
        let created = told(&mut watcher, "wamp.registration.on_create").await;
        let expected = json!({
            "id": registration, "uri": "com.example.add", "match": "exact", "invoke": "single",
        });
        assert_eq!((&created[0], without_time(created[1].clone())), (&json!(session), expected));
        let of_registration = json!([session, registration]);
        assert_eq!(told(&mut watcher, "wamp.registration.on_register").await, of_registration);

        let subscription = client.subscribe_match("com.example.", "prefix").await;
        let created = told(&mut watcher, "wamp.subscription.on_create").await;
        let expected = json!({ "id": subscription, "uri": "com.example.", "match": "prefix" });
        assert_eq!((&created[0], without_time(created[1].clone())), (&json!(session), expected));
        let of_subscription = json!([session, subscription]);
        assert_eq!(told(&mut watcher, "wamp.subscription.on_subscribe").await, of_subscription);

        client.leave().await;
        assert_eq!(told(&mut watcher, "wamp.registration.on_unregister").await, of_registration);
        assert_eq!(told(&mut watcher, "wamp.registration.on_delete").await, of_registration);
        assert_eq!(told(&mut watcher, "wamp.subscription.on_unsubscribe").await, of_subscription);
        assert_eq!(told(&mut watcher, "wamp.subscription.on_delete").await, of_subscription);
        let left = json!([session, authid, "anonymous"]);
        assert_eq!(told(&mut watcher, "wamp.session.on_leave").await, left);
        watcher.expect_nothing().await;
        watcher.leave().await;
    }
}

async fn registrations_and_subscriptions_are_found(behind: Behind) {
    let world = behind.world().await;
    let (mut ann, mut bob) = (join(&world).await, join_by(&world, Serializer::MsgPack).await);
    let shared = json!({ "invoke": "roundrobin" });
    let procedure = ann.register("com.example.p", shared.clone()).await.unwrap();
    bob.register("com.example.p", shared).await.unwrap();
    let procedures = ann.register("com.ex", json!({ "match": "prefix" })).await.unwrap();
    let topic = ann.subscribe("com.example.t").await;
    bob.subscribe("com.example.t").await;
    let topics = ann.subscribe_match("com..t", "wildcard").await;
    let (a, b) = (ann.session(), bob.session());
    let mut matching = [topic, topics];
    matching.sort_unstable();
    let mut members = [a, b];
    members.sort_unstable();

    for client in [&mut ann, &mut bob] {
        let registrations = json!({ "exact": [procedure], "prefix": [procedures], "wildcard": [] });
        let subscriptions = json!({ "exact": [topic], "prefix": [], "wildcard": [topics] });
        for (name, args, result) in [
            ("registration.list", json!([]), registrations),
            ("registration.lookup", json!(["com.example.p"]), json!(procedure)),
            ("registration.lookup", json!(["com.ex", { "match": "prefix" }]), json!(procedures)),
            ("registration.lookup", json!(["com.ex"]), json!(null)),
            ("registration.match", json!(["com.example.q"]), json!(procedures)),
            ("registration.match", json!(["org.example.q"]), json!(null)),
            ("registration.list_callees", json!([procedure]), json!([a, b])),
            ("registration.count_callees", json!([procedure]), json!(2)),
            ("subscription.list", json!([]), subscriptions),
            ("subscription.lookup", json!(["com.example.t"]), json!(topic)),
            ("subscription.lookup", json!(["com..t", { "match": "wildcard" }]), json!(topics)),
            ("subscription.match", json!(["com.example.t"]), json!(matching)),
            ("subscription.match", json!(["com.example.u"]), json!(null)),
            ("subscription.list_subscribers", json!([topic]), json!(members)),
            ("subscription.count_subscribers", json!([topics]), json!(1)),
        ] {
            let procedure = format!("wamp.{name}");
            assert_eq!(ask(client, &procedure, args.clone()).await, result, "{name} {args}");
        }
        let got = ask(client, "wamp.registration.get", json!([procedure])).await;
        let expected = json!({
            "id": procedure, "uri": "com.example.p", "match": "exact", "invoke": "roundrobin",
        });
        assert_eq!(without_time(got), expected);
        let got = ask(client, "wamp.subscription.get", json!([topics])).await;
        let expected = json!({ "id": topics, "uri": "com..t", "match": "wildcard" });
        assert_eq!(without_time(got), expected);
        for (procedure, error) in [
            ("wamp.registration.get", "wamp.error.no_such_registration"),
            ("wamp.subscription.get", "wamp.error.no_such_subscription"),
        ] {
            assert_eq!(refused(client, procedure, json!([1])).await, error);
        }
    }
}

async fn a_session_is_killed_by_another(behind: Behind) {
    let world = behind.world().await;
    let mut killer = join(&world).await;
    for serializer in Serializer::ALL {
        let mut victim = join_by(&world, serializer).await;
        victim.register("com.example.mortal", json!({})).await.unwrap();
        let session = victim.session();
        let killed = killer.call("wamp.session.kill", json!([session]), json!({})).await.unwrap();
        assert_eq!(killed.args, json!([]));
        assert_eq!(ask(&mut killer, "wamp.session.count", json!([])).await, 1);
        assert_eq!(farewell(&mut victim).await, (json!({}), "wamp.close.killed".to_owned()));
        let again = refused(&mut killer, "wamp.session.kill", json!([session])).await;
        assert_eq!(again, "wamp.error.no_such_session");
    }
    let own = json!([killer.session()]);
    assert_eq!(refused(&mut killer, "wamp.session.kill", own).await, "wamp.error.no_such_session");
    let why = json!({ "reason": "com.example.over", "message": "grüße" });
    let mut victim = join(&world).await;
    let args = json!([victim.session()]);
    killer.call("wamp.session.kill", args, why).await.unwrap();
    let expected = (json!({ "message": "grüße" }), "com.example.over".to_owned());
    assert_eq!(farewell(&mut victim).await, expected);
    let why = json!({ "reason": "no uri" });
    let error = killer.call("wamp.session.kill_all", json!([]), why).await.unwrap_err();
    assert_eq!(error.uri, "wamp.error.invalid_uri");
    // What the killed ones had is free.
    killer.register("com.example.mortal", json!({})).await.unwrap();
}

async fn many_are_killed_but_never_who_kills(behind: Behind) {
    let world = behind.world().await;
    let mut killer = join(&world).await;
    let mut victims = vec![join(&world).await, join(&world).await, join(&world).await];
    let session = victims[0].session();
    let details = ask(&mut killer, "wamp.session.get", json!([session])).await;
    let by_user = ask(&mut killer, "wamp.session.kill_by_authid", json!([details["authid"]])).await;
    assert_eq!(by_user, json!([session]));
    let mut others = [victims[1].session(), victims[2].session()];
    others.sort_unstable();
    let by_role = ask(&mut killer, "wamp.session.kill_by_authrole", json!(["anonymous"])).await;
    assert_eq!(by_role, json!(others));
    victims.push(join(&world).await);
    assert_eq!(ask(&mut killer, "wamp.session.kill_all", json!([])).await, 1);
    for victim in &mut victims {
        assert_eq!(farewell(victim).await.1, "wamp.close.killed");
    }
    assert_eq!(ask(&mut killer, "wamp.session.list", json!([])).await, json!([killer.session()]));
}

/// A client that does not say goodbye when it is told to.
#[tokio::test]
async fn who_is_killed_and_says_nothing_is_cut() {
    let world = World::embedded_with(|config| {
        serve_wamp(config, json!({}));
        let route = config.route.get_mut("stomp").unwrap();
        route.limits.leave_timeout = Millis(Duration::from_millis(100));
    });
    let world = world.await;
    let (mut killer, mut victim) = (join(&world).await, join(&world).await);
    killer.subscribe("wamp.session.on_leave").await;
    let session = victim.session();
    killer.call("wamp.session.kill", json!([session]), json!({})).await.unwrap();
    assert_eq!(killer.event().await.args[0], session, "it has left before it says so");
    victim.expect(code::GOODBYE).await;
    assert_eq!(victim.closing().await.code, Some(1008));
}

/// What happens is told by the gateway alone: it does not come from the broker, and does not go there.
async fn nothing_of_it_is_at_the_broker(behind: Behind) {
    let world = behind.world().await;
    let mut watcher = join(&world).await;
    watcher.subscribe_match("wamp.", "prefix").await;
    watcher.subscribe_match("..on_join", "wildcard").await;
    let mut reader = world.client().await;
    reader.subscribe("0", "/topic/wamp.#", "auto").await;
    let mut client = join(&world).await;
    client.register("com.example.x", json!({})).await.unwrap();
    // Also of the second subscription itself, which is about other topics, too.
    for topic in ["subscription.on_create", "subscription.on_subscribe"] {
        told(&mut watcher, &format!("wamp.{topic}")).await;
    }
    for topic in ["session.on_join", "session.on_join"] {
        told(&mut watcher, &format!("wamp.{topic}")).await;
    }
    for topic in ["registration.on_create", "registration.on_register"] {
        told(&mut watcher, &format!("wamp.{topic}")).await;
    }
    let forged = [("destination", "/topic/wamp.session.on_join"), ("content-type", "text/plain")];
    reader.send_confirmed("SEND", &forged, "forged").await;
    reader.expect_message("forged").await;
    watcher.expect_nothing().await;
    client.leave().await;
}

scenarios!(
    meta,
    embedded,
    Embedded,
    [
        sessions_are_counted_listed_and_described,
        who_comes_and_goes_and_what_it_has_is_told_in_order,
        registrations_and_subscriptions_are_found,
        a_session_is_killed_by_another,
        many_are_killed_but_never_who_kills,
        nothing_of_it_is_at_the_broker,
    ]
);

/// Each procedure is called by the rules of a role, as any other.
#[tokio::test]
async fn who_may_not_is_refused() {
    let rules = json!({
        "counts": { "uri": "wamp.session.count", "allow": ["call"] },
        "hears": { "uri": "wamp.session.on_join", "allow": ["subscribe"] },
        "own": { "uri": "com.example.", "match": "prefix", "allow": ["call", "subscribe"] },
    });
    let role = json!({ "role": { "anonymous": { "rule": rules } } });
    let world: World = Behind::Embedded.realm(role).await;
    let mut client = join(&world).await;
    assert_eq!(ask(&mut client, "wamp.session.count", json!([])).await, 1);
    for procedure in ["wamp.session.list", "wamp.session.kill_all", "wamp.registration.list"] {
        let error = refused(&mut client, procedure, json!([])).await;
        assert_eq!(error, "wamp.error.not_authorized", "{procedure}");
    }
    client.subscribe("wamp.session.on_join").await;
    let refused = client.subscribe_with("wamp.session.on_leave", json!({})).await;
    assert_eq!(refused.unwrap_err().uri, "wamp.error.not_authorized");
}

/// Without a file of one's own, who comes from the same host may do all of it.
#[tokio::test]
async fn nobody_from_the_same_host_may_do_it_without_any_configuration() {
    let world = World::embedded().await;
    let (mut client, mut other) = (join(&world).await, join(&world).await);
    assert_eq!(ask(&mut client, "wamp.session.kill_all", json!([])).await, 1);
    assert_eq!(farewell(&mut other).await.1, "wamp.close.killed");
}
