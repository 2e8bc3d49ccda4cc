//! Messages as lists, and what is in those that tests ask for most (WAMP §Messages).

use serde_json::{Value, json};

/// The codes of messages.
pub mod code {
    /// Asks for a realm.
    pub const HELLO: u64 = 1;
    /// The client is in.
    pub const WELCOME: u64 = 2;
    /// The client is not let in, or has broken the protocol.
    pub const ABORT: u64 = 3;
    /// Asks for a proof.
    pub const CHALLENGE: u64 = 4;
    /// The proof.
    pub const AUTHENTICATE: u64 = 5;
    /// Ends a session.
    pub const GOODBYE: u64 = 6;
    /// A request is refused.
    pub const ERROR: u64 = 8;
    /// Publishes an event.
    pub const PUBLISH: u64 = 16;
    /// The broker has the event.
    pub const PUBLISHED: u64 = 17;
    /// Asks for events.
    pub const SUBSCRIBE: u64 = 32;
    /// Events come from now on.
    pub const SUBSCRIBED: u64 = 33;
    /// Asks for no more events.
    pub const UNSUBSCRIBE: u64 = 34;
    /// None come from now on.
    pub const UNSUBSCRIBED: u64 = 35;
    /// An event.
    pub const EVENT: u64 = 36;
    /// Calls a procedure.
    pub const CALL: u64 = 48;
    /// Takes a call back.
    pub const CANCEL: u64 = 49;
    /// What a call has brought.
    pub const RESULT: u64 = 50;
    /// Offers a procedure.
    pub const REGISTER: u64 = 64;
    /// Calls come from now on.
    pub const REGISTERED: u64 = 65;
    /// Takes the offer back.
    pub const UNREGISTER: u64 = 66;
    /// No calls come from now on.
    pub const UNREGISTERED: u64 = 67;
    /// A call, for the callee.
    pub const INVOCATION: u64 = 68;
    /// A call is taken back, for the callee.
    pub const INTERRUPT: u64 = 69;
    /// What the callee says to a call.
    pub const YIELD: u64 = 70;
}

/// A message.
#[derive(Debug, Clone, PartialEq)]
pub struct WampMessage(pub Vec<Value>);

impl WampMessage {
    /// What it is: one of [`code`].
    pub fn code(&self) -> u64 {
        self.id(0)
    }

    /// An element, which must be there.
    pub fn at(&self, index: usize) -> &Value {
        self.0.get(index).unwrap_or_else(|| panic!("no element {index} in {self:?}"))
    }

    /// An element that is an integer.
    pub fn id(&self, index: usize) -> u64 {
        self.at(index).as_u64().unwrap_or_else(|| panic!("no integer at {index} in {self:?}"))
    }

    /// An element that is a text.
    pub fn text(&self, index: usize) -> &str {
        self.at(index).as_str().unwrap_or_else(|| panic!("no text at {index} in {self:?}"))
    }

    /// An element that is a dictionary.
    fn dictionary(&self, index: usize) -> Value {
        let value = self.at(index);
        assert!(value.is_object(), "no dictionary at {index} in {self:?}");
        value.clone()
    }

    /// The arguments, which begin at this element and end the message.
    fn payload(&self, index: usize) -> Payload {
        let or_empty = |index: usize, empty: Value| self.0.get(index).cloned().unwrap_or(empty);
        let payload =
            Payload { args: or_empty(index, json!([])), kwargs: or_empty(index + 1, json!({})) };
        let is_payload = payload.args.is_array() && payload.kwargs.is_object();
        assert!(is_payload && self.0.len() <= index + 2, "no arguments at {index} in {self:?}");
        payload
    }

    /// Panics unless it has this code.
    #[must_use]
    pub fn expecting(self, code: u64) -> Self {
        assert_eq!(self.code(), code, "{self:?}");
        self
    }

    /// What an EVENT says.
    pub fn event(&self) -> WampEvent {
        let payload = self.payload(4);
        WampEvent {
            subscription: self.id(1),
            publication: self.id(2),
            details: self.dictionary(3),
            args: payload.args,
            kwargs: payload.kwargs,
        }
    }

    /// What an INVOCATION says.
    pub fn invocation(&self) -> Invocation {
        let payload = self.payload(4);
        Invocation {
            request: self.id(1),
            registration: self.id(2),
            details: self.dictionary(3),
            args: payload.args,
            kwargs: payload.kwargs,
        }
    }

    /// The arguments of a RESULT.
    pub fn result(&self) -> Payload {
        self.dictionary(2);
        self.payload(3)
    }

    /// What an ERROR says.
    pub fn error(&self) -> WampError {
        let payload = self.payload(5);
        self.dictionary(3);
        WampError { uri: self.text(4).to_owned(), args: payload.args, kwargs: payload.kwargs }
    }
}

/// Arguments: a list, and a dictionary.
#[derive(Debug, Clone, PartialEq)]
pub struct Payload {
    /// The list; empty also if it was left out.
    pub args: Value,
    /// The dictionary; empty also if it was left out.
    pub kwargs: Value,
}

/// An EVENT.
#[derive(Debug, Clone, PartialEq)]
pub struct WampEvent {
    /// The ID of the subscription.
    pub subscription: u64,
    /// The ID of the publication.
    pub publication: u64,
    /// The details, a dictionary.
    pub details: Value,
    /// As in [`Payload`].
    pub args: Value,
    /// As in [`Payload`].
    pub kwargs: Value,
}

/// An INVOCATION.
#[derive(Debug, Clone, PartialEq)]
pub struct Invocation {
    /// The ID of the invocation, for the answer.
    pub request: u64,
    /// The ID of the registration.
    pub registration: u64,
    /// The details, a dictionary.
    pub details: Value,
    /// As in [`Payload`].
    pub args: Value,
    /// As in [`Payload`].
    pub kwargs: Value,
}

/// An ERROR, but for what was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct WampError {
    /// Why.
    pub uri: String,
    /// As in [`Payload`].
    pub args: Value,
    /// As in [`Payload`].
    pub kwargs: Value,
}
