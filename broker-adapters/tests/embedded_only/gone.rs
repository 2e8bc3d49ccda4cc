//! Queues that have gone, or are about to, and those who do not know yet.

use broker_adapters::embedded::Settings;
use protocols::broker::{BrokerError, Command, Event, Outcome, QueueOptions, SubscriptionId};
use protocols::text::Text;

use crate::support::{Client, Fixture, exclusive, existing, message, queue, topic};

const KIB: usize = 1 << 10;

/// A client whose inbox was canceled, as it was too slow, and who has not read that yet; and the
/// publisher who was too fast.
async fn behind(fixture: &Fixture) -> (Client, SubscriptionId, Client) {
    let mut slow = fixture.client().await;
    let inbox = slow.open_inbox(1).await;
    slow.bind(inbox, &["news"]).await;
    let mut publisher = fixture.client().await;
    while publisher.try_publish(topic("news"), message([0; KIB])).await == Ok(Outcome::Accepted) {}
    (slow, inbox, publisher)
}

fn small() -> Fixture {
    Fixture::embedded_with(Settings {
        memory_limit: 400 * KIB,
        private_queue_bytes: 20 * KIB,
        link_buffer: 4 * KIB,
        ..Settings::default()
    })
}

/// Why a command was refused; what else there is to read is not asked for before.
fn refusal(
    client: &mut Client,
    command: impl FnOnce(protocols::broker::Token) -> Command,
) -> BrokerError {
    let asked = client.token();
    client.link.submit(command(asked));
    let failed = client.events_now().into_iter().find_map(|event| match event {
        Event::Failed { token, error } if token == asked => Some(error),
        _ => None,
    });
    failed.expect("the command is refused")
}

#[tokio::test]
async fn an_inbox_that_was_canceled_is_not_bound_even_if_its_owner_has_not_read_so() {
    let fixture = small();
    let (mut slow, inbox, mut publisher) = behind(&fixture).await;
    let topic_of_it = Text::from("other");
    let error = refusal(&mut slow, |token| Command::Bind {
        token,
        inbox,
        exchange: None,
        topic: topic_of_it,
    });
    assert_eq!(error.text, format!("NOT_FOUND - there is no inbox {}", inbox.0).as_str());
    drop(slow);
    for _ in 0..1_000 {
        let outcome = publisher.try_publish(topic("other"), message([0; KIB])).await;
        assert_eq!(outcome, Ok(Outcome::Unroutable), "nobody is there");
    }
    assert!(publisher.is_ready(), "nothing is kept");
}

#[tokio::test]
async fn an_inbox_that_was_canceled_is_not_unbound_either() {
    let fixture = small();
    let (mut slow, inbox, _publisher) = behind(&fixture).await;
    let topic = Text::from("news");
    let error = refusal(&mut slow, |token| Command::Unbind { token, inbox, exchange: None, topic });
    assert_eq!(error.text, format!("NOT_FOUND - there is no inbox {}", inbox.0).as_str());
}

#[tokio::test]
async fn an_exclusive_queue_that_a_message_declared_goes_with_its_link() {
    let fixture = Fixture::embedded();
    for auto_delete in [false, true] {
        let mut owner = fixture.client().await;
        let options = QueueOptions { auto_delete: Some(auto_delete), ..exclusive() };
        owner.publish_declaring(queue("mine"), message("m"), Some(&options)).await.unwrap();
        assert_eq!(owner.try_publish(existing("mine"), message("m")).await, Ok(Outcome::Accepted));
        drop(owner);
        let mut other = fixture.client().await;
        let outcome = other.try_publish(existing("mine"), message("m")).await;
        assert_eq!(outcome, Ok(Outcome::Unroutable));
    }
}
