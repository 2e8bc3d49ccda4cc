//! What ends a call from the caller's side: CANCEL, its timeout, and that the session ends.
//!
//! *Spec.* WAMP §Call Canceling, §Call Timeouts, §Caller Leaving During an RPC Invocation.

use std::time::Instant;

use super::{Calls, Output, give_up, refused};
use crate::wamp::message::{Cancel, CancelMode, Choice};
use crate::wamp::refusal::Reason;
use crate::wamp::rpc::exchange::ToCallee;
use crate::wamp::rpc::millis;

impl Calls {
    /// CANCEL.
    ///
    /// *Shape.* A mode that is not known is taken for the default, `killnowait`. A callee that cannot
    /// be interrupted makes it `skip`. What is over is not canceled.
    pub fn on_cancel(&mut self, now: Instant, cancel: &Cancel, output: &mut Output) {
        let Some(mut pending) = self.table.take(cancel.request) else { return };
        let wanted = match cancel.options.mode {
            Some(Choice::Known(mode)) => mode,
            Some(Choice::Other(_)) | None => CancelMode::KillNoWait,
        };
        match pending.mode(wanted) {
            CancelMode::Kill => {
                if !pending.is_killed {
                    pending.is_killed = true;
                    pending.first = None;
                    pending.deadline = pending.deadline.min(now + self.settings.kill_timeout);
                    output.asks.extend(pending.interrupt(wanted, Reason::Canceled));
                }
                self.table.put(pending);
            }
            CancelMode::Skip | CancelMode::KillNoWait => {
                output.asks.extend(pending.interrupt(wanted, Reason::Canceled));
                let sentence = "the caller has canceled the call".to_owned();
                output.replies.push(refused(cancel.request, (Reason::Canceled, sentence)));
            }
        }
    }

    /// The time has come that [`next_timeout`](Self::next_timeout) named, or has passed.
    pub fn handle_timeout(&mut self, now: Instant, output: &mut Output) {
        while let Some(pending) = self.table.take_due(now) {
            let cause = if pending.is_killed {
                let sentence = "the caller has canceled the call, and the callee has not answered";
                (Reason::Canceled, sentence.to_owned())
            } else {
                let waited = millis(pending.patience);
                (Reason::Timeout, format!("nothing has come of the call for {waited} ms"))
            };
            give_up(&pending, cause, output);
        }
    }

    /// The session ends: nobody waits for its calls any more. What callees are to be told.
    pub fn leave(&mut self) -> Vec<ToCallee> {
        let interrupt = CancelMode::KillNoWait;
        let calls = self.table.drain();
        calls.filter_map(|pending| pending.interrupt(interrupt, Reason::Canceled)).collect()
    }
}
