//! Every sentence an operator may be told about the configuration.
//!
//! A sentence is one line: where the value was written, what was expected and what came. Secrets
//! never get as far as here.

use std::fmt;
use std::io;

use figment::error::Actual;

use super::location::{KeyPath, Location};
use super::values::URLS;

/// Longest text that is repeated to the operator in full, in characters.
const SHOWN_TEXT: usize = 80;

/// Every problem found in one go, at least one.
#[derive(Debug)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    pub(super) fn unless_empty(errors: Vec<ConfigError>) -> Result<(), Self> {
        if errors.is_empty() { Ok(()) } else { Err(Self(errors)) }
    }

    /// *Order.* There is at least one.
    pub(super) fn of(errors: Vec<ConfigError>) -> Self {
        Self(errors)
    }

    /// The problems, in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.0.iter()
    }
}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self(vec![error])
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            let line_break = if index == 0 { "" } else { "\n" };
            write!(f, "{line_break}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// One problem and where it is.
#[derive(Debug, thiserror::Error)]
#[error("{location}{problem}")]
pub struct ConfigError {
    location: Location,
    problem: Box<Problem>,
}

impl ConfigError {
    pub(super) fn new(location: Location, problem: Problem) -> Self {
        Self { location, problem: Box::new(problem) }
    }

    /// What is wrong.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// Where it was written.
    pub fn location(&self) -> &Location {
        &self.location
    }
}

/// What can be wrong with a configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(#[source] io::Error),
    /// The file is not TOML.
    #[error("not valid TOML: {0}")]
    Syntax(String),
    /// A variable's value, or the whole file, is not text.
    #[error("expected UTF-8 text")]
    NotUtf8,
    /// A variable that looks as if its levels were separated by one underscore.
    #[error(
        "expected two underscores between section, name and key, as in GATEWAY_LISTENER__WEB__BIND"
    )]
    SingleUnderscore,
    /// A variable whose section is set off by more than one underscore.
    #[error("expected one underscore before the section, as in GATEWAY_LISTENER__WEB__BIND")]
    ExtraUnderscore,
    /// A `--set` that is not an assignment.
    #[error("expected SECTION.NAME.KEY=VALUE")]
    NoAssignment,
    /// A top-level table that does not exist.
    #[error("unknown section; {0}")]
    UnknownSection(Suggestion),
    /// A key that does not exist.
    #[error("unknown key; {0}")]
    UnknownKey(Suggestion),
    /// A key without a default that is not there.
    #[error("missing; this key has no default")]
    Missing,
    /// A value of another type or shape.
    #[error("expected {expected}, got {got}")]
    Mismatch {
        /// What the key takes.
        expected: String,
        /// What came; never the value of a secret.
        got: String,
    },
    /// A value that cannot be used, for a reason of its own; never the value itself.
    #[error("{0}")]
    Unusable(String),
    /// A bound that is broken, often one set by another key.
    #[error("expected {relation} {bound}, got {got}")]
    OutOfBounds {
        /// `at least`, `at most`, `more than`.
        relation: &'static str,
        /// The bound, with the name of the key that sets it, if one does.
        bound: String,
        /// What came.
        got: String,
    },
    /// A list with the same entry twice.
    #[error("{0:?} is listed twice")]
    Repeated(String),
    /// A name that refers to nothing.
    #[error("there is no {what} named {name:?}; {suggestion}")]
    UnknownName {
        /// What is referred to, such as `listener`.
        what: String,
        /// The name.
        name: String,
        /// The names there are.
        suggestion: Suggestion,
    },
    /// A gateway that would do nothing.
    #[error("expected at least one table [{0}.NAME]")]
    NoTable(&'static str),
    /// A listener that would answer 404 to everybody.
    #[error("no route names this listener; add a route with listener = {0:?} or remove it")]
    UnusedListener(String),
    /// Two sockets that cannot be bound both.
    #[error("{address} is taken by {by}")]
    AddressTaken {
        /// The address.
        address: String,
        /// The key that has it.
        by: KeyPath,
    },
    /// Two routes one request would match.
    #[error("listener {listener:?} serves path {path:?} for {by} already")]
    PathTaken {
        /// The listener.
        listener: String,
        /// The path.
        path: String,
        /// The other route.
        by: KeyPath,
    },
    /// Half of a login.
    #[error("works only together with {0}, which is not set")]
    Incomplete(&'static str),
    /// A default login that its broker would refuse.
    #[error("user {user:?} of broker {broker:?} has another passcode")]
    OtherPasscode {
        /// The user.
        user: String,
        /// The broker.
        broker: String,
    },
    /// A default login that may not enter the default virtual host.
    #[error("user {user:?} of broker {broker:?} may not use virtual host {vhost:?}")]
    NoAccess {
        /// The user.
        user: String,
        /// The broker.
        broker: String,
        /// The virtual host.
        vhost: String,
    },
}

impl Problem {
    pub(super) fn mismatch(expected: impl Into<String>, got: impl Into<String>) -> Self {
        Self::Mismatch { expected: expected.into(), got: got.into() }
    }

    pub(super) fn at_least(bound: impl fmt::Display, got: impl fmt::Display) -> Self {
        let (bound, got) = (bound.to_string(), got.to_string());
        Self::OutOfBounds { relation: "at least", bound, got }
    }

    pub(super) fn at_most(bound: impl fmt::Display, got: impl fmt::Display) -> Self {
        let (bound, got) = (bound.to_string(), got.to_string());
        Self::OutOfBounds { relation: "at most", bound, got }
    }

    pub(super) fn more_than(bound: impl fmt::Display, got: impl fmt::Display) -> Self {
        let (bound, got) = (bound.to_string(), got.to_string());
        Self::OutOfBounds { relation: "more than", bound, got }
    }

    /// A mismatch in the words of serde, put into the operator's.
    pub(super) fn wrong_type(expected: &str, actual: &Actual) -> Self {
        let expected = in_plain_words(expected);
        // What stands in the place of a table may be the secret it should hold, and a URL may hold
        // a login.
        let got = match actual {
            Actual::Str(_) if expected == TABLE || expected == URLS => "text".to_owned(),
            actual => shown(actual),
        };
        Self::mismatch(expected, got)
    }
}

/// A way out of a name that does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Suggestion {
    /// The one that was probably meant.
    Nearest(String),
    /// All there are, because none is near.
    Known(Vec<String>),
}

