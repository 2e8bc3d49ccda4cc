//! Scripts: what is sent, and what is waited for.
//!
//! ```text
//! == the name of the script
//! differs: why it comes out differently
//! differs over WebSocket: why it does so there
//! ends: ERROR, closed
//! a SUBSCRIBE id:0 destination:/queue/q ack:client
//! a SEND destination:/queue/q | the body
//! a expect 1
//! a ACK id:$ack1
//! broker delete-queue q
//! ```
//!
//! A line begins with who acts: a connection, of any name, or `broker`. A connection that does not
//! begin with CONNECT, STOMP or `raw` is logged in with STOMP 1.2 first. `raw` sends the rest of the
//! line as it is, over WebSocket as one message; `binary` makes that a binary message. `offers` opens
//! a WebSocket with these words for `Sec-WebSocket-Protocol`. `expect N` waits for the N-th MESSAGE,
//! `expect ERROR` for an ERROR, or the end of the connection; `sync` until all before has been dealt with.
//!
//! In what is sent, `\s`, `\t`, `\r`, `\n` and `\0` are a blank, a tabulator, line ends and a NUL,
//! `\xHH` is any byte and `{N}` is N times an `x`; `$vhost`, `$user` and `$passcode` are the login;
//! `$ack1`, `$id1` and `$reply1` are headers of the first MESSAGE of the connection.
//!
//! `ends:` names what the plugin does that is easily brought about by a script that is wrong: see
//! [`Bad`]. What a script does not name there must not happen.

use std::collections::BTreeSet;
use std::path::Path;

/// One script.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    pub(crate) name: String,
    pub(crate) verdict: Verdict,
    /// The same over WebSocket, if it is another there.
    pub(crate) verdict_over_ws: Option<Verdict>,
    /// What happens of [`Bad`].
    pub(crate) ends: BTreeSet<Bad>,
    /// Whether it needs a WebSocket.
    pub(crate) over_ws: bool,
    pub(crate) steps: Vec<Step>,
}

/// How a script has to come out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Equal,
    /// Differently, on purpose: the rows of the table that say so.
    Differs(Vec<String>),
}

impl Script {
    /// Whether its virtual host can be cleared afterwards, so that the next script finds nothing:
    /// not if rights were taken, nor after exclusive queues, the end of which may still be under way,
    /// or streams, the consumers of which are listed for long.
    pub(crate) fn can_be_cleared(&self) -> bool {
        let leaves_more = |step: &Step| match step {
            Step::Broker { words } => {
                matches!(words[0].as_str(), "permit" | "exclude" | "allow-connections")
            }
            Step::Send { headers, .. } => headers.iter().any(|(name, _)| {
                matches!(name.as_str(), "exclusive" | "durable" | "persistent" | "x-queue-type")
            }),
            _ => false,
        };
        !self.steps.iter().any(leaves_more)
    }
}

/// What lets two sides look alike though nothing of what the script is about was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Bad {
    /// An ERROR came.
    Error,
    /// A connection was ended that had not sent DISCONNECT.
    Closed,
    /// Something was waited for that did not come.
    Silence,
}

#[derive(Debug, Clone)]
pub(crate) enum Step {
    Send { by: String, verb: String, headers: Vec<(String, String)>, body: String },
    Raw { by: String, text: String, binary: bool },
    Offers { by: String, names: String },
    Expect { by: String, messages: usize },
    ExpectError { by: String },
    Sync { by: String },
    Broker { words: Vec<String> },
}

/// The scripts of every file, in the order of the files' names.
pub(crate) fn all() -> Vec<Script> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential/scripts");
    let files = std::fs::read_dir(&directory).unwrap();
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    let scripts: Vec<_> = files
        .iter()
        .flat_map(|file| {
            let over_ws = file.to_string_lossy().contains("websocket");
            parse(&std::fs::read_to_string(file).unwrap(), over_ws)
        })
        .collect();
    let mut names: Vec<_> = scripts.iter().map(|script| &script.name).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), scripts.len(), "two scripts have one name");
    scripts
}

fn parse(text: &str, over_ws: bool) -> Vec<Script> {
    let mut scripts: Vec<Script> = Vec::new();
    for line in text.lines().map(str::trim).filter(|it| !it.is_empty() && !it.starts_with('#')) {
        if let Some(name) = line.strip_prefix("== ") {
            let (name, verdict) = (name.to_owned(), Verdict::Equal);
            let (ends, steps, verdict_over_ws) = (BTreeSet::new(), Vec::new(), None);
            scripts.push(Script { name, verdict, verdict_over_ws, ends, over_ws, steps });
            continue;
        }
        let script = scripts.last_mut().expect("a line before the first script");
        if let Some(why) = line.strip_prefix("differs: ") {
            script.verdict = differs(why);
        } else if let Some(why) = line.strip_prefix("differs over WebSocket: ") {
            script.verdict_over_ws = Some(differs(why));
        } else if let Some(ends) = line.strip_prefix("ends: ") {
            script.ends = ends.split(", ").map(bad).collect();
        } else {
            script.steps.push(step(line));
        }
    }
    scripts
}

fn differs(why: &str) -> Verdict {
    Verdict::Differs(why.split("; ").map(str::to_owned).collect())
}

fn bad(word: &str) -> Bad {
    match word {
        "ERROR" => Bad::Error,
        "closed" => Bad::Closed,
        "silence" => Bad::Silence,
        other => panic!("ends: {other}"),
    }
}

fn step(line: &str) -> Step {
    let (by, rest) = line.split_once(' ').unwrap_or_else(|| panic!("nothing to do: {line}"));
    let by = by.to_owned();
    let (head, body) = rest.split_once(" | ").unwrap_or((rest, ""));
    let mut words = head.split(' ');
    let verb = words.next().unwrap_or_default();
    match verb {
        _ if by == "broker" => Step::Broker { words: head.split(' ').map(str::to_owned).collect() },
        "raw" | "binary" => {
            let text = rest[verb.len() + 1..].to_owned();
            Step::Raw { by, text, binary: verb == "binary" }
        }
        "offers" => Step::Offers { by, names: rest[verb.len()..].trim().to_owned() },
        "expect" if head.ends_with("ERROR") => Step::ExpectError { by },
        "expect" => Step::Expect { by, messages: words.next().unwrap().parse().unwrap() },
        "sync" => Step::Sync { by },
        _ => {
            let header = |word: &str| {
                let (name, value) = word.split_once(':').unwrap_or_else(|| panic!("{line}"));
                (name.to_owned(), value.to_owned())
            };
            let headers = words.map(header).collect();
            Step::Send { by, verb: verb.to_owned(), headers, body: body.to_owned() }
        }
    }
}
