//! A gateway in a process of its own, for tests that kill it, or watch what it takes. Says where it
//! listens, and runs until then, or until its input ends: with the test, however that ends.

#![allow(clippy::print_stdout, reason = "whoever starts it reads the address")]

use std::io;

use clap::Parser;
use gateway::config::{Broker, Config, Endpoint, Rabbitmq, Secret};
use integration_tests::{TestGateway, serve_wamp};
use serde_json::json;

/// A gateway.
#[derive(Debug, Parser)]
struct Flags {
    /// The RabbitMQ; without one there is the embedded broker.
    url: Option<Endpoint>,
    /// The virtual host there, the login and the passcode of clients that bring none, and of the realm.
    #[arg(long, num_args = 3, value_names = ["VHOST", "LOGIN", "PASSCODE"])]
    at: Vec<String>,
    /// Whether it has a realm.
    #[arg(long)]
    wamp: bool,
}

impl Flags {
    fn apply(self, config: &mut Config) {
        if let Some(url) = self.url {
            let broker = Rabbitmq { url: vec![url], ..Rabbitmq::default() };
            config.broker.insert("main".to_owned(), Broker::Rabbitmq(broker));
        }
        if let [vhost, login, passcode] = self.at.as_slice() {
            for route in config.route.values_mut() {
                route.vhost.clone_from(vhost);
                route.default_login = Some(login.clone());
                route.default_passcode = Some(Secret::new(passcode));
            }
        }
        if self.wamp {
            serve_wamp(config, json!({}));
        }
    }
}

#[tokio::main]
async fn main() {
    let flags = Flags::parse();
    let gateway = TestGateway::embedded().config(|config| flags.apply(config)).start().await;
    println!("{}", gateway.ws_addr());
    let ended = tokio::task::spawn_blocking(|| io::copy(&mut io::stdin(), &mut io::sink()));
    drop(ended.await);
}
