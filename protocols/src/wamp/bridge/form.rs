//! What a call and its answer are as messages of the broker.
//!
//! | `type` | is | from a gateway |
//! |---|---|---|
//! | `wamp.call` | a call | header `wamp-uri` the procedure, `wamp-timeout` milliseconds, `wamp-recv-progress`, `wamp-caller`, `wamp-authid`, `wamp-authrole` who calls if that is disclosed, `wamp-ppt` |
//! | `wamp.result`, `wamp.progress` | the result, or a part of it | |
//! | `wamp.error` | an error | header `wamp-error` its URI |
//! | `wamp.interrupt` | that a call is canceled | header `wamp-uri` the procedure, `wamp-mode` how |
//!
//! Between gateways the body is the list of both kinds of arguments, as in an event. To others it is what
//! the `content-type` of their call, or the route to them, says; [`foreign`] says what theirs is here.
//!
//! # To a plain AMQP caller
//! The body is the value if there is one argument alone, else an object of `args` and `kwargs`, and a header
//! `wamp-envelope`. It is in JSON, in plain text if the call was in plain text, and as bytes if it was neither.
//! An error is an object of `error`, `args` and `kwargs`.
//!
//! [`foreign`]: crate::wamp::pubsub

use data_encoding::BASE64;
use serde_json::{Map, Value as Json, json};

use crate::broker::{Message, Properties, Publication, Value};
use crate::text::Text;
use crate::wamp::id::Id;
use crate::wamp::message::{CancelMode, Choice, ErrorDetails, Passthru, ResultDetails, Word};
use crate::wamp::payload::Payload;
use crate::wamp::pubsub::{foreign, headers};
use crate::wamp::refusal::Reason;
use crate::wamp::rpc::{Answer, Identity, Invoke, Reply};
use crate::wamp::serializer::{Limits, Serializer};

const CALL: &str = "wamp.call";
const RESULT: &str = "wamp.result";
const PROGRESS: &str = "wamp.progress";
const ERROR: &str = "wamp.error";
const INTERRUPT: &str = "wamp.interrupt";

const TIMEOUT: &str = "wamp-timeout";
const WANTS_PARTS: &str = "wamp-recv-progress";
const IS_PART: &str = "wamp-progress";
const CALLER: &str = "wamp-caller";
const MODE: &str = "wamp-mode";
const ERROR_URI: &str = "wamp-error";
/// What others call it.
const OTHER_ERROR: &str = "x-error";
const ENVELOPE: &str = "wamp-envelope";

const JSON: &str = "application/json";

/// What a worker that a route names reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// `{"args": […], "kwargs": {…}}`, and a header `wamp-envelope`.
    Envelope,
    /// The first argument, in JSON.
    JsonFirstArg,
    /// The first argument: a text or binary data as it is, anything else in JSON.
    RawFirstArg,
    /// The arguments by name, in JSON.
    KwargsObject,
}

/// How a caller elsewhere is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// It is a gateway, and has the arguments as they came.
    Gateway,
    /// In JSON.
    Json,
    /// In plain text, if there is no more than a text; else in JSON.
    Text,
    /// As bytes, if there are no more than those; else in JSON.
    Bytes,
}

/// A call to whoever has the procedure.
pub(super) fn to_gateway(invoke: &Invoke, procedure: &Text) -> Message {
    let mut headers = vec![(Text::from_static(headers::URI), Value::Text(procedure.clone()))];
    let mut put = |name, value| headers.push((Text::from_static(name), value));
    let within = i64::try_from(invoke.within.as_millis()).unwrap_or(i64::MAX);
    put(TIMEOUT, Value::Integer(within));
    if invoke.receive_progress {
        put(WANTS_PARTS, Value::Boolean(true));
    }
    if let Some(Identity { session, authid, authrole }) = &invoke.caller {
        put(CALLER, headers::number(*session));
        put(headers::AUTHID, Value::Text(authid.clone()));
        put(headers::AUTHROLE, Value::Text(authrole.clone()));
    }
    headers.extend(headers::passthru_entry(&invoke.passthru));
    of_payload(CALL, &invoke.payload, headers)
}

