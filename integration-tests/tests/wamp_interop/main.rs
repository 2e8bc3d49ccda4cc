//! Clients of WAMP that others wrote, against the gateway and each other: autobahn for Python, autobahn
//! and wampy in Node, autobahn in Chromium, each in JSON, MessagePack and CBOR; and stomp.py and pika
//! beside them. `cargo xtask interop` installs and runs them.
//!
//! Whether something does *not* arrive is told by what arrives in its place: events of one publisher
//! keep their order, and so do those of two of which the second publishes when the first has its answer.

#![allow(missing_docs, clippy::unwrap_used, reason = "a panic is how a test fails")]

mod calls;
mod clients;
mod neighbours;
mod pika;
mod procedures;
mod program;

use clients::{Library, Stage, all_leave};
use integration_tests::{World, serve_rawsocket, serve_wamp};
use program::binary;
use serde_json::{Value, json};

/// Numbers of [`in_order`]: more than fit into one read of a connection.
const MANY: usize = 300;

pub(crate) async fn on_embedded() -> Stage {
    Stage::new(World::embedded_with(|config| serve_wamp(config, json!({}))).await)
}

pub(crate) async fn on_rabbitmq() -> Stage {
    Stage::new(World::rabbitmq_with(|config| serve_wamp(config, json!({}))).await)
}

/// Arguments of all kinds that every serializer has.
pub(crate) fn arguments() -> (Value, Value) {
    // 0 to 255.
    let bytes = binary(
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+P0BBQkNE\
         RUZHSElKS0xNTk9QUVJTVFVWV1hZWltcXV5fYGFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6e3x9fn+AgYKDhIWGh4iJ\
         iouMjY6PkJGSk5SVlpeYmZqbnJ2en6ChoqOkpaanqKmqq6ytrq+wsbKztLW2t7i5uru8vb6/wMHCw8TFxsfIycrLzM3O\
         z9DR0tPU1dbX2Nna29zd3t/g4eLj5OXm5+jp6uvs7e7v8PHy8/T19vf4+fr7/P3+/w==",
    );
    let args = json!([
        0, 1, -7, 65536, 2.5, true, false, null, "", "grüße, 世界 🦀\n\t\"\\",
        ["nested", [{ "deep": [[]] }], {}], bytes,
    ]);
    let kwargs = json!({ "größe": { "nested": [1, { "x": null }] }, "data": [bytes], "empty": {} });
    (args, kwargs)
}

/// Each client publishes, and each gets it.
async fn each_understands_each(stage: Stage) {
    let (publishers, subscribers) = (stage.clients("p").await, stage.clients("s").await);
    for subscriber in &subscribers {
        subscriber.subscribe("interop.all", "exact").await;
    }
    let (args, kwargs) = arguments();
    for publisher in &publishers {
        let publication = publisher.publish("interop.all", args.clone(), kwargs.clone()).await;
        assert!(publication.is_u64(), "{}: {publication}", publisher.name);
        for subscriber in &subscribers {
            subscriber.expect(&args, &kwargs).await;
        }
    }
    // Without arguments.
    for publisher in &publishers {
        publisher.publish("interop.all", json!([]), json!({})).await;
        for subscriber in &subscribers {
            subscriber.expect(&json!([]), &json!({})).await;
        }
    }
    all_leave(publishers.into_iter().chain(subscribers)).await;
    stage.end().await;
}

/// A publisher gets nothing of its own unless it asks for it.
async fn publishers_are_excluded(stage: Stage) {
    let (clients, others) = (stage.clients("c").await, stage.clients("o").await);
    for (number, (client, other)) in clients.iter().zip(&others).enumerate() {
        let (topic, none) = (format!("interop.own.a{number}"), json!({}));
        client.subscribe(&topic, "exact").await;
        client.publish(&topic, json!(["own"]), none.clone()).await;
        other.publish(&topic, json!(["another's"]), none.clone()).await;
        client.expect(&json!(["another's"]), &none).await;
        // wampy cannot ask.
        if client.library != Library::Wampy {
            let included = json!({ "exclude_me": false });
            client.publish_with(&topic, json!(["wanted"]), none.clone(), included).await;
            client.expect(&json!(["wanted"]), &none).await;
        }
    }
    all_leave(clients.into_iter().chain(others)).await;
    stage.end().await;
}

