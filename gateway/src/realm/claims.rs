//! [`Claims`]: which procedures this node has, as the broker says.
//!
//! Two nodes may be asked for one procedure at the same time. So a procedure that is registered exactly is
//! claimed at the broker first; whoever else registers it meanwhile waits. It is given up with its last
//! callee, and until the broker has said so, it is not claimed again.

use std::collections::HashMap;
use std::sync::Arc;

use protocols::broker::Token;
use protocols::text::Text;
use protocols::wamp::message::InvokePolicy;
use protocols::wamp::peers::Terms;
use protocols::wamp::uri::Pattern;

use super::member::Member;

/// What is, or is to be, this node's.
#[derive(Debug, Default)]
pub(super) struct Claims(HashMap<Text, Claim>);

/// A procedure, on its way from nobody's to this node's and back.
#[derive(Debug)]
enum Claim {
    /// The broker has not answered.
    Asked { invoke: InvokePolicy, waiting: Vec<Registrant> },
    /// It is this node's.
    Held,
    /// It has been given up, and the broker has not said so yet.
    Releasing { told: Vec<(Arc<Member>, Token)>, waiting: Vec<Registrant> },
}

/// Somebody who is to be a callee.
#[derive(Debug)]
pub(super) struct Registrant {
    pub(super) member: Arc<Member>,
    pub(super) token: Token,
    pub(super) pattern: Pattern,
    pub(super) invoke: InvokePolicy,
    pub(super) terms: Terms,
    pub(super) force: bool,
}

/// What the bridge is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Errand {
    /// To claim a procedure.
    Claim(Text, InvokePolicy),
    /// To give it up.
    Release(Text),
}

impl Claims {
    /// Somebody wants to be a callee. The registrant comes back if that can be decided here.
    pub(super) fn register(
        &mut self,
        registrant: Registrant,
    ) -> Result<Option<Errand>, Registrant> {
        let uri = registrant.pattern.uri.clone();
        match self.0.get_mut(&uri) {
            Some(Claim::Held) => Err(registrant),
            Some(Claim::Asked { waiting, .. } | Claim::Releasing { waiting, .. }) => {
                waiting.push(registrant);
                Ok(None)
            }
            None => {
                let invoke = registrant.invoke;
                let waiting = vec![registrant];
                self.0.insert(uri.clone(), Claim::Asked { invoke, waiting });
                Ok(Some(Errand::Claim(uri, invoke)))
            }
        }
    }

    /// It is this node's: those who waited for that, and how the claim says that they share it.
    pub(super) fn on_claimed(&mut self, uri: &Text) -> Option<(InvokePolicy, Vec<Registrant>)> {
        match self.0.insert(uri.clone(), Claim::Held) {
            Some(Claim::Asked { invoke, waiting }) => Some((invoke, waiting)),
            other => {
                // Claimed anew on another link, or given up meanwhile.
                match other {
                    Some(before) => self.0.insert(uri.clone(), before),
                    None => self.0.remove(uri),
                };
                None
            }
        }
    }

    /// It is not: those who waited in vain.
    pub(super) fn on_refused(&mut self, uri: &Text) -> Vec<Registrant> {
        match self.0.remove(uri) {
            Some(Claim::Asked { waiting, .. }) => waiting,
            Some(other) => {
                self.0.insert(uri.clone(), other);
                Vec::new()
            }
            None => Vec::new(),
        }
    }

    /// Whether it is this node's.
    pub(super) fn holds(&self, uri: &Text) -> bool {
        matches!(self.0.get(uri), Some(Claim::Held))
    }

    /// It was this node's, and nobody has asked for that to end.
    pub(super) fn on_lost(&mut self, uri: &Text) {
        if self.holds(uri) {
            self.0.remove(uri);
        }
    }

    /// Its last callee is gone. `told` hears of it once the broker has said so; `waiting` claim it again.
    pub(super) fn release(
        &mut self,
        uri: &Text,
        told: Option<(Arc<Member>, Token)>,
        waiting: Vec<Registrant>,
    ) -> Errand {
        let told = told.into_iter().collect();
        self.0.insert(uri.clone(), Claim::Releasing { told, waiting });
        Errand::Release(uri.clone())
    }

    /// The broker has said so: who is to be told, and what is to be claimed again.
    pub(super) fn on_released(
        &mut self,
        uri: &Text,
    ) -> (Vec<(Arc<Member>, Token)>, Option<Errand>) {
        match self.0.remove(uri) {
            Some(Claim::Releasing { told, waiting }) => {
                let Some(invoke) = waiting.first().map(|first| first.invoke) else {
                    return (told, None);
                };
                self.0.insert(uri.clone(), Claim::Asked { invoke, waiting });
                (told, Some(Errand::Claim(uri.clone(), invoke)))
            }
            Some(other) => {
                self.0.insert(uri.clone(), other);
                (Vec::new(), None)
            }
            None => (Vec::new(), None),
        }
    }
}
