//! Deliveries that count as accepted once the peer has received them.

use super::*;

#[tokio::test(start_paused = true)]
async fn what_is_to_be_received_is_settled_when_the_peer_has_confirmed() {
    let (world, _driver, _) = logged_in().await;
    world.change(|world| world.events.extend([delivery_of(2, 1), delivery_of(2, 2)])).await;
    assert_eq!(world.lock().output.len(), 2);
    assert_eq!(world.lock().questions, 1);
    assert_eq!(world.lock().buffered, 0, "it is written");
    assert!(world.submitted().is_empty(), "written is not received");
    // Answers to what came before say nothing of this one.
    world.change(|world| world.events.push_back(delivery_of(2, 3))).await;
    assert_eq!(world.lock().questions, 1, "one question at a time");
    world.change(|world| world.confirmed = true).await;
    assert_eq!(world.submitted(), ["settle 2 true Accept"]);
    assert_eq!(world.lock().questions, 2);
    world.change(|world| world.confirmed = true).await;
    assert_eq!(world.submitted(), ["settle 2 true Accept", "settle 3 true Accept"]);
    assert_eq!(world.lock().questions, 2, "nothing is left to ask for");
}

#[tokio::test(start_paused = true)]
async fn what_is_to_be_written_waits_for_no_answer() {
    let (world, _driver, _) = logged_in().await;
    world.change(|world| world.events.extend([delivery(1), delivery_of(2, 2), delivery(3)])).await;
    assert_eq!(world.submitted(), ["settle 1 true Accept", "settle 3 true Accept"]);
    world.change(|world| world.confirmed = true).await;
    assert_eq!(world.submitted()[2..], ["settle 2 true Accept"]);
}

#[tokio::test(start_paused = true)]
async fn the_peer_is_asked_behind_what_is_written_and_not_before() {
    let (world, _driver, _) = logged_in().await;
    world.lock().stuck = true;
    world.change(|world| world.events.push_back(delivery_of(2, 1))).await;
    assert_eq!(world.lock().questions, 0);
    world.change(|world| world.stuck = false).await;
    assert_eq!(world.lock().questions, 1);
    // An answer that nobody asked for settles what it may: that of the question.
    world.change(|world| world.confirmed = true).await;
    world.change(|world| world.confirmed = true).await;
    assert_eq!(world.submitted(), ["settle 1 true Accept"]);
}

#[tokio::test(start_paused = true)]
async fn what_the_peer_has_not_confirmed_goes_back_with_the_link() {
    let (world, driver, _) = logged_in().await;
    world.change(|world| world.events.push_back(delivery_of(2, 1))).await;
    world.change(|world| world.input.push_back(None)).await;
    assert!(matches!(driver.await.unwrap(), End::PeerGone));
    assert!(world.submitted().is_empty());
    assert!(world.lock().link_dropped);
}

#[tokio::test(start_paused = true)]
async fn who_does_not_answer_is_given_up_in_time() {
    let (world, driver, _) = logged_in().await;
    world.change(|world| world.events.push_back(delivery_of(2, 1))).await;
    tokio::time::sleep(TUNING.write_timeout - Duration::from_millis(1)).await;
    assert!(!driver.is_finished());
    assert!(matches!(driver.await.unwrap(), End::Closed(_)));
    let output = world.lock().output.clone();
    assert!(output.iter().any(|it| it.contains("was not answered for 30000 ms")), "{output:?}");
    assert!(world.submitted().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_owed_while_the_peer_is_read() {
    let (world, driver, _) = logged_in().await;
    world.change(|world| world.events.push_back(delivery_of(2, 1))).await;
    world.lock().refusing = true;
    world.send(&["publish 1"]).await;
    tokio::time::sleep(TUNING.write_timeout + Duration::from_secs(1)).await;
    assert!(!driver.is_finished(), "no answer can be seen");
    world.change(|world| world.refusing = false).await;
    world.change(|world| world.confirmed = true).await;
    assert!(world.submitted().contains(&"settle 1 true Accept".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_link_sees_to_others_while_nothing_is_taken_from_it() {
    let (world, _driver, _) = logged_in().await;
    world.lock().stuck = true;
    assert_eq!(world.lock().attended, 0);
    let events = (1..10).map(|tag| delivery_of(2, tag));
    world.change(|world| world.events.extend(events)).await;
    let world = world.lock();
    assert!(!world.events.is_empty());
    assert!(world.attended > 0);
}

#[tokio::test(start_paused = true)]
async fn input_that_an_event_has_freed_is_gone_on_with() {
    let (world, _driver, _) = logged_in().await;
    let outcome = Outcome::Accepted;
    let freeing = Event::Confirmed { token: Token(3), outcome };
    world.change(|world| world.events.push_back(freeing)).await;
    assert_eq!(world.told(), ["resumed, 2 left", "resumed, 1 left", "resumed, 0 left"]);
}
