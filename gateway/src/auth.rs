//! Who may log in. The broker decides about login and passcode; the gateway about where a login
//! may come from, and what stands for a missing one.

use std::net::IpAddr;
use std::sync::Arc;

use broker_adapters::{Broker, Link};
use protocols::auth::{AuthRequest, Credentials, Denial, DenialKind, Grant};
use protocols::text::Text;

/// How the sessions of a route log in.
#[derive(Debug)]
pub(crate) struct Login {
    /// Opens the link; a refused open is a refused login.
    pub(crate) broker: Arc<dyn Broker>,
    /// The virtual host of clients that name none.
    pub(crate) vhost: Text,
    /// What stands for the credentials of clients that send none.
    pub(crate) default: Option<Credentials>,
    /// Users that may come from the gateway's own host only: RabbitMQ's `loopback_users`, held
    /// here against the client's address because a broker behind the gateway cannot see it.
    pub(crate) loopback_users: Arc<[Text]>,
}

impl Login {
    /// Decides about one request from `peer`.
    ///
    /// *Errors.* Why the login is refused, in words for the client.
    pub(crate) async fn log_in(
        &self,
        request: AuthRequest,
        peer: IpAddr,
    ) -> Result<(Grant, Box<dyn Link>), Denial> {
        let credentials = request
            .credentials
            .or_else(|| self.default.clone())
            .ok_or_else(|| {
                denial(
                    DenialKind::BadCredentials,
                    "a login and a passcode are needed here",
                )
            })?;
        let user = credentials.login.clone();
        if self.loopback_users.contains(&user) && !peer.to_canonical().is_loopback() {
            let text = format!("user '{user}' can only connect from the gateway's own host");
            return Err(denial(DenialKind::NotLoopback, text));
        }
        let vhost = request.vhost.unwrap_or_else(|| self.vhost.clone());
        let link = self.broker.open(vhost.clone(), credentials).await?;
        Ok((Grant { user, vhost }, link))
    }
}

fn denial(kind: DenialKind, text: impl Into<Text>) -> Denial {
    Denial {
        kind,
        text: text.into(),
    }
}
