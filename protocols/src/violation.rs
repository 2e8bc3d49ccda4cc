//! Everything a peer can do wrong, and THE table of how each is answered on the wire.
//!
//! A [`Violation`] says what was expected and what came; a limit says both numbers. Its `Display`
//! is the sentence for the peer (the body of a STOMP ERROR); [`Violation::report`] is the table:
//! the short `message`, the close code, the label for logs and metrics. The short messages are
//! those of RabbitMQ's STOMP plugin where it has one, for clients that match on them. The table of
//! WAMP's URIs is in `violation/wamp.rs`.

mod refused;
mod shown;
mod wamp;

use crate::session::CloseCode;
use shown::visible;
pub use shown::{SHOWN_LENGTH, shown};

/// The peer's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    // --- the transport ---
    /// RFC 6455 was broken; the text says which rule.
    #[error("WebSocket protocol error: {0}")]
    WebSocket(String),
    /// WAMP §RawSocket Transport was broken; the text says which rule.
    #[error("RawSocket protocol error: {0}")]
    RawSocket(String),
    /// What the peer would have to get is longer than it takes.
    #[error("this client takes messages of {limit} bytes, and the next one for it has {got}")]
    PeerTakesLess {
        /// Bytes that the peer takes.
        limit: usize,
        /// Bytes of the message.
        got: usize,
    },
    /// RFC 6455 §8.1.
    #[error("a text message must be UTF-8 (RFC 6455 section 8.1); send other data as binary")]
    TextNotUtf8,
    /// A message of the transport declares more than one may have.
    #[error("a message may have {limit} bytes, this one has at least {got}")]
    MessageTooLarge {
        /// Allowed bytes.
        limit: usize,
        /// Declared or received bytes.
        got: usize,
    },
    /// More input before the login than is allowed, over all messages.
    #[error(
        "a client may send {limit} bytes before it has logged in, this one sends at least {got}"
    )]
    TooMuchBeforeLogin {
        /// Allowed bytes.
        limit: usize,
        /// Declared or received bytes.
        got: usize,
    },
    /// As many connections are open as may be.
    #[error("all {limit} connections that may be open here are in use; try again later")]
    TooManyConnections {
        /// Allowed connections.
        limit: usize,
    },
    /// The peer answered neither data nor probes.
    #[error("nothing was heard for {millis} ms, not even an answer to a ping")]
    Silent {
        /// How long.
        millis: u64,
    },

    /// The peer answers no question about what it has received.
    #[error(
        "a WebSocket ping was not answered for {millis} ms (RFC 6455 §5.5.3): it cannot be known what \
         has been received; acknowledge messages instead (ack:client)"
    )]
    Unanswered {
        /// How long.
        millis: u64,
    },

    // --- the framing ---
    /// A frame longer than allowed, by its `content-length` or by what has come of it.
    #[error("a frame may have {limit} bytes, this one has at least {got}")]
    FrameTooLarge {
        /// Allowed bytes.
        limit: usize,
        /// Declared or received bytes.
        got: usize,
    },
    /// The first line is too long to be a command.
    #[error(
        "a frame must start with a command of at most {limit} bytes; this line has at least {got}"
    )]
    VerbTooLong {
        /// Allowed bytes.
        limit: usize,
        /// Received bytes.
        got: usize,
    },
    /// The first line is no STOMP command.
    #[error(
        "could not interpret command {got:?}; expected one of CONNECT, STOMP, SEND, SUBSCRIBE, \
             UNSUBSCRIBE, ACK, NACK, BEGIN, COMMIT, ABORT, DISCONNECT"
    )]
    UnknownVerb {
        /// What came, cut to what can be shown.
        got: String,
    },
    /// More header lines than allowed.
    #[error("a frame may have {limit} headers, this one has more")]
    TooManyHeaders {
        /// Allowed lines.
        limit: usize,
    },
    /// A header line longer than allowed.
    #[error("a header line may have {limit} bytes, this one has at least {got}")]
    HeaderTooLong {
        /// Allowed bytes.
        limit: usize,
        /// Received bytes.
        got: usize,
    },
    /// A header line without a colon.
    #[error("a header line must be name:value, this one has no colon: {got:?}")]
    HeaderWithoutColon {
        /// What came, cut to what can be shown.
        got: String,
    },
    /// An escape that the version in force does not know.
    #[error("undefined escape sequence {} in a header; {allowed} are defined", visible(.got))]
    BadEscape {
        /// What came, cut to what can be shown.
        got: String,
        /// What would be right.
        allowed: &'static str,
    },
    /// Command or headers are not UTF-8.
    #[error("command and headers must be UTF-8; they are not from byte {at} of the frame on")]
    HeadNotUtf8 {
        /// Offset in the frame.
        at: usize,
    },
    /// `content-length` is no number.
    #[error("content-length must be a number of bytes, got {got:?}")]
    BadContentLength {
        /// What came, cut to what can be shown.
        got: String,
    },
    /// No NUL where `content-length` says the body ends.
    #[error(
        "the body must end with a NUL byte after the {content_length} bytes that content-length says"
    )]
    MissingNul {
        /// The header's value.
        content_length: usize,
    },

    // --- the session ---
    /// A frame other than CONNECT or STOMP before the login.
    #[error("you must log in using CONNECT first; got {verb}")]
    NotConnected {
        /// What came.
        verb: &'static str,
    },
    /// A second CONNECT.
    #[error("already connected; {verb} may be sent once")]
    AlreadyConnected {
        /// What came.
        verb: &'static str,
    },
    /// A frame that only a server sends.
    #[error("{verb} is sent by servers only")]
    ServerVerb {
        /// What came.
        verb: &'static str,
    },
    /// A frame that the negotiated version does not have.
    #[error("{verb} does not exist in STOMP {version}")]
    VerbNotInVersion {
        /// What came.
        verb: &'static str,
        /// The version in force.
        version: &'static str,
    },
    /// Bytes that are no message of the protocol; the text says what is wrong with them.
    #[error("{0}")]
    BadMessage(String),
    /// A message that must travel as text came as binary, or the other way round.
    #[error("messages in {format} are {expected} WebSocket messages; this one is the other kind")]
    WrongKind {
        /// What the session speaks.
        format: &'static str,
        /// The right kind.
        expected: &'static str,
    },
    /// A message that must not come now, or never from a client.
    #[error("{message} must not come {phase}; {expected}")]
    UnexpectedMessage {
        /// What came.
        message: &'static str,
        /// When it came.
        phase: &'static str,
        /// What would be right.
        expected: &'static str,
    },
    /// A request or an answer whose number is none that may come; the text names it.
    #[error("{0}")]
    OutOfSequence(String),
    /// A client that is nothing.
    #[error(
        "HELLO.Details.roles must announce publisher, subscriber, caller or callee, or several"
    )]
    NoRoles,
    /// No version in common.
    #[error("supported versions are 1.0,1.1,1.2; the client accepts {got:?}")]
    VersionMismatch {
        /// The client's `accept-version`, cut to what can be shown.
        got: String,
    },
    /// No login in time.
    #[error("a client must log in within {millis} ms of connecting")]
    LoginTimeout {
        /// The configured time.
        millis: u64,
    },
    /// No heart-beat in time.
    #[error(
        "nothing was received for {millis} ms, although a heart-beat every {agreed} ms was agreed"
    )]
    HeartbeatMissed {
        /// How long nothing came.
        millis: u64,
        /// The agreed interval.
        agreed: u64,
    },
    /// A header that the frame must have.
    #[error("{verb:?} must include the header {header:?}")]
    MissingHeader {
        /// The frame.
        verb: &'static str,
        /// The header, or those of which one is enough.
        header: &'static str,
    },
    /// A header whose value cannot be used.
    #[error("header {header:?} of {verb:?} must be {expected}; got {got:?}")]
    BadHeader {
        /// The frame.
        verb: &'static str,
        /// The header.
        header: &'static str,
        /// What would be right.
        expected: &'static str,
        /// What came, cut to what can be shown.
        got: String,
    },
    /// A header that only the server sets.
    #[error("{header:?} is not allowed on {verb:?}")]
    ForbiddenHeader {
        /// The frame.
        verb: &'static str,
        /// The header.
        header: &'static str,
    },
    /// A body on a frame that has none.
    #[error("{verb} must not have a body (STOMP 1.1 and 1.2); only SEND may")]
    BodyNotAllowed {
        /// The frame.
        verb: &'static str,
    },
    /// A destination with an unknown prefix.
    #[error("{got:?} is not a valid destination. Valid destination types are: {valid}")]
    UnknownDestination {
        /// What came, cut to what can be shown.
        got: String,
        /// The known prefixes.
        valid: &'static str,
    },
    /// A destination that this client may not use so.
    #[error("access to {got:?} is refused: {why}")]
    DestinationRefused {
        /// What came, cut to what can be shown.
        got: String,
        /// Why, and what would be right.
        why: &'static str,
    },
    /// A destination with a known prefix and an unusable remainder.
    #[error("{got:?} is not a valid {kind} destination; {hint}")]
    InvalidDestination {
        /// What came, cut to what can be shown.
        got: String,
        /// Its prefix's name.
        kind: &'static str,
        /// What would be right.
        hint: &'static str,
    },
    /// A subscription id that is in use.
    #[error("a subscription identified by {id:?} already exists")]
    SubscriptionInUse {
        /// The id, cut to what can be shown.
        id: String,
    },
    /// An offer of a procedure that the same client offers already.
    #[error("{got:?} is registered already, by another subscription of this connection")]
    ProcedureInUse {
        /// What came, cut to what can be shown.
        got: String,
    },
    /// UNSUBSCRIBE of a subscription that is not there.
    #[error("there is no subscription {id:?}")]
    UnknownSubscription {
        /// The id or destination, cut to what can be shown.
        id: String,
    },
    /// More subscriptions than allowed.
    #[error(
        "a client may hold {limit} subscriptions at a time; this one holds {active} active ones and \
         {given_up} given up, which count until their messages are acknowledged"
    )]
    TooManySubscriptions {
        /// Allowed number.
        limit: usize,
        /// Those that get messages.
        active: usize,
        /// Those that were given up, and are not over: their messages wait for an acknowledgement,
        /// or the broker has not stopped them yet.
        given_up: usize,
    },
    /// ACK or NACK of a message that is not outstanding.
    #[error("{verb} of message {id:?}, which is not waiting for an acknowledgement")]
    UnknownAck {
        /// The frame.
        verb: &'static str,
        /// The id, cut to what can be shown.
        id: String,
    },
    /// BEGIN of a transaction that is open.
    #[error("transaction {id:?} is already open")]
    TransactionInUse {
        /// The id, cut to what can be shown.
        id: String,
    },
    /// A transaction that was never begun, or has ended.
    #[error("there is no open transaction {id:?}")]
    UnknownTransaction {
        /// The id, cut to what can be shown.
        id: String,
    },
    /// COMMIT of a transaction of which a frame was refused, and the client told.
    #[error("a frame of transaction {id:?} was refused, so all of it is undone")]
    TransactionBroken {
        /// The id, cut to what can be shown.
        id: String,
    },
    /// More open transactions than allowed.
    #[error("a client may have {limit} transactions open at a time")]
    TooManyTransactions {
        /// Allowed number.
        limit: usize,
    },
    /// More frames in one transaction than allowed.
    #[error("a transaction may hold {limit} frames")]
    TransactionTooLong {
        /// Allowed number.
        limit: usize,
    },
    /// More bytes in all open transactions than allowed.
    #[error("open transactions may hold {limit} bytes in all, these would hold {got}")]
    TransactionTooLarge {
        /// Allowed bytes.
        limit: usize,
        /// Bytes with this frame.
        got: usize,
    },
    /// More receipts waiting for the broker than allowed.
    #[error("a client may have {limit} receipts outstanding at a time")]
    TooManyReceipts {
        /// Allowed number.
        limit: usize,
    },
}

