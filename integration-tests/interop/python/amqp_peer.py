"""pika on one side of a RabbitMQ, stomp.py behind the gateway on the other.

Arguments: the gateway's WebSocket URL, and RabbitMQ's AMQP URL with the login and the virtual host
that the STOMP clients use too. Prints one line for each check and ends with 1 if one has failed. A
check opens its own connections and uses queues and exchanges of its own. Whether something does
*not* arrive is told by what arrives in its place: a queue keeps its order.
"""

import datetime
import decimal
import json
import logging
import struct
import sys
import uuid

import pika

from suite import CEILING, Client, equal, holds, run

AMQP = pika.URLParameters(sys.argv[2])

ALL_BYTES = bytes(range(256))

PROPERTIES = {
    "content-type": "application/octet-stream",
    "content-encoding": "identity",
    "persistent": "true",
    "priority": "7",
    "correlation-id": "c-1",
    "reply-to": "/queue/answers",
    "expiration": "60000",
    "amqp-message-id": "m-1",
    "timestamp": "1700000000",
    "type": "order",
    "user-id": AMQP.credentials.username,
    "app-id": "grün:\\\n",
}
"""A value for each property that STOMP can name."""

CORRELATION_ID, HEADERS = 1 << 10, 1 << 13
"""Flags of properties that `Encoded` writes."""

logging.getLogger("pika").setLevel(logging.CRITICAL)


class Stomp(Client):
    """A client at the same virtual host as Pika's, whose SENDs the broker has when they return."""

    def __init__(self):
        user = AMQP.credentials
        super().__init__(user.username, user.password, vhost=AMQP.virtual_host, binary=True)
        self.logged_in()

    def send(self, destination, body, **headers):
        receipt = str(uuid.uuid4())
        super().send(destination, body, receipt=receipt, **headers)
        self.confirmed(receipt)

    def message(self, body):
        return super().message(body).headers

    def is_refused(self, destination, why, **headers):
        """A SEND that ends the connection, with these words in the ERROR."""
        super().send(destination, b"", receipt="refused", **headers)
        error = self.errors.get(timeout=CEILING)
        equal(error.headers["receipt-id"], "refused")
        holds(why in error.body, f"{error.body!r} does not say {why!r}")
        holds(self.lost.wait(CEILING), "the connection stayed open")


class Pika:
    """A connection to RabbitMQ."""

    def __init__(self):
        self.connection = pika.BlockingConnection(AMQP)
        self.channel = self.connection.channel()
        self.channel.confirm_delivery()

    def queue(self, exchange="", key="", binding=None, **arguments):
        """A queue that is bound there."""
        name = f"amqp-peer-{uuid.uuid4()}"
        arguments = {name.replace("_", "-"): value for name, value in arguments.items()}
        self.channel.queue_declare(name, durable=True, arguments=arguments)
        if exchange:
            self.channel.queue_bind(name, exchange, key, arguments=binding)
        return name

    def publish(self, exchange, key, body, properties=None):
        """Returns when the broker has taken the message."""
        self.channel.basic_publish(exchange, key, body, properties, mandatory=True)

    def message(self, name, body):
        for method, properties, got in self.channel.consume(name, inactivity_timeout=CEILING):
            holds(method is not None, f"nothing in {name}")
            self.channel.basic_ack(method.delivery_tag)
            self.channel.cancel()
            equal(got, body)
            return method, properties

    def close(self):
        self.connection.close()


class Encoded(pika.BasicProperties):
    """Properties as these bytes, behind these flags."""

    def __init__(self, flags, encoded):
        super().__init__()
        self.flags_and_bytes = [struct.pack(">H", flags), encoded]

    def encode(self):
        return self.flags_and_bytes


def has(headers, expected):
    for name, value in expected.items():
        if headers.get(name) != value:
            raise AssertionError(f"{name}: got {headers.get(name)!r}, expected {value!r}")


def all_properties_reach_a_stomp_client():
    amqp, client = Pika(), Stomp()
    name = amqp.queue()
    client.subscribe(f"/queue/{name}")
    properties = pika.BasicProperties(
        content_type="application/octet-stream",
        content_encoding="identity",
        delivery_mode=2,
        priority=7,
        correlation_id="c-1",
        reply_to="/queue/answers",
        expiration="60000",
        message_id="m-1",
        timestamp=1_700_000_000,
        type="order",
        user_id=AMQP.credentials.username,
        app_id="grün:\\\n",
    )
    amqp.publish("", name, ALL_BYTES, properties)
    headers = client.message(ALL_BYTES)
    has(headers, {
        "destination": f"/queue/{name}",
        "subscription": "sub",
        **PROPERTIES,
    })
    amqp.publish("", name, b"", pika.BasicProperties(delivery_mode=1))
    headers = client.message(b"")
    holds("persistent" not in headers, "a transient message is marked as persistent")
    client.close()
    amqp.close()