/// Prefixes match characters, and wildcards components; what matches twice comes twice.
async fn patterns_match(stage: Stage) {
    let (publishers, subscribers) = (stage.clients("p").await, stage.clients("s").await);
    for (number, (publisher, subscriber)) in publishers.iter().zip(&subscribers).enumerate() {
        let root = format!("interop.pattern{number}");
        let say = async |rest: &str| {
            let topic = format!("{root}{rest}");
            publisher.publish(&topic, json!([rest]), json!({})).await;
        };
        let hear = async |rest: &str| {
            let event = subscriber.expect(&json!([rest]), &json!({})).await;
            assert_eq!(event["topic"], format!("{root}{rest}"), "{}", subscriber.name);
        };
        subscriber.subscribe(&format!("{root}.x.emer"), "prefix").await;
        subscriber.subscribe(&format!("{root}..low"), "wildcard").await;
        say(".x.eme").await;
        say(".x.x.low").await;
        say(".low").await;
        say(".x.emergency").await;
        hear(".x.emergency").await;
        say(".x.emer.low").await;
        hear(".x.emer.low").await;
        say(".ü.low").await;
        hear(".ü.low").await;
        subscriber.subscribe(&format!("{root}.x"), "prefix").await;
        say(".x.low").await;
        hear(".x.low").await;
        hear(".x.low").await;
    }
    all_leave(publishers.into_iter().chain(subscribers)).await;
    stage.end().await;
}

/// Nothing comes of a subscription that was ended.
async fn subscriptions_end(stage: Stage) {
    let (publishers, subscribers) = (stage.clients("p").await, stage.clients("s").await);
    for (number, (publisher, subscriber)) in publishers.iter().zip(&subscribers).enumerate() {
        let topic = |name: &str| format!("interop.ended{number}.{name}");
        let say =
            async |name: &str| publisher.publish(&topic(name), json!([name]), json!({})).await;
        subscriber.subscribe(&topic("kept"), "exact").await;
        for policy in subscriber.can_unsubscribe_from() {
            subscriber.subscribe(&topic("ended"), policy).await;
            say("ended").await;
            subscriber.expect(&json!(["ended"]), &json!({})).await;
            subscriber.unsubscribe(&topic("ended"), policy).await;
            say("ended").await;
            say("kept").await;
            subscriber.expect(&json!(["kept"]), &json!({})).await;
        }
    }
    all_leave(publishers.into_iter().chain(subscribers)).await;
    stage.end().await;
}

