//! `cargo xtask`: everything that is checked before a change goes in, one command for all of it and
//! one for each part.
//!
//! `cargo xtask test` is what continuous integration runs. It installs what the steps need, says
//! what that is and which right it takes, runs every step even if an earlier one failed, and ends
//! with a table. What the steps print goes straight through. This program holds no check of its own:
//! each step is a command that can be typed by hand, and is shown before it runs.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a task runner talks to a terminal")]

mod command;
mod gateway;
mod install;
mod quick;
mod readme;
mod smoke;
mod steps;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use command::Failure;
use install::Need;
use steps::{STEPS, Step};

fn main() -> ExitCode {
    let task = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
    match task.as_str() {
        "test" => run(STEPS.iter().filter(|step| step.in_test)),
        name => match STEPS.iter().find(|step| step.name == name) {
            Some(step) => run([step]),
            None => usage(),
        },
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: cargo xtask TASK\n");
    eprintln!("  {:<13} installs what is needed, then runs every task marked *", "test");
    for step in STEPS {
        eprintln!("{} {:<13} {}", if step.in_test { "*" } else { " " }, step.name, step.about);
    }
    ExitCode::from(2)
}

/// One line of the table at the end.
struct Row {
    name: &'static str,
    took: Duration,
    result: Result<(), Failure>,
}

fn run<'a>(steps: impl IntoIterator<Item = &'a Step>) -> ExitCode {
    let steps: Vec<&Step> = steps.into_iter().collect();
    let needs = steps.iter().flat_map(|step| step.needs.iter().copied());

    let mut rows = vec![timed("install", || install_all(needs))];
    for step in steps {
        println!("\n=== {}: {}", step.name, step.about);
        rows.push(timed(step.name, step.run));
    }
    summarise(&rows)
}

/// Installs each need once. Goes on after a failure, so that all that is missing is told at once.
fn install_all(needs: impl Iterator<Item = Need>) -> Result<(), Failure> {
    let mut done = Vec::new();
    let mut result = Ok(());
    for need in needs {
        if done.contains(&need) {
            continue;
        }
        done.push(need);
        if let Err(failure) = need.install() {
            eprintln!("xtask: {failure}");
            result = Err(failure);
        }
    }
    result
}

fn timed(name: &'static str, task: impl FnOnce() -> Result<(), Failure>) -> Row {
    let start = Instant::now();
    let result = task();
    if let Err(failure) = &result {
        eprintln!("xtask: {name} failed: {failure}");
    }
    Row { name, took: start.elapsed(), result }
}

fn summarise(rows: &[Row]) -> ExitCode {
    println!("\n{:<13} {:<6} {:>9}", "step", "result", "seconds");
    for row in rows {
        let result = if row.result.is_ok() { "pass" } else { "FAIL" };
        println!("{:<13} {:<6} {:>9.1}", row.name, result, row.took.as_secs_f64());
    }
    let failures: Vec<_> =
        rows.iter().filter_map(|row| row.result.as_ref().err().map(|why| (row, why))).collect();
    for (row, failure) in &failures {
        println!("{}: {failure}", row.name);
    }
    match failures.len() {
        0 => {
            println!("all {} steps passed", rows.len());
            ExitCode::SUCCESS
        }
        failed => {
            println!("{failed} of {} steps failed", rows.len());
            ExitCode::FAILURE
        }
    }
}
