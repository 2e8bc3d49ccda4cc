//! 100 clients whose gateway is killed, and who resume at another.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use integration_tests::{GatewayProcess, Incoming, StompFrame, World, within};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{connect_to, publish};

const SUBSCRIBERS: usize = 100;

/// Messages with a receipt before the gateway is killed, before everybody has come back, and after.
const MESSAGES: usize = 500;

const TOPIC: &str = "/topic/prices.a";

/// What one subscriber has seen.
#[derive(Default)]
struct Seen {
    bodies: BTreeSet<String>,
    /// Came again.
    again: usize,
    has_gap: bool,
    /// The newest of each publisher.
    last: [usize; 2],
}

impl Seen {
    fn note(&mut self, message: &StompFrame) {
        let is_marked = message.expect_header("redelivered") == "true";
        self.has_gap |= message.header("x-gap").is_some();
        if !self.bodies.insert(message.text().to_owned()) {
            self.again += 1;
            assert!(is_marked, "{} comes again, and does not say so", message.text());
        } else if let Some((publisher, number)) = message.text().split_once('-') {
            let last = &mut self.last[publisher.parse::<usize>().unwrap()];
            let number = number.parse().unwrap();
            assert!(*last < number || is_marked, "{number} after {last}");
            *last = number;
        }
    }
}

/// Subscribes at the first address and, when that is gone, at the other, until the last message.
async fn follow(
    world: &World,
    ack: &str,
    addresses: [SocketAddr; 2],
    ready: watch::Sender<usize>,
) -> Seen {
    let mut seen = Seen::default();
    let mut token: Option<String> = None;
    for address in addresses {
        let (mut client, connected) = connect_to(world, address, token.as_deref()).await;
        assert_eq!(connected.expect_header("resumed"), token.is_some().to_string());
        token = Some(connected.expect_header("resume-token").to_owned());
        let subscribe = [("id", "0"), ("destination", TOPIC), ("ack", ack), ("receipt", "0")];
        client.send("SUBSCRIBE", &subscribe, "").await;
        loop {
            match client.incoming().await {
                Incoming::Frame(frame, _) if frame.verb == "MESSAGE" => {
                    if frame.text() == "end" {
                        return seen;
                    }
                    seen.note(&frame);
                    if let Some(id) = frame.header("ack") {
                        client.send("ACK", &[("id", id)], "").await;
                    }
                }
                Incoming::Frame(frame, _) => {
                    assert_eq!(frame.verb, "RECEIPT");
                    ready.send_modify(|ready| *ready += 1);
                }
                Incoming::HeartBeat => {}
                Incoming::Closed(_) => break,
            }
        }
    }
    panic!("both gateways have hung up");
}

/// Publishes at a gateway until that is gone; what it has a receipt for.
async fn publish_until_killed(world: Arc<World>, address: SocketAddr) -> Vec<String> {
    let (mut publisher, _) = connect_to(&world, address, None).await;
    let mut receipted = Vec::new();
    for number in 1.. {
        let body = format!("1-{number}");
        publisher.request("SEND", &[("destination", TOPIC)], &body).await;
        match publisher.incoming().await {
            Incoming::Frame(frame, _) => assert_eq!(frame.verb, "RECEIPT", "{frame:?}"),
            Incoming::HeartBeat => panic!("none was agreed on"),
            Incoming::Closed(_) => break,
        }
        receipted.push(body);
    }
    receipted
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_killed_costs_who_resumes_at_another_nothing() {
    let world = Arc::new(World::rabbitmq().await);
    let amqp = world.rabbitmq.as_ref().unwrap().amqp_addr();
    let program = env!("CARGO_BIN_EXE_gateway_process");
    let mut process = GatewayProcess::start(program, &[&format!("amqp://{amqp}")]).await;
    let first = process.ws_addr();
    let second = world.ws_addr();
    let ready = watch::Sender::new(0);
    let mut following = JoinSet::new();
    for number in 0..SUBSCRIBERS {
        let ack = ["client", "client-individual", "auto"][number % 3];
        let (world, ready) = (Arc::clone(&world), ready.clone());
        following.spawn(async move { (ack, follow(&world, ack, [first, second], ready).await) });
    }
    let is_ready = |count: usize| {
        let mut ready = ready.subscribe();
        async move {
            within("the subscribers", ready.wait_for(|ready| *ready >= count)).await.map(|_| ())
        }
    };
    is_ready(SUBSCRIBERS).await.unwrap();
    let doomed = tokio::spawn(publish_until_killed(Arc::clone(&world), first));
    let mut publisher = world.client().await;
    let mut receipted = Vec::new();
    for number in 1..=3 * MESSAGES {
        if number == MESSAGES {
            process.start_kill();
        }
        if number == 2 * MESSAGES {
            is_ready(2 * SUBSCRIBERS).await.unwrap();
        }
        let body = format!("0-{number}");
        publish(&mut publisher, TOPIC, &[&body]).await;
        receipted.push(body);
    }
    receipted.extend(within("the end of the other publisher", doomed).await.unwrap());
    publish(&mut publisher, TOPIC, &["end"]).await;
    let (mut gaps, mut again) = (0, 0);
    while let Some(followed) = within("the last message", following.join_next()).await {
        let (ack, seen) = followed.unwrap();
        let missing: Vec<_> = receipted.iter().filter(|it| !seen.bodies.contains(*it)).collect();
        assert!(missing.is_empty() || seen.has_gap, "{ack}: {missing:?} are missing");
        gaps += usize::from(seen.has_gap);
        again += seen.again;
    }
    println!(
        "{SUBSCRIBERS} subscribers, {} messages with a receipt: {gaps} were told of a gap, {again} \
         deliveries came again",
        receipted.len()
    );
    assert_eq!(gaps, 0, "nothing was lost here");
}