/// A call to the worker of a route.
///
/// *Errors.* The arguments cannot be written in that form.
pub(super) fn to_worker(
    invoke: &Invoke,
    form: Form,
    limits: &Limits,
) -> Result<Message, (Reason, String)> {
    let Arguments { args, kwargs } =
        Arguments::of(&invoke.payload, limits).map_err(|why| (Reason::InvalidPayload, why))?;
    let first = || args.first().cloned().unwrap_or(Json::Null);
    let mut message = match form {
        Form::Envelope => enveloped(&args, &kwargs),
        Form::JsonFirstArg => of_json(&first()),
        Form::RawFirstArg => raw(&first()).unwrap_or_else(|| of_json(&first())),
        Form::KwargsObject => of_json(&Json::Object(kwargs)),
    };
    message.properties.kind = Some(Text::from_static(CALL));
    Ok(message)
}

/// That a call is canceled, to whichever gateway has the callee. `about` names the call.
pub(super) fn interrupt(mode: CancelMode, procedure: &Text, mut about: Message) -> Message {
    about.properties.kind = Some(Text::from_static(INTERRUPT));
    about.properties.headers = vec![
        (Text::from_static(headers::URI), Value::Text(procedure.clone())),
        (Text::from_static(MODE), Value::Text(mode.as_str().into())),
    ];
    about
}

/// How a gateway cancels a call; `None` if that is not what it says.
pub(super) fn mode(publication: &Publication) -> Option<Choice<CancelMode>> {
    let Properties { headers, kind, .. } = &publication.message.properties;
    if kind.as_deref() != Some(INTERRUPT) {
        return None;
    }
    match headers::find(headers, MODE)? {
        Value::Text(mode) => Some(CancelMode::of_word(mode.detached())),
        _ => None,
    }
}

/// What has come of a call that left: `part` says how many parts there were before.
pub(super) fn answer(publication: &Publication, part: u64, limits: &Limits) -> Answer {
    let Properties { headers, kind, .. } = &publication.message.properties;
    let text = |name| match headers::find(headers, name) {
        Some(Value::Text(text)) => Some(text.detached()),
        _ => None,
    };
    let is = |name: &str| kind.as_deref() == Some(name);
    let error = text(ERROR_URI).or_else(|| text(OTHER_ERROR));
    if error.is_some() || is(ERROR) {
        return error_of(publication, error, limits);
    }
    let is_part = is(PROGRESS) || headers::find(headers, IS_PART) == Some(&Value::Boolean(true));
    match arguments(publication, limits) {
        Ok(payload) => {
            let passthru = headers::passthru(headers);
            let progress = is_part.then_some(true);
            let details = ResultDetails { progress, passthru };
            Answer::Result { part, details, payload }
        }
        Err(why) => {
            let sentence = format!("the answer cannot be read: {why}");
            Answer::Error {
                error: Text::from_static(Reason::InvalidPayload.uri()),
                details: ErrorDetails::default(),
                payload: Payload::of_text(Serializer::Cbor, &sentence),
            }
        }
    }
}

/// An error, in a header or in the body, or both.
fn error_of(publication: &Publication, uri: Option<Text>, limits: &Limits) -> Answer {
    let body = &publication.message.body;
    let object = match serde_json::from_slice(body) {
        Ok(Json::Object(object)) if object.contains_key("error") => Some(object),
        _ => None,
    };
    let named = object.as_ref().and_then(|it| it.get("error")?.as_str().map(Text::from));
    let payload = match object {
        Some(mut object) => {
            let args = object.remove("args").unwrap_or_else(|| json!([]));
            let kwargs = object.remove("kwargs").unwrap_or_else(|| json!({}));
            envelope(&args, &kwargs)
        }
        None => arguments(publication, limits).ok(),
    };
    let unnamed = || Text::from_static("wamp.error.runtime_error");
    Answer::Error {
        error: uri.or(named).unwrap_or_else(unnamed),
        details: ErrorDetails::default(),
        payload: payload.unwrap_or_else(|| Payload::empty(Serializer::Json)),
    }
}

