//! Calls of the protocol's own procedures.
//!
//! They are answered by the caller's own node, before anything that is registered is looked at.
//!
//! *Spec.* WAMP §Session Meta API, §Registration Meta API, §Subscription Meta API.

use super::{Cause, Dealer};
use crate::session::Actions;
use crate::violation::shown;
use crate::wamp::access::{Action, Rights};
use crate::wamp::id::Id;
use crate::wamp::message::{Call, CallResult, RequestType, ResultDetails};
use crate::wamp::meta::{Answer, Query};
use crate::wamp::peers::Request;
use crate::wamp::refusal::Reason;

impl Dealer {
    /// CALL of such a procedure. RESULT comes of an [answer](Self::on_answered).
    pub(super) fn on_meta_call(&self, call: &Call, rights: &Rights, actions: &mut Actions) {
        let request = call.request;
        match self.query(call, rights) {
            Ok(query) => actions.peers.push(Request::Consult { request, query }),
            Err(cause) => self.refuse(RequestType::CALL, request, cause, actions),
        }
    }

    fn query(&self, call: &Call, rights: &Rights) -> Result<Query, Cause> {
        let procedure = &call.procedure;
        let uris = self.uris.check(procedure);
        uris.map_err(|error| (Reason::InvalidUri, error.to_string()))?;
        if rights.may(Action::Call, procedure).is_none() {
            let sentence = format!("{:?} may not be called by this session", shown(procedure));
            return Err((Reason::NotAuthorized, sentence));
        }
        Query::read(procedure, &call.payload, self.uris)
    }

    /// What comes of a query. A result that the client has no room for is refused.
    pub(super) fn on_answered(
        &self,
        request: Id,
        answer: Result<Answer, Cause>,
        actions: &mut Actions,
    ) {
        let payload =
            answer.map(|answer| answer.payload(self.pen.serializer)).and_then(|payload| {
                let (limit, got) = (self.pen.most_arguments(), payload.size());
                if got > limit {
                    let sentence = format!(
                        "the result has {got} bytes, and this client takes {limit} of them"
                    );
                    return Err((Reason::PayloadTooLarge, sentence));
                }
                Ok(payload)
            });
        match payload {
            Ok(payload) => {
                let details = ResultDetails::default();
                self.pen.write(CallResult { request, details, payload }, actions);
            }
            Err(cause) => self.refuse(RequestType::CALL, request, cause, actions),
        }
    }
}
