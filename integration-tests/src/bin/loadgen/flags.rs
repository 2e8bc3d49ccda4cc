//! The command line.

use std::str::FromStr;
use std::time::Duration;

use clap::builder::RangedU64ValueParser;
use clap::error::ErrorKind;
use clap::{Args, CommandFactory as _, Parser, ValueEnum};

use integration_tests::Serializer;

use crate::connection::LARGEST_FRAME;
use crate::sequence::SHORTEST_BODY;
use crate::usage::Watched;
use crate::websocket::Kind;

/// Load on a server that speaks STOMP 1.2 or WAMP v2 over WebSocket: the gateway, RabbitMQ's
/// Web-STOMP, Crossbar.io.
///
/// Prints one line of JSON. The exit code is 0 if every message came once, in order and unchanged,
/// 1 if not, 2 if the flags are wrong.
#[derive(Debug, Parser)]
#[command(name = "loadgen", version)]
pub(crate) struct Flags {
    /// What to do.
    #[arg(value_enum)]
    pub(crate) scenario: Scenario,

    /// Whom to do it to.
    #[command(flatten)]
    pub(crate) server: Server,

    /// How much of it.
    #[command(flatten)]
    pub(crate) amount: Amount,

    /// How a queue's messages are acknowledged.
    #[arg(long, value_enum, default_value_t = Ack::Auto)]
    pub(crate) ack: Ack,

    /// A part of every destination, so that runs do not meet. Default: the process id.
    #[arg(long, value_parser = plain)]
    pub(crate) name: Option<String>,

    /// A process whose processor time and memory are wanted, and those of the ones that it has started.
    /// Can be repeated.
    #[arg(long, value_name = "NAME=PID")]
    pub(crate) cpu: Vec<Watched>,

    /// Seconds without any progress after which what is missing is lost.
    #[arg(long, value_name = "SECONDS", default_value = "20", value_parser = seconds)]
    pub(crate) patience: Duration,
}

impl Flags {
    /// Says no to flags that mean nothing in the scenario.
    ///
    /// *Errors.* What clap shows with the usage.
    pub(crate) fn checked(self) -> Result<Self, clap::Error> {
        let has_ack = self.ack != Ack::Auto;
        let has_fan_out = self.amount.fan_out != 1;
        let speaks_wamp = self.server.wamp.is_some();
        let unfit = match self.scenario {
            Scenario::Pubsub if speaks_wamp && has_ack => Some("--ack means nothing with --wamp"),
            Scenario::Pubsub => None,
            Scenario::Receipts | Scenario::Queue if speaks_wamp => {
                Some("WAMP has no such scenario")
            }
            Scenario::Rpc if !speaks_wamp => Some("this scenario needs --wamp"),
            Scenario::Receipts | Scenario::Rpc if has_ack => {
                Some("--ack means nothing in this scenario")
            }
            Scenario::Receipts | Scenario::Queue | Scenario::Rpc => {
                has_fan_out.then_some("--fan-out means nothing in this scenario")
            }
        };
        match unfit {
            None => Ok(self),
            Some(words) => Err(Self::command().error(ErrorKind::ArgumentConflict, words)),
        }
    }
}

/// The server, and the login there.
#[derive(Debug, Args)]
pub(crate) struct Server {
    /// Where it listens.
    #[arg(long, default_value = "ws://127.0.0.1:15674/ws")]
    pub(crate) url: Url,

    /// With STOMP: the user.
    #[arg(long, default_value = "guest", value_parser = plain)]
    pub(crate) login: String,

    /// With STOMP: the user's passcode.
    #[arg(long, default_value = "guest", value_parser = plain)]
    pub(crate) passcode: String,

    /// With STOMP: the virtual host.
    #[arg(long, default_value = "/", value_parser = plain)]
    pub(crate) vhost: String,

    /// With STOMP: the kind of WebSocket messages to send frames in.
    #[arg(long, value_enum, default_value_t = Kind::Text)]
    pub(crate) frames: Kind,

    /// Speak WAMP with this serializer, as nobody, instead of STOMP.
    #[arg(long, value_enum, value_name = "SERIALIZER")]
    pub(crate) wamp: Option<Wamp>,

    /// With WAMP: the realm.
    #[arg(long, default_value = "realm1")]
    pub(crate) realm: String,
}

impl Server {
    /// What WAMP is spoken in, unless STOMP is.
    pub(crate) fn serializer(&self) -> Option<Serializer> {
        self.wamp.map(|wamp| match wamp {
            Wamp::Json => Serializer::Json,
            Wamp::Msgpack => Serializer::MsgPack,
            Wamp::Cbor => Serializer::Cbor,
        })
    }
}

/// How messages of WAMP are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Wamp {
    /// JSON.
    Json,
    /// MessagePack.
    Msgpack,
    /// CBOR.
    Cbor,
}

