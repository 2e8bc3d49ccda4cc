//! Commands that are shown before they run, and failures that name the command.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

/// Why a task failed, as a sentence.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The command could not be started.
    #[error("`{command}` did not start: {source}")]
    NotStarted {
        /// As typed.
        command: String,
        /// What the system said.
        source: io::Error,
    },
    /// The command ended with an error.
    #[error("`{command}` ended with {status}")]
    Ended {
        /// As typed.
        command: String,
        /// Its exit status.
        status: ExitStatus,
    },
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something is missing and cannot be installed from here.
    #[error("{what} is missing: {remedy}")]
    Missing {
        /// What.
        what: &'static str,
        /// What to do about it.
        remedy: String,
    },
    /// Something was expected and did not come.
    #[error("{0}")]
    Unexpected(String),
}

impl Failure {
    /// For `map_err` on what was done to `path`.
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        |source| Self::File { path: path.to_owned(), source }
    }
}

/// The workspace's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the manifest directory of a workspace member has a parent")
}

/// A command to be run in the workspace's root.
pub(crate) struct Run(Command);

impl Run {
    /// This program, found on the `PATH` or by its path.
    pub(crate) fn program(program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program);
        command.current_dir(root());
        Self(command)
    }

    /// The cargo that runs this task.
    pub(crate) fn cargo() -> Self {
        let mut run = Self::program(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        // What the outer cargo says about this program's package is not for the inner one. A build
        // script that reads it would run again, and all that depends on it be built again, whenever
        // cargo was called without the task runner in between.
        for (name, _) in std::env::vars_os() {
            let of_package = ["CARGO_MANIFEST_", "CARGO_PKG_"];
            if name.to_str().is_some_and(|name| of_package.iter().any(|it| name.starts_with(it))) {
                run.0.env_remove(name);
            }
        }
        run
    }

    /// With these arguments after the ones it has.
    pub(crate) fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.0.args(args);
        self
    }

    /// With this environment variable.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(name, value);
        self
    }

    /// In this directory.
    pub(crate) fn within(mut self, directory: &Path) -> Self {
        self.0.current_dir(directory);
        self
    }

    /// Shows the command, runs it with its output going straight through, and checks how it ended.
    pub(crate) fn done(mut self) -> Result<(), Failure> {
        let command = self.to_string();
        println!("$ {command}");
        match self.0.stdin(Stdio::null()).status() {
            Err(source) => Err(Failure::NotStarted { command, source }),
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(Failure::Ended { command, status }),
        }
    }

    /// As [`done`](Self::done), and returns what went to standard output, which is shown too.
    pub(crate) fn output(mut self) -> Result<String, Failure> {
        let command = self.to_string();
        println!("$ {command}");
        let output = self.0.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
        let output = match output {
            Err(source) => return Err(Failure::NotStarted { command, source }),
            Ok(output) => output,
        };
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        print!("{printed}");
        if output.status.success() {
            Ok(printed)
        } else {
            Err(Failure::Ended { command, status: output.status })
        }
    }

    /// Whether it runs and ends well. Says nothing.
    pub(crate) fn succeeds(mut self) -> bool {
        self.0.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.0.status().is_ok_and(|status| status.success())
    }

    /// Shows the command and starts it.
    pub(crate) fn start(mut self) -> Result<std::process::Child, Failure> {
        let command = self.to_string();
        println!("$ {command} &");
        self.0
            .stdin(Stdio::null())
            .spawn()
            .map_err(|source| Failure::NotStarted { command, source })
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in self.0.get_envs() {
            if let Some(value) = value {
                write!(f, "{}={:?} ", name.to_string_lossy(), value.to_string_lossy())?;
            }
        }
        let program = Path::new(self.0.get_program());
        let shown = if program.ends_with("cargo") { Path::new("cargo") } else { program };
        write!(f, "{}", shown.strip_prefix(root()).unwrap_or(shown).display())?;
        for argument in self.0.get_args() {
            let argument = Path::new(argument);
            write!(f, " {}", argument.strip_prefix(root()).unwrap_or(argument).display())?;
        }
        Ok(())
    }
}
