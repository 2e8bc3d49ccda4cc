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

pub(crate) fn properties_too_large(bytes: usize, max: usize) -> BrokerError {
    precondition_failed(format!(
        "properties and headers take a frame of {bytes} bytes, more than {max}"
    ))
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

pub(crate) fn resource_error(text: impl Display) -> BrokerError {
    refusal(BrokerErrorKind::ResourceError, "RESOURCE_ERROR", text)
}

fn refusal(kind: BrokerErrorKind, code: &str, text: impl Display) -> BrokerError {
    BrokerError::new(kind, format!("{code} - {text}"))
}
