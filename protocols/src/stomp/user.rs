//! Destinations of users, as Spring's relay has them: what is sent to `/user/<name>/queue/<x>` reaches
//! every subscription of that user to `/user/queue/<x>`, on whatever node.
//!
//! | | is |
//! |---|---|
//! | SUBSCRIBE `/user/queue/<x>` | the topic `gw.user.<user>.<x>`, see [`crate::broker::user`] |
//! | SEND `/user/<name>/queue/<x>` | the same of that user, if the route allows it to this client |
//!
//! Nobody subscribes to another's: keys that begin so are refused in every other destination, and what
//! other patterns fit is not delivered. Nobody makes one up: a queue has no such key for what it gives up.

use crate::broker::{Address, QueueOptions, Value, user};
use crate::stomp::destination::{self, Escapes};
use crate::text::Text;
use crate::violation::{Violation, shown};

pub(super) use crate::broker::user::is_private;

const USER: &str = "/user/";

const SUBSCRIBE_HINT: &str = "subscribe to /user/queue/<name>, and write %2F for a slash in a name";

const SEND_HINT: &str = "send to /user/<user>/queue/<name>, and write %2F for a slash in a name";

/// The topic of a SUBSCRIBE to what is for this user; `None` for another destination.
///
/// *Errors.* It begins like one, and is none.
pub(super) fn of_subscribe(
    destination: &str,
    own: &str,
    escapes: Escapes,
) -> Result<Option<Text>, Violation> {
    let Some(rest) = destination.strip_prefix(USER) else {
        return Ok(None);
    };
    let name = rest.strip_prefix("queue/").unwrap_or_default();
    let name = destination::part(destination, name, SUBSCRIBE_HINT, escapes)?;
    key(destination, own, &name, SUBSCRIBE_HINT).map(Some)
}

/// The topic of a SEND to what is for a user; `None` for another destination.
///
/// *Errors.* It begins like one, and is none.
pub(super) fn of_send(destination: &str, escapes: Escapes) -> Result<Option<Text>, Violation> {
    let Some(rest) = destination.strip_prefix(USER) else {
        return Ok(None);
    };
    let (whose, rest) = rest.split_once('/').unwrap_or((rest, ""));
    let name = rest.strip_prefix("queue/").unwrap_or_default();
    let name = destination::part(destination, name, SEND_HINT, escapes)?;
    let whose = destination::part(destination, whose, SEND_HINT, escapes)?;
    key(destination, &whose, &name, SEND_HINT).map(Some)
}

/// *Errors.* The destination means what is for one user, and is not written so.
pub(super) fn check_subscribe(destination: &str, from: &Address) -> Result<(), Violation> {
    let (Address::Topic(key) | Address::Exchange { key, .. }) = from else {
        return Ok(());
    };
    if !is_private(key) {
        return Ok(());
    }
    let why = "it is for one user alone; a client subscribes to its own by /user/queue/<name>";
    Err(Violation::DestinationRefused { got: shown(destination), why })
}

/// *Errors.* The destination is a user's, and this client may not send there.
pub(super) fn check_send(
    destination: &str,
    to: &Address,
    is_allowed: bool,
) -> Result<(), Violation> {
    // The name of a queue is a key as well: what the queue gives up takes it along.
    let (Address::Topic(key)
    | Address::Exchange { key, .. }
    | Address::Queue(key)
    | Address::ExistingQueue(key)
    | Address::Private(key)) = to;
    if is_allowed || !is_private(key) {
        return Ok(());
    }
    Err(only_senders(destination))
}

/// *Errors.* What this queue gives up would be sent to a user, and this client may not send there.
pub(super) fn check_dead_letters(
    destination: &str,
    address: &Address,
    queue: &QueueOptions,
    is_allowed: bool,
) -> Result<(), Violation> {
    let argument = |name: &str| queue.arguments.iter().find(|(known, _)| *known == *name);
    let is_named_so = match address {
        Address::Queue(name) => is_private(name),
        _ => queue.name.as_deref().is_some_and(is_private),
    };
    let is_forged = match argument("x-dead-letter-routing-key") {
        Some((_, Value::Text(key))) => is_private(key),
        _ => is_named_so && argument("x-dead-letter-exchange").is_some(),
    };
    if is_allowed || !is_forged {
        return Ok(());
    }
    Err(only_senders(destination))
}

fn only_senders(destination: &str) -> Violation {
    let why = "only the logins in send_to_users of the route may send to users";
    Violation::DestinationRefused { got: shown(destination), why }
}

fn key(destination: &str, whose: &str, name: &str, hint: &'static str) -> Result<Text, Violation> {
    let key = user::key(whose, name);
    if key.len() > destination::LONGEST_NAME {
        return Err(Violation::InvalidDestination { got: shown(destination), kind: "user", hint });
    }
    Ok(key)
}
