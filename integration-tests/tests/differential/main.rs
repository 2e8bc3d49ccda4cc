//! The gateway held against RabbitMQ's own STOMP plugin: scripts of frames are played against both
//! in front of the same RabbitMQ, and what came back and what the broker then holds is compared. The
//! gateway has `compat = "rabbitmq"`. All of it is played twice: over plain TCP, and over WebSocket
//! against RabbitMQ's Web STOMP plugin.
//!
//! The scripts are text, see [`script`]. One that comes out differently has to name the differences
//! on purpose, by `differs:` and rows of the table in `gateway/docs/STOMP.md`. One that names them
//! and comes out alike fails too, and so does one in which a side fails in a way that it does not
//! name: two sides that fail for a slip in the script are alike.
//!
//! `DIFFERENTIAL_SCRIPTS=part-of-a-name` plays some of them, and shows what came of each.

#![allow(missing_docs, clippy::unwrap_used, reason = "a panic is how a test fails")]

mod observed;
mod play;
mod script;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream;
use gateway::config::{Compat, Secret};
use integration_tests::TestGateway;
use play::{Played, Side, Transport, play};
use rabbitmq_node::{Node, Options, Vhost};
use script::{Bad, Script, Verdict};
use tokio::sync::OnceCell;
use tokio::time::sleep;

/// Scripts that are played at a time, over each transport.
const AT_A_TIME: usize = 32;

/// How long RabbitMQ's statistics may take. They are there after a fraction of this.
const STATISTICS: Duration = Duration::from_secs(10);

/// Longer than RabbitMQ's statistics are old, on a node that collects them so often.
const SETTLED: Duration = Duration::from_millis(1500);

/// Names a part of the names of scripts, to play these only and to see what comes of them.
const ONLY: &str = "DIFFERENTIAL_SCRIPTS";

/// How one script came out.
struct Outcome {
    script: Script,
    transport: Transport,
    plugin: String,
    gateway: String,
    /// What the plugin did of what the script has to name.
    ends: BTreeSet<Bad>,
}

impl Outcome {
    /// RabbitMQ's statistics know of some objects later than of others, and sides that both know of
    /// nothing are alike: looks until neither side has changed for a while.
    async fn of(
        script: Script,
        transport: Transport,
        mut played: [Played; 2],
    ) -> (Self, [Played; 2]) {
        let until = Instant::now() + STATISTICS;
        let mut seen = None;
        let mut since = Instant::now();
        loop {
            let [plugin, gateway] = &mut played;
            let told = tokio::join!(plugin.told(), gateway.told());
            let now = Instant::now();
            if seen.as_ref() != Some(&told) {
                since = now;
            }
            if now > since + SETTLED || now > until {
                let ((plugin, gateway), ends) = (told, played[0].ends());
                return (Self { script, transport, plugin, gateway, ends }, played);
            }
            seen = Some(told);
            sleep(Duration::from_millis(100)).await;
        }
    }

    fn verdict(&self) -> &Verdict {
        match (self.transport, &self.script.verdict_over_ws) {
            (Transport::WebSocket, Some(verdict)) => verdict,
            _ => &self.script.verdict,
        }
    }

    /// What a script says of the plugin's end holds over TCP then.
    fn is_otherwise_over_ws(&self) -> bool {
        self.transport == Transport::WebSocket && self.script.verdict_over_ws.is_some()
    }

    fn is_equal(&self) -> bool {
        self.plugin == self.gateway
    }

    fn is_on_purpose(&self) -> bool {
        !self.is_equal() && matches!(self.verdict(), Verdict::Differs(_))
    }

    /// What is wrong, unless nothing is.
    fn complaint(&self) -> Option<String> {
        let why = match (self.verdict(), self.is_equal()) {
            (Verdict::Equal, false) => "differs for no reason".to_owned(),
            (Verdict::Differs(rows), true) => {
                format!("comes out alike, though it says: {}", rows.join("; "))
            }
            _ if self.ends != self.script.ends && !self.is_otherwise_over_ws() => {
                format!("says that it ends in {:?}, not {:?}", self.script.ends, self.ends)
            }
            _ => return None,
        };
        Some(format!("=== {}: {why}\n{}", self.script.name, self.told()))
    }

    fn told(&self) -> String {
        format!("--- the plugin\n{}--- the gateway\n{}", self.plugin, self.gateway)
    }
}