/// How much load.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Amount {
    /// Publishers, or callers, each with a topic, a queue or a procedure of its own.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) pairs: u16,

    /// Subscribers to each publisher's topic.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) fan_out: u16,

    /// Messages of each publisher that are measured.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = count(1))]
    pub(crate) messages: u64,

    /// Messages of each publisher before that.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = count(0))]
    pub(crate) warmup: u64,

    /// Bytes of a body, at least 16.
    #[arg(long, value_name = "BYTES", default_value_t = 128, value_parser = body)]
    pub(crate) body: usize,

    /// Messages or calls of one of them that may be on their way at a time.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = window())]
    pub(crate) window: u64,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Publish to topics that others have subscribed to.
    Pubsub,
    /// Send to durable queues, each message persistent and with a receipt; then take them out.
    Receipts,
    /// Send to durable queues from which others take.
    Queue,
    /// Call procedures that others answer with what they are given; with WAMP.
    Rpc,
}

/// The `ack` header of a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Ack {
    /// None is needed.
    Auto,
    /// One for all that one read has brought.
    Client,
    /// One for each message.
    ClientIndividual,
}

impl Ack {
    /// As in the header.
    pub(crate) const fn header(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Client => "client",
            Self::ClientIndividual => "client-individual",
        }
    }
}

/// `ws://HOST:PORT/PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url {
    /// Host and port.
    pub(crate) authority: String,
    /// From the first `/`.
    pub(crate) path: String,
}

impl FromStr for Url {
    type Err = &'static str;

    fn from_str(url: &str) -> Result<Self, Self::Err> {
        let rest = url.strip_prefix("ws://").ok_or("ws://HOST:PORT/PATH is needed")?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let port = authority.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
        if !matches!(port, Some(Ok(_))) || rest.contains(|character: char| character <= ' ') {
            return Err("ws://HOST:PORT/PATH is needed");
        }
        let path = if path.is_empty() { "/" } else { path };
        Ok(Self { authority: authority.to_owned(), path: path.to_owned() })
    }
}

/// The most messages of one run: their receipts are kept in memory.
const MOST_MESSAGES: u64 = 1_000_000_000;

/// The largest window: its messages are kept in memory.
const LARGEST_WINDOW: u64 = 100_000;

fn count(least: u64) -> RangedU64ValueParser {
    RangedU64ValueParser::new().range(least..=MOST_MESSAGES)
}

fn window() -> RangedU64ValueParser {
    RangedU64ValueParser::new().range(1..=LARGEST_WINDOW)
}

fn seconds(text: &str) -> Result<Duration, &'static str> {
    let seconds = text.parse::<u64>().ok().filter(|seconds| (1..=3600).contains(seconds));
    seconds.map(Duration::from_secs).ok_or("a number from 1 to 3600 is needed")
}

/// A body must fit with its headers into what one read can bring.
fn body(text: &str) -> Result<usize, String> {
    let bounds = SHORTEST_BODY..=LARGEST_FRAME / 2;
    let body = text.parse().ok().filter(|body| bounds.contains(body));
    body.ok_or_else(|| format!("a number from {} to {} is needed", bounds.start(), bounds.end()))
}

/// What can stand in a STOMP header as it is.
fn plain(text: &str) -> Result<String, &'static str> {
    if text.contains(['\r', '\n', ':', '\\', '\0']) {
        return Err("line ends, colons and backslashes would have to be escaped");
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_are_consistent() {
        Flags::command().debug_assert();
    }

    #[test]
    fn a_url_has_host_and_port() {
        let url: Url = "ws://127.0.0.1:15674/ws".parse().unwrap();
        assert_eq!((url.authority.as_str(), url.path.as_str()), ("127.0.0.1:15674", "/ws"));
        assert_eq!("ws://[::1]:80".parse::<Url>().unwrap().path, "/");
        for wrong in ["http://127.0.0.1:1/ws", "ws://127.0.0.1/ws", "ws://h:x/", "ws://h:1/a b"] {
            assert!(wrong.parse::<Url>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn flags_without_meaning_are_refused() {
        let checked = |arguments: &[&str]| Flags::try_parse_from(arguments).unwrap().checked();
        assert!(checked(&["loadgen", "pubsub", "--fan-out=2", "--ack=client"]).is_ok());
        assert!(checked(&["loadgen", "queue", "--ack=client"]).is_ok());
        assert!(checked(&["loadgen", "queue", "--fan-out=2"]).is_err());
        assert!(checked(&["loadgen", "receipts", "--ack=client"]).is_err());
        assert!(checked(&["loadgen", "pubsub", "--fan-out=2", "--wamp=cbor"]).is_ok());
        assert!(checked(&["loadgen", "rpc", "--wamp=json"]).is_ok());
        for unfit in [
            &["loadgen", "rpc"][..],
            &["loadgen", "rpc", "--wamp=json", "--fan-out=2"],
            &["loadgen", "rpc", "--wamp=json", "--ack=client"],
            &["loadgen", "pubsub", "--wamp=json", "--ack=client"],
            &["loadgen", "queue", "--wamp=json"],
            &["loadgen", "receipts", "--wamp=json"],
        ] {
            assert!(checked(unfit).is_err(), "{unfit:?}");
        }
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        for wrong in [
            "--body=15",
            "--body=200000",
            "--window=0",
            "--messages=0",
            "--pairs=0",
            "--patience=0",
            "--login=a:b",
        ] {
            assert!(Flags::try_parse_from(["loadgen", "pubsub", wrong]).is_err(), "{wrong}");
        }
        assert!(
            Flags::try_parse_from(["loadgen", "receipts", "--cpu", "a=1", "--cpu=b=2"]).is_ok()
        );
    }
}
