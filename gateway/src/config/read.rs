//! Turns merged tables into the types of [`super`], and finds every value that does not fit.
//!
//! Deserializing stops at the first error. So that one look finds them all, a value that does not
//! fit is reported and taken out of the table, and the table is read again; each round takes
//! something out, so there are no more rounds than values.

use std::collections::{BTreeMap, BTreeSet};

use figment::error::{Actual, Kind};
use figment::value::{Dict, Value};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::layers::Layers;
use super::location::KeyPath;
use super::problem::{ConfigError, ConfigErrors, Problem, Suggestion, TABLE, quoted, shown};
use super::{
    Admin, Broker, Config, Drain, Embedded, Listener, Log, Rabbitmq, Realm, Route, SECTIONS,
};

const BROKER_KINDS: &str = "\"embedded\" or \"rabbitmq\"";

/// A table that can be read by itself.
trait Table: DeserializeOwned {
    /// Keys that have no default, so that all that are missing are reported together.
    const REQUIRED: &[&str] = &[];
}

impl Table for Listener {
    const REQUIRED: &[&str] = &["bind"];
}

impl Table for Route {
    const REQUIRED: &[&str] = &["listener", "protocols", "broker"];
}

impl Table for Realm {
    const REQUIRED: &[&str] = &["broker", "login", "passcode"];
}

impl Table for Rabbitmq {
    const REQUIRED: &[&str] = &["url"];
}

impl Table for Embedded {}
impl Table for Admin {}
impl Table for Drain {}
impl Table for Log {}

/// Reads the whole configuration. *Errors.* Every value that does not fit.
pub(super) fn config(layers: &Layers) -> Result<Config, ConfigErrors> {
    let mut reader = Reader { layers, errors: Vec::new(), reported: BTreeSet::new() };
    for section in layers.sections().filter(|name| !SECTIONS.contains(name)) {
        let suggestion = Suggestion::for_name(section, SECTIONS.into_iter());
        reader.report(KeyPath::from([section]), Problem::UnknownSection(suggestion));
    }
    let config = Config {
        listener: reader.tables("listener", Reader::table),
        route: reader.tables("route", Reader::table),
        broker: reader.tables("broker", Reader::broker),
        realm: reader.tables("realm", Reader::table),
        admin: reader.single("admin"),
        drain: reader.single("drain"),
        log: reader.single("log"),
    };
    ConfigErrors::unless_empty(reader.errors).map(|()| config)
}

struct Reader<'a> {
    layers: &'a Layers,
    errors: Vec<ConfigError>,
    reported: BTreeSet<KeyPath>,
}