def all_properties_reach_pika():
    amqp, client = Pika(), Stomp()
    name = amqp.queue()
    client.send(f"/amq/queue/{name}", ALL_BYTES, **{
        **PROPERTIES,
        "x-mine": "a:b\\c\nd 世界",
        "x-number": "7",
    })
    method, got = amqp.message(name, ALL_BYTES)
    equal((method.exchange, method.routing_key), ("", name))
    equal((got.content_type, got.content_encoding), ("application/octet-stream", "identity"))
    equal((got.delivery_mode, got.priority, got.correlation_id), (2, 7, "c-1"))
    equal((got.reply_to, got.expiration, got.message_id), ("/queue/answers", "60000", "m-1"))
    equal((got.timestamp, got.type), (1_700_000_000, "order"))
    equal((got.user_id, got.app_id), (AMQP.credentials.username, "grün:\\\n"))
    equal(got.headers, {"x-mine": "a:b\\c\nd 世界", "x-number": "7"})
    client.connection.send(f"/queue/{name}", "plain", content_type=None)
    _, got = amqp.message(name, b"plain")
    equal((got.headers, got.delivery_mode), (None, None))
    client.close()
    amqp.close()


def typed_headers_are_text_or_json():
    amqp, client = Pika(), Stomp()
    name = amqp.queue()
    client.subscribe(f"/queue/{name}")
    when = datetime.datetime(2023, 11, 14, 22, 13, 20, tzinfo=datetime.timezone.utc)
    nested = {"list": [1, "two", None, True, {"a:b": "c\\d\n"}], "when": when, "text": "grün"}
    amqp.publish("", name, b"", pika.BasicProperties(headers={
        "text": "a:b\\c\nd 世界",
        "small": -7,
        "large": -(2**63),
        "yes": True,
        "no": False,
        "decimal": decimal.Decimal("-12.34"),
        "when": when,
        "utf8": "grün".encode(),
        "bytes": b"\xff\x00",
        "void": None,
        "nested": nested,
        "array": [{}, [], decimal.Decimal("0.05")],
        "ack": "forged",
    }))
    headers = client.message(b"")
    has(headers, {
        "text": "a:b\\c\nd 世界",
        "small": "-7",
        "large": str(-(2**63)),
        "yes": "true",
        "no": "false",
        "decimal": "-12.34",
        "when": "1700000000",
        "utf8": "grün",
        "bytes": "/wA=",
        "void": "null",
        "array": "[{},[],0.05]",
    })
    equal(json.loads(headers["nested"]), {**nested, "when": 1_700_000_000})
    holds("ack" not in headers, "a publisher has set a header of the server")
    # pika itself writes no floats.
    table = b"\x06double" + struct.pack(">cd", b"d", 1e300)
    table += b"\x05float" + struct.pack(">cf", b"f", 0.5)
    amqp.publish("", name, b"", Encoded(HEADERS, struct.pack(">I", len(table)) + table))
    has(client.message(b""), {"double": "1e300", "float": "0.5"})
    client.close()
    amqp.close()


def a_dead_lettered_message_tells_its_story():
    amqp, client = Pika(), Stomp()
    grave = amqp.queue()
    client.subscribe(f"/queue/{grave}")
    name = amqp.queue(x_dead_letter_exchange="", x_dead_letter_routing_key=grave)
    amqp.publish("", name, b"late", pika.BasicProperties(expiration="1"))
    headers = client.message(b"late")
    [death] = json.loads(headers["x-death"])
    has(death, {"queue": name, "reason": "expired", "count": 1, "exchange": ""})
    has(death, {"routing-keys": [name], "original-expiration": "1"})
    has(headers, {"x-first-death-queue": name, "x-first-death-reason": "expired"})
    client.close()
    amqp.close()


def they_meet_at_a_topic():
    amqp, client = Pika(), Stomp()
    root = f"root-{uuid.uuid4()}"
    name = amqp.queue("amq.topic", f"{root}.#")
    client.subscribe(f"/topic/{root}.*")
    amqp.publish("amq.topic", f"{root}.a.b", b"two words")
    amqp.publish("amq.topic", f"{root}.a", b"one word")
    equal(client.message(b"one word")["destination"], f"/topic/{root}.a")
    client.send(f"/topic/{root}.c", b"from STOMP")
    equal(client.message(b"from STOMP")["destination"], f"/topic/{root}.c")
    for body in (b"two words", b"one word", b"from STOMP"):
        method, _ = amqp.message(name, body)
        equal(method.exchange, "amq.topic")
    client.close()
    amqp.close()


