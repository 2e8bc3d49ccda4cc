//! Where `cargo xtask interop` installs clients that others wrote, and the scripts that use them.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The Python interpreter that has the packages.
pub fn python() -> PathBuf {
    installed().join("venv/bin/python")
}

/// A script for it.
pub fn python_script(name: &str) -> PathBuf {
    here().join("interop/python").join(name)
}

/// A script for Node. It finds packages beside the script, so all are copied to where those are
/// installed; once, for another test may be running them.
pub fn node_script(name: &str) -> PathBuf {
    static COPIED: OnceLock<PathBuf> = OnceLock::new();
    COPIED.get_or_init(copy_node_scripts).join(name)
}

fn copy_node_scripts() -> PathBuf {
    let directory = installed().join("node");
    let sources = here().join("interop/node");
    let sources = std::fs::read_dir(sources).expect("the scripts are in the repository");
    for source in sources.map(|it| it.expect("the directory can be read").path()) {
        if let (Some(name), Some("mjs")) =
            (source.file_name(), source.extension().and_then(|it| it.to_str()))
        {
            std::fs::copy(&source, directory.join(name)).unwrap_or_else(|error| {
                panic!("{}: {error}; run `cargo xtask interop`", directory.display())
            });
        }
    }
    directory
}

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn installed() -> PathBuf {
    here().join("../target/interop")
}
