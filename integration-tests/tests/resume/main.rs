//! Sessions that a client goes on with after it has lost its connection, end to end, in front of either
//! broker; and 100 of them whose gateway is killed.

#![allow(missing_docs, clippy::unwrap_used, reason = "a panic is how a test fails")]
#![allow(clippy::print_stdout, reason = "the figures of a run are worth reading")]

mod killed;

use std::net::SocketAddr;
use std::time::Duration;

use gateway::config::units::Millis;
use gateway::config::{Broker, Config, User};
use integration_tests::{RawWs, Request, StompClient, StompFrame, World, frame_bytes};
use rabbitmq_node::eventually;

type Change = fn(&mut Config);

/// Longer than any test takes.
const RESUME: (&str, &str) = ("resume", "600000");

/// A client whose session begins, or goes on.
async fn connect_to(
    world: &World,
    address: SocketAddr,
    token: Option<&str>,
) -> (StompClient, StompFrame) {
    let mut headers = vec![("accept-version", "1.2"), RESUME];
    headers.extend(token.map(|token| ("resume-token", token)));
    world.log_in_at(address, &Request::upgrade("/ws"), &headers).await
}

/// A client whose session begins, and its token.
async fn begin(world: &World) -> (StompClient, String) {
    let (client, connected) = connect_to(world, world.ws_addr(), None).await;
    assert_eq!(connected.expect_header("resumed"), "false");
    (client, connected.expect_header("resume-token").to_owned())
}

/// A client that goes on.
async fn resume(world: &World, token: &str) -> StompClient {
    let (client, connected) = connect_to(world, world.ws_addr(), Some(token)).await;
    assert_eq!(connected.expect_header("resumed"), "true");
    assert_eq!(connected.expect_header("resume-token"), token);
    client
}

async fn publish(client: &mut StompClient, destination: &str, bodies: &[&str]) {
    for body in bodies {
        client.send_confirmed("SEND", &[("destination", destination)], body).await;
    }
}

async fn acknowledge(client: &mut StompClient, message: &StompFrame) {
    client.send_confirmed("ACK", &[("id", message.expect_header("ack"))], "").await;
}

/// Whether a message was delivered before.
#[derive(Clone, Copy)]
enum Came {
    First,
    Again,
    /// It was sent right behind a cut, of which the gateway may not have known.
    Either,
}

use Came::{Again, Either, First};

/// The next messages: their bodies, and whether they were delivered before.
async fn expect(client: &mut StompClient, expected: &[(&str, Came)]) -> Vec<StompFrame> {
    let mut messages = Vec::new();
    for (body, came) in expected {
        let message = client.expect_message(body).await;
        let redelivered = message.expect_header("redelivered");
        match came {
            First => assert_eq!(redelivered, "false", "{message:?}"),
            Again => assert_eq!(redelivered, "true", "{message:?}"),
            Either => {}
        }
        messages.push(message);
    }
    messages
}

const AS_IT_IS: Change = |_| {};

/// Clients may send to users, and there is another.
const WITH_USERS: Change = |config| {
    for route in config.route.values_mut() {
        route.stomp.send_to_users.extend(route.default_login.clone());
    }
    if let Some(Broker::Embedded(broker)) = config.broker.get_mut("main") {
        let passcode = gateway::config::Secret::new("p");
        broker.user.insert("other".to_owned(), User { passcode, vhosts: None });
    }
};

