//! [`Arguments`]: what one of the protocol's own procedures is called with.

use smallvec::SmallVec;

use super::Cause;
use crate::text::Text;
use crate::violation::shown;
use crate::wamp::envelope::Value;
use crate::wamp::id::Id;
use crate::wamp::message::MatchPolicy;
use crate::wamp::payload::{self, Payload};
use crate::wamp::refusal::Reason;
use crate::wamp::serializer::Scalar;

/// As many as any of the procedures has.
const MOST: usize = 2;

/// Roles that sessions may be asked for by: each session is held against all of them.
const MOST_TEXTS: usize = 64;

/// The arguments of a call.
pub(super) struct Arguments<'a> {
    procedure: &'a str,
    args: SmallVec<[Value<'a>; MOST]>,
    kwargs: Option<Value<'a>>,
}

impl<'a> Arguments<'a> {
    pub(super) fn new(procedure: &'a str, payload: &'a Payload) -> Self {
        let whole = |part| Value::whole(payload.serializer, part);
        let args = payload.args.as_ref().and_then(|args| whole(args).list());
        let args = args.into_iter().flatten().take(MOST).collect();
        Self { procedure, args, kwargs: payload.kwargs.as_ref().map(whole) }
    }

    /// The first one, an ID.
    pub(super) fn id(&self) -> Result<Id, Cause> {
        let id = self.first().and_then(payload::id);
        id.ok_or_else(|| self.unfit("an ID, from 1 to 2^53, as its first argument"))
    }

    /// The first one, a text.
    pub(super) fn text(&self) -> Result<Text, Cause> {
        let text = self.first().and_then(Value::text);
        text.ok_or_else(|| self.unfit("a text as its first argument"))
    }

    /// The first one, a list of texts, if there is one.
    pub(super) fn texts(&self) -> Result<Option<Vec<Text>>, Cause> {
        let Some(value) = self.first() else { return Ok(None) };
        let texts: Option<Vec<Text>> =
            value.list().and_then(|items| items.take(MOST_TEXTS + 1).map(Value::text).collect());
        let texts = texts.filter(|texts| texts.len() <= MOST_TEXTS);
        texts
            .map(Some)
            .ok_or_else(|| self.unfit("a list of at most 64 texts as its first argument, or none"))
    }

    /// `match` in the second one, which are options, if there is one.
    pub(super) fn policy(&self) -> Result<MatchPolicy, Cause> {
        let Some(value) = self.args.get(1).filter(|value| is_given(value)) else {
            return Ok(MatchPolicy::Exact);
        };
        let expected = "a dictionary of options as its second argument, or none";
        if value.scalar() != Scalar::Dict {
            return Err(self.unfit(expected));
        }
        let Some(word) = under(*value, "match") else { return Ok(MatchPolicy::Exact) };
        let policies = [MatchPolicy::Exact, MatchPolicy::Prefix, MatchPolicy::Wildcard];
        let word = word.text();
        let known = policies.into_iter().find(|known| word.as_deref() == Some(known.as_str()));
        known.ok_or_else(|| self.unfit("exact, prefix or wildcard as the option match"))
    }

    /// A keyword, a text, if there is one.
    pub(super) fn keyword(&self, key: &'static str) -> Result<Option<Text>, Cause> {
        let Some(value) = self.kwargs.and_then(|kwargs| under(kwargs, key)) else {
            return Ok(None);
        };
        value.text().map(Some).ok_or_else(|| self.unfit(&format!("a text as {key}, or none")))
    }

    fn first(&self) -> Option<Value<'a>> {
        self.args.first().copied().filter(is_given)
    }

    fn unfit(&self, expected: &str) -> Cause {
        let sentence = format!("{} takes {expected}", shown(self.procedure));
        (Reason::InvalidArgument, sentence)
    }
}

/// What is null is as what is not there.
fn is_given(value: &Value<'_>) -> bool {
    value.scalar() != Scalar::Null
}

/// What a dictionary has under a key; of two, the last one counts.
fn under<'a>(dictionary: Value<'a>, key: &str) -> Option<Value<'a>> {
    let is_wanted = |name: Value<'_>| matches!(name.scalar(), Scalar::Text(name) if name == key);
    let pairs = dictionary.dict().into_iter().flatten();
    let found = pairs.filter(|(name, _)| is_wanted(*name)).last();
    found.map(|(_, value)| value).filter(is_given)
}
