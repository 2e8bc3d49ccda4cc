"""stomp.py on its WebSocket transport, against the gateway at the URL given as argument.

Prints one line for each check and ends with 1 if one has failed. A check opens its own
connections and uses queues of its own. Whether something does *not* arrive is told by what
arrives in its place: a queue keeps its order.
"""

import uuid

from suite import CEILING, Client, equal, holds, run


def connect():
    return Client().logged_in()


def fresh_queue():
    return f"/queue/stomp-py-{uuid.uuid4()}"


def connects_and_disconnects_with_a_receipt():
    connect().close()


def exchanges_text_through_a_queue():
    sender, receiver, place = connect(), connect(), fresh_queue()
    receiver.subscribe(place)
    sender.send(place, "grüße, 世界 🦀", **{"content-type": "text/plain", "x-mine": "a:b\\c\nd"})
    frame = receiver.message("grüße, 世界 🦀", redelivered="false")
    equal(frame.headers["destination"], place)
    equal(frame.headers["subscription"], "sub")
    equal(frame.headers["content-type"], "text/plain")
    equal(frame.headers["x-mine"], "a:b\\c\nd")
    sender.close()
    receiver.close()


def keeps_the_order_of_many_messages():
    client, place = connect(), fresh_queue()
    client.subscribe(place)
    for number in range(500):
        client.send(place, str(number))
    for number in range(500):
        client.message(str(number))
    client.close()


def exchanges_through_topics_with_wildcards():
    one_word, any_words, publisher = connect(), connect(), connect()
    root = f"py-{uuid.uuid4()}"
    one_word.subscribe(f"/topic/{root}.*")
    any_words.subscribe(f"/topic/{root}.#")
    publisher.send(f"/topic/{root}.a.b", "two words")
    publisher.send(f"/topic/{root}.a", "one word")
    one_word.message("one word")
    any_words.message("two words")
    any_words.message("one word")
    for client in (one_word, any_words, publisher):
        client.close()


def gets_receipts_in_order():
    client, place = connect(), fresh_queue()
    client.send(place, "one", receipt="r-1")
    client.send(place, "two", receipt="r-2")
    client.confirmed("r-1")
    client.confirmed("r-2")
    client.subscribe(place)
    client.message("one")
    client.message("two")
    client.connection.unsubscribe(id="sub", receipt="r-3")
    client.confirmed("r-3")
    client.close()


def acknowledges_cumulatively():
    client, place = connect(), fresh_queue()
    client.subscribe(place, ack="client")
    for body in ("one", "two", "three"):
        client.send(place, body)
    frames = [client.message(body) for body in ("one", "two", "three")]
    client.ack(frames[1], receipt="acked")
    client.confirmed("acked")
    client.cut()
    other = connect()
    other.subscribe(place)
    other.message("three", redelivered="true")
    other.send(place, "four")
    other.message("four", redelivered="false")
    other.close()


def acknowledges_individually():
    client, place = connect(), fresh_queue()
    client.subscribe(place, ack="client-individual")
    for body in ("one", "two", "three"):
        client.send(place, body)
    frames = [client.message(body) for body in ("one", "two", "three")]
    client.ack(frames[1], receipt="acked")
    client.confirmed("acked")
    client.cut()
    other = connect()
    other.subscribe(place)
    other.message("one", redelivered="true")
    other.message("three", redelivered="true")
    other.close()


def gets_a_rejected_message_again():
    client, place = connect(), fresh_queue()
    client.subscribe(place, ack="client-individual")
    client.send(place, "again")
    client.nack(client.message("again", redelivered="false"))
    client.ack(client.message("again", redelivered="true"), receipt="acked")
    client.confirmed("acked")
    client.close()


def discards_a_rejected_message_if_asked():
    client, place = connect(), fresh_queue()
    client.subscribe(place, ack="client-individual")
    client.send(place, "never again")
    client.nack(client.message("never again"), requeue="false")
    client.send(place, "next")
    client.ack(client.message("next", redelivered="false"), receipt="acked")
    client.confirmed("acked")
    client.close()


def holds_at_most_its_prefetch_count():
    client, place = connect(), fresh_queue()
    client.subscribe(place, ack="client-individual", **{"prefetch-count": "1"})
    client.send(place, "one", receipt="sent-1")
    client.send(place, "two", receipt="sent-2")
    client.confirmed("sent-1")
    client.confirmed("sent-2")
    first = client.message("one")
    other = connect()
    other.subscribe(place)
    other.message("two", redelivered="false")
    client.ack(first, receipt="acked")
    client.confirmed("acked")
    other.close()
    client.close()


def commits_a_transaction():
    client, place = connect(), fresh_queue()
    client.subscribe(place, ack="client-individual")
    client.send(place, "before")
    before = client.message("before")
    transaction = client.connection.begin()
    client.send(place, "inside", transaction=transaction)
    client.ack(before, transaction=transaction)
    client.send(place, "outside")
    outside = client.message("outside")
    client.connection.commit(transaction, receipt="committed")
    inside = client.messages.get(timeout=CEILING)
    equal(inside.body, b"inside")
    client.confirmed("committed")
    client.ack(outside)
    client.ack(inside, receipt="acked")
    client.confirmed("acked")
    client.close()


