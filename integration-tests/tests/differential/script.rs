//! Scripts: what is sent, and what is waited for.
//!
//! ```text
//! == the name of the script
//! differs: why it may come out differently
//! a SUBSCRIBE id:0 destination:/queue/q ack:client
//! a SEND destination:/queue/q | the body
//! a expect 1
//! a ACK id:$ack1
//! broker delete-queue q
//! ```
//!
//! A line begins with who acts: a connection, of any name, or `broker`. A connection that does not
//! begin with CONNECT or STOMP is logged in with STOMP 1.2 first. `raw` sends the rest of the line
//! as it is. In what is sent, `\s`, `\n` and `\0` are a blank, a line end and a NUL; `$vhost`, `$user`
//! and `$passcode` are the login; `$ack1`, `$id1` and `$reply1` are headers of the first MESSAGE of
//! the connection. `expect N` waits for the N-th MESSAGE, or the end of the connection; `sync` until all
//! before has been dealt with.

use std::path::Path;

/// One script.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    pub(crate) name: String,
    pub(crate) verdict: Verdict,
    pub(crate) steps: Vec<Step>,
}

/// How a script has to come out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Equal,
    /// Differently, on purpose: the rows of the table that say so.
    Differs(Vec<String>),
}

#[derive(Debug, Clone)]
pub(crate) enum Step {
    Send { by: String, verb: String, headers: Vec<(String, String)>, body: String },
    Raw { by: String, text: String },
    Expect { by: String, messages: usize },
    Sync { by: String },
    Broker { words: Vec<String> },
}

/// The scripts of every file, in the order of the files' names.
pub(crate) fn all() -> Vec<Script> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential/scripts");
    let files = std::fs::read_dir(&directory).unwrap();
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    let scripts: Vec<_> =
        files.iter().flat_map(|file| parse(&std::fs::read_to_string(file).unwrap())).collect();
    let mut names: Vec<_> = scripts.iter().map(|script| &script.name).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), scripts.len(), "two scripts have one name");
    scripts
}

fn parse(text: &str) -> Vec<Script> {
    let mut scripts: Vec<Script> = Vec::new();
    for line in text.lines().map(str::trim).filter(|it| !it.is_empty() && !it.starts_with('#')) {
        if let Some(name) = line.strip_prefix("== ") {
            let (name, verdict) = (name.to_owned(), Verdict::Equal);
            scripts.push(Script { name, verdict, steps: Vec::new() });
            continue;
        }
        let script = scripts.last_mut().expect("a line before the first script");
        if let Some(why) = line.strip_prefix("differs: ") {
            script.verdict = Verdict::Differs(why.split("; ").map(str::to_owned).collect());
        } else {
            script.steps.push(step(line));
        }
    }
    scripts
}

fn step(line: &str) -> Step {
    let (by, rest) = line.split_once(' ').unwrap_or_else(|| panic!("nothing to do: {line}"));
    let by = by.to_owned();
    let (head, body) = rest.split_once(" | ").unwrap_or((rest, ""));
    let mut words = head.split(' ');
    let verb = words.next().unwrap_or_default();
    match verb {
        _ if by == "broker" => Step::Broker { words: head.split(' ').map(str::to_owned).collect() },
        "raw" => Step::Raw { by, text: rest["raw ".len()..].to_owned() },
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
