//! The gateway held against RabbitMQ's own STOMP plugin: scripts of frames are played against both
//! in front of the same RabbitMQ, and what came back and what the broker then holds is compared. The
//! gateway has `compat = "rabbitmq"`.
//!
//! The scripts are text, see [`script`]. One that comes out differently has to name the differences
//! on purpose, by `differs:` and rows of the table in `gateway/docs/STOMP.md`. One that names them
//! and comes out alike fails too.

#![allow(missing_docs, clippy::unwrap_used, reason = "a panic is how a test fails")]

mod observed;
mod play;
mod script;

use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream;
use gateway::config::Compat;
use integration_tests::TestGateway;
use play::{Played, Side, play};
use rabbitmq_node::{Node, Options, Vhost};
use script::{Script, Verdict};
use tokio::time::sleep;

/// Scripts that are played at a time.
const AT_A_TIME: usize = 8;

/// How long RabbitMQ's statistics may take. They are there after a fraction of this.
const STATISTICS: Duration = Duration::from_secs(5);

/// How one script came out.
struct Outcome {
    script: Script,
    plugin: String,
    gateway: String,
}

impl Outcome {
    /// RabbitMQ's statistics know of some objects later than of others: looks until both are alike,
    /// or have had the time to be.
    async fn of(script: Script, plugin: &Played, gateway: &Played) -> Self {
        let until = Instant::now() + STATISTICS;
        loop {
            let (plugin, gateway) = tokio::join!(plugin.told(), gateway.told());
            if plugin == gateway || Instant::now() > until {
                return Self { script, plugin, gateway };
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    fn is_equal(&self) -> bool {
        self.plugin == self.gateway
    }

    /// What is wrong, unless nothing is.
    fn complaint(&self) -> Option<String> {
        let name = &self.script.name;
        match (&self.script.verdict, self.is_equal()) {
            (Verdict::Equal, true) | (Verdict::Differs(_), false) => None,
            (Verdict::Equal, false) => Some(format!(
                "=== {name}: differs for no reason\n--- the plugin\n{}--- the gateway\n{}",
                self.plugin, self.gateway
            )),
            (Verdict::Differs(rows), true) => {
                Some(format!("=== {name}: comes out alike, though it says: {}\n", rows.join("; ")))
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateway_answers_as_the_plugin_does() {
    let node = Node::start(Options::default().plugin("rabbitmq_stomp")).await;
    let vhost = node.vhost().await;
    let gateway = in_front_of(&vhost).await;
    let sides = [node.stomp_addr(), gateway.addr("plain")];
    let scripts = script::all();
    let outcomes: Vec<Outcome> = stream::iter(scripts)
        .map(async |script| {
            let [plugin, gateway] = sides;
            let plugin = Side { address: plugin, vhost: node.vhost().await };
            let gateway = Side { address: gateway, vhost: node.vhost().await };
            let (plugin, gateway) = tokio::join!(play(&script, plugin), play(&script, gateway));
            Outcome::of(script, &plugin, &gateway).await
        })
        .buffered(AT_A_TIME)
        .collect()
        .await;
    let complaints: Vec<_> = outcomes.iter().filter_map(Outcome::complaint).collect();
    let summary = summary(&outcomes, complaints.len());
    assert!(complaints.is_empty(), "{}\n{summary}", complaints.join("\n"));
    say(&summary);
}

/// A gateway that speaks STOMP over TCP, as the plugin does.
async fn in_front_of(vhost: &Vhost) -> TestGateway {
    let settings = TestGateway::rabbitmq(vhost).with_stomp_tcp().config(|config| {
        config.route.get_mut("plain").unwrap().compat = Compat::RABBITMQ;
    });
    settings.start().await
}

fn summary(outcomes: &[Outcome], wrong: usize) -> String {
    let scripts = outcomes.len();
    let equal = outcomes.iter().filter(|it| it.is_equal()).count();
    let differs = outcomes.iter().filter(|it| matches!(it.script.verdict, Verdict::Differs(_)));
    let differs = differs.count();
    format!("{scripts} scripts: {equal} equal, {differs} different on purpose, {wrong} wrong")
}

#[allow(clippy::print_stdout, reason = "the figures are what the test is for")]
fn say(summary: &str) {
    println!("{summary}");
}

#[test]
fn every_difference_and_every_switch_is_a_row_of_the_table() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../gateway/docs/STOMP.md");
    let document = std::fs::read_to_string(document).unwrap();
    for switch in Compat::RABBITMQ.switches() {
        assert!(document.contains(&format!("| `{}`", switch.name())), "{switch:?}");
    }
    for Script { name, verdict, .. } in script::all() {
        if let Verdict::Differs(rows) = verdict {
            for row in rows {
                assert!(document.contains(&format!("\n| {row} |")), "{name}: {row}");
            }
        }
    }
}