/// The arguments of a call, or of a result.
///
/// *Errors.* It is not what it says.
pub(super) fn arguments(publication: &Publication, limits: &Limits) -> Result<Payload, String> {
    let headers = &publication.message.properties.headers;
    if headers::find(headers, ENVELOPE) == Some(&Value::Boolean(true))
        && let Ok(Json::Object(mut object)) = serde_json::from_slice(&publication.message.body)
        && let Some(payload) = envelope(
            &object.remove("args").unwrap_or_else(|| json!([])),
            &object.remove("kwargs").unwrap_or_else(|| json!({})),
        )
    {
        return Ok(payload);
    }
    foreign::payload(publication, limits).map_err(|unwritable| unwritable.0)
}

/// Arguments of both kinds that are in JSON; `None` if they are not a list and an object.
fn envelope(args: &Json, kwargs: &Json) -> Option<Payload> {
    let (args, kwargs) = (args.as_array()?, kwargs.as_object()?);
    let bytes = |value: String| Some(value.into_bytes().into());
    Some(Payload {
        serializer: Serializer::Json,
        args: bytes(Json::from(args.clone()).to_string()),
        kwargs: if kwargs.is_empty() { None } else { bytes(json!(kwargs).to_string()) },
    })
}

/// How the caller of a call is answered.
pub(super) fn style(publication: &Publication, is_gateway: bool) -> Style {
    let Properties { kind, content_type, .. } = &publication.message.properties;
    let content_type = content_type.as_deref().unwrap_or_default();
    if is_gateway && kind.as_deref() == Some(CALL) {
        Style::Gateway
    } else if content_type.starts_with("text/") {
        Style::Text
    } else if content_type.is_empty() || content_type.starts_with("application/octet-stream") {
        Style::Bytes
    } else {
        Style::Json
    }
}

/// Milliseconds that the caller waits, if it says so.
pub(super) fn timeout(publication: &Publication, is_gateway: bool) -> Option<u64> {
    let Properties { headers, expiration, .. } = &publication.message.properties;
    match headers::find(headers, TIMEOUT).filter(|_| is_gateway) {
        Some(Value::Integer(millis)) => u64::try_from(*millis).ok(),
        _ => expiration.as_deref().and_then(|text| text.parse().ok()),
    }
}

/// Whether a gateway takes the result in parts.
pub(super) fn wants_parts(publication: &Publication) -> bool {
    let headers = &publication.message.properties.headers;
    headers::find(headers, WANTS_PARTS) == Some(&Value::Boolean(true))
}

/// Who calls, as a gateway says.
pub(super) fn identity(publication: &Publication) -> Option<Identity> {
    let headers = &publication.message.properties.headers;
    let text = |name| match headers::find(headers, name)? {
        Value::Text(text) => Some(text.detached()),
        _ => None,
    };
    let session: Id = headers::find(headers, CALLER).and_then(headers::id)?;
    let (authid, authrole) = (text(headers::AUTHID)?, text(headers::AUTHROLE)?);
    Some(Identity { session, authid, authrole })
}

/// How the arguments are to be understood, as a gateway says.
pub(super) fn passthru(publication: &Publication, is_gateway: bool) -> Passthru {
    if is_gateway {
        headers::passthru(&publication.message.properties.headers)
    } else {
        Passthru::default()
    }
}

