//! The `gateway` command as a process: what it does with its standard streams.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

/// The command, on free ports and with a long log.
fn gateway() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
    command.args(["--set", "listener.web.bind=127.0.0.1:0", "--set", "admin.bind=127.0.0.1:0"]);
    command.args(["--set", "log.filter=trace"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Where it serves, as it says on its standard output.
fn address(child: &mut Child, scheme: &str) -> SocketAddr {
    let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    let mut words =
        lines.flat_map(|line| line.unwrap().split(' ').map(str::to_owned).collect::<Vec<_>>());
    let url = words.find_map(|word| word.strip_prefix(scheme).map(str::to_owned)).unwrap();
    url.split('/').next().unwrap().parse().unwrap()
}

fn ask(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_closed_standard_output_harms_nobody() {
    let mut child = gateway().arg("--print-config").stdout(closed()).spawn().unwrap();
    assert!(child.wait().unwrap().success());

    let mut child = gateway().stdout(closed()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("admin listening") {
        line.clear();
        assert_ne!(log.read_line(&mut line).unwrap(), 0, "it stopped");
    }
    std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
    stop(child);
}

#[test]
fn a_refusal_that_nobody_reads_is_an_exit_code_still() {
    let mut child = gateway().args(["--set", "log.filter=inof"]).stderr(closed()).spawn().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(2));
}

/// A stream that nobody can read.
fn closed() -> Stdio {
    let (_, writer) = std::io::pipe().unwrap();
    writer.into()
}

/// Stops it in order.
fn stop(mut child: Child) {
    let killed = Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(killed.success());
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_closed_standard_error_harms_nobody() {
    let mut child = gateway().stderr(closed()).spawn().unwrap();
    let address = address(&mut child, "ws://");
    for _ in 0..5 {
        assert!(ask(address).starts_with("HTTP/1.1 404 "));
    }
    stop(child);
}

#[test]
fn a_standard_error_that_nobody_reads_harms_nobody() {
    let mut child = gateway().spawn().unwrap();
    let address = address(&mut child, "ws://");
    // Each leaves some hundred bytes in the log, and a pipe holds 64 KiB.
    for _ in 0..1000 {
        assert!(ask(address).starts_with("HTTP/1.1 404 "));
    }
    stop(child);
}