async fn who_comes_back_goes_on_where_it_was(world: World) {
    for destination in ["/topic/t", "/user/queue/u", "/exchange/amq.direct/d"] {
        let mut publisher = world.client().await;
        let target = match destination {
            "/user/queue/u" => &format!("/user/{}/queue/u", world.user),
            other => other,
        };
        let (mut client, token) = begin(&world).await;
        client.subscribe("own", destination, "client-individual").await;
        publish(&mut publisher, target, &["1", "2", "3"]).await;
        let messages = expect(&mut client, &[("1", First), ("2", First), ("3", First)]).await;
        acknowledge(&mut client, &messages[1]).await;
        client.cut();
        publish(&mut publisher, target, &["4", "5"]).await;
        let mut client = resume(&world, &token).await;
        client.subscribe("own", destination, "client-individual").await;
        let again = [("1", Again), ("3", Again), ("4", Either), ("5", Either)];
        for message in expect(&mut client, &again).await {
            assert_eq!(message.header("x-gap"), None);
            acknowledge(&mut client, &message).await;
        }
        client.cut();
        let mut client = resume(&world, &token).await;
        client.subscribe("own", destination, "client-individual").await;
        publish(&mut publisher, target, &["6"]).await;
        expect(&mut client, &[("6", First)]).await;
    }
}

async fn what_was_sent_and_not_received_comes_again(world: World) {
    const BODIES: [&str; 5] = ["1", "2", "3", "4", "5"];
    let (mut client, token) = begin(&world).await;
    client.subscribe("0", "/topic/t", "auto").await;
    let mut publisher = world.client().await;
    publish(&mut publisher, "/topic/t", &BODIES).await;
    // It has one, and the gateway has written more: that they were received it knows of none.
    client.expect_message("1").await;
    client.cut();
    let mut client = resume(&world, &token).await;
    client.subscribe("0", "/topic/t", "auto").await;
    publish(&mut publisher, "/topic/t", &["6"]).await;
    let messages = expect(&mut client, &BODIES.map(|body| (body, Again))).await;
    assert!(messages.iter().all(|it| it.header("x-gap").is_none()));
    // All that this one reads it confirms, soon after.
    expect(&mut client, &[("6", First)]).await;
    let settled = async || {
        client.send_confirmed("BEGIN", &[("transaction", "t")], "").await;
        client.send_confirmed("ABORT", &[("transaction", "t")], "").await;
        outstanding(&world).await.is_none_or(|count| count == 0).then_some(())
    };
    eventually("what was received to be settled", settled).await;
}

/// Messages that were delivered and not settled, where RabbitMQ tells.
async fn outstanding(world: &World) -> Option<u64> {
    let queues = world.rabbitmq.as_ref()?.queues().await;
    queues.iter().map(|queue| queue.messages).sum()
}

/// A socket that takes nothing is not given up while the test runs.
const PATIENT: Change = |config| {
    for listener in config.listener.values_mut() {
        listener.write_timeout = Millis(Duration::from_secs(3_600));
    }
};

async fn a_connection_that_is_stuck_lets_go_of_what_it_has(world: World) {
    let (mut stuck, token) = begin(&world).await;
    stuck.subscribe("0", "/topic/t", "client").await;
    let mut publisher = world.client().await;
    let large = "x".repeat(256 << 10);
    for n in 0..40 {
        let body = format!("{n} {large}");
        publish(&mut publisher, "/topic/t", &[&body]).await;
    }
    let mut client = resume(&world, &token).await;
    client.subscribe("0", "/topic/t", "client").await;
    for n in 0..40 {
        let message = client.expect("MESSAGE").await;
        assert!(message.text().starts_with(&format!("{n} ")) || message.header("x-gap").is_some());
        if message.header("x-gap").is_some() {
            // More than wait in the embedded broker: it is told, and that is all.
            break;
        }
    }
    drop((stuck, client));
}

async fn frames_behind_connect_are_carried_out(world: World) {
    const MANY: usize = 1_000;
    let login = [
        ("accept-version", "1.2"),
        ("host", &*world.vhost),
        ("login", &*world.user),
        ("passcode", &*world.passcode),
        RESUME,
    ];
    let mut frames = frame_bytes("CONNECT", &login, "");
    for _ in 0..MANY {
        frames.extend(frame_bytes("BEGIN", &[("transaction", "t")], ""));
        frames.extend(frame_bytes("ABORT", &[("transaction", "t")], ""));
    }
    frames.extend(frame_bytes("BEGIN", &[("transaction", "t"), ("receipt", "last")], ""));
    let ws = RawWs::open(world.ws_addr(), &Request::upgrade("/ws")).await;
    let mut client = StompClient::over(ws);
    client.send_unit(frames, false).await;
    client.expect("CONNECTED").await;
    assert_eq!(client.expect("RECEIPT").await.expect_header("receipt-id"), "last");
}

