//! The receipts a client waits for, in the order of the frames that asked.
//!
//! *Spec.* STOMP 1.2 §RECEIPT: a receipt also says that all earlier frames were received. RECEIPTs
//! leave here strictly in the order of the frames, so that the one of DISCONNECT is the last.

use std::collections::VecDeque;

use crate::broker::Token;
use crate::stomp::acks::Holder;
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
    /// `None` for a part of a COMMIT that asked for none: it holds back that of COMMIT.
    receipt: Option<Text>,
    is_done: bool,
    role: Role,
}

/// What a frame is to a COMMIT that asked for a receipt. Names are the client's, and may be used twice:
/// a COMMIT is known by the transaction that it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    None,
    /// It is a frame of that transaction.
    PartOf(Holder),
    /// It is the COMMIT. Behind all its parts.
    Commit {
        of: Holder,
        /// A part of it has.
        has_failed: bool,
    },
}

/// The receipts that will not come, each with an error in its place.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Lost {
    /// That of the frame which has failed.
    pub(super) own: Option<Text>,
    /// That of the COMMIT that it is part of, unless the client was told in place of another part.
    pub(super) of_commit: Option<Text>,
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
        let (receipt, role) = (Some(receipt), Role::None);
        self.pending.push_back(Pending { token, receipt, is_done: false, role });
    }

    /// A publish of a transaction that the receipt of its COMMIT waits for, with its own, if it has one.
    pub(super) fn wait_as_part(&mut self, token: Token, receipt: Option<Text>, of: Holder) {
        let role = Role::PartOf(of);
        self.pending.push_back(Pending { token, receipt, is_done: false, role });
    }

    /// A receipt that waits for nothing but its turn.
    pub(super) fn ready(&mut self, token: Token, receipt: Text) {
        let (receipt, role) = (Some(receipt), Role::None);
        self.pending.push_back(Pending { token, receipt, is_done: true, role });
    }

    /// That of the COMMIT of this transaction. *Order.* After its parts.
    pub(super) fn ready_commit(&mut self, token: Token, receipt: Text, of: Holder) {
        let (receipt, role) = (Some(receipt), Role::Commit { of, has_failed: false });
        self.pending.push_back(Pending { token, receipt, is_done: true, role });
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
            let Pending { receipt, role, .. } = self.pending.pop_front()?;
            if receipt.is_some() && !matches!(role, Role::Commit { has_failed: true, .. }) {
                return receipt;
            }
        }
        None
    }

    /// The frame behind `token` has failed: the receipt that it asked for will not come, nor that of the
    /// COMMIT that it is part of. Those of other parts do, if they are taken.
    pub(super) fn fail(&mut self, token: Token) -> Lost {
        let Some(place) = self.place(token) else {
            return Lost::default();
        };
        let commit = self.commit_of(place);
        let Some(failed) = self.pending.remove(place) else {
            return Lost::default();
        };
        let mut lost = Lost { own: failed.receipt, of_commit: None };
        // What was removed lay before it.
        if let Some(commit) = commit.and_then(|at| self.pending.get_mut(at - 1))
            && let Role::Commit { has_failed, .. } = &mut commit.role
        {
            if lost.own.is_none() || !*has_failed {
                lost.of_commit.clone_from(&commit.receipt);
            }
            *has_failed = true;
        }
        lost
    }

    /// The receipt that the frame behind `token` asked for, or else the COMMIT that it is part of.
    pub(super) fn named(&self, token: Token) -> Option<&Text> {
        let place = self.place(token)?;
        let own = self.pending[place].receipt.as_ref();
        own.or_else(|| self.pending[self.commit_of(place)?].receipt.as_ref())
    }

    /// Where the COMMIT is that this is part of.
    fn commit_of(&self, part: usize) -> Option<usize> {
        let Role::PartOf(commit) = self.pending[part].role else {
            return None;
        };
        let is_it = |it: &Pending| matches!(it.role, Role::Commit { of, .. } if of == commit);
        // It is no farther than a transaction is long.
        self.pending.iter().skip(part).position(is_it).map(|after| part + after)
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

    fn lost(own: Option<&str>, of_commit: Option<&str>) -> Lost {
        Lost { own: own.map(Text::from), of_commit: of_commit.map(Text::from) }
    }

    fn released(receipts: &mut Receipts) -> Vec<Text> {
        std::iter::from_fn(|| receipts.next_released()).collect()
    }

    #[test]
    fn what_has_failed_holds_back_nothing() {
        let mut receipts = Receipts::new(10);
        receipts.wait(Token(1), "a".into());
        receipts.wait(Token(2), "b".into());
        assert_eq!(receipts.fail(Token(1)), lost(Some("a"), None));
        assert_eq!(receipts.fail(Token(1)), Lost::default());
        receipts.complete(Token(2));
        assert_eq!(released(&mut receipts), ["b"]);
        assert!(receipts.is_empty());
    }

    #[test]
    fn a_commit_fails_with_any_of_its_parts_and_takes_nobody_along() {
        let mut receipts = Receipts::new(10);
        receipts.wait_as_part(Token(1), None, Holder(1));
        receipts.wait_as_part(Token(2), Some("own".into()), Holder(1));
        receipts.wait_as_part(Token(3), Some("taken".into()), Holder(1));
        receipts.wait_as_part(Token(4), None, Holder(1));
        receipts.ready_commit(Token(5), "commit".into(), Holder(1));
        // The same name, twice more.
        receipts.wait(Token(6), "commit".into());
        receipts.wait_as_part(Token(7), None, Holder(2));
        receipts.ready_commit(Token(8), "commit".into(), Holder(2));
        // In place of the COMMIT once for those that have a receipt, and for each that has none.
        assert_eq!(receipts.fail(Token(2)), lost(Some("own"), Some("commit")));
        assert_eq!(receipts.named(Token(4)).map(Text::as_str), Some("commit"));
        assert_eq!(receipts.fail(Token(4)), lost(None, Some("commit")));
        assert_eq!(receipts.fail(Token(3)), lost(Some("taken"), None));
        for token in [1, 6, 7] {
            receipts.complete(Token(token));
        }
        assert_eq!(released(&mut receipts), ["commit", "commit"]);
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
        receipts.wait_as_part(Token(1), None, Holder(1));
        receipts.ready_commit(Token(2), "commit".into(), Holder(1));
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