impl Suggestion {
    pub(super) fn for_name<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Self {
        let mut known: Vec<&str> = known.collect();
        known.sort_unstable();
        let nearest = known
            .iter()
            .map(|candidate| {
                (strsim::damerau_levenshtein(&name.to_lowercase(), candidate), *candidate)
            })
            .min()
            .filter(|(distance, candidate)| *distance <= (candidate.chars().count() / 3).max(1));
        match nearest {
            Some((_, candidate)) => Self::Nearest(candidate.to_owned()),
            None => Self::Known(known.into_iter().map(str::to_owned).collect()),
        }
    }
}

impl fmt::Display for Suggestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nearest(name) => write!(f, "did you mean {name:?}?"),
            Self::Known(names) if names.is_empty() => f.write_str("there are none"),
            Self::Known(names) => write!(f, "known: {}", names.join(", ")),
        }
    }
}

/// What a key that is a table expects.
pub(super) const TABLE: &str = "a table";

fn in_plain_words(expected: &str) -> &str {
    match expected {
        "usize" => "a whole number",
        "u16" => "a whole number up to 65535",
        "a boolean" => "true or false",
        "a string" => "text in quotes",
        "a sequence" => "a list such as [\"a\", \"b\"]",
        "a map" => TABLE,
        of_a_section if of_a_section.starts_with("struct ") => TABLE,
        own => own,
    }
}

/// A value as it is repeated to the operator.
pub(super) fn shown(actual: &Actual) -> String {
    match actual {
        Actual::Str(text) => quoted(text),
        Actual::Bool(value) => value.to_string(),
        Actual::Unsigned(number) => number.to_string(),
        Actual::Signed(number) => number.to_string(),
        Actual::Float(number) => number.to_string(),
        Actual::Seq => "a list".to_owned(),
        Actual::Map => TABLE.to_owned(),
        other => other.to_string(),
    }
}

/// A text as it is repeated to the operator: in quotes, on one line, not too long.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(SHOWN_TEXT) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}
