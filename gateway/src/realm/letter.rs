//! [`Letter`]: what waits for a session, and the bytes it counts for.

use broker_adapters::mailbox::Weight;
use protocols::wamp::peers::Notice;
use protocols::wamp::registry::SessionAt;
use protocols::wamp::rpc::{Answer, Ask};

/// What comes to a session, and from which one.
#[derive(Debug)]
pub(crate) struct Letter {
    /// Who is told if it does not arrive. `None`: nobody waits for that.
    pub(super) from: Option<SessionAt>,
    pub(super) notice: Notice,
}

impl Letter {
    /// One that nobody has to hear of if it does not arrive.
    pub(super) const fn notice(notice: Notice) -> Self {
        Self { from: None, notice }
    }
}

impl Weight for Letter {
    /// Its own bytes, and those of what peers say to each other and of the realm: the rest is small.
    fn weight(&self) -> usize {
        let payload = match &self.notice {
            Notice::Ask(ask) => match &ask.ask {
                Ask::Invoke(invoke) => invoke.payload.size() + size_of_val(&**invoke),
                Ask::Continue { payload, .. } => payload.size(),
                Ask::Interrupt { .. } => 0,
            },
            Notice::Answer(answer) => match &answer.answer {
                Answer::Result { payload, .. } | Answer::Error { payload, .. } => payload.size(),
                Answer::Accepted | Answer::Unavailable { .. } | Answer::Canceled { .. } => 0,
            },
            Notice::Answered { answer: Ok(answer), .. } => answer.size(),
            Notice::Event { event, .. } => event.size(),
            _ => 0,
        };
        size_of::<Self>() + payload
    }
}
