//! The `expiration` of a message: AMQP 0-9-1 basic property, in RabbitMQ's terms (TTL per message).

use std::time::Duration;

use protocols::broker::BrokerError;

use crate::refusals;

/// Milliseconds: ten years, beyond which RabbitMQ refuses a time to live.
pub(crate) const MAX_TTL: u64 = 315_360_000_000;

/// How long a message with this property may wait.
///
/// *Errors.* It is not the decimal text of a number of milliseconds that a broker takes.
pub(crate) fn parse(text: &str) -> Result<Duration, BrokerError> {
    // Decimal digits, perhaps behind a plus, as RabbitMQ takes them.
    let number = text.parse().ok().filter(|number| *number <= MAX_TTL);
    number.map(Duration::from_millis).ok_or_else(|| refusals::bad_expiration(text, MAX_TTL))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_number_of_milliseconds() {
        for (text, expected) in [("0", 0), ("0100", 100), ("+1", 1), ("315360000000", MAX_TTL)] {
            assert_eq!(parse(text), Ok(Duration::from_millis(expected)));
        }
        for text in ["", " 1", "-1", "1.5", "1s", "315360000001", "99999999999999999999999"] {
            let error = parse(text).unwrap_err();
            assert!(error.text.contains(&format!("'{text}'")), "{error}");
        }
    }
}
