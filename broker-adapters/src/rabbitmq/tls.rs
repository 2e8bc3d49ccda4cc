//! Whom to trust for `amqps`.

use std::io;
use std::path::{Path, PathBuf};

use lapin::tcp::{RustlsConnector, RustlsConnectorConfig};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;

/// Certificate authorities, read when the first connection needs them. A failure is not kept: the
/// file may be put right.
#[derive(Debug)]
pub(super) struct Trust {
    /// A PEM file; `None` for the system's authorities.
    file: Option<PathBuf>,
    connector: OnceCell<RustlsConnector>,
}

impl Trust {
    pub(super) fn new(file: Option<PathBuf>) -> Self {
        Self { file, connector: OnceCell::new() }
    }

    /// *Errors.* What is wrong with the authorities; names the file.
    pub(super) async fn connector(&self) -> io::Result<&RustlsConnector> {
        self.connector
            .get_or_try_init(|| async {
                let file = self.file.clone();
                spawn_blocking(move || build(file.as_deref())).await.map_err(io::Error::other)?
            })
            .await
    }
}

fn build(file: Option<&Path>) -> io::Result<RustlsConnector> {
    let Some(file) = file else {
        return RustlsConnector::new_with_native_certs();
    };
    let faulty = |why: String| {
        let text = format!("tls_ca, the file '{}', cannot be used: {why}", file.display());
        io::Error::new(io::ErrorKind::InvalidData, text)
    };
    let authorities = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| faulty(error.to_string()))?;
    if authorities.is_empty() {
        return Err(faulty("it has no certificate".to_owned()));
    }
    RustlsConnectorConfig::default()
        .with_parsable_certificates(authorities)
        .connector_with_no_client_auth()
        .map_err(|error| faulty(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_cannot_be_used_is_named() {
        for (file, why) in [("missing.pem", "No such file"), ("src/lib.rs", "no certificate")] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
            let trust = Trust::new(Some(path.clone()));
            let error = trust.connector().await.expect_err("nothing to trust").to_string();
            assert!(error.contains(&path.display().to_string()), "{error}");
            assert!(error.contains(why) && error.contains("tls_ca"), "{error}");
        }
    }
}
