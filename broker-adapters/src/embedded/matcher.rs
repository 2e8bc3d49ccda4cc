//! [`Matcher`]: the arguments of a binding to a headers exchange, held against a message's headers.
//!
//! *Spec.* AMQP 0-9-1 §3.1.3.4, and RabbitMQ's `all-with-x` and `any-with-x`: without `-with-x`,
//! arguments that begin with `x-` mean nothing. An argument without a value (void) asks for the
//! header's presence alone.

use protocols::broker::{BrokerError, Value};
use protocols::text::Text;

use super::refusals;

/// The argument that says how the others are meant.
const MODE: &str = "x-match";

/// What a message must have to fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Matcher {
    is_any: bool,
    wanted: Vec<(Text, Value)>,
}

impl Matcher {
    /// *Errors.* `x-match` is none of RabbitMQ's.
    pub(super) fn read(arguments: &[(Text, Value)]) -> Result<Self, BrokerError> {
        let mode = arguments.iter().find(|(name, _)| *name == MODE).map(|(_, value)| value);
        let (is_any, with_x) = match mode {
            None => (false, false),
            Some(Value::Text(mode)) => match &**mode {
                "all" => (false, false),
                "any" => (true, false),
                "all-with-x" => (false, true),
                "any-with-x" => (true, true),
                other => return Err(refusals::invalid_x_match(other)),
            },
            Some(other) => return Err(refusals::invalid_x_match_type(other)),
        };
        let is_meant = |name: &str| name != MODE && (with_x || !name.starts_with("x-"));
        let wanted = arguments.iter().filter(|(name, _)| is_meant(name));
        let wanted = wanted.map(|(name, value)| (name.detached(), value.detached())).collect();
        Ok(Self { is_any, wanted })
    }

    pub(super) fn matches(&self, headers: &[(Text, Value)]) -> bool {
        let has = |(name, value): &(Text, Value)| {
            let header = headers.iter().find(|(own, _)| own == name);
            header.is_some_and(|(_, own)| *value == Value::Void || own == value)
        };
        if self.is_any { self.wanted.iter().any(has) } else { self.wanted.iter().all(has) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(entries: &[(&str, &str)]) -> Vec<(Text, Value)> {
        let value =
            |text: &str| if text == "void" { Value::Void } else { Value::Text(text.into()) };
        entries.iter().map(|(name, text)| ((*name).into(), value(text))).collect()
    }

    #[test]
    fn headers_fit_as_x_match_says() {
        let headers = table(&[("kind", "order"), ("region", "eu"), ("x-tier", "1")]);
        let cases: [(&[(&str, &str)], bool); 14] = [
            (&[], true),
            (&[("x-match", "any")], false),
            (&[("kind", "order"), ("region", "eu")], true),
            (&[("x-match", "all"), ("kind", "order"), ("region", "us")], false),
            (&[("x-match", "any"), ("kind", "order"), ("region", "us")], true),
            (&[("x-match", "any"), ("kind", "bill"), ("region", "us")], false),
            (&[("kind", "order"), ("absent", "order")], false),
            (&[("kind", "void")], true),
            (&[("absent", "void")], false),
            (&[("kind", "order"), ("x-tier", "2")], true),
            (&[("x-match", "all-with-x"), ("kind", "order"), ("x-tier", "2")], false),
            (&[("x-match", "all-with-x"), ("kind", "order"), ("x-tier", "1")], true),
            (&[("x-match", "any-with-x"), ("x-tier", "1")], true),
            (&[("x-match", "any"), ("x-tier", "1")], false),
        ];
        for (arguments, expected) in cases {
            let matcher = Matcher::read(&table(arguments)).unwrap();
            assert_eq!(matcher.matches(&headers), expected, "{arguments:?}");
        }
    }
}
