//! A program that carries out orders: one line of JSON each, answered by one line.

use std::ffi::OsStr;
use std::process::Stdio;
use std::time::Duration;

use integration_tests::within;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// The longest a program may take to end.
const CEILING: Duration = Duration::from_secs(60);

/// A program that runs, and is killed if it is dropped.
pub(crate) struct Program {
    name: String,
    process: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Program {
    pub(crate) fn start(program: impl AsRef<OsStr>, script: &OsStr, arguments: &[&str]) -> Self {
        let name = script.to_string_lossy().into_owned();
        let mut process = Command::new(&program)
            .arg(script)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{name}: {error}; `cargo xtask interop` installs what is needed")
            });
        let orders = process.stdin.take().expect("it is piped");
        let answers = process.stdout.take().expect("it is piped");
        Self { name, process, orders, answers: BufReader::new(answers).lines() }
    }

    /// What came of an order; or why nothing did.
    pub(crate) async fn order(&mut self, order: &Value) -> Result<Value, String> {
        let line = format!("{order}\n");
        self.orders.write_all(line.as_bytes()).await.unwrap_or_else(|error| {
            panic!("{} takes no orders: {error}", self.name);
        });
        let answer = within("an answer to an order", self.answers.next_line()).await;
        let answer = answer.unwrap().unwrap_or_else(|| panic!("{} ended at {order}", self.name));
        let mut answer: Value = serde_json::from_str(&answer)
            .unwrap_or_else(|error| panic!("{} said {answer:?}: {error}", self.name));
        match answer.get("error") {
            Some(why) => Err(why.as_str().unwrap().to_owned()),
            None => Ok(answer["ok"].take()),
        }
    }

    /// Waits until it has ended, as it does when there are no more orders.
    pub(crate) async fn end(self) {
        let Self { name, mut process, orders, .. } = self;
        drop(orders);
        let status = tokio::time::timeout(CEILING, process.wait()).await;
        let status = status.unwrap_or_else(|_| panic!("{name} does not end")).unwrap();
        assert!(status.success(), "{name} ended with {status}");
    }
}

/// Binary data in orders and answers.
pub(crate) fn binary(base64: &str) -> Value {
    json!({ "$binary": base64 })
}
