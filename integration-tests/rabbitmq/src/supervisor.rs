//! [`Supervisor`]: the small shell that a RabbitMQ runs under, so that it ends with this process.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

const SCRIPT: &str = include_str!("supervisor.sh");

/// A shell that obeys through a pipe. When this is dropped, or its process is gone, it ends what it
/// runs and removes its directory; a drop waits for that.
///
/// Its calls block: for no longer than a shell needs for a line.
#[derive(Debug)]
pub(crate) struct Supervisor {
    shell: Child,
    answers: BufReader<ChildStdout>,
}

impl Supervisor {
    /// Starts it with these variables and no others; gives the directory it made.
    pub(crate) fn start(variables: &[(&str, String)]) -> (Self, PathBuf) {
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT, "rabbitmq-node"])
            .env_clear()
            .envs(["PATH", "TMPDIR"].iter().filter_map(|it| Some((it, std::env::var_os(it)?))))
            .env("LANG", "C.UTF-8")
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // An interrupt from the terminal is meant for the tests; their end is what ends this.
            .process_group(0)
            .spawn()
            .expect("there is a shell");
        let answers = shell.stdout.take().expect("it was piped");
        let mut supervisor = Self { shell, answers: BufReader::new(answers) };
        let directory = PathBuf::from(supervisor.answer());
        (supervisor, directory)
    }

    /// Starts the broker; gives its process's number.
    pub(crate) fn start_broker(&mut self) -> u32 {
        self.order("start").parse().expect("the number of a process")
    }

    /// Ends the broker with SIGKILL, if it still runs.
    pub(crate) fn end_broker(&mut self) {
        self.order("end");
    }

    fn order(&mut self, order: &str) -> String {
        let orders = self.shell.stdin.as_mut().expect("it was piped");
        writeln!(orders, "{order}").expect("the supervisor listens");
        self.answer()
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("the supervisor answers");
        assert!(line.ends_with('\n'), "the supervisor has ended");
        line.truncate(line.len() - 1);
        line
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        // Without an end to wait for there is nothing to do about it.
        let _ = self.shell.wait();
    }
}
