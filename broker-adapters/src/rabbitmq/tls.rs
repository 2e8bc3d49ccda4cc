//! Whom to trust for `amqps`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Certificate authorities, read when the first connection needs them. A failure is not kept: the
/// file may be put right.
pub(super) struct Trust {
    /// A PEM file; `None` for the system's authorities.
    file: Option<PathBuf>,
    connector: OnceCell<TlsConnector>,
}

impl Trust {
    pub(super) fn new(file: Option<PathBuf>) -> Self {
        Self { file, connector: OnceCell::new() }
    }

    /// Speaks TLS with who must be `host`.
    ///
    /// *Errors.* What is wrong with the authorities, naming the file; or with the other side.
    pub(super) async fn connect(
        &self,
        host: &str,
        socket: TcpStream,
    ) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        self.connector().await?.connect(name, socket).await
    }

    async fn connector(&self) -> io::Result<&TlsConnector> {
        self.connector
            .get_or_try_init(|| async {
                let file = self.file.clone();
                spawn_blocking(move || build(file.as_deref())).await.map_err(io::Error::other)?
            })
            .await
    }
}

/// Whether a file of certificate authorities can be used.
///
/// *Errors.* What is wrong with it.
pub fn check_authorities(file: &Path) -> Result<(), String> {
    read(file).map(drop)
}

fn build(file: Option<&Path>) -> io::Result<TlsConnector> {
    let authorities = match file {
        Some(file) => from_file(file)?,
        None => of_the_system()?,
    };
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(authorities)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn from_file(file: &Path) -> io::Result<RootCertStore> {
    read(file).map_err(|why| {
        let text = format!("tls_ca, the file '{}', cannot be used: {why}", file.display());
        io::Error::new(io::ErrorKind::InvalidData, text)
    })
}

fn read(file: &Path) -> Result<RootCertStore, String> {
    let certificates = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| error.to_string())?;
    if certificates.is_empty() {
        return Err("it has no certificate".to_owned());
    }
    let mut authorities = RootCertStore::empty();
    for certificate in certificates {
        authorities.add(certificate).map_err(|error| error.to_string())?;
    }
    Ok(authorities)
}

/// Those that can be read: a system has many, and one that is odd is no reason to trust none.
fn of_the_system() -> io::Result<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut authorities = RootCertStore::empty();
    let (added, _) = authorities.add_parsable_certificates(found.certs);
    if added == 0 {
        let why = found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
        let text = format!(
            "the system has no certificate authorities; name a file of them as tls_ca{why}"
        );
        return Err(io::Error::new(io::ErrorKind::NotFound, text));
    }
    Ok(authorities)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_cannot_be_used_is_named() {
        for (file, why) in [("missing.pem", "No such file"), ("src/lib.rs", "no certificate")] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
            let trust = Trust::new(Some(path.clone()));
            let error = trust.connector().await.err().expect("nothing to trust").to_string();
            assert!(error.contains(&path.display().to_string()), "{error}");
            assert!(error.contains(why) && error.contains("tls_ca"), "{error}");
        }
    }
}