async fn another_time_is_another_session(world: World) {
    let (client, token) = begin(&world).await;
    client.cut();
    let headers = [("accept-version", "1.2"), ("resume", "300000"), ("resume-token", &token)];
    let (_, connected) = world.client_with(&headers).await;
    assert_eq!(connected.expect_header("resumed"), "false");
    assert_eq!(connected.expect_header("resume"), "300000");
    resume(&world, &token).await;
}

async fn one_connection_has_the_session(world: World) {
    let (mut first, token) = begin(&world).await;
    first.subscribe("0", "/topic/t", "client").await;
    let mut publisher = world.client().await;
    publish(&mut publisher, "/topic/t", &["1"]).await;
    expect(&mut first, &[("1", First)]).await;
    let mut second = resume(&world, &token).await;
    let error = first.expect("ERROR").await;
    assert_eq!(error.expect_header("message"), "Session resumed elsewhere");
    first.closing().await;
    second.subscribe("0", "/topic/t", "client").await;
    publish(&mut publisher, "/topic/t", &["2"]).await;
    expect(&mut second, &[("1", Again), ("2", First)]).await;
}

async fn what_a_client_gives_up_is_gone(world: World) {
    let (mut client, token) = begin(&world).await;
    client.subscribe("0", "/topic/t", "client").await;
    let mut publisher = world.client().await;
    publish(&mut publisher, "/topic/t", &["1"]).await;
    expect(&mut client, &[("1", First)]).await;
    // At once, under the same name.
    let again = [("id", "0"), ("destination", "/topic/t"), ("ack", "client"), ("receipt", "2")];
    let frames = [
        frame_bytes("UNSUBSCRIBE", &[("id", "0"), ("receipt", "1")], ""),
        frame_bytes("SUBSCRIBE", &again, ""),
    ];
    client.send_unit(frames.concat(), false).await;
    for receipt in ["1", "2"] {
        assert_eq!(client.expect("RECEIPT").await.expect_header("receipt-id"), receipt);
    }
    publish(&mut publisher, "/topic/t", &["2"]).await;
    let messages = expect(&mut client, &[("2", First)]).await;
    assert_eq!(messages[0].header("x-gap"), None);
    client.send_confirmed("DISCONNECT", &[], "").await;
    client.closing().await;
    let (_, connected) = connect_to(&world, world.ws_addr(), Some(&token)).await;
    assert_eq!(connected.expect_header("resumed"), "false");
    assert_ne!(connected.expect_header("resume-token"), token);
}

async fn a_token_is_good_for_nobody_else(world: World) {
    let (client, token) = begin(&world).await;
    client.cut();
    for other in [&token[1..], "", "0", &"0".repeat(60_000)] {
        let (_, connected) = connect_to(&world, world.ws_addr(), Some(other)).await;
        assert_eq!(connected.expect_header("resumed"), "false");
        let fresh = connected.expect_header("resume-token");
        assert_eq!(fresh.len(), token.len());
        assert_ne!(fresh, token);
    }
    let (user, passcode) = match &world.rabbitmq {
        Some(vhost) => {
            let other = format!("{}-other", world.user);
            vhost.set_passcode(&other, "p").await;
            vhost.permit(&other, rabbitmq_node::Permissions::ALL).await;
            (other, "p")
        }
        None => ("other".to_owned(), "p"),
    };
    let headers = [
        ("accept-version", "1.2"),
        RESUME,
        ("resume-token", &token),
        ("login", &user),
        ("passcode", passcode),
    ];
    let (_, connected) = world.client_with(&headers).await;
    assert_eq!(connected.expect_header("resumed"), "false");
    resume(&world, &token).await;
}

