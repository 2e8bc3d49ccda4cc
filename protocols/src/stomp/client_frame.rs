//! A frame of the client's, as the session reads it: with the violations it names, and the blanks
//! of STOMP 1.0 taken off.

use bytes::Bytes;

use crate::stomp::Version;
use crate::stomp::frame::{Frame, Verb};
use crate::text::Text;
use crate::violation::{Violation, shown};

/// The longest name that a client may give to a subscription, a transaction or a receipt, in bytes:
/// what is kept for a client is small, whatever its headers may hold. AMQP 0-9-1 bounds its names
/// alike (short strings).
const LONGEST_NAME: usize = 255;

/// A frame and the version it is read by.
///
/// *Spec.* 1.1 and 1.2 keep every blank of a header; 1.0 says nothing, and clients of that time
/// write `name: value`. There, blanks before a value are dropped.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClientFrame<'a> {
    frame: &'a Frame,
    version: Version,
}

impl<'a> ClientFrame<'a> {
    /// Reads `frame` by `version`.
    pub(super) const fn new(frame: &'a Frame, version: Version) -> Self {
        Self { frame, version }
    }

    /// Its verb.
    pub(super) const fn verb(&self) -> Verb {
        self.frame.verb
    }

    /// The version it is read by.
    pub(super) const fn version(&self) -> Version {
        self.version
    }

    /// Its body.
    pub(super) const fn body(&self) -> &'a Bytes {
        &self.frame.body
    }

    /// All headers in their order, repeated ones included.
    pub(super) fn headers(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let version = self.version;
        self.frame.headers.iter().map(move |(name, value)| (name, without_blanks(version, value)))
    }

    /// The value of the first header of this name.
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        self.frame.headers.get(name).map(|value| without_blanks(self.version, value))
    }

    /// As [`get`](Self::get). *Errors.* [`Violation::MissingHeader`].
    pub(super) fn require(&self, header: &'static str) -> Result<&'a str, Violation> {
        let verb = self.frame.verb.as_str();
        self.get(header).ok_or(Violation::MissingHeader { verb, header })
    }

    /// The receipt it asks for, kept apart from the input. *Errors.* As [`name`](Self::name).
    pub(super) fn receipt(&self) -> Result<Option<Text>, Violation> {
        let receipt = self.get("receipt").map(|value| self.name("receipt", value));
        Ok(receipt.transpose()?.map(Text::from))
    }

    /// A name that the client gives to something and the session keeps, to send it back.
    ///
    /// *Errors.* [`Violation::BadHeader`] if it is longer than [`LONGEST_NAME`], or the client could
    /// not get it back: see [`returnable`](Self::returnable).
    pub(super) fn name(&self, header: &'static str, value: &'a str) -> Result<&'a str, Violation> {
        if value.len() > LONGEST_NAME {
            return Err(self.bad(header, "a name of at most 255 bytes", value));
        }
        self.returnable(header, value)
    }

    /// A value that is sent back to the client.
    ///
    /// *Errors.* [`Violation::BadHeader`] if it holds a byte that this version cannot bring back: one
    /// that encoding replaces, or that some readers lose.
    pub(super) fn returnable(
        &self,
        header: &'static str,
        value: &'a str,
    ) -> Result<&'a str, Violation> {
        let (lost, expected): (&[char], _) = match self.version {
            Version::V10 => (&['\0', '\r', '\n'], "free of NUL and line ends"),
            Version::V11 => (&['\0', '\r'], "free of NUL and carriage return"),
            Version::V12 => (&['\0'], "free of NUL"),
        };
        if value.contains(lost) {
            return Err(self.bad(header, expected, value));
        }
        Ok(value)
    }

    /// A part of its headers, sharing their buffer.
    pub(super) fn share(&self, part: &str) -> Text {
        self.frame.headers.share(part)
    }

    /// *Errors.* [`Violation::BodyNotAllowed`] if there is a body (1.1 and 1.2 §Body; 1.0 forbids
    /// none, and it is ignored). Line ends are none: some clients send a blank line too many.
    pub(super) fn check_no_body(&self) -> Result<(), Violation> {
        let is_blank = self.frame.body.iter().all(|byte| matches!(byte, b'\n' | b'\r'));
        if is_blank || self.version == Version::V10 {
            return Ok(());
        }
        Err(Violation::BodyNotAllowed { verb: self.frame.verb.as_str() })
    }

    /// What the first header of this name says; `None` if it says neither `true` nor `false`, which
    /// counts as absent, as with RabbitMQ.
    pub(super) fn flag(&self, header: &str) -> Option<bool> {
        self.get(header).and_then(flag)
    }

    /// The number that `value` is, blanks around it left aside. *Errors.* [`Violation::BadHeader`].
    pub(super) fn number<N: std::str::FromStr>(
        &self,
        header: &'static str,
        expected: &'static str,
        value: &str,
    ) -> Result<N, Violation> {
        value.trim().parse().map_err(|_| self.bad(header, expected, value))
    }

    /// A header whose value cannot be used.
    pub(super) fn bad(
        &self,
        header: &'static str,
        expected: &'static str,
        value: &str,
    ) -> Violation {
        let verb = self.frame.verb.as_str();
        Violation::BadHeader { verb, header, expected, got: shown(value) }
    }

    /// A header that only the server sets.
    pub(super) const fn forbidden(&self, header: &'static str) -> Violation {
        Violation::ForbiddenHeader { verb: self.frame.verb.as_str(), header }
    }
}

/// As [`ClientFrame::flag`], of a header that was looked up.
pub(super) fn flag(value: &str) -> Option<bool> {
    match value {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

fn without_blanks(version: Version, value: &str) -> &str {
    match version {
        Version::V10 => value.trim_start_matches(' '),
        Version::V11 | Version::V12 => value,
    }
}