impl Reader<'_> {
    /// A section of tables by name.
    fn tables<T>(
        &mut self,
        section: &str,
        read: impl Fn(&mut Self, &KeyPath, &Dict) -> Option<T>,
    ) -> BTreeMap<String, T> {
        let path = KeyPath::from([section]);
        let Some(tables) = self.dict(&path, self.layers.section(section)) else {
            return BTreeMap::new();
        };
        tables
            .iter()
            .filter_map(|(name, value)| {
                let path = path.join(name);
                let table = self.dict(&path, Some(value))?;
                Some((name.clone(), read(self, &path, table)?))
            })
            .collect()
    }

    /// A section that is one table.
    fn single<T: Table + Default>(&mut self, section: &str) -> T {
        let path = KeyPath::from([section]);
        self.dict(&path, self.layers.section(section))
            .and_then(|table| self.table(&path, table))
            .unwrap_or_default()
    }

    /// A broker, whose `kind` says what its other keys are.
    fn broker(&mut self, path: &KeyPath, table: &Dict) -> Option<Broker> {
        let mut table = table.clone();
        let problem = match table.remove("kind") {
            Some(Value::String(_, kind)) if kind == "embedded" => {
                return self.table(path, &table).map(Broker::Embedded);
            }
            Some(Value::String(_, kind)) if kind == "rabbitmq" => {
                return self.table(path, &table).map(Broker::Rabbitmq);
            }
            Some(other) => Problem::mismatch(BROKER_KINDS, shown(&other.to_actual())),
            None => Problem::Missing,
        };
        self.report(path.join("kind"), problem);
        None
    }

    fn dict<'v>(&mut self, path: &KeyPath, value: Option<&'v Value>) -> Option<&'v Dict> {
        let value = value?;
        let dict = value.as_dict();
        if dict.is_none() {
            self.report(path.clone(), Problem::wrong_type(TABLE, &value.to_actual()));
        }
        dict
    }

    fn table<T: Table>(&mut self, path: &KeyPath, table: &Dict) -> Option<T> {
        let before = self.errors.len();
        let mut value = Value::from(table.clone());
        for key in T::REQUIRED.iter().filter(|key| !table.contains_key(**key)) {
            self.report(path.join(key), Problem::Missing);
        }
        loop {
            let error = match value.deserialize::<T>() {
                Ok(read) => return (self.errors.len() == before).then_some(read),
                Err(error) => error,
            };
            if !self.settle(path, &mut value, error) {
                return None;
            }
        }
    }

    /// Reads a text as what it stands for, or reports the error and takes its cause out. Whether
    /// reading the table again can tell more.
    fn settle(&mut self, path: &KeyPath, table: &mut Value, error: figment::Error) -> bool {
        let Some((keys, value)) = innermost(table, &error.path) else {
            // The table itself is at fault: something it must have is not there.
            self.report_kind(path, error.kind);
            return false;
        };
        let key = path.concat(&keys);
        if let Kind::InvalidType(Actual::Str(_), _) = error.kind
            && self.layers.is_plain_text(value.tag())
            && let Some(meant) = literal(value)
        {
            *value = meant;
            return true;
        }
        self.report_kind(&key, error.kind);
        remove(table, &keys);
        true
    }

    fn report_kind(&mut self, key: &KeyPath, kind: Kind) {
        match kind {
            Kind::MissingField(name) => self.report(key.join(&name), Problem::Missing),
            Kind::UnknownField(name, known) => {
                let suggestion = Suggestion::for_name(&name, known.iter().copied());
                self.report(key.clone(), Problem::UnknownKey(suggestion));
            }
            Kind::UnknownVariant(got, words) => {
                let words: Vec<_> = words.iter().map(|word| format!("{word:?}")).collect();
                let problem = Problem::mismatch(words.join(" or "), quoted(&got));
                self.report(key.clone(), problem);
            }
            Kind::InvalidType(got, expected) | Kind::InvalidValue(got, expected) => {
                self.report(key.clone(), Problem::wrong_type(&expected, &got));
            }
            Kind::Message(reason) => self.report(key.clone(), Problem::Unusable(reason)),
            other => {
                self.report(key.clone(), Problem::mismatch("another value", other.to_string()))
            }
        }
    }

    /// Reports a problem, unless there is one with this key already: what was taken out is not
    /// missing.
    fn report(&mut self, key: KeyPath, problem: Problem) {
        if self.reported.insert(key.clone()) {
            self.errors.push(ConfigError::new(self.layers.locate(&key), problem));
        }
    }
}

/// The value at `path`, or the list on the way to it that holds it; with the keys that lead there.
fn innermost<'v>(table: &'v mut Value, path: &[String]) -> Option<(Vec<String>, &'v mut Value)> {
    let mut keys = Vec::new();
    let mut value = table;
    for key in path {
        match value {
            Value::Dict(_, dict) => value = dict.get_mut(key)?,
            _ => break,
        }
        keys.push(key.clone());
    }
    (!keys.is_empty()).then_some((keys, value))
}

fn remove(table: &mut Value, keys: &[String]) {
    let Some((last, tables)) = keys.split_last() else {
        return;
    };
    let mut value = table;
    for key in tables {
        let Value::Dict(_, dict) = value else { return };
        let Some(inner) = dict.get_mut(key) else {
            return;
        };
        value = inner;
    }
    if let Value::Dict(_, dict) = value {
        dict.remove(last);
    }
}

/// What a text says if it is read as a number, a truth value or a list of TOML.
fn literal(text: &Value) -> Option<Value> {
    let parsed = toml::de::ValueDeserializer::parse(text.as_str()?).ok()?;
    let value = <Value as Deserialize>::deserialize(parsed).ok()?;
    match value {
        Value::Num(..) | Value::Bool(..) | Value::Array(..) => Some(value),
        _ => None,
    }
}
