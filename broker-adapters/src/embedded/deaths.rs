//! What a message says of the queues that have given it up: `x-death`.
//!
//! *Spec.* RabbitMQ's dead lettering: the newest death first, one entry for each queue and reason with
//! a count; `x-first-death-…` for the first; the message's own `expiration` is taken away and noted.

use std::time::{SystemTime, UNIX_EPOCH};

use protocols::broker::{Publication, Value};
use protocols::text::Text;

use super::arguments::DeadLetter;
use super::effects::Reason;

const DEATHS: &str = "x-death";

/// A death as `x-death` has it: its fields, of which the count comes first.
type Death = Vec<(Text, Value)>;

/// The message as it goes on to where its queue sends what it gives up.
pub(super) fn dead_lettered(
    publication: &Publication,
    queue: &Text,
    reason: Reason,
    to: &DeadLetter,
) -> Publication {
    let mut message = publication.message.clone();
    let expiration = message.properties.expiration.take();
    let headers = &mut message.properties.headers;
    let mut deaths = deaths(headers);
    let is_first = deaths.is_empty();
    let again = deaths.iter().position(|death| is_of(death, queue, reason));
    let newest = match again {
        Some(at) => counted_again(deaths.remove(at)),
        None => {
            let mut death = vec![
                (Text::from_static("count"), Value::Integer(1)),
                text("reason", reason.name()),
                (Text::from_static("queue"), Value::Text(queue.clone())),
                (Text::from_static("time"), Value::Timestamp(now())),
                (Text::from_static("exchange"), Value::Text(publication.exchange.clone())),
                (
                    Text::from_static("routing-keys"),
                    Value::Array(vec![Value::Text(publication.routing_key.clone())]),
                ),
            ];
            if let Some(expiration) = expiration {
                death.push((Text::from_static("original-expiration"), Value::Text(expiration)));
            }
            death
        }
    };
    deaths.insert(0, newest);
    if is_first {
        set(headers, "x-first-death-reason", Value::Text(Text::from_static(reason.name())));
        set(headers, "x-first-death-queue", Value::Text(queue.clone()));
        set(headers, "x-first-death-exchange", Value::Text(publication.exchange.clone()));
    }
    set(headers, DEATHS, Value::Array(deaths.into_iter().map(Value::Table).collect()));
    Publication {
        exchange: to.exchange.clone(),
        routing_key: to.routing_key.clone().unwrap_or_else(|| publication.routing_key.clone()),
        message,
    }
}

/// Whether the message would go round and round by itself: it has died in this queue before, and
/// nobody has rejected it since.
pub(super) fn is_cycle(message: &Publication, queue: &str) -> bool {
    let deaths = deaths(&message.message.properties.headers);
    let last_here = deaths.iter().position(|death| field(death, "queue") == Some(queue));
    let rejected = Some(Reason::Rejected.name());
    last_here.is_some_and(|at| deaths[..=at].iter().all(|death| field(death, "reason") != rejected))
}

/// Those that are written as the broker writes them; a publisher may have sent anything.
fn deaths(headers: &[(Text, Value)]) -> Vec<Death> {
    let Some((_, Value::Array(deaths))) = headers.iter().find(|(name, _)| *name == DEATHS) else {
        return Vec::new();
    };
    let tables = deaths.iter().filter_map(|death| match death {
        Value::Table(fields) => Some(fields.clone()),
        _ => None,
    });
    tables.collect()
}

fn is_of(death: &Death, queue: &str, reason: Reason) -> bool {
    field(death, "queue") == Some(queue) && field(death, "reason") == Some(reason.name())
}

fn counted_again(mut death: Death) -> Death {
    for (name, value) in &mut death {
        if let (true, Value::Integer(count)) = (*name == "count", value) {
            *count = count.saturating_add(1);
        }
    }
    death
}

fn field<'a>(death: &'a Death, name: &str) -> Option<&'a str> {
    death.iter().find(|(own, _)| *own == name).and_then(|(_, value)| match value {
        Value::Text(text) => Some(text.as_str()),
        _ => None,
    })
}

fn text(name: &'static str, value: &'static str) -> (Text, Value) {
    (Text::from_static(name), Value::Text(Text::from_static(value)))
}

/// In place of any of that name.
fn set(headers: &mut Vec<(Text, Value)>, name: &'static str, value: Value) {
    headers.retain(|(own, _)| *own != name);
    headers.push((Text::from_static(name), value));
}

/// Seconds since the epoch.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