/// How a fault is answered, logged and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// The `message` header of the ERROR frame.
    pub message: &'static str,
    /// The WebSocket close code that follows.
    pub code: CloseCode,
    /// For logs and metrics: lower case, one of a fixed set.
    pub label: &'static str,
}

const fn report(message: &'static str, code: CloseCode, label: &'static str) -> Report {
    Report { message, code, label }
}

impl Violation {
    /// The row of the table for this violation.
    pub fn report(&self) -> Report {
        use CloseCode::{Invalid, Policy, Protocol, TooBig, TryAgainLater};
        match self {
            Self::WebSocket(_) => report("WebSocket error", Protocol, "websocket"),
            Self::RawSocket(_) => report("RawSocket error", Protocol, "rawsocket"),
            Self::PeerTakesLess { .. } => report("Message too large", TooBig, "peer_takes_less"),
            Self::TextNotUtf8 => report("Invalid UTF-8", Invalid, "text_not_utf8"),
            Self::MessageTooLarge { .. } => {
                report("Message too large", TooBig, "message_too_large")
            }
            Self::TooMuchBeforeLogin { .. } => {
                report("Frame too large", TooBig, "too_much_before_login")
            }
            Self::TooManyConnections { .. } => {
                report("Connection limit reached", TryAgainLater, "too_many_connections")
            }
            Self::Silent { .. } => report("Connection timeout", Policy, "silent"),
            Self::Unanswered { .. } => report("Connection timeout", Policy, "unanswered"),
            Self::FrameTooLarge { .. } => report("Frame too large", TooBig, "frame_too_large"),
            Self::VerbTooLong { .. } => report("Bad command", Protocol, "verb_too_long"),
            Self::UnknownVerb { .. } => report("Bad command", Protocol, "unknown_verb"),
            Self::TooManyHeaders { .. } => report("Too many headers", Protocol, "too_many_headers"),
            Self::HeaderTooLong { .. } => report("Header too long", TooBig, "header_too_long"),
            Self::HeaderWithoutColon { .. } => {
                report("Invalid header", Protocol, "header_without_colon")
            }
            Self::BadEscape { .. } => report("Invalid header", Protocol, "bad_escape"),
            Self::HeadNotUtf8 { .. } => report("Invalid header", Protocol, "head_not_utf8"),
            Self::BadContentLength { .. } => {
                report("Invalid header", Protocol, "bad_content_length")
            }
            Self::MissingNul { .. } => report("Invalid frame", Protocol, "missing_nul"),
            Self::NotConnected { .. } => report("Illegal command", Policy, "not_connected"),
            Self::AlreadyConnected { .. } => report("Illegal command", Policy, "already_connected"),
            Self::ServerVerb { .. } => report("Bad command", Protocol, "server_verb"),
            Self::VerbNotInVersion { .. } => report("Bad command", Protocol, "verb_not_in_version"),
            Self::BadMessage(_) => report("Bad message", Protocol, "bad_message"),
            Self::WrongKind { .. } => report("Bad message", Protocol, "wrong_kind"),
            Self::UnexpectedMessage { .. } => {
                report("Unexpected message", Protocol, "unexpected_message")
            }
            Self::OutOfSequence(_) => report("Out of sequence", Protocol, "out_of_sequence"),
            Self::NoRoles => report("No roles", Protocol, "no_roles"),
            Self::VersionMismatch { .. } => report("Version mismatch", Policy, "version_mismatch"),
            Self::LoginTimeout { .. } => report("Login timeout", Policy, "login_timeout"),
            Self::HeartbeatMissed { .. } => report("Heart-beat missed", Policy, "heartbeat_missed"),
            Self::MissingHeader { header, .. } => {
                let message = match *header {
                    "destination" => "Missing destination",
                    "id or destination" => "Missing destination or id",
                    "transaction" => "Missing transaction",
                    _ => "Missing header",
                };
                report(message, Policy, "missing_header")
            }
            Self::BadHeader { .. } => report("Invalid header", Policy, "bad_header"),
            Self::ForbiddenHeader { .. } => report("Invalid header", Policy, "forbidden_header"),
            Self::BodyNotAllowed { .. } => report("Invalid frame", Policy, "body_not_allowed"),
            Self::UnknownDestination { .. } => {
                report("Unknown destination", Policy, "unknown_destination")
            }
            Self::InvalidDestination { .. } => {
                report("Invalid destination", Policy, "invalid_destination")
            }
            Self::DestinationRefused { .. } => report("access_refused", Policy, "access_refused"),
            Self::SubscriptionInUse { .. } => {
                report("Duplicated subscription identifier", Policy, "subscription_in_use")
            }
            // As of another client's.
            Self::ProcedureInUse { .. } => report("resource_locked", Policy, "resource_locked"),
            Self::UnknownSubscription { .. } => {
                report("No subscription found", Policy, "unknown_subscription")
            }
            Self::TooManySubscriptions { .. } => {
                report("Subscription limit exceeded", Policy, "too_many_subscriptions")
            }
            Self::UnknownAck { .. } => report("Message not found", Policy, "unknown_ack"),
            Self::TransactionInUse { .. } => {
                report("Bad transaction", Policy, "transaction_in_use")
            }
            Self::UnknownTransaction { .. } => {
                report("Bad transaction", Policy, "unknown_transaction")
            }
            Self::TransactionBroken { .. } => {
                report("Bad transaction", Policy, "transaction_broken")
            }
            Self::TooManyTransactions { .. } => {
                report("Transaction limit exceeded", Policy, "too_many_transactions")
            }
            Self::TransactionTooLong { .. } | Self::TransactionTooLarge { .. } => {
                report("Transaction too large", Policy, "transaction_too_large")
            }
            Self::TooManyReceipts { .. } => {
                report("Receipt limit exceeded", Policy, "too_many_receipts")
            }
        }
    }
}