/// Events of one publisher come in its order, whatever their topics.
async fn in_order(stage: Stage) {
    let (publishers, mut subscribers) = (stage.clients("p").await, stage.clients("s").await);
    // To a client of another kind each.
    subscribers.rotate_right(1);
    for (number, (publisher, subscriber)) in publishers.iter().zip(&subscribers).enumerate() {
        let topics = ["a", "b", "c"].map(|name| format!("interop.order{number}.{name}"));
        for topic in &topics {
            subscriber.subscribe(topic, "exact").await;
        }
        publisher.burst(&topics, MANY).await;
        for number in 0..MANY {
            subscriber.expect(&json!([number]), &json!({})).await;
        }
    }
    all_leave(publishers.into_iter().chain(subscribers)).await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_understands_each_on_the_embedded_broker() {
    each_understands_each(on_embedded().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_understands_each_on_rabbitmq() {
    each_understands_each(on_rabbitmq().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn publishers_are_excluded_on_the_embedded_broker() {
    publishers_are_excluded(on_embedded().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn publishers_are_excluded_on_rabbitmq() {
    publishers_are_excluded(on_rabbitmq().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn patterns_match_on_the_embedded_broker() {
    patterns_match(on_embedded().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn patterns_match_on_rabbitmq() {
    patterns_match(on_rabbitmq().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_end_on_the_embedded_broker() {
    subscriptions_end(on_embedded().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_end_on_rabbitmq() {
    subscriptions_end(on_rabbitmq().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_in_order_on_the_embedded_broker() {
    in_order(on_embedded().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_in_order_on_rabbitmq() {
    in_order(on_rabbitmq().await).await;
}

/// Those with a ticket, with a secret, and with a password of which the secret is made.
#[tokio::test(flavor = "multi_thread")]
async fn logins_are_proved() {
    let users = json!({
        "ann": { "role": "anonymous", "ticket": "an open ticket ü" },
        "bob": { "role": "anonymous", "secret": "a shared secret ü" },
        "cyd": {
            "role": "anonymous", "secret": "a password ü", "salt": "a salt", "iterations": 700,
            "keylen": 32,
        },
    });
    let change = |config: &mut _| serve_wamp(config, json!({ "anonymous": null, "user": users }));
    let stage = Stage::new(World::embedded_with(change).await);
    let url = stage.url();
    for (authid, method, secret) in [
        ("ann", "ticket", "an open ticket ü"),
        ("bob", "wampcra", "a shared secret ü"),
        ("cyd", "wampcra", "a password ü"),
    ] {
        let login = |secret: &str| json!({ "method": method, "authid": authid, "secret": secret });
        for client in stage.outsiders(authid) {
            let session = client.join(&url, login(secret)).await;
            session.unwrap_or_else(|error| panic!("{}: {error}", client.name));
            client.leave().await;
        }
        for client in stage.outsiders("refused") {
            let why = client.join(&url, login("wrong")).await.unwrap_err();
            assert!(why.contains("wamp.error.authentication_denied"), "{}: {why}", client.name);
        }
    }
    stage.end().await;
}

/// Each asks who is there, and ends another one.
#[tokio::test(flavor = "multi_thread")]
async fn autobahn_for_python_uses_the_meta_api() {
    let world = World::embedded_with(|config| serve_wamp(config, json!({}))).await;
    let stage = Stage::of(&[Library::AutobahnPython], world);
    let (url, none) = (stage.url(), json!({}));
    let mut watchers = stage.outsiders("watcher");
    let mut victims = stage.outsiders("victim");
    // The serializers differ.
    victims.rotate_right(1);
    for (watcher, victim) in watchers.drain(..).zip(victims) {
        let own = watcher.join(&url, json!(null)).await.unwrap();
        watcher.subscribe("wamp.session.on_join", "exact").await;
        watcher.subscribe("wamp.session.on_leave", "exact").await;
        let session = victim.join(&url, json!(null)).await.unwrap();
        let details = watcher.next().await["args"][0].clone();
        assert_eq!(details["session"], session, "{}", watcher.name);

        let ask = async |procedure: &str, args: Value| {
            let result = watcher.call(procedure, &args, &none).await;
            assert_eq!(result["error"], Value::Null, "{procedure}: {result}");
            result["args"][0].clone()
        };
        assert_eq!(ask("wamp.session.count", json!([])).await, 2);
        let mut listed = ask("wamp.session.list", json!([])).await;
        let listed = listed.as_array_mut().unwrap();
        assert!(listed.len() == 2 && listed.contains(&own) && listed.contains(&session));
        assert_eq!(ask("wamp.session.get", json!([session])).await, details);
        let lookup = json!(["wamp.session.on_join"]);
        let subscription = ask("wamp.subscription.lookup", lookup).await;
        let subscribers = ask("wamp.subscription.list_subscribers", json!([subscription])).await;
        assert_eq!(subscribers, json!([own]));

        let why = json!({ "reason": "com.example.over", "message": "it is late" });
        let killed = watcher.call("wamp.session.kill", &json!([session]), &why).await;
        assert_eq!((&killed["error"], &killed["args"]), (&Value::Null, &json!([])));
        assert_eq!(victim.ended().await, "com.example.over");
        assert_eq!(watcher.next().await["args"][0], session);
        let again = watcher.call("wamp.session.kill", &json!([session]), &none).await;
        assert_eq!(again["error"], "wamp.error.no_such_session");
        watcher.leave().await;
    }
    stage.end().await;
}

/// Beside clients on WebSocket; one publication is larger than what is read at a time.
#[tokio::test(flavor = "multi_thread")]
async fn autobahn_for_python_speaks_rawsocket() {
    let change = |config: &mut _| {
        serve_wamp(config, json!({}));
        serve_rawsocket(config);
    };
    let world = World::embedded_with(change).await;
    let url = format!("rs://{}", world.gateway.addr("raw"));
    let stage = Stage::of(&[Library::AutobahnPython], world);
    let (on_raw, on_web) = (stage.clients_at(&url, "raw").await, stage.clients("web").await);
    let (args, kwargs) = arguments();
    let large = json!(["x".repeat(300_000)]);
    for (number, (raw, web)) in on_raw.iter().zip(&on_web).enumerate() {
        for (to, from, end) in [(raw, web, "raw"), (web, raw, "web")] {
            let name = format!("interop.{end}{number}");
            to.subscribe(&name, "exact").await;
            to.register(&name).await;
            from.publish(&name, args.clone(), kwargs.clone()).await;
            to.expect(&args, &kwargs).await;
            from.publish(&name, large.clone(), json!({})).await;
            to.expect(&large, &json!({})).await;
            let result = from.call(&name, &args, &kwargs).await;
            assert_eq!((&result["args"], &result["kwargs"]), (&args, &kwargs), "{}", from.name);
        }
    }
    all_leave(on_raw.into_iter().chain(on_web)).await;
    stage.end().await;
}
