//! What this broker alone says when it refuses, and what the others say too: see
//! [`crate::refusals`].

use std::fmt::Display;

use protocols::broker::{BrokerError, Value};

use super::arguments::{bare, type_name};

pub(super) use crate::refusals::{
    MAX_NAME, empty_name, foreign_user_id, locked, name_too_long, no_inbox, subscription_exists,
};
use crate::refusals::{
    access_refused, not_found, not_implemented, precondition_failed, resource_error,
    resource_locked,
};

pub(super) fn no_queue(name: &str, vhost: &str) -> BrokerError {
    not_found(format!("no queue '{name}' in vhost '{vhost}'"))
}

pub(super) fn no_exchange(name: &str, vhost: &str) -> BrokerError {
    not_found(format!("no exchange '{name}' in vhost '{vhost}'"))
}

pub(super) fn queue_deleted(name: &str) -> BrokerError {
    not_found(format!("queue '{name}' was deleted"))
}

pub(super) fn not_offered(what: impl Display) -> BrokerError {
    not_implemented(format!("{what} is not offered by the embedded broker"))
}

pub(super) fn default_exchange() -> BrokerError {
    access_refused("operation not permitted on the default exchange")
}

pub(super) fn reserved_name(name: &str) -> BrokerError {
    access_refused(format!("queue name '{name}' contains reserved prefix 'amq.*'"))
}

pub(super) fn reserved_exchange(name: &str) -> BrokerError {
    access_refused(format!("exchange name '{name}' contains reserved prefix 'amq.*'"))
}

pub(super) fn inequivalent_exchange(
    arg: &str,
    exchange: &str,
    vhost: &str,
    received: impl Display,
    current: impl Display,
) -> BrokerError {
    precondition_failed(format!(
        "inequivalent arg '{arg}' for exchange '{exchange}' in vhost '{vhost}': \
         received '{received}' but current is '{current}'"
    ))
}

/// `received` and `current` are in quotes, or say that there is none.
pub(super) fn inequivalent(
    arg: &str,
    queue: &str,
    vhost: &str,
    received: &str,
    current: &str,
) -> BrokerError {
    precondition_failed(format!(
        "inequivalent arg '{arg}' for queue '{queue}' in vhost '{vhost}': \
         received {received} but current is {current}"
    ))
}

pub(super) fn invalid_argument(arg: &str, queue: &str, vhost: &str, why: &str) -> BrokerError {
    precondition_failed(format!(
        "invalid arg '{arg}' for queue '{queue}' in vhost '{vhost}': {why}"
    ))
}

/// An argument of the declaration or of a consumer that classic queues do not have.
pub(super) fn argument_of_other_type(arg: &str, queue: &str, vhost: &str) -> BrokerError {
    precondition_failed(format!(
        "invalid arg '{arg}' for queue '{queue}' in vhost '{vhost}' of queue type \
         rabbit_classic_queue"
    ))
}

pub(super) fn internal_exchange(name: &str, vhost: &str) -> BrokerError {
    access_refused(format!("cannot publish to internal exchange '{name}' in vhost '{vhost}'"))
}

pub(super) fn invalid_x_match(received: &str) -> BrokerError {
    precondition_failed(format!(
        "Invalid x-match field value <<\"{received}\">>; \
         expected all, any, all-with-x, or any-with-x"
    ))
}

pub(super) fn invalid_x_match_type(received: &Value) -> BrokerError {
    precondition_failed(format!(
        "Invalid x-match field type {} (value {}); expected longstr",
        type_name(received),
        bare(received)
    ))
}

pub(super) fn arguments_too_large(bytes: usize, max: usize) -> BrokerError {
    precondition_failed(format!("arguments take {bytes} bytes, more than {max}"))
}

pub(super) fn too_many_queues(name: &str, vhost: &str, current: usize, max: usize) -> BrokerError {
    resource_error(format!(
        "cannot declare queue '{name}' in vhost '{vhost}': there are {current} of {max} queues"
    ))
}

pub(super) fn too_many_exchanges(
    name: &str,
    vhost: &str,
    current: usize,
    max: usize,
) -> BrokerError {
    resource_error(format!(
        "cannot declare exchange '{name}' in vhost '{vhost}': \
         clients have declared {current} of {max} exchanges"
    ))
}

pub(super) fn too_many_private_queues(
    purpose: impl Display,
    vhost: &str,
    current: usize,
    max: usize,
) -> BrokerError {
    resource_error(format!(
        "cannot declare a private queue {purpose} in vhost '{vhost}': \
         there are {current} of {max} private queues"
    ))
}

pub(super) fn session_taken() -> BrokerError {
    resource_locked("another connection goes on with this session")
}

/// It also means the end of one of its subscriptions.
pub(super) fn session_ended() -> BrokerError {
    not_found("the resumable session, or this subscription of it, was ended")
}

/// Without the name: whoever knows it can have the session.
pub(super) fn session_exists() -> BrokerError {
    precondition_failed("there is a resumable session of this name already")
}

pub(super) fn session_held() -> BrokerError {
    precondition_failed("this connection has a resumable session already")
}

pub(super) fn no_session() -> BrokerError {
    precondition_failed("a lasting subscription needs a resumable session")
}

pub(super) fn lasting_queue() -> BrokerError {
    precondition_failed("only the queue behind a topic or an exchange can be lasting")
}

pub(super) fn too_slow(name: &str, vhost: &str, bytes: usize, max: usize) -> BrokerError {
    resource_error(format!(
        "queue '{name}' in vhost '{vhost}' held {bytes} bytes, more than {max}: \
         its subscription was too slow"
    ))
}