def aborts_a_transaction():
    client, place = connect(), fresh_queue()
    client.subscribe(place, ack="client-individual")
    client.send(place, "kept")
    kept = client.message("kept")
    transaction = client.connection.begin()
    client.send(place, "dropped", transaction=transaction)
    client.ack(kept, transaction=transaction)
    client.connection.abort(transaction)
    client.send(place, "after")
    client.ack(client.message("after", redelivered="false"), receipt="acked")
    client.confirmed("acked")
    client.cut()
    other = connect()
    other.subscribe(place)
    other.message("kept", redelivered="true")
    other.close()


def carries_binary_bodies():
    body = bytes(range(256)) * 3
    client, place = Client(binary=True).logged_in(), fresh_queue()
    client.subscribe(place)
    client.send(place, body)
    client.message(body)
    client.close()


def carries_bodies_of_a_mebibyte():
    text = "0123456789abcdef" * (1 << 16)
    client, place = connect(), fresh_queue()
    client.subscribe(place)
    client.send(place, text)
    client.message(text)
    client.close()


def lives_on_heartbeats():
    client, place = Client(heartbeats=(1000, 1000)).logged_in(), fresh_queue()
    for _ in range(3):
        client.heartbeats.get(timeout=CEILING)
    client.subscribe(place)
    client.send(place, "still here")
    client.message("still here")
    client.close()


def gets_what_it_has_not_acknowledged_after_reconnecting():
    client, place = connect(), fresh_queue()
    client.subscribe(place, ack="client-individual")
    client.send(place, "unfinished")
    client.message("unfinished", redelivered="false")
    client.cut()
    client.lost.clear()
    client.connection.connect("guest", "guest")
    client.logged_in()
    client.subscribe(place, ack="client-individual")
    client.ack(client.message("unfinished", redelivered="true"), receipt="acked")
    client.confirmed("acked")
    client.send(place, "next")
    client.message("next", redelivered="false")
    client.close()


def resumes_by_headers_alone():
    publisher, topic = connect(), f"/topic/py-{uuid.uuid4()}"
    client = Client(headers={"resume": "600000"})
    token = client.logged_in().greeting.headers["resume-token"]
    client.subscribe(topic, ack="client-individual")
    for body in ("one", "two"):
        publisher.send(topic, body, receipt=body)
        publisher.confirmed(body)
    client.ack(client.message("one", redelivered="false"), receipt="acked")
    client.confirmed("acked")
    client.message("two", redelivered="false")
    client.cut()
    publisher.send(topic, "three", receipt="three")
    publisher.confirmed("three")
    client = Client(headers={"resume": "600000", "resume-token": token}).logged_in()
    equal(client.greeting.headers["resumed"], "true")
    client.subscribe(topic, ack="client-individual")
    # The gateway may not have known of the cut when the third came.
    for body, redelivered in (("two", "true"), ("three", None)):
        frame = client.message(body, redelivered=redelivered)
        holds("x-gap" not in frame.headers, "nothing was lost")
        client.ack(frame, receipt=body)
        client.confirmed(body)
    client.close()
    publisher.close()


def is_refused_with_a_wrong_passcode():
    client = Client(passcode="wrong")
    error = client.errors.get(timeout=CEILING)
    equal(error.headers["message"], "Bad CONNECT")
    holds(client.lost.wait(CEILING), "the connection stayed open")
    holds(client.connected.empty(), "CONNECTED came nevertheless")


def is_told_what_was_wrong():
    client = connect()
    client.send("/nowhere/at-all", "lost", receipt="r-1")
    error = client.errors.get(timeout=CEILING)
    equal(error.headers["message"], "Unknown destination")
    equal(error.headers["receipt-id"], "r-1")
    holds(b"/nowhere/at-all" in error.body, f"the body does not say which: {error.body!r}")
    holds(client.lost.wait(CEILING), "the connection stayed open")


run([
    connects_and_disconnects_with_a_receipt,
    exchanges_text_through_a_queue,
    keeps_the_order_of_many_messages,
    exchanges_through_topics_with_wildcards,
    gets_receipts_in_order,
    acknowledges_cumulatively,
    acknowledges_individually,
    gets_a_rejected_message_again,
    discards_a_rejected_message_if_asked,
    holds_at_most_its_prefetch_count,
    commits_a_transaction,
    aborts_a_transaction,
    carries_binary_bodies,
    carries_bodies_of_a_mebibyte,
    lives_on_heartbeats,
    gets_what_it_has_not_acknowledged_after_reconnecting,
    resumes_by_headers_alone,
    is_refused_with_a_wrong_passcode,
    is_told_what_was_wrong,
])