/// The RabbitMQ of all tests here.
async fn node() -> &'static Node {
    static NODE: OnceCell<Node> = OnceCell::const_new();
    let options = || Options::default().plugin("rabbitmq_stomp").plugin("rabbitmq_web_stomp");
    NODE.get_or_init(|| Node::start(options())).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateway_answers_as_the_plugin_does() {
    compare(Transport::Tcp).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateway_answers_as_the_plugin_does_over_web_socket() {
    compare(Transport::WebSocket).await;
}

async fn compare(transport: Transport) {
    let node = node().await;
    let gateway = in_front_of(&node.vhost().await).await;
    let sides = match transport {
        Transport::Tcp => [node.stomp_addr(), gateway.addr("plain")],
        Transport::WebSocket => [node.web_stomp_addr(), gateway.ws_addr()],
    };
    let only = std::env::var(ONLY).ok();
    let is_meant = |script: &Script| {
        let is_named = only.as_ref().is_none_or(|only| script.name.contains(only.as_str()));
        is_named && (transport == Transport::WebSocket || !script.over_ws)
    };
    let scripts = script::all().into_iter().filter(is_meant);
    let vhosts = sides.map(|_| Vhosts::default());
    let outcomes: Vec<Outcome> = stream::iter(scripts)
        .map(async |script| {
            let side = async |at: usize| {
                let vhost = match script.can_be_cleared() {
                    true => vhosts[at].take(node).await,
                    false => node.vhost().await,
                };
                play(&script, Side { address: sides[at], transport, vhost }).await
            };
            let (plugin, gateway) = tokio::join!(side(0), side(1));
            let (outcome, played) = Outcome::of(script, transport, [plugin, gateway]).await;
            if outcome.script.can_be_cleared() {
                let [plugin, gateway] = played.map(Played::vhost);
                tokio::join!(vhosts[0].give_back(plugin), vhosts[1].give_back(gateway));
            }
            outcome
        })
        .buffer_unordered(AT_A_TIME)
        .collect()
        .await;
    let complaints: Vec<_> = outcomes.iter().filter_map(Outcome::complaint).collect();
    let summary = format!("{transport:?}: {}", summary(&outcomes));
    assert!(complaints.is_empty(), "{}\n{summary}", complaints.join("\n"));
    if only.is_some() {
        outcomes.iter().for_each(|it| say(&format!("=== {}\n{}", it.script.name, it.told())));
    }
    say(&summary);
}

/// Virtual hosts that were used by one side and can be used again by it: a node that has hundreds
/// takes its time for each one more.
#[derive(Default)]
struct Vhosts(Mutex<Vec<Vhost>>);

impl Vhosts {
    async fn take(&self, node: &Node) -> Vhost {
        let used = self.0.lock().unwrap().pop();
        match used {
            Some(vhost) => vhost,
            None => node.vhost().await,
        }
    }

    async fn give_back(&self, vhost: Vhost) {
        vhost.clear().await;
        self.0.lock().unwrap().push(vhost);
    }
}

/// A gateway that speaks STOMP over both, as the plugins do.
async fn in_front_of(vhost: &Vhost) -> TestGateway {
    let settings = TestGateway::rabbitmq(vhost).with_stomp_tcp().config(|config| {
        for route in config.route.values_mut() {
            route.compat = Compat::RABBITMQ;
            // The plugin's defaults; this RabbitMQ has no such user.
            route.vhost = "/".to_owned();
            route.default_login = Some("guest".to_owned());
            route.default_passcode = Some(Secret::new("guest"));
        }
    });
    settings.start().await
}

fn summary(outcomes: &[Outcome]) -> String {
    let scripts = outcomes.len();
    let equal = outcomes.iter().filter(|it| it.is_equal()).count();
    let on_purpose = outcomes.iter().filter(|it| it.is_on_purpose()).count();
    let for_no_reason = scripts - equal - on_purpose;
    format!(
        "{scripts} scripts: {equal} equal, {on_purpose} different on purpose, \
         {for_no_reason} different for no reason"
    )
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
    for Script { name, verdict, verdict_over_ws, .. } in script::all() {
        for verdict in [Some(verdict), verdict_over_ws].into_iter().flatten() {
            let Verdict::Differs(rows) = verdict else { continue };
            for row in rows {
                assert!(document.contains(&format!("\n| {row} |")), "{name}: {row}");
            }
        }
    }
}
