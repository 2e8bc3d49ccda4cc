//! SEND.
//!
//! *Spec.* STOMP 1.2 §SEND, §RECEIPT. With a `receipt` the broker is asked to confirm, and the
//! RECEIPT says that it has taken the message; without one nothing is reported, and nothing kept.

use crate::broker::{Address, Command, Message};
use crate::session::Actions;
use crate::stomp::client_frame::ClientFrame;
use crate::stomp::properties;
use crate::stomp::transaction::Held;
use crate::text::Text;
use crate::violation::Violation;

use super::StompSession;

/// Units up to this size may be kept alive by any slice of them; larger ones only by a message that
/// is at least half of them.
const FREELY_PINNED: usize = 4 << 10;

/// What reports the outcome of a publish.
pub(super) enum Reported {
    /// Nothing.
    No,
    /// A RECEIPT of its own.
    Receipt(Text),
    /// The RECEIPT of the COMMIT that it is part of.
    Commit(Text),
}

impl From<Option<Text>> for Reported {
    fn from(receipt: Option<Text>) -> Self {
        receipt.map_or(Self::No, Self::Receipt)
    }
}

impl StompSession {
    pub(super) fn on_send(
        &mut self,
        frame: ClientFrame<'_>,
        actions: &mut Actions,
    ) -> Result<(), Violation> {
        let to = self.destinations.parse(frame.require("destination")?)?;
        let message = Message { body: frame.body().clone(), properties: properties::read(&frame)? };
        let receipt = frame.receipt()?;
        if let Some(id) = frame.get("transaction") {
            self.transactions.hold(id, Held::Publish { to, message, receipt })?;
            return Ok(());
        }
        if receipt.is_some() {
            self.receipts.reserve(1)?;
        }
        let message = if self.pins_its_unit(&message) { message.detached() } else { message };
        self.publish(to, message, receipt.into(), actions);
        Ok(())
    }

    /// Whether a message is so small a part of its unit that keeping it would keep far more memory
    /// than anyone accounts for.
    fn pins_its_unit(&self, message: &Message) -> bool {
        self.unit_size > FREELY_PINNED && self.unit_size / 2 > message.size()
    }

    /// Hands a message to the broker. *Order.* There is room for its receipt.
    pub(super) fn publish(
        &mut self,
        to: Address,
        message: Message,
        reported: Reported,
        actions: &mut Actions,
    ) {
        let token = self.next_token();
        let confirm = !matches!(reported, Reported::No);
        match reported {
            Reported::No => {}
            Reported::Receipt(receipt) => self.receipts.wait(token, receipt),
            Reported::Commit(receipt) => self.receipts.wait_as_part(token, receipt),
        }
        actions.commands.push(Command::Publish {
            token,
            to,
            message,
            queue: None,
            confirm,
            mandatory: false,
        });
    }
}
