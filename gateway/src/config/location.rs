//! Where in the configuration something is: keys, and the sources that wrote them.

use std::fmt;

/// Where a value was written: shown as `gateway.toml:12: route.stomp.broker: `,
/// `environment GATEWAY_LOG__FILTER: ` or `--set log.filter: `.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The file, the variable or the flag; `None` for a configuration put together in code.
    pub source: Option<String>,
    /// The line in the file, counted from 1; `None` where no line says it.
    pub line: Option<usize>,
    /// The key; `None` where the source names it already or none is concerned.
    pub key: Option<KeyPath>,
}

impl Location {
    pub(super) fn of_key(key: &KeyPath) -> Self {
        Self { source: None, line: None, key: Some(key.clone()) }
    }

    pub(super) fn of_source(source: &str) -> Self {
        Self { source: Some(source.to_owned()), line: None, key: None }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.source, self.line) {
            (Some(source), Some(line)) => write!(f, "{source}:{line}: ")?,
            (Some(source), None) => write!(f, "{source}: ")?,
            (None, _) => {}
        }
        match &self.key {
            Some(key) => write!(f, "{key}: "),
            None => Ok(()),
        }
    }
}

/// The way to a key: its section, the table's name, the key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct KeyPath(Vec<String>);

impl KeyPath {
    /// The key one step further.
    #[must_use]
    pub fn join(&self, part: &str) -> Self {
        self.concat(&[part])
    }

    /// The key these steps further.
    #[must_use]
    pub fn concat<S: AsRef<str>>(&self, parts: &[S]) -> Self {
        let further = parts.iter().map(|part| part.as_ref().to_owned());
        Self(self.0.iter().cloned().chain(further).collect())
    }

    /// Its parts, from the section on.
    pub fn parts(&self) -> &[String] {
        &self.0
    }
}

impl<S: AsRef<str>> From<&[S]> for KeyPath {
    fn from(parts: &[S]) -> Self {
        Self::default().concat(parts)
    }
}

impl<const N: usize> From<[&str; N]> for KeyPath {
    fn from(parts: [&str; N]) -> Self {
        Self::from(parts.as_slice())
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        for (index, part) in self.0.iter().enumerate() {
            let dot = if index == 0 { "" } else { "." };
            if !part.is_empty() && part.chars().all(is_bare) {
                write!(f, "{dot}{part}")?;
            } else {
                write!(f, "{dot}{part:?}")?;
            }
        }
        Ok(())
    }
}
