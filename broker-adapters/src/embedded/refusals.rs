//! What this broker alone says when it refuses, and what the others say too: see
//! [`crate::refusals`].

use std::fmt::Display;

use protocols::broker::BrokerError;

pub(super) use crate::refusals::{
    MAX_NAME, empty_name, foreign_user_id, locked, name_too_long, subscription_exists,
};
use crate::refusals::{
    access_refused, not_found, not_implemented, precondition_failed, resource_error,
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

pub(super) fn too_many_words(what: &str, words: usize, max: usize) -> BrokerError {
    precondition_failed(format!("a {what} of {words} words has more than {max}"))
}

pub(super) fn too_many_hashes(hashes: usize, max: usize) -> BrokerError {
    precondition_failed(format!("a topic pattern with {hashes} '#' has more than {max}"))
}

pub(super) fn too_many_queues(name: &str, vhost: &str, current: usize, max: usize) -> BrokerError {
    resource_error(format!(
        "cannot declare queue '{name}' in vhost '{vhost}': there are {current} of {max} queues"
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

pub(super) fn too_slow(name: &str, vhost: &str, bytes: usize, max: usize) -> BrokerError {
    resource_error(format!(
        "queue '{name}' in vhost '{vhost}' held {bytes} bytes, more than {max}: \
         its subscription was too slow"
    ))
}
