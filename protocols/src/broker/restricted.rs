//! Where messages go that are for some receivers only: an exchange of their own, which nobody reads from but
//! gateways.
//!
//! Whoever reads from the exchange that topics live in gets all that is published there, and knows nothing
//! of who may get it. So what is not for everybody goes to [`EXCHANGE`] (topic, durable), with the same
//! routing key. Gateways take from both, and each session gets what is for it; nobody else needs to, or
//! should, have a right to this one.

use super::{BrokerError, BrokerErrorKind, Command, Event, ExchangeKind, Publication, Token};
use crate::text::Text;

/// The exchange.
pub const EXCHANGE: &str = "wamp.restricted";

/// Whether a message is for some receivers only.
pub fn is_restricted(publication: &Publication) -> bool {
    publication.exchange == EXCHANGE
}

/// Whether the exchange was declared on a link, and what came of it.
///
/// A link that may not declare it may use it all the same, if it is there. So a refusal stops nobody before
/// it is seen what [becomes](Self::judge) of what follows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Declaration {
    state: State,
    /// Why it was refused the last time it was answered.
    refusal: Option<BrokerError>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    /// It was not asked for, or there is reason to ask again.
    #[default]
    Due,
    Asked(Token),
    Answered,
}

impl Declaration {
    /// The command that comes before the first that uses the exchange; `None` before all others.
    pub fn ask(&mut self, token: Token) -> Option<Command> {
        if self.state != State::Due {
            return None;
        }
        self.state = State::Asked(token);
        let (name, kind) = (Text::from_static(EXCHANGE), ExchangeKind::Topic);
        Some(Command::DeclareExchange { token, name, kind })
    }

    /// Whether an event answers it.
    pub fn on_event(&mut self, event: &Event) -> bool {
        let State::Asked(asked) = self.state else { return false };
        self.refusal = match event {
            Event::Declared { token } if *token == asked => None,
            Event::Failed { token, error } if *token == asked => Some(error.clone()),
            _ => return false,
        };
        self.state = State::Answered;
        true
    }

    /// What became of a command that uses the exchange. Where that says so, the next command asks for it
    /// again.
    ///
    /// *Errors.* The command's own, with the reason if the exchange is missing because it could not be made;
    /// or it was carried out at an exchange that is another than this.
    pub fn judge(&mut self, outcome: Result<(), BrokerError>) -> Result<(), BrokerError> {
        let is_misfit = |why: &&BrokerError| why.kind == BrokerErrorKind::PreconditionFailed;
        let judged = match (outcome, &self.refusal) {
            (Ok(()), refusal) => match refusal.as_ref().filter(is_misfit) {
                Some(why) => Err(why.clone()),
                None => return Ok(()),
            },
            (Err(error), Some(why)) if error.kind == BrokerErrorKind::NotFound => {
                let text = format!("{error}; the exchange was not made: {why}");
                Err(BrokerError::new(why.kind, text))
            }
            (Err(error), None) if error.kind == BrokerErrorKind::NotFound => Err(error),
            (Err(error), _) => return Err(error),
        };
        if self.state == State::Answered {
            self.state = State::Due;
        }
        judged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(kind: BrokerErrorKind, text: &str) -> BrokerError {
        BrokerError::new(kind, text)
    }

    fn missing() -> BrokerError {
        error(BrokerErrorKind::NotFound, "not there")
    }

    #[test]
    fn it_is_asked_for_once_and_again_when_it_is_missed() {
        let mut declaration = Declaration::default();
        let (token, name, kind) = (Token(1), EXCHANGE.into(), ExchangeKind::Topic);
        let command = Command::DeclareExchange { token, name, kind };
        assert_eq!(declaration.ask(token), Some(command.clone()));
        assert_eq!(declaration.ask(Token(2)), None);
        assert!(!declaration.on_event(&Event::Declared { token: Token(2) }));
        assert_eq!(declaration.judge(Err(missing())), Err(missing()));
        assert!(declaration.on_event(&Event::Declared { token }), "its answer is awaited still");
        assert!(!declaration.on_event(&Event::Declared { token }));
        let refused = error(BrokerErrorKind::AccessRefused, "no");
        assert_eq!(declaration.judge(Err(refused.clone())), Err(refused));
        assert_eq!(declaration.judge(Ok(())), Ok(()));
        assert_eq!(declaration.ask(Token(3)), None);
        assert_eq!(declaration.judge(Err(missing())), Err(missing()));
        assert_eq!(declaration.ask(token), Some(command));
    }

    #[test]
    fn a_refusal_explains_why_it_is_missing() {
        let mut declaration = Declaration::default();
        declaration.ask(Token(1));
        let refused = error(BrokerErrorKind::AccessRefused, "not yours");
        assert!(declaration.on_event(&Event::Failed { token: Token(1), error: refused }));
        assert_eq!(declaration.ask(Token(2)), None, "it may be there");
        assert_eq!(declaration.judge(Ok(())), Ok(()));
        let text = "not there; the exchange was not made: not yours";
        let expected = Err(error(BrokerErrorKind::AccessRefused, text));
        assert_eq!(declaration.judge(Err(missing())), expected);
        assert!(declaration.ask(Token(3)).is_some());
        // What was asked for before has the reason of then.
        assert_eq!(declaration.judge(Err(missing())), expected);
        assert!(declaration.on_event(&Event::Declared { token: Token(3) }));
        assert_eq!(declaration.judge(Err(missing())), Err(missing()));
    }

    #[test]
    fn an_exchange_of_another_kind_is_none() {
        let mut declaration = Declaration::default();
        declaration.ask(Token(1));
        let other = error(BrokerErrorKind::PreconditionFailed, "it is another");
        assert!(declaration.on_event(&Event::Failed { token: Token(1), error: other.clone() }));
        for _ in 0..2 {
            assert_eq!(declaration.judge(Ok(())), Err(other.clone()));
        }
        assert!(declaration.ask(Token(2)).is_some());
        assert_eq!(declaration.judge(Ok(())), Err(other));
        assert!(declaration.on_event(&Event::Declared { token: Token(2) }));
        assert_eq!(declaration.judge(Ok(())), Ok(()));
    }
}
