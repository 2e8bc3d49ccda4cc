//! RabbitMQ goes away under load and comes back: clients stay or are told, traffic flows again by
//! itself, and every message with a receipt is in its queue. What is in the queues is read by pika,
//! which knows nothing of the gateway; `cargo xtask interop` installs it.

#![allow(missing_docs, clippy::unwrap_used, reason = "a panic is how a test fails")]
#![allow(clippy::print_stdout, reason = "the figures of a run are worth reading")]

mod client;
mod consumer;
mod publisher;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use gateway::config::{Broker, Config, Secret, ServiceLogin, Verify};
use integration_tests::{Settings, TestGateway};
use rabbitmq_node::{Cut, Node, Options, Proxy, Vhost, eventually, within};
use tokio::process::Command;
use tokio::time::sleep;

use client::{Access, say_goodbye};
use consumer::{Consumers, END, WITHHELD};
use publisher::{Load, Pace, Record};

const CLIENTS: usize = 50;

const CONSUMERS: usize = 10;

/// Receipts of each client before something happens, and after.
const RECEIPTS: usize = 50;

/// How long RabbitMQ is away. It is the scenario, not a wait for anything.
const AWAY: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn stopped_for_20_seconds() {
    let node = Node::start(Options::default()).await;
    let vhost = node.vhost().await;
    stopped(&node, &vhost, TestGateway::rabbitmq(&vhost), "stopped").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_for_20_seconds_behind_a_service_login() {
    let node = Node::start(Options::default()).await;
    let vhost = node.vhost().await;
    let settings = behind_a_service_login(&vhost);
    stopped(&node, &vhost, settings, "stopped, service login").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed() {
    let node = Node::start(Options::default()).await;
    let vhost = node.vhost().await;
    ended(&node, &vhost, TestGateway::rabbitmq(&vhost), "killed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_behind_a_service_login() {
    let node = Node::start(Options::default()).await;
    let vhost = node.vhost().await;
    ended(&node, &vhost, behind_a_service_login(&vhost), "killed, service login").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_five_times() {
    let vhost = Node::shared().await.vhost().await;
    cut(&vhost, TestGateway::rabbitmq(&vhost), "cut five times").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_five_times_behind_a_service_login() {
    let vhost = Node::shared().await.vhost().await;
    cut(&vhost, behind_a_service_login(&vhost), "cut five times, service login").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn consumers_stopped_for_20_seconds() {
    let node = Node::start(Options::default()).await;
    let again = consumed(&node, "consumers, stopped", async || {
        node.stop().await;
        sleep(AWAY).await;
    })
    .await;
    assert_eq!(again.settled, 0, "a broker that stops in order forgets no acknowledgement");
    assert_eq!(again.unmarked, 0, "what had been delivered is marked");
}

#[tokio::test(flavor = "multi_thread")]
async fn consumers_killed() {
    let node = Node::start(Options::default()).await;
    // What RabbitMQ had not yet written of acknowledgements is lost with it, so what was settled may
    // come again: that is AMQP's promise, and not broken.
    consumed(&node, "consumers, killed", async || node.kill().await).await;
}

/// All clients work under the virtual host's user, whoever they say they are.
fn behind_a_service_login(vhost: &Vhost) -> Settings {
    TestGateway::rabbitmq(vhost).config(|config| {
        for route in config.route.values_mut() {
            route.default_login = None;
            route.default_passcode = None;
            route.service_login = Some(ServiceLogin {
                login: vhost.user().to_owned(),
                passcode: Secret::new(vhost.passcode()),
                verify: Verify::None,
            });
        }
    })
}

async fn stopped(node: &Node, vhost: &Vhost, settings: Settings, title: &str) {
    let (gateway, mut load) = under_load(vhost, settings).await;
    let connections = connections(vhost).await;
    load.set(Pace::Half).await;
    node.stop().await;
    sleep(AWAY / 2).await;
    let [told_at_rest, _] = load.told();
    // Those who rested send again, to nobody: it is kept for the broker.
    load.set(Pace::Full).await;
    sleep(AWAY / 2).await;
    node.start_again().await;
    let back = Instant::now();
    load.proceed(RECEIPTS).await;
    assert_eq!(
        load.told()[0],
        0,
        "who had nothing outstanding stays ({told_at_rest} told at rest)"
    );
    check(vhost, gateway, load, connections, back, title).await;
}

async fn ended(node: &Node, vhost: &Vhost, settings: Settings, title: &str) {
    let (gateway, mut load) = under_load(vhost, settings).await;
    let connections = connections(vhost).await;
    load.set(Pace::Half).await;
    node.kill().await;
    node.start_again().await;
    let back = Instant::now();
    load.proceed(RECEIPTS).await;
    load.set(Pace::Full).await;
    load.proceed(RECEIPTS).await;
    assert_eq!(load.told()[0], 0, "who had nothing outstanding stays");
    check(vhost, gateway, load, connections, back, title).await;
}

async fn cut(vhost: &Vhost, settings: Settings, title: &str) {
    let proxy = Proxy::start(vhost.amqp_addr()).await;
    let settings = settings.config(|config| by_way_of(config, &proxy));
    let (gateway, mut load) = under_load(vhost, settings).await;
    let connections = connections(vhost).await;
    load.set(Pace::Half).await;
    let mut back = Instant::now();
    for _ in 0..5 {
        proxy.cut(Cut::Reset).await;
        back = Instant::now();
        load.proceed(RECEIPTS).await;
    }
    load.set(Pace::Full).await;
    load.proceed(RECEIPTS).await;
    assert_eq!(load.told()[0], 0, "who had nothing outstanding stays");
    check(vhost, gateway, load, connections, back, title).await;
}

fn by_way_of(config: &mut Config, proxy: &Proxy) {
    match config.broker.get_mut("main") {
        Some(Broker::Rabbitmq(rabbitmq)) => {
            rabbitmq.url = vec![format!("amqp://{}", proxy.addr()).parse().unwrap()];
        }
        other => panic!("the broker is {other:?}"),
    }
}

async fn under_load(vhost: &Vhost, settings: Settings) -> (TestGateway, Load) {
    let gateway = settings.start().await;
    let mut load = Load::start(&Access::new(&gateway, vhost), CLIENTS);
    load.proceed(RECEIPTS).await;
    (gateway, load)
}

/// How many connections RabbitMQ has, once it counts any.
async fn connections(vhost: &Vhost) -> usize {
    eventually("connections", async || {
        let connections = vhost.connections().await.len();
        (connections > 1).then_some(connections)
    })
    .await
}

/// Ends the load, and holds what is in the queues against what was promised.
async fn check(
    vhost: &Vhost,
    gateway: TestGateway,
    load: Load,
    connections: usize,
    back: Instant,
    title: &str,
) {
    let records = load.finish().await;
    eventually("as many connections as before", async || {
        (vhost.connections().await.len() == connections).then_some(())
    })
    .await;
    let queues: Vec<&str> = records.iter().map(|record| record.queue.as_str()).collect();
    let found = drain(vhost, &queues).await;
    let mut copies = 0;
    for record in &records {
        copies += compare(record, &found[&record.queue]);
    }
    show(title, &records, copies, connections, back);
    gateway.stop().await;
}

/// What one client was promised, and what is in its queue. Returns how many messages are there more
/// than once because the client sent them more than once.
fn compare(record: &Record, found: &[String]) -> usize {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for body in found {
        *counts.entry(body).or_default() += 1;
    }
    for body in record.receipted.keys() {
        assert!(counts.contains_key(body.as_str()), "{body:?} had a receipt and is lost");
    }
    for (body, count) in &counts {
        let sent = record.sent.get(*body).copied();
        let sent = sent.unwrap_or_else(|| panic!("nobody sent {body:?} to {}", record.queue));
        assert!(*count <= sent, "{body:?} was sent {sent} times and is there {count} times");
    }
    found.len() - counts.len()
}

fn show(title: &str, records: &[Record], copies: usize, connections: usize, back: Instant) {
    let receipts: usize = records.iter().map(|record| record.receipted.len()).sum();
    let told: Vec<&String> = records.iter().flat_map(|record| &record.told).collect();
    let stayed = records.iter().filter(|record| record.told.is_empty()).count();
    let again: usize = records.iter().flat_map(|record| record.sent.values()).map(|n| n - 1).sum();
    let next = |record: &Record| {
        let receipts = record.receipted.values().filter(|at| **at > back);
        receipts.min().map(|at| at.duration_since(back)).unwrap_or_default()
    };
    let first = records.iter().map(next).min().unwrap_or_default();
    let last = records.iter().map(next).max().unwrap_or_default();
    println!(
        "{title}: {} clients, {receipts} receipts, none lost; {stayed} stayed, {} sessions were \
         told; {again} messages were sent again by their clients, {copies} of those are there more \
         than once; the next receipt came after {first:?}, everybody's after {last:?}; \
         {connections} connections to the broker",
        records.len(),
        told.len(),
    );
    for why in told.into_iter().collect::<BTreeSet<_>>() {
        println!("    told: {why}");
    }
}

/// What came again although it need not have.
struct Again {
    /// Messages that had been acknowledged, and the acknowledgement processed.
    settled: usize,
    /// Messages that had been delivered, and were not marked as redelivered.
    unmarked: usize,
}

/// Consumers and publishers through an outage.
async fn consumed(node: &Node, title: &str, outage: impl AsyncFnOnce()) -> Again {
    let vhost = node.vhost().await;
    let gateway = TestGateway::rabbitmq(&vhost).start().await;
    let access = Access::new(&gateway, &vhost);
    let mut consumers = Consumers::start(&access, CONSUMERS);
    let mut load = Load::start(&access, CONSUMERS);
    load.proceed(RECEIPTS).await;
    consumers.withhold().await;
    outage().await;
    consumers.outage().await;
    node.start_again().await;
    load.proceed(RECEIPTS).await;
    let published = load.finish().await;
    let mut last = access.log_in().await;
    for record in &published {
        let destination = format!("/queue/{}", record.queue);
        let headers = [("destination", destination.as_str()), ("persistent", "true")];
        last.send_confirmed("SEND", &headers, END).await;
    }
    say_goodbye(last).await;
    let records = consumers.finish().await;
    eventually("the consumers' end", async || (vhost.consumers().await == 0).then_some(())).await;
    let queues: Vec<&str> = records.iter().map(|record| record.queue.as_str()).collect();
    for (queue, left) in drain(&vhost, &queues).await {
        assert!(left.is_empty(), "all of {queue} was acknowledged, but not {left:?}");
    }
    let again = compare_consumed(title, &published, &records);
    gateway.stop().await;
    again
}

fn compare_consumed(title: &str, published: &[Record], consumed: &[consumer::Record]) -> Again {
    let (mut again, mut settled, mut total) = (Again { settled: 0, unmarked: 0 }, 0, 0);
    for (sent, record) in published.iter().zip(consumed) {
        let after: BTreeMap<&str, bool> =
            record.after.iter().map(|(body, marked)| (body.as_str(), *marked)).collect();
        let processed: BTreeSet<&str> =
            record.before.iter().map(String::as_str).chain(after.keys().copied()).collect();
        for body in sent.receipted.keys() {
            assert!(processed.contains(body.as_str()), "{body:?} had a receipt and is lost");
        }
        for body in processed.iter().filter(|body| **body != END) {
            assert!(sent.sent.contains_key(*body), "nobody sent {body:?} to {}", record.queue);
        }
        assert_eq!(record.withheld.len(), WITHHELD);
        for body in &record.withheld {
            assert!(
                after.contains_key(body.as_str()),
                "{body:?} was not acknowledged and did not come again; receipted: {}, before: {:?}, \
                 withheld: {:?}, after: {:?}",
                sent.receipted.contains_key(body),
                record.before,
                record.withheld,
                record.after.iter().take(2 * WITHHELD).collect::<Vec<_>>(),
            );
        }
        let comes_again = |body: &&String| after.contains_key(body.as_str());
        again.settled += record.settled.iter().filter(comes_again).count();
        again.unmarked += record.withheld.iter().filter(|body| !after[body.as_str()]).count();
        settled += record.settled.len();
        total += processed.len() - 1;
    }
    let told: usize = published.iter().map(|record| record.told.len()).sum();
    println!(
        "{title}: {CONSUMERS} consumers stayed, {total} messages, none lost; {settled} were settled \
         before, {} of them came again; {} unsettled ones came again unmarked; {told} publishers' \
         sessions were told",
        again.settled, again.unmarked,
    );
    again
}

/// Empties the queues by pika; returns what was in them.
async fn drain(vhost: &Vhost, queues: &[&str]) -> HashMap<String, Vec<String>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = here.join("../target/interop/venv/bin/python");
    let (user, passcode, name) = (vhost.user(), vhost.passcode(), vhost.name());
    let output = Command::new(&python)
        .arg(here.join("interop/python/drain.py"))
        .arg(format!("amqp://{user}:{passcode}@{}/{name}", vhost.amqp_addr()))
        .args(queues)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = within("pika to empty the queues", output).await.unwrap_or_else(|error| {
        panic!("{}: {error}; `cargo xtask interop` installs what is needed", python.display())
    });
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "drain.py ended with {}: {complaint}", output.status);
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let bodies = |value: &serde_json::Value| {
        let texts = value.as_array().unwrap().iter();
        texts.map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let queues = found.as_object().unwrap().iter();
    queues.map(|(queue, value)| (queue.clone(), bodies(value))).collect()
}
