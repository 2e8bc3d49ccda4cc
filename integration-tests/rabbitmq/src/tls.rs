//! A certificate for the loopback interface, and an authority that vouches for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// PEM files.
#[derive(Debug, Clone)]
pub(crate) struct Certificates {
    /// The authority's certificate.
    pub(crate) authority: PathBuf,
    /// The server's certificate, for `localhost` and 127.0.0.1.
    pub(crate) server: PathBuf,
    /// The server's private key.
    pub(crate) key: PathBuf,
}

impl Certificates {
    /// Makes them with `openssl`, which Debian's RabbitMQ depends on.
    pub(crate) fn make(directory: &Path) -> Self {
        let path = |name: &str| directory.join(name);
        let key = |name: &str| {
            let arguments = ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
            openssl(directory, &[&arguments[..], &["-out", name]].concat());
        };
        let empty = "[req]\ndistinguished_name = none\n[none]\n";
        fs::write(path("openssl.conf"), empty).expect("the directory is ours");
        let request = ["req", "-new", "-x509", "-config", "openssl.conf", "-days", "2"];
        key("authority.key");
        let own = ["-key", "authority.key", "-subj", "/CN=authority", "-out", "authority.pem"];
        let usage = ["-addext", "basicConstraints=critical,CA:TRUE"];
        openssl(directory, &[&request[..], &own, &usage].concat());
        key("server.key");
        let signed = ["-CA", "authority.pem", "-CAkey", "authority.key"];
        let own = ["-key", "server.key", "-subj", "/CN=localhost", "-out", "server.pem"];
        let names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
        let usage = ["-addext", "basicConstraints=critical,CA:FALSE"];
        openssl(directory, &[&request[..], &signed, &own, &names, &usage].concat());
        Self {
            authority: path("authority.pem"),
            server: path("server.pem"),
            key: path("server.key"),
        }
    }
}

fn openssl(directory: &Path, arguments: &[&str]) {
    let output = Command::new("openssl")
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("openssl: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments:?}: {said}");
}
