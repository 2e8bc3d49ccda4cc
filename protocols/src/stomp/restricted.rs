//! What is for some sessions of WAMP only is no destination: clients of STOMP neither read it nor send it,
//! whatever their login may do at the broker. It may be the gateway's own.
//!
//! Nor does a queue of theirs send there what it gives up.

use crate::broker::{QueueOptions, Value, restricted};
use crate::violation::{Violation, shown};

const WHY: &str = "the exchange wamp.restricted is the gateways' own: what is there is for some sessions \
     of WAMP only";

/// *Errors.* The exchange that the destination names is the gateways' own.
pub(super) fn check_exchange(destination: &str, exchange: &str) -> Result<(), Violation> {
    if exchange != restricted::EXCHANGE {
        return Ok(());
    }
    Err(Violation::DestinationRefused { got: shown(destination), why: WHY })
}

/// *Errors.* What this queue gives up would be sent there.
pub(super) fn check_dead_letters(destination: &str, queue: &QueueOptions) -> Result<(), Violation> {
    let mut arguments = queue.arguments.iter();
    match arguments.find(|(name, _)| name == "x-dead-letter-exchange") {
        Some((_, Value::Text(exchange))) => check_exchange(destination, exchange),
        _ => Ok(()),
    }
}
