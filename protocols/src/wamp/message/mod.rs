//! The messages of WAMP, decoded from bytes and encoded to them.
//!
//! A router decodes what clients send and encodes what it sends itself; the codec has both
//! directions of all messages, and does not know which end it is at. It checks what a message is
//! made of and not what that means: whether a URI is one, whether a message may come now, and which
//! options are honoured is the session's business.
//!
//! *Spec.* WAMP §Messages, of the basic and the advanced profile.
//!
//! # Deviations
//! - What must be an integer may come as a float that is one, up to 2^53: there are encoders that
//!   write nothing else beyond 2^32. In JSON `1.0` is such, too. What is written are integers.
//! - A text that starts with NUL is none, in any serializer: in JSON it is binary data.
//! - What may be missing or empty may be null instead: arguments, dictionaries, and a key in options.
//!   It is not passed on as null.

mod element;
mod entry;
mod options;
mod private;
mod roles;

use std::fmt;

use bytes::Bytes;

use element::Element;
pub use element::RequestType;
pub use entry::{Choice, Shard};
pub(in crate::wamp) use entry::{Entries, Word};
pub use options::{
    CallOptions, CancelMode, CancelOptions, ChallengeExtra, CloseDetails, ErrorDetails,
    EventDetails, HelloDetails, InvocationDetails, InvokePolicy, MatchPolicy, Passthru,
    PublishOptions, RegisterOptions, ResultDetails, SubscribeOptions, UnregisteredDetails,
    UnsubscribedDetails, WelcomeDetails, YieldOptions,
};
pub use private::Private;
pub use roles::{Feature, Features, Role, Roles};

use super::envelope::Elements;
use super::error::MessageError;
use super::id::Id;
use super::payload::{Dictionary, Payload};
use super::serializer::{Limits, Serializer, Writer};
use super::transcode::TranscodeError;
use crate::text::Text;

