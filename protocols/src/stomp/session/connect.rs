//! CONNECT and STOMP: version, heart-beats, login; CONNECTED.
//!
//! *Spec.* STOMP 1.2 §Connecting, §Protocol Negotiation, §Heart-beating.

use std::time::Instant;

use crate::auth::{AuthReply, AuthRequest, Credentials, Denial, Secret};
use crate::broker::Command;
use crate::session::{Actions, CloseCause, Established};
use crate::stomp::Version;
use crate::stomp::client_frame::ClientFrame;
use crate::stomp::compat::Switch;
use crate::stomp::delivery::MessageEncoder;
use crate::stomp::encode::{Encoder, Escaping};
use crate::stomp::frame::{Frame, Verb};
use crate::stomp::heartbeat::{Agreement, Wish};
use crate::stomp::resume::{self, Resuming};
use crate::text::Text;
use crate::violation::{Violation, shown};

use super::leave::Failure;
use super::{Phase, StompSession};

/// What CONNECT has settled, kept until the login is decided.
#[derive(Debug, Clone)]
pub(super) struct Connect {
    heartbeat: Agreement,
    /// Whether the client speaks of heart-beats at all: one of 1.0 need not.
    names_heartbeat: bool,
    /// Whether it wants to go on after errors.
    soft_errors: bool,
    /// Whether it wants to go on after its connection was lost.
    resume: Option<resume::Wish>,
}

impl StompSession {
    /// The first frame: nothing but CONNECT or STOMP.
    pub(super) fn on_first_frame(
        &mut self,
        frame: &Frame,
        actions: &mut Actions,
    ) -> Result<(), Violation> {
        let Phase::Connecting { deadline } = self.phase else {
            return Ok(());
        };
        let verb = frame.verb.as_str();
        if frame.verb.is_server_only() {
            return Err(Violation::ServerVerb { verb });
        }
        if !matches!(frame.verb, Verb::Connect | Verb::Stomp) {
            return Err(Violation::NotConnected { verb });
        }
        self.negotiate(frame)?;
        let frame = ClientFrame::new(frame, self.version);
        if !self.has(Switch::IgnoredBodies) {
            frame.check_no_body()?;
        }
        let wish = frame.get("heart-beat").map(|value| Wish::parse(value, verb)).transpose()?;
        let connect = Connect {
            heartbeat: Agreement::new(wish.unwrap_or_default(), &self.policy.stomp.heartbeat),
            names_heartbeat: wish.is_some() || self.version > Version::V10,
            soft_errors: frame.flag("soft-errors").unwrap_or(false),
            resume: resume::Wish::parse(frame, self.policy.stomp.max_resume)?,
        };
        self.phase = Phase::Authenticating { deadline, connect };
        actions.auth = Some(auth_request(frame));
        Ok(())
    }

    /// The answer to the login.
    pub(super) fn on_auth(&mut self, reply: AuthReply, actions: &mut Actions) {
        let Phase::Authenticating { deadline, connect } = &mut self.phase else {
            return;
        };
        match reply {
            AuthReply::Granted(grant) => {
                let (deadline, resume) = (*deadline, connect.resume.take());
                let connect = connect.clone();
                self.user = grant.user;
                match resume {
                    None => self.establish(&connect, actions),
                    Some(wish) => {
                        let resuming =
                            Resuming::new(wish, self.secret.clone(), &self.user, &grant.vhost);
                        self.resume(resuming, deadline, connect, actions);
                    }
                }
            }
            AuthReply::Denied(denial) => self.fail_login(&denial, actions),
        }
    }

    /// Asks for the session that the client wants, or one that it can go on with later.
    fn resume(
        &mut self,
        resuming: Resuming,
        deadline: Instant,
        connect: Connect,
        actions: &mut Actions,
    ) {
        let (known, fresh, lifetime) = resuming.names();
        let (token, subscription) = (self.next_token(), resume::SESSION);
        actions.commands.push(Command::Resume { token, subscription, known, fresh, lifetime });
        self.phase = Phase::Resuming { deadline, connect, resuming };
    }

    /// The broker has the session.
    pub(super) fn on_resumed(&mut self, found: bool, actions: &mut Actions) {
        match std::mem::replace(&mut self.phase, Phase::Closed) {
            Phase::Resuming { connect, resuming, .. } => {
                self.resumable = Some(resuming.settle(found));
                self.resumed = found;
                self.establish(&connect, actions);
            }
            phase => self.phase = phase,
        }
    }

    pub(super) fn fail_login_timeout(&mut self, actions: &mut Actions) {
        let timeout = self.policy.limits.login_timeout.as_millis();
        let millis = u64::try_from(timeout).unwrap_or(u64::MAX);
        self.fail_violation(Violation::LoginTimeout { millis }, None, actions);
    }

    /// Agrees on a version: the one that the sub-protocol's name stands for if the client accepts
    /// it, else the highest that it accepts, as with RabbitMQ.
    fn negotiate(&mut self, frame: &Frame) -> Result<(), Violation> {
        let accepted = frame.headers.get("accept-version").unwrap_or(Version::V10.as_str());
        let accepts =
            |version: &Version| accepted.split(',').any(|name| name.trim() == version.as_str());
        let highest_first = [Version::V12, Version::V11, Version::V10];
        self.version = self
            .named_version
            .into_iter()
            .chain(highest_first)
            .find(accepts)
            .ok_or_else(|| Violation::VersionMismatch { got: shown(accepted) })?;
        let escaping =
            if self.has(Switch::Escapes) { Escaping::Every } else { Escaping::of(self.version) };
        self.output.set_escaping(escaping);
        self.decoder.set_escaping(escaping);
        self.messages = MessageEncoder::new(self.version, escaping);
        Ok(())
    }

    fn establish(&mut self, connect: &Connect, actions: &mut Actions) {
        self.phase = Phase::Connected;
        self.soft_errors = connect.soft_errors;
        self.decoder.set_frame_size(self.policy.limits.frame_size);
        self.heartbeat.start(self.now, &connect.heartbeat);
        let escaping = match self.output.escaping() {
            Escaping::Every => Escaping::Every,
            Escaping::None | Escaping::V11 | Escaping::V12 => Escaping::None,
        };
        let mut frame = Encoder::new(Verb::Connected, escaping, 0);
        frame.header("version", self.version.as_str()).header("session", &self.session_id);
        if connect.names_heartbeat {
            frame.header("heart-beat", &connect.heartbeat.header());
        }
        if self.soft_errors {
            frame.header("soft-errors", "true");
        }
        if let Some(resumable) = &self.resumable {
            for (name, value) in resumable.headers(self.resumed) {
                frame.header(name, &value);
            }
        }
        if let Some(server) = &self.policy.stomp.server {
            frame.header("server", server);
        }
        actions.frames.push(self.output.frame(frame.finish(b""), b""));
        actions.established = Some(Established { probe: connect.heartbeat.probe() });
    }

    fn fail_login(&mut self, denial: &Denial, actions: &mut Actions) {
        let failure = Failure {
            report: denial.kind.report(),
            sentence: &denial.text,
            receipt: None,
            subscription: None,
            cause: CloseCause::LoginRefused,
        };
        self.fail(failure, actions);
    }
}

fn auth_request(frame: ClientFrame<'_>) -> AuthRequest {
    let credentials = frame.get("login").map(|login| Credentials {
        login: Text::from(login),
        passcode: Secret::new(frame.get("passcode").unwrap_or_default()),
    });
    AuthRequest { credentials, vhost: frame.get("host").map(Text::from), realm: None }
}
