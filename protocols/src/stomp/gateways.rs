//! What is the gateways' own is no destination, whatever the client's login may do at the broker: it may be
//! the gateway's own.
//!
//! | what | why |
//! |---|---|
//! | the exchange [`restricted::EXCHANGE`] | clients of STOMP neither read nor send what is for some sessions of WAMP only, nor does a queue of theirs send there what it gives up |
//! | the exchange [`procedure::INTERRUPT_EXCHANGE`] | gateways tell each other by it what is canceled |
//! | to read from the exchange of [procedures](procedure) | calls are for whoever offers the procedure, and for nobody beside it |
//! | to read from, or declare, queues of procedures, and of answers to gateways | whoever has one offers the procedure; answers are for the gateway |

use crate::broker::{Address, QueueOptions, Value, procedure, restricted};
use crate::violation::{Violation, shown};

const RESTRICTED: &str = "the exchange wamp.restricted is the gateways' own: what is there is for some sessions \
     of WAMP only";

const INTERRUPTS: &str =
    "the exchange wamp.interrupt is the gateways' own: they tell each other by it what is canceled";

const PROCEDURES: &str =
    "what is there is the gateways' own; procedures are offered at /rpc/<uri>, and called there";

fn refused(destination: &str, why: &'static str) -> Result<(), Violation> {
    Err(Violation::DestinationRefused { got: shown(destination), why })
}

/// *Errors.* The exchange that the destination names is the gateways' own.
pub(super) fn check_exchange(destination: &str, exchange: &str) -> Result<(), Violation> {
    match exchange {
        restricted::EXCHANGE => refused(destination, RESTRICTED),
        procedure::INTERRUPT_EXCHANGE => refused(destination, INTERRUPTS),
        _ => Ok(()),
    }
}

/// *Errors.* What this queue gives up would be sent there.
pub(super) fn check_dead_letters(destination: &str, queue: &QueueOptions) -> Result<(), Violation> {
    let mut arguments = queue.arguments.iter();
    match arguments.find(|(name, _)| name == "x-dead-letter-exchange") {
        Some((_, Value::Text(exchange))) => check_exchange(destination, exchange),
        _ => Ok(()),
    }
}

/// *Errors.* Calls would come from there, beside whoever offers the procedure, or in its place.
pub(super) fn check_subscribe(
    destination: &str,
    from: &Address,
    queue: &QueueOptions,
) -> Result<(), Violation> {
    let names_queue = match from {
        Address::Exchange { name, .. } if name == procedure::EXCHANGE => {
            return refused(destination, PROCEDURES);
        }
        Address::Queue(name) | Address::ExistingQueue(name) => Some(name),
        _ => queue.name.as_ref(),
    };
    check_queue(destination, names_queue.map(|name| &**name))
}

/// *Errors.* It would declare the queue of a procedure, which nobody could offer then.
pub(super) fn check_send(destination: &str, to: &Address) -> Result<(), Violation> {
    match to {
        Address::Queue(name) => check_queue(destination, Some(name)),
        _ => Ok(()),
    }
}

fn check_queue(destination: &str, name: Option<&str>) -> Result<(), Violation> {
    if name.is_some_and(procedure::is_queue) { refused(destination, PROCEDURES) } else { Ok(()) }
}
