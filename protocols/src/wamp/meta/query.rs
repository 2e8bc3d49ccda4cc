//! [`Query`]: a call to one of the protocol's own procedures.
//!
//! *Spec.* WAMP §Session Meta API, §Registration Meta API, §Subscription Meta API, of each procedure the
//! arguments, and the errors that are about these.

use super::arguments::Arguments;
use super::{Cause, Kind};
use crate::text::Text;
use crate::violation::shown;
use crate::wamp::id::Id;
use crate::wamp::payload::Payload;
use crate::wamp::reason;
use crate::wamp::refusal::Reason;
use crate::wamp::uri::{Pattern, UriRules};

/// What is asked, or to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// `wamp.session.count`
    CountSessions(Filter),
    /// `wamp.session.list`
    ListSessions(Filter),
    /// `wamp.session.get`
    Session(Id),
    /// `wamp.session.kill…`
    Kill {
        /// Whom.
        victims: Victims,
        /// What they are told.
        farewell: Farewell,
    },
    /// `wamp.registration.…` or `wamp.subscription.…`
    About(Kind, Question),
}

/// Roles of sessions; `None`: any.
pub type Filter = Option<Vec<Text>>;

/// Which sessions are to end. The caller never does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Victims {
    /// One.
    Session(Id),
    /// Those of a user.
    OfUser(Text),
    /// Those in a role.
    InRole(Text),
    /// All.
    All,
}

/// What a session is told that is killed: its GOODBYE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Farewell {
    /// Why, as a URI.
    pub reason: Text,
    /// Why, as a sentence, if the one who kills says so.
    pub message: Option<Text>,
}

/// What is asked about registrations or subscriptions. *Members* are callees or subscribers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// `list`
    List,
    /// `lookup`: the one of this very pattern.
    LookUp(Pattern),
    /// `match`: the registration that a call would be for; the subscriptions that would get an event.
    Match(Text),
    /// `get`
    Get(Id),
    /// `list_callees`, `list_subscribers`
    ListMembers(Id),
    /// `count_callees`, `count_subscribers`
    CountMembers(Id),
}

impl Query {
    /// What a call asks.
    ///
    /// *Errors.* `NoSuchProcedure`, `InvalidArgument`, and `InvalidUri` for the reason that those are to
    /// be told who are killed.
    pub fn read(procedure: &str, payload: &Payload, uris: UriRules) -> Result<Self, Cause> {
        let arguments = Arguments::new(procedure, payload);
        let rest = procedure.strip_prefix("wamp.").and_then(|rest| rest.split_once('.'));
        let query = match rest {
            Some(("session", name)) => Self::about_sessions(name, &arguments, uris)?,
            Some(("registration", name)) => about(Kind::Registration, name, &arguments)?
                .map(|it| Self::About(Kind::Registration, it)),
            Some(("subscription", name)) => about(Kind::Subscription, name, &arguments)?
                .map(|it| Self::About(Kind::Subscription, it)),
            _ => None,
        };
        query.ok_or_else(|| {
            let sentence = format!("the protocol has no procedure {:?} here", shown(procedure));
            (Reason::NoSuchProcedure, sentence)
        })
    }

    fn about_sessions(
        name: &str,
        arguments: &Arguments<'_>,
        uris: UriRules,
    ) -> Result<Option<Self>, Cause> {
        let victims = match name {
            "count" => return Ok(Some(Self::CountSessions(arguments.texts()?))),
            "list" => return Ok(Some(Self::ListSessions(arguments.texts()?))),
            "get" => return Ok(Some(Self::Session(arguments.id()?))),
            "kill" => Victims::Session(arguments.id()?),
            "kill_by_authid" => Victims::OfUser(arguments.text()?),
            "kill_by_authrole" => Victims::InRole(arguments.text()?),
            "kill_all" => Victims::All,
            _ => return Ok(None),
        };
        Ok(Some(Self::Kill { victims, farewell: farewell(arguments, uris)? }))
    }
}

fn about(kind: Kind, name: &str, arguments: &Arguments<'_>) -> Result<Option<Question>, Cause> {
    Ok(Some(match (name, kind) {
        ("list", _) => Question::List,
        ("lookup", _) => {
            let (uri, policy) = (arguments.text()?, arguments.policy()?);
            Question::LookUp(Pattern { policy, uri })
        }
        ("match", _) => Question::Match(arguments.text()?),
        ("get", _) => Question::Get(arguments.id()?),
        ("list_callees", Kind::Registration) | ("list_subscribers", Kind::Subscription) => {
            Question::ListMembers(arguments.id()?)
        }
        ("count_callees", Kind::Registration) | ("count_subscribers", Kind::Subscription) => {
            Question::CountMembers(arguments.id()?)
        }
        _ => return Ok(None),
    }))
}

/// Bytes of what those are told who are killed: each of them gets it.
const LONGEST_MESSAGE: usize = 1_024;

fn farewell(arguments: &Arguments<'_>, uris: UriRules) -> Result<Farewell, Cause> {
    let invalid =
        |sentence: String| (Reason::InvalidUri, format!("the reason is no URI: {sentence}"));
    let reason = arguments.keyword("reason").map_err(|(_, sentence)| invalid(sentence))?;
    if let Some(reason) = &reason {
        uris.check(reason).map_err(|error| invalid(error.to_string()))?;
    }
    // They are kept longer than the call.
    let reason = reason.map_or(Text::from_static(reason::KILLED), |reason| reason.detached());
    let message = arguments.keyword("message")?.map(|message| message.detached());
    if let Some(got) = message.as_ref().map(|it| it.len()).filter(|got| *got > LONGEST_MESSAGE) {
        let sentence = format!("the message may have {LONGEST_MESSAGE} bytes, it has {got}");
        return Err((Reason::InvalidArgument, sentence));
    }
    Ok(Farewell { reason, message })
}