def they_meet_at_an_exchange():
    amqp, client = Pika(), Stomp()
    exchange = f"exchange-{uuid.uuid4()}"
    amqp.channel.exchange_declare(exchange, "direct", auto_delete=True)
    name = amqp.queue(exchange, "to/pika")
    client.subscribe(f"/exchange/{exchange}/to-stomp")
    amqp.publish(exchange, "to/pika", b"for pika")
    amqp.publish(exchange, "to-stomp", b"for STOMP")
    has(client.message(b"for STOMP"), {"destination": f"/exchange/{exchange}/to-stomp"})
    client.send(f"/exchange/{exchange}/to%2Fpika", b"from STOMP")
    amqp.message(name, b"for pika")
    method, _ = amqp.message(name, b"from STOMP")
    equal((method.exchange, method.routing_key), (exchange, "to/pika"))
    client.close()
    amqp.close()


def headers_of_a_send_are_matched_by_a_headers_exchange():
    amqp, client = Pika(), Stomp()
    mark = str(uuid.uuid4())
    name = amqp.queue("amq.headers", binding={"x-match": "all", "mark": mark, "colour": "green"})
    client.send("/exchange/amq.headers", b"red", mark=mark, colour="red")
    client.send("/exchange/amq.headers", b"green", mark=mark, colour="green")
    amqp.message(name, b"green")
    client.close()
    amqp.close()


def a_pika_client_calls_a_stomp_procedure():
    amqp, client = Pika(), Stomp()
    uri = f"com.app.add-{uuid.uuid4()}"
    client.subscribe(f"/rpc/{uri}")
    answers = amqp.queue()
    amqp.publish("wamp.rpc", uri, b"[1,2]", pika.BasicProperties(
        content_type="application/json", correlation_id="c-1", reply_to=answers,
    ))
    call = client.message(b"[1,2]")
    has(call, {"destination": f"/rpc/{uri}", "correlation-id": "c-1"})
    equal(call["reply-to"], f"/reply-queue/{answers}")
    client.send(call["reply-to"], b"3", **{"correlation-id": call["correlation-id"]})
    _, got = amqp.message(answers, b"3")
    equal(got.correlation_id, "c-1")
    client.connection.unsubscribe("sub", receipt="taken back")
    client.confirmed("taken back")
    try:
        amqp.publish("wamp.rpc", uri, b"[1,2]")
        raise AssertionError("a call that nobody takes is not returned")
    except pika.exceptions.UnroutableError:
        pass
    client.close()
    amqp.close()


def a_stomp_client_calls_a_pika_worker():
    amqp, client = Pika(), Stomp()
    uri = f"legacy.fib-{uuid.uuid4()}"
    amqp.channel.exchange_declare("wamp.rpc", "direct", durable=True)
    work = amqp.queue("wamp.rpc", uri)
    headers = {"reply-to": "/temp-queue/r", "correlation-id": "c-1"}
    client.send(f"/rpc/{uri}", b"30", **headers)
    method, call = amqp.message(work, b"30")
    equal((method.exchange, method.routing_key), ("wamp.rpc", uri))
    answer = pika.BasicProperties(correlation_id=call.correlation_id)
    amqp.publish("", call.reply_to, b"832040", answer)
    has(client.message(b"832040"), {"subscription": "/temp-queue/r", "correlation-id": "c-1"})
    client.close()
    amqp.close()


def a_procedure_of_pika_is_not_offered_again():
    amqp, client = Pika(), Stomp()
    uri = f"legacy.own-{uuid.uuid4()}"
    amqp.channel.queue_declare(f"wamp.proc.e.{uri}", exclusive=True)
    client.connection.subscribe(f"/rpc/{uri}", "sub", headers={"receipt": "refused"})
    error = client.errors.get(timeout=CEILING)
    has(error.headers, {"code": "resource_locked", "receipt-id": "refused"})
    holds(b"registered already" in error.body, error.body)
    holds(client.lost.wait(CEILING), "the connection stayed open")
    amqp.close()


