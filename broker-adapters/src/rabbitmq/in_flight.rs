//! [`InFlight`]: a message that lapin has, and what became of it.

use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::future::BoxFuture;
use lapin::Confirmation;
use protocols::broker::{BrokerError, BrokerErrorKind, Event, Outcome, Token};
use protocols::text::Text;

use super::pool::SharedChannel;

/// A message that lapin has.
pub(super) struct InFlight {
    pub(super) token: Token,
    pub(super) exchange: Text,
    pub(super) confirm: bool,
    pub(super) mandatory: bool,
    /// The queue was declared for it: whatever comes back with its outcome goes out again.
    pub(super) declares: bool,
    pub(super) returned: u8,
    pub(super) bytes: usize,
    /// What it went by, and whether others use that too.
    pub(super) lane: Arc<SharedChannel>,
    pub(super) is_shared: bool,
    pub(super) progress: Progress,
}

pub(super) enum Progress {
    Running(BoxFuture<'static, lapin::Result<Confirmation>>),
    Done(Box<lapin::Result<Confirmation>>),
}

impl InFlight {
    /// How it went, once: it must not be polled again.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<lapin::Result<Confirmation>> {
        match &mut self.progress {
            Progress::Running(future) => {
                let done = ready!(future.as_mut().poll(cx));
                self.progress = resolved();
                Poll::Ready(done)
            }
            Progress::Done(done) => {
                Poll::Ready(mem::replace(&mut **done, Ok(Confirmation::NotRequested)))
            }
        }
    }

    /// What to report, if anything was asked for.
    pub(super) fn outcome(&self, confirmation: &Confirmation) -> Option<Event> {
        let outcome = match confirmation {
            Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_)) if self.mandatory => {
                Outcome::Unroutable
            }
            Confirmation::Ack(_) => Outcome::Accepted,
            Confirmation::Nack(_) => Outcome::Rejected,
            Confirmation::NotRequested => return None,
        };
        let is_told = self.confirm || outcome == Outcome::Unroutable;
        is_told.then_some(Event::Confirmed { token: self.token, outcome })
    }
}

/// Stands for an outcome that was taken out.
fn resolved() -> Progress {
    Progress::Done(Box::new(Ok(Confirmation::NotRequested)))
}

/// What a message is answered with whose channel closed for another reason.
pub(super) fn unknown(cause: &BrokerError) -> BrokerError {
    let text = format!("the outcome is unknown, the message may or may not have arrived: {cause}");
    BrokerError::new(BrokerErrorKind::OutcomeUnknown, text)
}
