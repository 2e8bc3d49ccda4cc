//! Destinations of procedures, `/rpc/<uri>`: SEND is a call, SUBSCRIBE an offer.
//!
//! They are called and offered at the broker, where every protocol finds them: see
//! [`crate::broker::procedure`]. The answer to a call comes by its `reply-to`, as to any request, and a call
//! that nobody could take is an error: it is `mandatory`. [`Procedures`] is what a session remembers for
//! that.
//!
//! *Spec.* WAMP §Remote Procedure Calls, as far as a message has a place for it: a call is a message, and so
//! is its answer, with the `correlation-id` of the call.

use std::collections::BTreeMap;

use crate::broker::{Address, BrokerError, BrokerErrorKind, Outcome, Token, procedure};
use crate::stomp::client_frame::ClientFrame;
use crate::stomp::queue;
use crate::text::Text;
use crate::violation::{Violation, shown};

/// Begins the destination of a procedure.
const PREFIX: &str = "/rpc/";

/// Whether a destination is that of a procedure, or begins like one.
pub(super) fn is_procedure(destination: &str) -> bool {
    destination.starts_with(PREFIX)
}

/// The procedure at this address of a destination; `None` if it is that of none.
pub(super) fn key_of(destination: &str, address: &Address) -> Option<Text> {
    match address {
        Address::Exchange { key, .. } if is_procedure(destination) => Some(key.clone()),
        _ => None,
    }
}

/// Whether the procedure with this key may be offered, by this SUBSCRIBE.
///
/// *Errors.* [`Violation::DestinationRefused`] for one of WAMP's own; [`Violation::BadHeader`] for what
/// would be said of another queue.
pub(super) fn check_offer(frame: ClientFrame<'_>, key: &str) -> Result<(), Violation> {
    if procedure::is_reserved(key) {
        let got = shown(frame.get("destination").unwrap_or_default());
        let why = "procedures that begin with wamp. are WAMP's own";
        return Err(Violation::DestinationRefused { got, why });
    }
    match queue::said(frame) {
        Some((header, value)) => {
            let expected = "left out: the queue of a procedure is always declared alike";
            Err(frame.bad(header, expected, value))
        }
        None => Ok(()),
    }
}

/// What a session has asked of the broker about procedures.
#[derive(Debug, Default)]
pub(super) struct Procedures {
    /// It has asked for the exchange of calls.
    is_declared: bool,
    /// Why that was refused, if it was. Somebody else may have declared it: what was to be done with it
    /// says whether it is there.
    refusal: Option<BrokerError>,
    /// What is not answered yet. Each is: a call is always confirmed. So there are as many as the link has
    /// room for publishes, and subscriptions that begin.
    asked: BTreeMap<Token, Asked>,
}

/// One of these.
#[derive(Debug)]
enum Asked {
    Exchange,
    /// By its key.
    Call(Text),
    Offer(Text),
}

impl Procedures {
    /// Whether the exchange was asked for: once is enough.
    pub(super) const fn is_declared(&self) -> bool {
        self.is_declared
    }

    /// The exchange is asked for by the command with this token.
    pub(super) fn declare(&mut self, token: Token) {
        self.is_declared = true;
        self.asked.insert(token, Asked::Exchange);
    }

    /// The procedure with this key is called by the command with this token.
    pub(super) fn call(&mut self, token: Token, key: Text) {
        self.asked.insert(token, Asked::Call(key));
    }

    /// The procedure with this key is offered by the command with this token.
    pub(super) fn offer(&mut self, token: Token, key: Text) {
        self.asked.insert(token, Asked::Offer(key));
    }

    /// The command with this token was carried out.
    pub(super) fn answered(&mut self, token: Token) {
        self.asked.remove(&token);
    }

    /// A publish has this outcome. What there is to say of it, if it was a call that went nowhere.
    pub(super) fn confirmed(&mut self, token: Token, outcome: Outcome) -> Option<String> {
        let Some(Asked::Call(key)) = self.asked.remove(&token) else {
            return None;
        };
        let is_nowhere = outcome == Outcome::Unroutable;
        is_nowhere.then(|| format!("no procedure {:?} is registered", named(&key)))
    }

    /// The command with this token was refused. What there is to say of it beside the broker's words;
    /// `Err` if nobody is to be told.
    pub(super) fn refused(
        &mut self,
        token: Token,
        error: &BrokerError,
    ) -> Result<Option<String>, Untold> {
        let key = match self.asked.remove(&token) {
            None => return Ok(None),
            Some(Asked::Exchange) => {
                self.refusal = Some(error.clone());
                return Err(Untold);
            }
            Some(Asked::Offer(key)) if error.kind == BrokerErrorKind::ResourceLocked => {
                let name = named(&key);
                return Ok(Some(format!("the procedure {name:?} is registered already: {error}")));
            }
            Some(Asked::Offer(key) | Asked::Call(key)) => key,
        };
        let refusal = self.refusal.as_ref().filter(|_| error.kind == BrokerErrorKind::NotFound);
        Ok(refusal.map(|why| {
            let name = named(&key);
            format!("there is no place for the procedure {name:?}: {error}; it was not made: {why}")
        }))
    }
}

/// Nobody is to be told of it.
#[derive(Debug)]
pub(super) struct Untold;

/// The procedure with this key, as it is shown.
fn named(key: &str) -> String {
    shown(&procedure::uri_of(key).unwrap_or_default())
}
