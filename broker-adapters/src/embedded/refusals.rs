//! What the broker says when it refuses: RabbitMQ's words where it has some, for clients and
//! people know them.

use std::fmt::Display;

use protocols::broker::{BrokerError, BrokerErrorKind};

/// AMQP 0-9-1 short strings, which names and keys are: bytes.
pub(super) const MAX_NAME: usize = 255;

pub(super) fn no_queue(name: &str, vhost: &str) -> BrokerError {
    not_found(format!("no queue '{name}' in vhost '{vhost}'"))
}

pub(super) fn no_exchange(name: &str, vhost: &str) -> BrokerError {
    not_found(format!("no exchange '{name}' in vhost '{vhost}'"))
}

pub(super) fn default_exchange() -> BrokerError {
    access_refused("operation not permitted on the default exchange")
}

pub(super) fn reserved_name(name: &str) -> BrokerError {
    access_refused(format!("queue name '{name}' contains reserved prefix 'amq.*'"))
}

pub(super) fn locked(name: &str, vhost: &str) -> BrokerError {
    resource_locked(format!(
        "cannot obtain exclusive access to locked queue '{name}' in vhost '{vhost}'"
    ))
}

pub(super) fn inequivalent(
    arg: &str,
    name: &str,
    vhost: &str,
    received: bool,
    current: bool,
) -> BrokerError {
    precondition_failed(format!(
        "inequivalent arg '{arg}' for queue '{name}' in vhost '{vhost}': \
         received '{received}' but current is '{current}'"
    ))
}

pub(super) fn foreign_user_id(received: &str, user: &str) -> BrokerError {
    precondition_failed(format!(
        "user_id property set to '{received}' but authenticated user was '{user}'"
    ))
}

pub(super) fn name_too_long(bytes: usize) -> BrokerError {
    precondition_failed(format!("a name or routing key of {bytes} bytes is longer than {MAX_NAME}"))
}

pub(super) fn too_many_words(what: &str, words: usize, max: usize) -> BrokerError {
    precondition_failed(format!("a {what} of {words} words has more than {max}"))
}

pub(super) fn too_many_hashes(hashes: usize, max: usize) -> BrokerError {
    precondition_failed(format!("a topic pattern with {hashes} '#' has more than {max}"))
}

pub(super) fn empty_name() -> BrokerError {
    precondition_failed("a queue needs a name")
}

pub(super) fn subscription_exists(id: u64) -> BrokerError {
    precondition_failed(format!("subscription {id} exists already"))
}

pub(super) fn too_many_queues(name: &str, vhost: &str, current: usize, max: usize) -> BrokerError {
    resource_error(format!(
        "cannot declare queue '{name}' in vhost '{vhost}': there are {current} of {max} queues"
    ))
}

pub(super) fn too_many_private_queues(
    (exchange, key): (&str, &str),
    vhost: &str,
    current: usize,
    max: usize,
) -> BrokerError {
    resource_error(format!(
        "cannot declare a private queue for '{key}' at exchange '{exchange}' in vhost '{vhost}': \
         there are {current} of {max} private queues"
    ))
}

pub(super) fn too_slow(name: &str, vhost: &str, bytes: usize, max: usize) -> BrokerError {
    resource_error(format!(
        "queue '{name}' in vhost '{vhost}' held {bytes} bytes, more than {max}: \
         its subscription was too slow"
    ))
}

fn not_found(text: impl Display) -> BrokerError {
    refusal(BrokerErrorKind::NotFound, "NOT_FOUND", text)
}

fn access_refused(text: impl Display) -> BrokerError {
    refusal(BrokerErrorKind::AccessRefused, "ACCESS_REFUSED", text)
}

fn resource_locked(text: impl Display) -> BrokerError {
    refusal(BrokerErrorKind::ResourceLocked, "RESOURCE_LOCKED", text)
}

fn precondition_failed(text: impl Display) -> BrokerError {
    refusal(BrokerErrorKind::PreconditionFailed, "PRECONDITION_FAILED", text)
}

fn resource_error(text: impl Display) -> BrokerError {
    refusal(BrokerErrorKind::ResourceError, "RESOURCE_ERROR", text)
}

fn refusal(kind: BrokerErrorKind, code: &str, text: impl Display) -> BrokerError {
    BrokerError::new(kind, format!("{code} - {text}"))
}
