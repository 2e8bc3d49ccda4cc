//! Merges what the sources say, and remembers where each value was written.
//!
//! One parse of the file gives both the values and the lines they stand on. Values of variables
//! and flags are kept as the text they came as: only whoever knows the type of a key can tell
//! whether `007` is a number or a passcode.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use figment::value::{Dict, Map, Tag, Value};
use figment::{Figment, Metadata, Profile, Provider};
use serde::Deserialize;
use toml::de::DeTable;

use super::SECTIONS;
use super::location::{KeyPath, Location};
use super::problem::{ConfigError, ConfigErrors, Problem};

const BUILTIN: &str = include_str!("../../config/gateway.toml");
const BUILTIN_NAME: &str = "built-in configuration";
const PREFIX: &str = "GATEWAY_";

/// Where configuration comes from, later ones before earlier ones. No `Debug`: the values of
/// variables and flags may be secrets.
#[derive(Clone, Default)]
pub struct Sources {
    /// The file; `None` takes the built-in one.
    pub file: Option<PathBuf>,
    /// Names and values of environment variables; those that do not start with `GATEWAY_` are
    /// passed over.
    pub env: Vec<(String, OsString)>,
    /// Assignments `SECTION.NAME.KEY=VALUE`, later ones before earlier ones.
    pub set: Vec<String>,
}

/// What all sources say together.
pub(super) struct Layers {
    figment: Figment,
    tree: Dict,
    file: File,
}

impl Layers {
    /// The merged value of a section.
    pub(super) fn section(&self, name: &str) -> Option<&Value> {
        self.tree.get(name)
    }

    /// The names of all sections there are.
    pub(super) fn sections(&self) -> impl Iterator<Item = &str> {
        self.tree.keys().map(String::as_str)
    }

    /// Whether a value was written as plain text, outside the file.
    pub(super) fn is_plain_text(&self, tag: Tag) -> bool {
        self.source(tag).is_some_and(|source| source != self.file.name)
    }

    /// Where the value of `key` was written; if nobody wrote it, where its table was.
    pub(super) fn locate(&self, key: &KeyPath) -> Location {
        let parts = key.parts();
        let (depth, value) = self.deepest(parts);
        let known = KeyPath::from(&parts[..depth]);
        let in_file = Location {
            source: Some(self.file.name.clone()),
            line: self.file.lines.get(&known).map(|line| line.number),
            key: Some(key.clone()),
        };
        let Some(value) = value else {
            return in_file;
        };
        let is_table = value.as_dict().is_some();
        // A table of the file to which a variable added a key is still the file's.
        let is_of_file = is_table && self.file.lines.get(&known).is_some_and(|line| line.is_table);
        match self.source(value.tag()) {
            Some(source) if source != self.file.name && !is_of_file => {
                let is_named_by_source = depth == parts.len() && !is_table;
                let key = (!is_named_by_source).then(|| key.clone());
                Location { source: Some(source.to_owned()), line: None, key }
            }
            _ => in_file,
        }
    }

    /// How many parts of a key lead to a value, and that value.
    fn deepest(&self, parts: &[String]) -> (usize, Option<&Value>) {
        let mut table = Some(&self.tree);
        let mut found = (0, None);
        for (index, part) in parts.iter().enumerate() {
            let Some(value) = table.and_then(|table| table.get(part)) else {
                break;
            };
            found = (index + 1, Some(value));
            table = value.as_dict();
        }
        found
    }

    fn source(&self, tag: Tag) -> Option<&str> {
        self.figment.get_metadata(tag).map(|metadata| metadata.name.as_ref())
    }
}

/// Reads every source and puts the later ones over the earlier ones.
///
/// *Errors.* Every source that cannot be read.
pub(super) fn merge(sources: &Sources) -> Result<Layers, ConfigErrors> {
    let mut errors = Vec::new();
    let file = File::read(sources.file.as_deref()).map_err(|error| errors.push(error)).ok();
    let mut variables: Vec<_> = sources.env.iter().collect();
    variables.sort();
    let variables =
        variables.into_iter().filter_map(|(name, value)| Layer::from_variable(name, value));
    let flags = sources.set.iter().map(|assignment| Layer::from_assignment(assignment));
    let above_file: Vec<Layer> = variables
        .chain(flags)
        .filter_map(|layer| layer.map_err(|error| errors.push(error)).ok())
        .collect();
    let Some((file, lowest)) = file.filter(|_| errors.is_empty()) else {
        return Err(ConfigErrors::of(errors));
    };
    let figment = above_file.into_iter().fold(Figment::from(lowest), Figment::merge);
    let tree = figment
        .data()
        .ok()
        .and_then(|mut profiles| profiles.remove(&Profile::Default))
        .unwrap_or_default();
    Ok(Layers { figment, tree, file })
}

