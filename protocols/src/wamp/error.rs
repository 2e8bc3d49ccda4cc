//! [`MessageError`]: what is wrong with a message, in a sentence for the peer that sent it.
//!
//! *Spec.* WAMP §Protocol Errors: each is answered by ABORT with `wamp.error.protocol_violation`.

use std::fmt;

use super::message::MessageType;
use super::serializer::{Scalar, Serializer, Syntax};
use crate::violation::shown;

/// Bytes that are not a WAMP message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// The bytes are not one value of the serializer.
    #[error("{}", syntax.sentence(*serializer, *at))]
    Malformed {
        /// What the session speaks.
        serializer: Serializer,
        /// Bytes before the fault.
        at: usize,
        /// The fault.
        syntax: Syntax,
    },
    /// The value is no list.
    #[error("a message is a list, not {got}")]
    NotAList {
        /// What came.
        got: String,
    },
    /// The list has no elements.
    #[error("a message begins with the number of its type, but this list is empty")]
    Empty,
    /// The first element does not say a type that WAMP has.
    #[error("a message begins with the number of its type, not with {got}")]
    UnknownType {
        /// What came.
        got: String,
    },
    /// The list ends before all elements that the message must have.
    #[error("{message} ends before its element {field}")]
    Missing {
        /// The message.
        message: MessageType,
        /// The first element that is missing.
        field: &'static str,
    },
    /// The list goes on after all elements that the message may have.
    #[error("{message} has at most {most} elements, but {got} came")]
    TooLong {
        /// The message.
        message: MessageType,
        /// Allowed elements.
        most: usize,
        /// Elements that came.
        got: usize,
    },
    /// An element, or an option, is something else than it must be.
    #[error("{message}.{field} must be {expected}, not {got}")]
    Unfit {
        /// The message.
        message: MessageType,
        /// The element or option.
        field: Field,
        /// What it must be.
        expected: &'static str,
        /// What came, cut to what can be shown.
        got: String,
    },
}

/// An element of a message, or what an element that is a dictionary says under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// The element, named as in the specification.
    pub element: &'static str,
    /// The key.
    pub key: Option<&'static str>,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.element)?;
        self.key.map_or(Ok(()), |key| write!(f, ".{key}"))
    }
}

/// A value in words, cut to what can be shown.
pub(super) fn describe(scalar: &Scalar<'_>) -> String {
    match scalar {
        Scalar::Null => "null".to_owned(),
        Scalar::Bool(value) => value.to_string(),
        Scalar::Unsigned(value) => format!("the number {value}"),
        Scalar::Negative(value) => format!("the number {}", -1 - i128::from(*value)),
        Scalar::Number(value) => format!("the number {value:?}"),
        Scalar::Text(text) if text.starts_with('\0') => "a text that starts with NUL".to_owned(),
        Scalar::Text(text) => format!("the text {:?}", shown(text)),
        Scalar::Binary => "binary data".to_owned(),
        Scalar::List => "a list".to_owned(),
        Scalar::Dict => "a dictionary".to_owned(),
        Scalar::Foreign(what) => (*what).to_owned(),
    }
}