def a_rejected_message_goes_back_to_pika():
    amqp, client = Pika(), Stomp()
    name = amqp.queue()
    client.subscribe(f"/queue/{name}", ack="client-individual")
    amqp.publish("", name, b"not mine")
    amqp.publish("", name, b"mine")
    not_mine, mine = client.message(b"not mine"), client.message(b"mine")
    client.connection.unsubscribe(id="sub")
    client.connection.ack(mine["ack"])
    client.connection.nack(not_mine["ack"], receipt="nacked")
    equal(client.receipts.get(timeout=CEILING), "nacked")
    method, _ = amqp.message(name, b"not mine")
    holds(method.redelivered, "nothing says that it was delivered before")
    client.send(f"/queue/{name}", b"the next")
    amqp.message(name, b"the next")
    client.close()
    amqp.close()


def large_and_binary_bodies_pass_both_ways():
    amqp, client = Pika(), Stomp()
    to_stomp, to_pika = amqp.queue(), amqp.queue()
    client.subscribe(f"/queue/{to_stomp}")
    for body in (ALL_BYTES, b"\0", ALL_BYTES * 4_096):
        amqp.publish("", to_stomp, body)
        client.message(body)
        client.send(f"/queue/{to_pika}", body)
        amqp.message(to_pika, body)
    client.close()
    amqp.close()


def a_hundred_kilobytes_of_headers_reach_a_stomp_client():
    amqp, client = Pika(), Stomp()
    name = amqp.queue()
    client.subscribe(f"/queue/{name}")
    many = {f"x-{number}": chr(ord("a") + number % 26) * 1_000 for number in range(100)}
    large = {"x-large": "grün:" * 20_000}
    for headers in (many, large):
        amqp.publish("", name, b"", pika.BasicProperties(headers=headers))
        has(client.message(b""), headers)
    client.close()
    amqp.close()


def headers_that_fill_more_than_a_frame_are_refused():
    amqp, client = Pika(), Stomp()
    name = amqp.queue()
    many = {f"x-{number}": "v" * 1_000 for number in range(20)}
    client.is_refused(f"/queue/{name}", b"take a frame of 20", **many)
    client = Stomp()
    client.send(f"/queue/{name}", b"the next")
    amqp.message(name, b"the next")
    client.close()
    amqp.close()


def what_rabbitmq_would_not_take_is_refused_by_name():
    amqp, name = Pika(), f"/queue/amqp-peer-{uuid.uuid4()}"
    other = Stomp()
    for why, headers in (
        (b"user_id property set to 'somebody'", {"user-id": "somebody"}),
        (b"invalid expiration 'soon'", {"expiration": "soon"}),
        (b"header 'CC'", {"CC": "another"}),
        (b"correlation-id has 256 bytes, more than 255", {"correlation-id": "c" * 256}),
        (b"the name of a header has 256 bytes, more than 255", {"n" * 256: "v"}),
    ):
        Stomp().is_refused(name, why, **headers)
    other.send(name, b"nobody else notices")
    amqp.message(name.removeprefix("/queue/"), b"nobody else notices")
    other.close()
    amqp.close()


def whatever_a_publisher_writes_ends_nothing():
    amqp, client = Pika(), Stomp()
    name = amqp.queue()
    client.subscribe(f"/queue/{name}")
    amqp.publish("", name, b"", Encoded(CORRELATION_ID, b"\x04caf\xe9"))
    has(client.message(b""), {"correlation-id": "caf?"})
    # Arrays in each other, as many as fit into a frame.
    deep = b"V"
    for _ in range(26_000):
        deep = b"A" + struct.pack(">I", len(deep)) + deep
    table = b"\x05\xffdeep" + deep
    amqp.publish("", name, b"", Encoded(HEADERS, struct.pack(">I", len(table)) + table))
    holds(client.message(b"")["?deep"].startswith("[" * 32 + '"'), "depth is not bounded")
    amqp.publish("", name, b"the next")
    client.message(b"the next")
    client.close()
    amqp.close()


run([
    all_properties_reach_a_stomp_client,
    all_properties_reach_pika,
    typed_headers_are_text_or_json,
    a_dead_lettered_message_tells_its_story,
    they_meet_at_a_topic,
    they_meet_at_an_exchange,
    headers_of_a_send_are_matched_by_a_headers_exchange,
    a_pika_client_calls_a_stomp_procedure,
    a_stomp_client_calls_a_pika_worker,
    a_procedure_of_pika_is_not_offered_again,
    a_rejected_message_goes_back_to_pika,
    large_and_binary_bodies_pass_both_ways,
    a_hundred_kilobytes_of_headers_reach_a_stomp_client,
    headers_that_fill_more_than_a_frame_are_refused,
    what_rabbitmq_would_not_take_is_refused_by_name,
    whatever_a_publisher_writes_ends_nothing,
])