/// The file, or what stands for it.
struct File {
    name: String,
    lines: BTreeMap<KeyPath, Line>,
}

/// Where the file says something, counted from 1.
struct Line {
    number: usize,
    is_table: bool,
}

impl File {
    fn read(path: Option<&Path>) -> Result<(Self, Layer), ConfigError> {
        let Some(path) = path else {
            return Self::parse(BUILTIN_NAME.to_owned(), BUILTIN);
        };
        let name = path.display().to_string();
        let failed = |problem| ConfigError::new(Location::of_source(&name), problem);
        let bytes = std::fs::read(path).map_err(|error| failed(Problem::Unreadable(error)))?;
        let text = String::from_utf8(bytes).map_err(|_| failed(Problem::NotUtf8))?;
        Self::parse(name, &text)
    }

    fn parse(name: String, text: &str) -> Result<(Self, Layer), ConfigError> {
        let failed = |error: toml::de::Error| {
            let line = error.span().map(|span| line_of(text, span.start));
            let sentence = error.message().replace('\n', "; ");
            let location = Location { source: Some(name.clone()), line, key: None };
            ConfigError::new(location, Problem::Syntax(sentence))
        };
        let document = DeTable::parse(text).map_err(failed)?;
        let mut lines = BTreeMap::new();
        note_lines(text, document.get_ref(), &KeyPath::default(), &mut lines);
        let values = Dict::deserialize(toml::Deserializer::from(document)).map_err(failed)?;
        let layer = Layer { source: name.clone(), values };
        Ok((Self { name, lines }, layer))
    }
}

fn note_lines(
    text: &str,
    table: &DeTable<'_>,
    path: &KeyPath,
    lines: &mut BTreeMap<KeyPath, Line>,
) {
    for (key, value) in table {
        let path = path.join(key.get_ref());
        let inner = value.get_ref().as_table();
        let number = line_of(text, key.span().start);
        lines.insert(path.clone(), Line { number, is_table: inner.is_some() });
        if let Some(inner) = inner {
            note_lines(text, inner, &path, lines);
        }
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

/// What one source says. Its name is what the operator is told.
struct Layer {
    source: String,
    values: Dict,
}

impl Layer {
    /// `GATEWAY_SECTION__NAME__KEY`. Names without a double underscore belong to somebody else
    /// (orchestrators set `GATEWAY_PORT` for a service named `gateway`), unless they look as if
    /// one underscore had been forgotten.
    fn from_variable(name: &str, value: &OsStr) -> Option<Result<Self, ConfigError>> {
        let key = name.strip_prefix(PREFIX)?;
        let source = format!("environment {name}");
        let failed = |problem| ConfigError::new(Location::of_source(&source), problem);
        if key.starts_with('_') {
            return Some(Err(failed(Problem::ExtraUnderscore)));
        }
        let parts: Vec<String> = key.split("__").map(str::to_ascii_lowercase).collect();
        if let [part] = parts.as_slice() {
            return lacks_underscore(part).then(|| Err(failed(Problem::SingleUnderscore)));
        }
        let Some(text) = value.to_str() else {
            return Some(Err(failed(Problem::NotUtf8)));
        };
        let values = nested(&parts, text);
        Some(Ok(Self { source, values }))
    }

    /// `SECTION.NAME.KEY=VALUE`, as given to `--set`.
    fn from_assignment(assignment: &str) -> Result<Self, ConfigError> {
        let Some((path, value)) = assignment.split_once('=') else {
            return Err(ConfigError::new(Location::of_source("--set"), Problem::NoAssignment));
        };
        let parts: Vec<String> = path.split('.').map(|part| part.trim().to_owned()).collect();
        let source = format!("--set {}", parts.join("."));
        Ok(Self { source, values: nested(&parts, value) })
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.source.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}

fn nested(parts: &[String], text: &str) -> Dict {
    let (last, tables) = parts.split_last().expect("splitting a text gives at least one part");
    let innermost = Dict::from([(last.clone(), Value::from(text))]);
    tables
        .iter()
        .rev()
        .fold(innermost, |inner, name| Dict::from([(name.clone(), Value::from(inner))]))
}

/// Whether a name such as `log_filter` begins with a section and is not one of the variables by
/// which orchestrators announce services.
fn lacks_underscore(name: &str) -> bool {
    let is_service_link = name.contains("_service_") || name.contains("_port");
    name.split('_').next().is_some_and(|first| SECTIONS.contains(&first)) && !is_service_link
}
