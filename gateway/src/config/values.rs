//! How single values are read and shown where the ready-made way would not do: because its error
//! would not say what was expected, would take a number for a word, or would show a secret.

use std::fmt;
use std::net::SocketAddr;

use broker_adapters::rabbitmq::Endpoint;
use protocols::auth::Secret;
use protocols::stomp::compat::{Compat, Switch};
use serde::de::{self, IntoDeserializer, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serializer};

const REDACTED: &str = "[redacted]";
const OFF: &str = "off";

/// What a broker's `url` expects.
pub(super) const URLS: &str = "a URL such as \"amqp://localhost\", or a list of them";

/// One of the words of an enum, never its number.
pub(super) fn word<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(String::deserialize(deserializer)?.into_deserializer())
}

/// An IP address with a port.
pub(super) fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| de::Error::invalid_value(Unexpected::Str(&text), &"address:port"))
}

/// An IP address with a port, or `off`.
pub(super) fn address_or_off<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text == OFF {
        return Ok(None);
    }
    text.parse()
        .map(Some)
        .map_err(|_| de::Error::invalid_value(Unexpected::Str(&text), &"address:port or \"off\""))
}

/// Shows what [`address_or_off`] reads.
pub(super) fn show_address_or_off<S: Serializer>(
    address: &Option<SocketAddr>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match address {
        Some(address) => serializer.collect_str(address),
        None => serializer.serialize_str(OFF),
    }
}

/// A secret. Whatever else comes, its value does not show in the error.
pub(super) fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    struct Wrap;

    impl Visitor<'_> for Wrap {
        type Value = Secret;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Secret, E> {
            Ok(Secret::new(text))
        }

        fn visit_bool<E: de::Error>(self, _: bool) -> Result<Secret, E> {
            Err(E::invalid_type(Unexpected::Other("a truth value"), &self))
        }

        fn visit_i64<E: de::Error>(self, _: i64) -> Result<Secret, E> {
            Err(E::invalid_type(Unexpected::Other("a number"), &self))
        }

        fn visit_u64<E: de::Error>(self, _: u64) -> Result<Secret, E> {
            Err(E::invalid_type(Unexpected::Other("a number"), &self))
        }

        fn visit_f64<E: de::Error>(self, _: f64) -> Result<Secret, E> {
            Err(E::invalid_type(Unexpected::Other("a number"), &self))
        }
    }

    deserializer.deserialize_str(Wrap)
}

/// A secret that is there.
pub(super) fn optional_secret<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Secret>, D::Error> {
    secret(deserializer).map(Some)
}

/// Shows that there is a secret.
pub(super) fn redact<S: Serializer>(_: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(REDACTED)
}

/// Shows that there is a secret; called only where there is one.
pub(super) fn redact_optional<S: Serializer>(
    _: &Option<Secret>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(REDACTED)
}

/// Where a broker listens: a URL, or a list of them. What is refused does not show in the error: it
/// may hold a passcode.
pub(super) fn endpoints<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<Endpoint>, D::Error> {
    struct Urls;

    impl<'de> Visitor<'de> for Urls {
        type Value = Vec<Endpoint>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(URLS)
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<Endpoint>, E> {
            // From a variable or a flag, a list comes as its text, and is read once more.
            if text.trim_start().starts_with('[') {
                return Err(E::invalid_type(Unexpected::Str(REDACTED), &self));
            }
            text.parse().map(|endpoint| vec![endpoint]).map_err(E::custom)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut urls: A) -> Result<Vec<Endpoint>, A::Error> {
            let mut endpoints = Vec::new();
            while let Some(url) = urls.next_element::<String>()? {
                let place = endpoints.len() + 1;
                let endpoint = url.parse().map_err(|error| {
                    <A::Error as de::Error>::custom(format_args!("URL {place}: {error}"))
                })?;
                endpoints.push(endpoint);
            }
            Ok(endpoints)
        }
    }

    deserializer.deserialize_any(Urls)
}

/// Shows what [`endpoints`] reads.
pub(super) fn show_endpoints<S: Serializer>(
    endpoints: &[Endpoint],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(endpoints.iter().map(Endpoint::to_string))
}

/// What a route's `compat` expects.
const COMPAT: &str = "\"rabbitmq\", or a list of switches such as [\"open-after-error\"]";

const RABBITMQ: &str = "rabbitmq";

/// The names of all switches.
const SWITCHES: [&str; Switch::ALL.len()] = {
    let mut names = [""; Switch::ALL.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = Switch::ALL[at].name();
        at += 1;
    }
    names
};

/// What is done as RabbitMQ's plugin does it: all of it, or what a list names.
pub(super) fn compat<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Compat, D::Error> {
    struct Switches;

    impl<'de> Visitor<'de> for Switches {
        type Value = Compat;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(COMPAT)
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Compat, E> {
            match text {
                RABBITMQ => Ok(Compat::RABBITMQ),
                // From a variable or a flag, a list comes as its text, and is read once more.
                _ if text.trim_start().starts_with('[') => {
                    Err(E::invalid_type(Unexpected::Str(text), &self))
                }
                _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
            }
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<Compat, A::Error> {
            let mut compat = Compat::NONE;
            while let Some(name) = names.next_element::<String>()? {
                let switch = Switch::ALL.into_iter().find(|switch| switch.name() == name);
                let unknown = || de::Error::unknown_variant(&name, &SWITCHES);
                compat = compat.with(switch.ok_or_else(unknown)?);
            }
            Ok(compat)
        }
    }

    deserializer.deserialize_any(Switches)
}

/// Shows what [`compat`] reads.
pub(super) fn show_compat<S: Serializer>(
    compat: &Compat,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match *compat {
        Compat::RABBITMQ => serializer.serialize_str(RABBITMQ),
        some => serializer.collect_seq(some.switches().map(Switch::name)),
    }
}
