//! What lapin reports, as the port says it.

use lapin::ErrorKind;
use lapin::protocol::AMQPError;
use protocols::broker::{BrokerError, BrokerErrorKind};

/// What to report for an error of lapin's: RabbitMQ's own text where RabbitMQ said something.
///
/// *Errors that close a connection* hit everybody on it, whoever made them.
pub(super) fn broker_error(error: &lapin::Error) -> BrokerError {
    match error.kind() {
        ErrorKind::ProtocolError(error) => {
            BrokerError::new(kind_of(error), error.get_message().as_str())
        }
        ErrorKind::ChannelsLimitReached => BrokerError::new(
            BrokerErrorKind::ResourceError,
            "no more channels fit on the connection to the broker",
        ),
        ErrorKind::SerialisationError(error) => BrokerError::new(
            BrokerErrorKind::ResourceError,
            format!("the message cannot be written as AMQP frames: {error}"),
        ),
        _ => BrokerError::new(
            BrokerErrorKind::Unavailable,
            format!("the connection to the broker was lost: {error}"),
        ),
    }
}

/// AMQP 0-9-1 §1.1 (constants), and RabbitMQ's use of them.
fn kind_of(error: &AMQPError) -> BrokerErrorKind {
    match error.get_id() {
        404 | 402 => BrokerErrorKind::NotFound,
        403 | 530 => BrokerErrorKind::AccessRefused,
        405 => BrokerErrorKind::ResourceLocked,
        406 | 502 | 503 | 540 => BrokerErrorKind::PreconditionFailed,
        311 | 506 => BrokerErrorKind::ResourceError,
        _ => BrokerErrorKind::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn said(id: u16, text: &str) -> lapin::Error {
        let error = AMQPError::from_id(id, text.into()).expect("a code of AMQP");
        ErrorKind::ProtocolError(error).into()
    }

    #[test]
    fn rabbitmq_speaks_for_itself() {
        for (id, kind) in [
            (311, BrokerErrorKind::ResourceError),
            (320, BrokerErrorKind::Unavailable),
            (403, BrokerErrorKind::AccessRefused),
            (404, BrokerErrorKind::NotFound),
            (405, BrokerErrorKind::ResourceLocked),
            (406, BrokerErrorKind::PreconditionFailed),
            (501, BrokerErrorKind::Unavailable),
            (503, BrokerErrorKind::PreconditionFailed),
            (506, BrokerErrorKind::ResourceError),
            (530, BrokerErrorKind::AccessRefused),
            (541, BrokerErrorKind::Unavailable),
        ] {
            let error = broker_error(&said(id, "NOT_FOUND - no queue 'q' in vhost '/'"));
            let expected = BrokerError::new(kind, "NOT_FOUND - no queue 'q' in vhost '/'");
            assert_eq!(error, expected, "{id}");
        }
    }

    #[test]
    fn what_breaks_below_amqp_is_worth_another_try() {
        for error in [
            lapin::Error::from(io::Error::from(io::ErrorKind::ConnectionReset)),
            ErrorKind::MissingHeartbeatError.into(),
            ErrorKind::InvalidConnectionState(lapin::ConnectionState::Closed).into(),
            ErrorKind::InvalidChannelState(lapin::ChannelState::Closed, "why").into(),
        ] {
            assert_eq!(broker_error(&error).kind, BrokerErrorKind::Unavailable, "{error}");
        }
        let full = broker_error(&ErrorKind::ChannelsLimitReached.into());
        assert_eq!(full.kind, BrokerErrorKind::ResourceError);
    }
}
