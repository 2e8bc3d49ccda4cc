//! What a login asks and what is answered, as data. Who decides lives outside this crate.

use std::fmt;

use subtle::ConstantTimeEq;

use crate::text::Text;

/// A text that must not be seen: its `Debug` is redacted, it has no `Display`, and comparing it
/// takes the same time wherever the difference is.
#[derive(Clone, Default)]
pub struct Secret(Text);

impl Secret {
    /// Wraps a secret. The text is detached, so that it does not linger in an input buffer's life.
    pub fn new(text: &str) -> Self {
        Self(Text::from(text))
    }

    /// The secret itself, for whoever must hand it on.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// A login and its passcode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Who the peer says it is.
    pub login: Text,
    /// What it proves that with; empty if it sent none.
    pub passcode: Secret,
}

/// What a session asks when its peer wants in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthRequest {
    /// As sent by the peer; `None` if it sent no login.
    pub credentials: Option<Credentials>,
    /// The virtual host the peer named; `None` for the default of the route, or of the realm.
    pub vhost: Option<Text>,
    /// The realm that the peer joins, where the protocol has realms. Who gets into it has been decided,
    /// but for `credentials` if there are any: those the broker must take. The session then works under
    /// the realm's own login.
    pub realm: Option<Text>,
}

/// The answer to an [`AuthRequest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthReply {
    /// In.
    Granted(Grant),
    /// Not in, and why.
    Denied(Denial),
}

/// Who the peer is from now on, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The user at the broker.
    pub user: Text,
    /// The virtual host the session works in.
    pub vhost: Text,
}

/// Why a login was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// What kind of refusal it is; decides the close code and the log level.
    pub kind: DenialKind,
    /// A sentence for the peer. Never says whether it was the login or the passcode.
    pub text: Text,
}

/// Kinds of refused logins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DenialKind {
    /// Wrong login or passcode, or none where one is needed.
    BadCredentials,
    /// This user may log in from the gateway's own host only.
    NotLoopback,
    /// The virtual host does not exist or the user has no access to it.
    VhostRefused,
    /// The broker cannot be reached now.
    Unavailable,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show_in_debug_output() {
        let credentials =
            Credentials { login: Text::from_static("ann"), passcode: Secret::new("hunter2") };
        let shown = format!("{credentials:?}");
        assert!(shown.contains("ann") && shown.contains("[redacted]"));
        assert!(!shown.contains("hunter2"));
    }
}