/// Makes the messages. Each element is named as in the specification.
macro_rules! messages {
    ($(
        $(#[$about:meta])*
        $name:ident = $code:literal $wire:literal {
            $($(#[$doc:meta])* $element:literal $field:ident: $type:ty,)*
        }
    )*) => {
        /// A message of WAMP.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Message {
            $($(#[$about])* $name($name),)*
        }

        /// What a message is, whatever it says.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum MessageType {
            $($(#[$about])* $name = $code,)*
        }

        impl MessageType {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The type with this number.
            pub const fn of_code(code: u64) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// Its name in the specification.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $wire,)*
                }
            }
        }

        impl Message {
            /// What it is.
            pub const fn message_type(&self) -> MessageType {
                match self {
                    $(Self::$name(_) => MessageType::$name,)*
                }
            }

            fn decode_elements(elements: &mut Elements<'_>) -> Result<Self, MessageError> {
                Ok(match elements.message() {
                    $(MessageType::$name => Self::$name($name::decode(elements)?),)*
                })
            }

            /// Elements behind the type, and bytes that all of it takes.
            fn extent(&self) -> (usize, usize) {
                match self {
                    $(Self::$name(message) => message.extent(),)*
                }
            }

            fn encode_elements(
                &self,
                writer: &mut Writer,
                limits: &Limits,
            ) -> Result<(), TranscodeError> {
                match self {
                    $(Self::$name(message) => message.encode(writer, limits),)*
                }
            }
        }

        $(
            $(#[$about])*
            #[derive(Debug, Clone, PartialEq, Eq)]
            pub struct $name {
                $($(#[$doc])* pub $field: $type,)*
            }

            impl $name {
                fn decode(elements: &mut Elements<'_>) -> Result<Self, MessageError> {
                    Ok(Self { $($field: <$type as Element>::decode(elements, $element)?,)* })
                }

                fn extent(&self) -> (usize, usize) {
                    (0 $(+ Element::count(&self.$field))*, 8 $(+ Element::size(&self.$field) + 1)*)
                }

                fn encode(
                    &self,
                    writer: &mut Writer,
                    limits: &Limits,
                ) -> Result<(), TranscodeError> {
                    $(Element::encode(&self.$field, writer, limits)?;)*
                    Ok(())
                }
            }

            impl From<$name> for Message {
                fn from(message: $name) -> Self {
                    Self::$name(message)
                }
            }
        )*
    };
}

messages! {
    /// Client: opens a session.
    Hello = 1 "HELLO" {
        /// The realm it is to be in.
        "Realm" realm: Text,
        /// Who the client is, and what it can do.
        "Details" details: HelloDetails,
    }

    /// Router: the session is open.
    Welcome = 2 "WELCOME" {
        /// Of global scope.
        "Session" session: Id,
        /// Who the client is, and what the router can do.
        "Details" details: WelcomeDetails,
    }

    /// Either: the session ends at once, and is not answered.
    Abort = 3 "ABORT" {
        /// The reason as a sentence.
        "Details" details: CloseDetails,
        /// The reason as a URI.
        "Reason" reason: Text,
        /// More on the reason.
        "Arguments" payload: Payload,
    }

    /// Router: the client must prove who it is.
    Challenge = 4 "CHALLENGE" {
        /// How.
        "AuthMethod" auth_method: Text,
        /// What that needs.
        "Extra" extra: Dictionary,
    }

    /// Client: the proof.
    Authenticate = 5 "AUTHENTICATE" {
        /// The proof itself.
        "Signature" signature: Text,
        /// What else it needs.
        "Extra" extra: Dictionary,
    }

    /// Either: the session is to end, and is so when the other end says so too.
    Goodbye = 6 "GOODBYE" {
        /// The reason as a sentence.
        "Details" details: CloseDetails,
        /// The reason as a URI.
        "Reason" reason: Text,
    }

    /// Either: a request failed.
    Error = 8 "ERROR" {
        /// What the request was.
        "REQUEST.Type" request_type: RequestType,
        /// Its ID.
        "REQUEST.Request" request: Id,
        /// On the payload.
        "Details" details: ErrorDetails,
        /// The reason as a URI.
        "Error" error: Text,
        /// More on the reason.
        "Arguments" payload: Payload,
    }

    /// Publisher: an event for the subscribers of a topic.
    Publish = 16 "PUBLISH" {
        /// Of session scope.
        "Request" request: Id,
        /// Who gets it, and how.
        "Options" options: PublishOptions,
        /// The topic.
        "Topic" topic: Text,
        /// The event.
        "Arguments" payload: Payload,
    }

    /// Broker: an event was taken.
    Published = 17 "PUBLISHED" {
        /// That of PUBLISH.
        "PUBLISH.Request" request: Id,
        /// Of global scope.
        "Publication" publication: Id,
    }

    /// Subscriber: events of a topic are wanted.
    Subscribe = 32 "SUBSCRIBE" {
        /// Of session scope.
        "Request" request: Id,
        /// How the topic is to be understood.
        "Options" options: SubscribeOptions,
        /// The topic, or a pattern of topics.
        "Topic" topic: Text,
    }

    /// Broker: they will come.
    Subscribed = 33 "SUBSCRIBED" {
        /// That of SUBSCRIBE.
        "SUBSCRIBE.Request" request: Id,
        /// Of router scope.
        "Subscription" subscription: Id,
    }

    /// Subscriber: they are not wanted any more.
    Unsubscribe = 34 "UNSUBSCRIBE" {
        /// Of session scope.
        "Request" request: Id,
        /// Which.
        "SUBSCRIBED.Subscription" subscription: Id,
    }

    /// Broker: they will not come any more.
    Unsubscribed = 35 "UNSUBSCRIBED" {
        /// That of UNSUBSCRIBE. `None`, which is written as 0: nobody asked.
        "UNSUBSCRIBE.Request" request: Option<Id>,
        /// Which, if nobody asked.
        "Details" details: Option<UnsubscribedDetails>,
    }

    /// Broker: an event.
    Event = 36 "EVENT" {
        /// That of SUBSCRIBED.
        "SUBSCRIBED.Subscription" subscription: Id,
        /// That of PUBLISHED.
        "PUBLISHED.Publication" publication: Id,
        /// Where it comes from.
        "Details" details: EventDetails,
        /// The event.
        "PUBLISH.Arguments" payload: Payload,
    }

    /// Caller: a procedure is to run.
    Call = 48 "CALL" {
        /// Of session scope.
        "Request" request: Id,
        /// How it is to run.
        "Options" options: CallOptions,
        /// The procedure.
        "Procedure" procedure: Text,
        /// Its arguments.
        "Arguments" payload: Payload,
    }

    /// Caller: the result is not wanted any more.
    Cancel = 49 "CANCEL" {
        /// That of CALL.
        "CALL.Request" request: Id,
        /// What becomes of the call.
        "Options" options: CancelOptions,
    }

    /// Dealer: the result, or a part of it.
    CallResult = 50 "RESULT" {
        /// That of CALL.
        "CALL.Request" request: Id,
        /// On the payload.
        "Details" details: ResultDetails,
        /// The result.
        "YIELD.Arguments" payload: Payload,
    }

    /// Callee: it runs a procedure for others.
    Register = 64 "REGISTER" {
        /// Of session scope.
        "Request" request: Id,
        /// How the procedure is to be understood, and calls of it are.
        "Options" options: RegisterOptions,
        /// The procedure, or a pattern of procedures.
        "Procedure" procedure: Text,
    }

    /// Dealer: calls will come.
    Registered = 65 "REGISTERED" {
        /// That of REGISTER.
        "REGISTER.Request" request: Id,
        /// Of router scope.
        "Registration" registration: Id,
    }

    /// Callee: it does not run it any more.
    Unregister = 66 "UNREGISTER" {
        /// Of session scope.
        "Request" request: Id,
        /// Which.
        "REGISTERED.Registration" registration: Id,
    }

    /// Dealer: calls will not come any more.
    Unregistered = 67 "UNREGISTERED" {
        /// That of UNREGISTER. `None`, which is written as 0: nobody asked.
        "UNREGISTER.Request" request: Option<Id>,
        /// Which, if nobody asked.
        "Details" details: Option<UnregisteredDetails>,
    }

    /// Dealer: a call.
    Invocation = 68 "INVOCATION" {
        /// Of session scope, the router's.
        "Request" request: Id,
        /// That of REGISTERED.
        "REGISTERED.Registration" registration: Id,
        /// Where it comes from, and how it is to run.
        "Details" details: InvocationDetails,
        /// The arguments of the call.
        "CALL.Arguments" payload: Payload,
    }

    /// Dealer: the result of a call is not wanted any more.
    Interrupt = 69 "INTERRUPT" {
        /// That of INVOCATION.
        "INVOCATION.Request" request: Id,
        /// Whether an answer is.
        "Options" options: CancelOptions,
    }

    /// Callee: the result of a call, or a part of it.
    Yield = 70 "YIELD" {
        /// That of INVOCATION.
        "INVOCATION.Request" request: Id,
        /// On the payload.
        "Options" options: YieldOptions,
        /// The result.
        "Arguments" payload: Payload,
    }
}

impl Message {
    /// Decodes one message, which is all of `bytes`.
    ///
    /// *Shape.* Texts, dictionaries and payloads share the allocation of `bytes`, and keep it alive.
    /// *Errors.* What is wrong, for ABORT with `wamp.error.protocol_violation`. *Cost.* One pass
    /// over all of it; no allocation but for lists, escaped texts, and what is wrong.
    pub fn decode(
        serializer: Serializer,
        bytes: &Bytes,
        limits: &Limits,
    ) -> Result<Self, MessageError> {
        let mut elements = Elements::split(serializer, bytes, limits)?;
        let message = Self::decode_elements(&mut elements)?;
        elements.finish()?;
        Ok(message)
    }

    /// The message as one unit of the transport.
    ///
    /// A payload or dictionary in another serializer is [transcoded](Payload::transcoded) on the
    /// way, each time: to send one to many, transcode it once before.
    ///
    /// *Errors.* What cannot be transcoded; none, if nothing is in another serializer. *Cost.* One
    /// allocation, unless much of a text must be escaped, or transcoding makes more of a payload;
    /// one copy of the payload.
    pub fn encode(&self, serializer: Serializer, limits: &Limits) -> Result<Bytes, TranscodeError> {
        let (count, size) = self.extent();
        let mut writer = Writer::new(serializer, size);
        writer.list(1 + count);
        writer.unsigned(self.message_type().code());
        self.encode_elements(&mut writer, limits)?;
        writer.end_list();
        Ok(writer.finish())
    }
}

impl MessageType {
    /// Its number.
    pub const fn code(self) -> u64 {
        self as u64
    }
}

impl fmt::Display for MessageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
