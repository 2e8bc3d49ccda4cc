//! Where log lines go: standard error, as text or JSON. Standard output is left to what the
//! operator asked for.

mod lines;

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{LevelFilter, ParseError};

use crate::config::{Log, LogFormat};
pub use lines::Flow;
use lines::Lines;

/// The targets of libraries that log whole messages, passcodes among them.
const TALKATIVE: [&str; 2] = ["lapin", "tungstenite"];

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `log.filter` does not parse.
    #[error("log.filter: {0}")]
    Filter(#[from] ParseError),
    /// `log.filter` holds a word that is no level: most likely a misspelt one, which would
    /// otherwise pass for the name of a target and silence all others.
    #[error("log.filter: {0:?} is no level; a target is written TARGET=LEVEL")]
    NoLevel(String),
    /// This process logs already.
    #[error("logging has been set up already in this process")]
    AlreadySet(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// There is no thread that could write.
    #[error("cannot start the thread that writes the log: {0}")]
    NoThread(#[source] io::Error),
}

/// Sends what passes the filter to standard error, from now on and for the whole process.
///
/// *Errors.* The filter does not parse, or the process has a `tracing` subscriber already.
pub fn init(log: &Log) -> Result<Flow, TelemetryError> {
    let filter = filter(&log.filter)?;
    let note = match log.format {
        LogFormat::Text => dropped_text,
        LogFormat::Json => dropped_json,
    };
    let (writer, flow) = Lines::to(io::stderr(), note).map_err(TelemetryError::NoThread)?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || writer.clone())
        .with_ansi(io::stderr().is_terminal());
    match log.format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    }
    .map_err(TelemetryError::AlreadySet)?;
    Ok(flow)
}

fn dropped_text(count: u64) -> String {
    format!("WARN {count} log lines dropped: standard error was not read")
}

fn dropped_json(count: u64) -> String {
    format!(
        r#"{{"level":"WARN","message":"log lines dropped: standard error was not read","count":{count}}}"#
    )
}

/// Parses a filter; every directive must be understood, and name a level.
pub(crate) fn filter(text: &str) -> Result<EnvFilter, TelemetryError> {
    let is_word = |part: &&str| !part.is_empty() && !part.contains(['=', '[', ']', '{', '}']);
    let words = text.split(',').map(str::trim).filter(is_word);
    for word in words {
        if word.parse::<LevelFilter>().is_err() {
            return Err(TelemetryError::NoLevel(word.to_owned()));
        }
    }
    Ok(EnvFilter::builder().parse(with_discretion(text))?)
}

/// The libraries below log whole messages, and lapin calls every refusal an error; what matters of it
/// the gateway says itself. Only a filter that names them turns them on.
fn with_discretion(text: &str) -> String {
    let unnamed = TALKATIVE.iter().filter(|target| !text.contains(**target));
    unnamed.fold(text.to_owned(), |text, target| format!("{text},{target}=off"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_targets_with_levels_are_understood() {
        for text in ["info", "WARN", "off", "warn,gateway=debug", "gateway[session]=trace, info"] {
            filter(text).unwrap();
        }
    }

    #[test]
    fn libraries_that_log_messages_are_silent_unless_they_are_named() {
        for (text, shown) in [
            ("trace", "lapin=off,tungstenite=off,trace"),
            ("warn,gateway=debug", "lapin=off,tungstenite=off,gateway=debug,warn"),
            ("info,lapin=warn", "lapin=warn,tungstenite=off,info"),
        ] {
            let filter = filter(text).unwrap().to_string();
            let mut shown: Vec<_> = shown.split(',').collect();
            let mut got: Vec<_> = filter.split(',').collect();
            shown.sort_unstable();
            got.sort_unstable();
            assert_eq!(got, shown);
        }
    }

    #[test]
    fn a_word_that_is_no_level_is_refused() {
        for text in ["inof", "warn,gateway", "gateway=loud"] {
            filter(text).unwrap_err();
        }
    }
}
