//! A gateway in front of a RabbitMQ, in a process of its own, for tests that kill it. Says where it
//! listens, and runs until then.

#![allow(clippy::print_stdout, reason = "whoever starts it reads the address")]

use clap::Parser;
use gateway::config::{Broker, Endpoint, Rabbitmq};
use integration_tests::TestGateway;

/// A gateway to be killed.
#[derive(Debug, Parser)]
struct Flags {
    /// The RabbitMQ.
    url: Endpoint,
}

#[tokio::main]
async fn main() {
    let Flags { url } = Flags::parse();
    let gateway = TestGateway::embedded().config(|config| {
        let broker = Rabbitmq { url: vec![url], ..Rabbitmq::default() };
        config.broker.insert("main".to_owned(), Broker::Rabbitmq(broker));
    });
    let gateway = gateway.start().await;
    println!("{}", gateway.ws_addr());
    std::future::pending().await
}