/// What a callee has said, for a caller elsewhere.
pub(super) fn reply(reply: Reply, style: Style, limits: &Limits) -> Message {
    let is_part = !reply.is_final();
    let (error, payload, passthru) = match reply {
        Reply::Result(result) => (None, result.payload, result.details.passthru),
        Reply::Error(error) => (Some(error.error), error.payload, error.details.passthru),
        Reply::Refused(refusal) => {
            let error = refusal.to_error(Serializer::Json);
            (Some(error.error), error.payload, Passthru::default())
        }
    };
    let kind = match (&error, is_part) {
        (Some(_), _) => ERROR,
        (None, true) => PROGRESS,
        (None, false) => RESULT,
    };
    let mut headers = Vec::new();
    if let Some(uri) = &error {
        headers.push((Text::from_static(ERROR_URI), Value::Text(uri.clone())));
    }
    if style == Style::Gateway {
        headers.extend(headers::passthru_entry(&passthru));
        return of_payload(kind, &payload, headers);
    }
    let mut message = match Arguments::of(&payload, limits) {
        Ok(arguments) => arguments.into_message(error.as_deref(), style),
        Err(why) => {
            let uri = Text::from_static(Reason::InvalidPayload.uri());
            let object = json!({ "error": uri.as_str(), "args": [why], "kwargs": {} });
            headers = vec![(Text::from_static(ERROR_URI), Value::Text(uri))];
            of_json(&object)
        }
    };
    message.properties.kind = Some(Text::from_static(kind));
    message.properties.headers.extend(headers);
    message
}

/// Arguments as JSON has them.
struct Arguments {
    args: Vec<Json>,
    kwargs: Map<String, Json>,
}

impl Arguments {
    fn of(payload: &Payload, limits: &Limits) -> Result<Self, String> {
        let json = payload
            .transcoded(Serializer::Json, limits)
            .map_err(|error| format!("the arguments cannot be written in JSON: {error}"))?;
        let unfit = |error: serde_json::Error| format!("the arguments cannot be read: {error}");
        let read = |part: &Option<bytes::Bytes>, none: &'static [u8]| {
            serde_json::from_slice(part.as_deref().unwrap_or(none)).map_err(unfit)
        };
        let args = match read(&json.args, b"[]")? {
            Json::Array(args) => args,
            _ => Vec::new(),
        };
        let kwargs = match read(&json.kwargs, b"{}")? {
            Json::Object(kwargs) => kwargs,
            _ => Map::new(),
        };
        Ok(Self { args, kwargs })
    }

    fn into_message(self, error: Option<&str>, style: Style) -> Message {
        let Self { mut args, kwargs } = self;
        if let Some(error) = error {
            return of_json(&json!({ "error": error, "args": args, "kwargs": kwargs }));
        }
        if !kwargs.is_empty() || args.len() > 1 {
            return enveloped(&args, &kwargs);
        }
        let value = args.pop().unwrap_or(Json::Null);
        let is_raw = matches!(style, Style::Text | Style::Bytes);
        is_raw.then(|| raw(&value)).flatten().unwrap_or_else(|| of_json(&value))
    }
}

/// A text or binary data as it is; `None` for anything else.
fn raw(value: &Json) -> Option<Message> {
    let text = value.as_str()?;
    // WAMP §Binary support in JSON.
    let binary = text.strip_prefix('\0').and_then(|text| BASE64.decode(text.as_bytes()).ok());
    let (content_type, body) = match binary {
        Some(bytes) => ("application/octet-stream", bytes),
        None => ("text/plain", text.as_bytes().to_vec()),
    };
    Some(of_body(content_type, body.into()))
}

/// Arguments of both kinds, and a header that says so: one argument may look alike.
fn enveloped(args: &[Json], kwargs: &Map<String, Json>) -> Message {
    let mut message = of_json(&json!({ "args": args, "kwargs": kwargs }));
    message.properties.headers = vec![(Text::from_static(ENVELOPE), Value::Boolean(true))];
    message
}

fn of_json(value: &Json) -> Message {
    of_body(JSON, value.to_string().into_bytes().into())
}

fn of_body(content_type: &'static str, body: bytes::Bytes) -> Message {
    let content_type = Some(Text::from_static(content_type));
    Message { body, properties: Properties { content_type, ..Properties::default() } }
}

fn of_payload(kind: &'static str, payload: &Payload, headers: Vec<(Text, Value)>) -> Message {
    let mut message = of_body(foreign::content_type(payload.serializer), payload.to_body());
    message.properties.kind = Some(Text::from_static(kind));
    message.properties.headers = headers;
    message
}
