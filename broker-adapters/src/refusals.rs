//! What every adapter says when it refuses: RabbitMQ's words where it has some, for clients and
//! people know them.

use std::fmt::Display;

use protocols::broker::{BrokerError, BrokerErrorKind};

/// AMQP 0-9-1 short strings, which names and keys are: bytes.
pub(crate) const MAX_NAME: usize = 255;

pub(crate) fn locked(name: &str, vhost: &str) -> BrokerError {
    resource_locked(format!(
        "cannot obtain exclusive access to locked queue '{name}' in vhost '{vhost}'"
    ))
}

pub(crate) fn foreign_user_id(received: &str, user: &str) -> BrokerError {
    precondition_failed(format!(
        "user_id property set to '{received}' but authenticated user was '{user}'"
    ))
}

pub(crate) fn name_too_long(bytes: usize) -> BrokerError {
    precondition_failed(format!("a name or routing key of {bytes} bytes is longer than {MAX_NAME}"))
}

pub(crate) fn empty_name() -> BrokerError {
    precondition_failed("a queue needs a name")
}

pub(crate) fn subscription_exists(id: u64) -> BrokerError {
    precondition_failed(format!("subscription {id} exists already"))
}

pub(crate) fn no_inbox(id: u64) -> BrokerError {
    not_found(format!("there is no inbox {id}"))
}

pub(crate) fn not_lasting() -> BrokerError {
    precondition_failed("only a subscription to a topic or an exchange can be resumed")
}

pub(crate) fn no_session() -> BrokerError {
    precondition_failed("there is no session that could be resumed")
}

pub(crate) fn session_exists() -> BrokerError {
    precondition_failed("there is a session that can be resumed already")
}

pub(crate) fn session_taken_over() -> BrokerError {
    resource_locked("another connection goes on with this session")
}

pub(crate) fn text_too_long(what: &str, bytes: usize) -> BrokerError {
    precondition_failed(format!("{what} has {bytes} bytes, more than {MAX_NAME}"))
}

pub(crate) fn bad_expiration(received: &str, max: u64) -> BrokerError {
    precondition_failed(format!(
        "invalid expiration '{received}': a number of milliseconds from 0 to {max} is needed"
    ))
}

pub(crate) fn no_array(header: &str) -> BrokerError {
    precondition_failed(format!("header '{header}' is not an array of routing keys"))
}

pub(crate) fn not_finite() -> BrokerError {
    precondition_failed("a header is an infinite number, or none")
}

pub(crate) fn properties_too_large(bytes: usize, max: usize) -> BrokerError {
    precondition_failed(format!(
        "properties and headers take a frame of {bytes} bytes, more than {max}"
    ))
}

/// What RabbitMQ calls the queue of its direct reply-to, and begins the names with that stand for it.
pub(crate) const DIRECT_REPLY_TO: &str = "amq.rabbitmq.reply-to";

/// Direct reply-to belongs to the channel of who asks, and channels are not the client's. RabbitMQ
/// closes a channel for a question without one, and a whole connection for an answer to a name that
/// it did not make itself.
///
/// *Errors.* The name of a queue, or a routing key to one, that means direct reply-to.
pub(crate) fn check_reply_name(name: &str) -> Result<(), BrokerError> {
    if name.starts_with(DIRECT_REPLY_TO) { Err(direct_reply_to()) } else { Ok(()) }
}

pub(crate) fn direct_reply_to() -> BrokerError {
    precondition_failed(format!("direct reply-to ('{DIRECT_REPLY_TO}') is not offered"))
}

pub(crate) fn too_many_words(what: &str, words: usize, max: usize) -> BrokerError {
    precondition_failed(format!("a {what} of {words} words has more than {max}"))
}

pub(crate) fn too_many_hashes(hashes: usize, max: usize) -> BrokerError {
    precondition_failed(format!("a topic pattern with {hashes} '#' has more than {max}"))
}

pub(crate) fn not_found(text: impl Display) -> BrokerError {
    refusal(BrokerErrorKind::NotFound, "NOT_FOUND", text)
}

pub(crate) fn access_refused(text: impl Display) -> BrokerError {
    refusal(BrokerErrorKind::AccessRefused, "ACCESS_REFUSED", text)
}

pub(crate) fn resource_locked(text: impl Display) -> BrokerError {
    refusal(BrokerErrorKind::ResourceLocked, "RESOURCE_LOCKED", text)
}

pub(crate) fn precondition_failed(text: impl Display) -> BrokerError {
    refusal(BrokerErrorKind::PreconditionFailed, "PRECONDITION_FAILED", text)
}

pub(crate) fn not_implemented(text: impl Display) -> BrokerError {
    refusal(BrokerErrorKind::PreconditionFailed, "NOT_IMPLEMENTED", text)
}

pub(crate) fn resource_error(text: impl Display) -> BrokerError {
    refusal(BrokerErrorKind::ResourceError, "RESOURCE_ERROR", text)
}

fn refusal(kind: BrokerErrorKind, code: &str, text: impl Display) -> BrokerError {
    BrokerError::new(kind, format!("{code} - {text}"))
}
