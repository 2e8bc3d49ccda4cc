//! Logging in to RabbitMQ: what it is told, and what its refusals mean.

use std::hash::{Hash, Hasher};

use lapin::ErrorKind;
use lapin::auth::AuthProvider;
use lapin::types::{LongString, ShortString};
use protocols::auth::{Credentials, Denial, DenialKind};
use protocols::broker::{BrokerError, BrokerErrorKind};
use protocols::text::Text;

/// Bytes of the longest name that fits into an AMQP short string.
const MAX_NAME: usize = 255;

/// Bytes of the longest login and passcode together: they travel in one frame, before the two sides
/// have agreed on frames of more than 8 KiB.
const MAX_CREDENTIALS: usize = 7 << 10;

/// Bytes of login and passcode together that every RabbitMQ reads: before 4.0 it took frames of
/// 4 KiB at this point, and hung up without a word on more.
const SAFE_CREDENTIALS: usize = 3 << 10;

/// Who logs in, and where to. Comparing passcodes takes the same time wherever they differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) vhost: Text,
    pub(super) credentials: Credentials,
}

impl Login {
    /// *Errors.* A login that cannot be written in AMQP, so that RabbitMQ need not be asked.
    pub(super) fn new(vhost: Text, credentials: Credentials) -> Result<Self, Denial> {
        let Credentials { login, passcode } = &credentials;
        // SASL PLAIN separates the two by NUL.
        if login.contains('\0') || passcode.expose().contains('\0') {
            return Err(bad_credentials(login));
        }
        if login.len() + passcode.expose().len() > MAX_CREDENTIALS {
            return Err(bad_credentials(login));
        }
        if vhost.len() > MAX_NAME {
            return Err(vhost_refused(&vhost));
        }
        let login = login.detached();
        Ok(Self { vhost: vhost.detached(), credentials: Credentials { login, ..credentials } })
    }

    /// Whether some versions of RabbitMQ keep a connection that sends this for seconds, and then
    /// hang up.
    pub(super) fn is_large(&self) -> bool {
        self.credentials_size() > SAFE_CREDENTIALS
    }

    fn credentials_size(&self) -> usize {
        self.credentials.login.len() + self.credentials.passcode.expose().len()
    }

    /// What an error of an attempt to open a connection means.
    pub(super) fn failure(&self, error: &lapin::Error) -> Failure {
        let ErrorKind::ProtocolError(refusal) = error.kind() else {
            return self.unanswered(error);
        };
        let text = refusal.get_message().as_str();
        match refusal.get_id() {
            403 => Failure::Refused(bad_credentials(&self.credentials.login)),
            // "… connection limit (1) is reached". Names are quoted or stand before other words, so
            // none can end a sentence like this.
            530 if text.contains("node connection limit") => Failure::Unable(unavailable(text)),
            530 if text.ends_with("is reached") => Failure::Full(unavailable(text)),
            530 => Failure::Refused(vhost_refused(&self.vhost)),
            _ => Failure::Unable(unavailable(text)),
        }
    }

    /// A connection that ended without AMQP's reasons. Whoever sends too much must not be able to
    /// make it look as if RabbitMQ were away.
    fn unanswered(&self, error: &lapin::Error) -> Failure {
        if !self.is_large() {
            return Failure::Away(error.to_string());
        }
        let bytes = self.credentials_size();
        Failure::Unable(unavailable(format!(
            "the broker hung up: a login and passcode of {bytes} bytes may be more than it takes"
        )))
    }
}

/// Why a connection was not opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// RabbitMQ lets this login in nowhere.
    Refused(Denial),
    /// The login is right, but a limit for connections is reached.
    Full(Denial),
    /// This node cannot; another one may.
    Unable(Denial),
    /// It was not reached, or fell silent, or spoke something else. Says why, for the operator.
    Away(String),
}

impl From<Failure> for Denial {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(denial) | Failure::Full(denial) | Failure::Unable(denial) => denial,
            // Where RabbitMQ is, and why it does not answer, is not for clients.
            Failure::Away(_) => unavailable("the broker cannot be reached now"),
        }
    }
}

impl Hash for Login {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Credentials { login, passcode } = &self.credentials;
        (&self.vhost, login, passcode.expose()).hash(state);
    }
}

/// Logs in with SASL PLAIN (RFC 4616). The passcode is never part of a URI, which would be logged.
impl AuthProvider for Login {
    fn mechanism(&self) -> ShortString {
        "PLAIN".into()
    }

    fn auth_starter(&self) -> Result<LongString, String> {
        let Credentials { login, passcode } = &self.credentials;
        Ok(format!("\0{login}\0{}", passcode.expose()).into())
    }
}