/// Three messages wait, at most.
const SMALL: Change = |config| match config.broker.get_mut("main") {
    Some(Broker::Embedded(broker)) => broker.resume_messages = 3,
    Some(Broker::Rabbitmq(broker)) => broker.resume_messages = 3,
    None => {}
};

async fn what_was_lost_is_said_until_it_was_heard(world: World) {
    let (mut client, token) = begin(&world).await;
    client.subscribe("0", "/topic/t", "client-individual").await;
    client.subscribe("1", "/topic/other", "client-individual").await;
    client.cut();
    let mut publisher = world.client().await;
    publish(&mut publisher, "/topic/other", &["a"]).await;
    publish(&mut publisher, "/topic/t", &["1", "2", "3", "4", "5"]).await;
    let mut first = true;
    for _ in 0..2 {
        let mut client = resume(&world, &token).await;
        client.subscribe("0", "/topic/t", "client-individual").await;
        let came = if first { Either } else { Again };
        let messages = expect(&mut client, &[("3", came), ("4", came), ("5", came)]).await;
        let told: Vec<_> = messages.iter().map(|it| it.header("x-gap")).collect();
        assert_eq!(told, [Some("true"), None, None]);
        first = false;
        client.cut();
    }
    let mut client = resume(&world, &token).await;
    client.subscribe("0", "/topic/t", "client-individual").await;
    let messages = expect(&mut client, &[("3", Again), ("4", Again), ("5", Again)]).await;
    assert_eq!(messages[0].header("x-gap"), Some("true"));
    for message in &messages {
        acknowledge(&mut client, message).await;
    }
    client.subscribe("1", "/topic/other", "client-individual").await;
    let other = expect(&mut client, &[("a", Either)]).await;
    assert_eq!(other[0].header("x-gap"), None, "it has lost nothing");
    heard(&world).await;
    client.cut();
    publish(&mut publisher, "/topic/t", &["6"]).await;
    let mut client = resume(&world, &token).await;
    client.subscribe("0", "/topic/t", "client-individual").await;
    let messages = expect(&mut client, &[("6", Either)]).await;
    assert_eq!(messages[0].header("x-gap"), None);
}

/// RabbitMQ knows that the gap was told.
async fn heard(world: &World) {
    let Some(vhost) = &world.rabbitmq else { return };
    eventually("the gap to be forgotten", async || {
        let queues = vhost.queues_at_once().await;
        queues.iter().all(|queue| !queue.name.ends_with("-told")).then_some(())
    })
    .await;
}

macro_rules! scenarios {
    ($broker:ident, $world:path, [$($scenario:ident: $change:expr),* $(,)?]) => {
        mod $broker {
            use super::*;
            $(
                #[tokio::test]
                async fn $scenario() {
                    let change: Change = $change;
                    super::$scenario($world(change).await).await;
                }
            )*
        }
    };
    ($broker:ident, $world:path) => {
        scenarios!($broker, $world, [
            who_comes_back_goes_on_where_it_was: WITH_USERS,
            what_was_sent_and_not_received_comes_again: AS_IT_IS,
            one_connection_has_the_session: AS_IT_IS,
            a_connection_that_is_stuck_lets_go_of_what_it_has: PATIENT,
            frames_behind_connect_are_carried_out: AS_IT_IS,
            another_time_is_another_session: AS_IT_IS,
            what_a_client_gives_up_is_gone: AS_IT_IS,
            a_token_is_good_for_nobody_else: WITH_USERS,
            what_was_lost_is_said_until_it_was_heard: SMALL,
        ]);
    };
}

scenarios!(embedded, World::embedded_with);
scenarios!(rabbitmq, World::rabbitmq_with);