impl Violation {
    /// Whether it is about one frame that has had no effect: whoever sent it can go on.
    pub const fn is_local(&self) -> bool {
        matches!(
            self,
            Self::MissingHeader { .. }
                | Self::BadHeader { .. }
                | Self::ForbiddenHeader { .. }
                | Self::UnknownDestination { .. }
                | Self::InvalidDestination { .. }
                | Self::UnknownSubscription { .. }
                | Self::UnknownAck { .. }
                | Self::UnknownTransaction { .. }
                | Self::TransactionBroken { .. }
                | Self::DestinationRefused { .. }
        )
    }

    /// Whether a client that asked for soft errors goes on after it: a frame was refused, and
    /// everything else is as before.
    pub const fn is_soft(&self) -> bool {
        self.is_local()
            || matches!(
                self,
                Self::SubscriptionInUse { .. }
                    | Self::ProcedureInUse { .. }
                    | Self::TooManySubscriptions { .. }
                    | Self::TransactionInUse { .. }
                    | Self::TooManyTransactions { .. }
                    | Self::TooManyReceipts { .. }
            )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_undefined_escape_is_shown_as_the_defined_ones_are() {
        let allowed = r"\n, \r, \c and \\";
        let text = |got: &str| Violation::BadEscape { got: got.into(), allowed }.to_string();
        let expected = r"undefined escape sequence \t in a header; \n, \r, \c and \\ are defined";
        assert_eq!(text(r"\t"), expected);
        assert!(text("\\\t").contains(r"sequence \<U+0009> in"));
        assert!(text("\\\u{9b}").contains(r"sequence \<U+009B> in"));
        assert!(text(r"\ü").contains(r"sequence \ü in"));
        assert!(text(r"\").contains(r"sequence \ in"));
    }

    #[test]
    fn a_limit_names_both_numbers() {
        let text = Violation::FrameTooLarge { limit: 10, got: 20 }.to_string();
        assert!(text.contains("10") && text.contains("20"), "{text}");
    }
}