/// In the words of RabbitMQ's STOMP plugin.
fn bad_credentials(login: &str) -> Denial {
    let text = Text::from(format!("Access refused for user '{login}'"));
    Denial { kind: DenialKind::BadCredentials, text }
}

fn vhost_refused(vhost: &str) -> Denial {
    let text = Text::from(format!("Virtual host '{vhost}' access denied"));
    Denial { kind: DenialKind::VhostRefused, text }
}

pub(super) fn unavailable(text: impl Into<Text>) -> Denial {
    Denial { kind: DenialKind::Unavailable, text: text.into() }
}

/// What a refused login means to a link that was let in before.
pub(super) fn as_broker_error(denial: Denial) -> BrokerError {
    let kind = match denial.kind {
        DenialKind::Unavailable => BrokerErrorKind::Unavailable,
        DenialKind::BadCredentials | DenialKind::NotLoopback | DenialKind::VhostRefused => {
            BrokerErrorKind::AccessRefused
        }
    };
    BrokerError::new(kind, denial.text)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use lapin::protocol::AMQPError;
    use protocols::auth::Secret;

    use super::*;

    fn credentials(login: &'static str, passcode: &str) -> Credentials {
        Credentials { login: Text::from_static(login), passcode: Secret::new(passcode) }
    }

    fn said(id: u16, text: &str) -> lapin::Error {
        let error = AMQPError::from_id(id, text.into()).expect("a code of AMQP");
        ErrorKind::ProtocolError(error).into()
    }

    #[test]
    fn what_rabbitmq_refuses_is_told_by_its_code_and_not_by_names() {
        let login = Login::new("east".into(), credentials("ann", "x")).expect("plain names");
        for (id, text, expected) in [
            (403, "ACCESS_REFUSED - Login was refused", bad_credentials("ann")),
            (530, "NOT_ALLOWED - vhost east not found", vhost_refused("east")),
            (530, "NOT_ALLOWED - vhost limit (1) is reached not found", vhost_refused("east")),
            (530, "NOT_ALLOWED - access refused for user 'it is reached'", vhost_refused("east")),
        ] {
            assert_eq!(login.failure(&said(id, text)), Failure::Refused(expected), "{text}");
        }
        let text = "NOT_ALLOWED - Connection refused for user 'ann': user connection limit (1) is \
                    reached";
        assert_eq!(login.failure(&said(530, text)), Failure::Full(unavailable(text)));
        let text = "INTERNAL_ERROR - access to vhost 'east' refused: vhost 'east' is down";
        assert_eq!(login.failure(&said(541, text)), Failure::Unable(unavailable(text)));
        let text = "NOT_ALLOWED - connection refused: node connection limit (9) is reached";
        assert_eq!(login.failure(&said(530, text)), Failure::Unable(unavailable(text)));
        let silent = ErrorKind::MissingHeartbeatError.into();
        assert!(matches!(login.failure(&silent), Failure::Away(_)));
    }

    #[test]
    fn who_sends_too_much_does_not_make_rabbitmq_look_away() {
        let hung_up = ErrorKind::IOError(Arc::new(io::ErrorKind::ConnectionReset.into())).into();
        for (bytes, is_away) in [(SAFE_CREDENTIALS, true), (SAFE_CREDENTIALS + 1, false)] {
            let passcode = "x".repeat(bytes - "ann".len());
            let login =
                Login::new("/".into(), credentials("ann", &passcode)).expect("read by some");
            let failure = login.failure(&hung_up);
            assert_eq!(matches!(failure, Failure::Away(_)), is_away, "{failure:?}");
        }
        let passcode = "x".repeat(MAX_CREDENTIALS);
        let denial = Login::new("/".into(), credentials("ann", &passcode)).expect_err("too long");
        assert_eq!(denial, bad_credentials("ann"));
    }

    #[test]
    fn what_amqp_cannot_say_is_refused_without_asking() {
        let vhost = Text::from("v".repeat(256));
        let denial = Login::new(vhost.clone(), credentials("ann", "x")).expect_err("too long");
        assert_eq!(denial, vhost_refused(&vhost));
        for (login, passcode) in [("ann\0x", ""), ("ann", "x\0"), ("\0", "x")] {
            let denial = Login::new("/".into(), credentials(login, passcode)).expect_err("a NUL");
            assert_eq!(denial, bad_credentials(login));
        }
        assert!(Login::new("v".repeat(255).into(), credentials("ann", "x")).is_ok());
    }

    #[test]
    fn a_passcode_does_not_show() {
        let login = Login::new("/".into(), credentials("ann", "hunter2")).expect("plain names");
        assert!(!format!("{login:?}").contains("hunter2"));
        let starter = login.auth_starter().expect("a login");
        assert_eq!(starter.as_bytes(), b"\0ann\0hunter2");
    }
}
