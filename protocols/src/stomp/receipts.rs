//! The receipts a client waits for, in the order of the frames that asked.
//!
//! *Spec.* STOMP 1.2 §RECEIPT: a receipt also says that all earlier frames were received. RECEIPTs
//! leave here strictly in the order of the frames, so that the one of DISCONNECT is the last.

use std::collections::VecDeque;

use crate::broker::Token;
use crate::text::Text;
use crate::violation::Violation;

/// Receipts that wait for the broker, and those behind them.
///
/// *Shape.* A queue sorted by token, for a frame's token is chosen when it is handled. Never longer
/// than `limits.pending_receipts`.
#[derive(Debug)]
pub(super) struct Receipts {
    pending: VecDeque<Pending>,
    limit: usize,
}

/// A receipt on its way.
#[derive(Debug)]
struct Pending {
    token: Token,
    receipt: Text,
    is_done: bool,
    /// Belongs to a frame of a transaction that asked for no receipt: it holds back the one of
    /// COMMIT, whose name this is.
    is_part: bool,
}

impl Receipts {
    /// None, and never more than `limit`.
    pub(super) const fn new(limit: usize) -> Self {
        Self { pending: VecDeque::new(), limit }
    }

    /// *Errors.* [`Violation::TooManyReceipts`] if there is no room for `count` more.
    pub(super) fn reserve(&self, count: usize) -> Result<(), Violation> {
        if count > self.limit - self.pending.len().min(self.limit) {
            return Err(Violation::TooManyReceipts { limit: self.limit });
        }
        Ok(())
    }

    /// A receipt that waits for the answer to `token`. *Order.* After [`reserve`](Self::reserve);
    /// tokens grow.
    pub(super) fn wait(&mut self, token: Token, receipt: Text) {
        self.pending.push_back(Pending { token, receipt, is_done: false, is_part: false });
    }

    /// A publish of a transaction that the receipt of its COMMIT waits for.
    pub(super) fn wait_as_part(&mut self, token: Token, of_commit: Text) {
        self.pending.push_back(Pending {
            token,
            receipt: of_commit,
            is_done: false,
            is_part: true,
        });
    }

    /// A receipt that waits for nothing but its turn.
    pub(super) fn ready(&mut self, token: Token, receipt: Text) {
        self.pending.push_back(Pending { token, receipt, is_done: true, is_part: false });
    }

    /// The answer to `token` has come.
    pub(super) fn complete(&mut self, token: Token) {
        if let Some(place) = self.place(token) {
            self.pending[place].is_done = true;
        }
    }

    /// The next receipt whose turn has come.
    pub(super) fn next_released(&mut self) -> Option<Text> {
        while self.pending.front().is_some_and(|pending| pending.is_done) {
            let released = self.pending.pop_front()?;
            if !released.is_part {
                return Some(released.receipt);
            }
        }
        None
    }

    /// The frame behind `token` has failed: the receipt that it asked for will not come, nor that of the
    /// COMMIT that it is part of. Which that was.
    pub(super) fn fail(&mut self, token: Token) -> Option<Text> {
        let failed = self.pending.remove(self.place(token)?)?;
        if failed.is_part {
            // What else is part of it holds back nothing any more.
            self.pending.retain(|it| it.receipt != failed.receipt);
        }
        Some(failed.receipt)
    }

    /// The receipt that the frame behind `token` asked for.
    pub(super) fn named(&self, token: Token) -> Option<&Text> {
        self.place(token).map(|place| &self.pending[place].receipt)
    }

    /// Whether none waits.
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    fn place(&self, token: Token) -> Option<usize> {
        self.pending.binary_search_by_key(&token, |pending| pending.token).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn released(receipts: &mut Receipts) -> Vec<Text> {
        std::iter::from_fn(|| receipts.next_released()).collect()
    }

    #[test]
    fn what_has_failed_holds_back_nothing() {
        let mut receipts = Receipts::new(10);
        receipts.wait(Token(1), "a".into());
        receipts.wait(Token(2), "b".into());
        assert_eq!(receipts.fail(Token(1)), Some("a".into()));
        assert_eq!(receipts.fail(Token(1)), None);
        receipts.complete(Token(2));
        assert_eq!(released(&mut receipts), ["b"]);
        receipts.wait_as_part(Token(3), "commit".into());
        receipts.wait(Token(4), "own".into());
        receipts.wait_as_part(Token(5), "commit".into());
        receipts.ready(Token(6), "commit".into());
        receipts.complete(Token(5));
        assert_eq!(receipts.fail(Token(3)), Some("commit".into()));
        receipts.complete(Token(4));
        assert_eq!(released(&mut receipts), ["own"]);
        assert!(receipts.is_empty());
    }

    #[test]
    fn receipts_are_released_in_order_whatever_the_order_of_the_answers() {
        let mut receipts = Receipts::new(10);
        receipts.wait(Token(1), "a".into());
        receipts.ready(Token(2), "b".into());
        receipts.wait(Token(5), "c".into());
        receipts.complete(Token(5));
        receipts.complete(Token(4));
        assert_eq!(released(&mut receipts), [""; 0]);
        receipts.complete(Token(1));
        assert_eq!(released(&mut receipts), ["a", "b", "c"]);
        assert!(receipts.is_empty());
    }

    #[test]
    fn the_receipt_of_a_commit_waits_for_its_parts_which_have_none() {
        let mut receipts = Receipts::new(10);
        receipts.wait_as_part(Token(1), "commit".into());
        receipts.ready(Token(2), "commit".into());
        assert_eq!(receipts.named(Token(1)).map(Text::as_str), Some("commit"));
        assert_eq!(released(&mut receipts), [""; 0]);
        receipts.complete(Token(1));
        assert_eq!(released(&mut receipts), ["commit"]);
    }

    #[test]
    fn there_is_room_for_no_more_than_the_limit() {
        let mut receipts = Receipts::new(2);
        receipts.wait(Token(1), "a".into());
        assert_eq!(receipts.reserve(1), Ok(()));
        assert_eq!(receipts.reserve(2), Err(Violation::TooManyReceipts { limit: 2 }));
        assert!(receipts.reserve(usize::MAX).is_err());
    }
}
