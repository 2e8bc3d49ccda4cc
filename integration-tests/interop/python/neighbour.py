"""What is beside WAMP at the same broker, and does what it is told: pika at RabbitMQ, or stomp.py behind
the gateway. Arguments: an AMQP URL; or a WebSocket URL, login, passcode and virtual host.

Orders come in line by line, as JSON, and what came of each goes out in one line; it ends with the
input. A topic is a routing key of the topic exchange. Bodies are in base64. Among headers `type` and
`user-id` are the properties that are called so, as in STOMP.
"""

import base64
import json
import logging
import sys
import traceback
import uuid

import pika

from suite import CEILING, URL, Client, holds

logging.getLogger("pika").setLevel(logging.CRITICAL)


class Stomp:
    """stomp.py behind the gateway."""

    def __init__(self, login, passcode, vhost):
        # In binary messages no body is taken for text.
        soft = {"soft-errors": "true"}
        self.client = Client(login, passcode, vhost=vhost, binary=True, headers=soft).logged_in()

    def subscribe(self, topic):
        self.client.subscribe(f"/topic/{topic}")

    def publish(self, topic, content_type, body, headers):
        receipt = str(uuid.uuid4())
        self.send(f"/topic/{topic}", content_type, body, {**headers, "receipt": receipt})
        self.client.confirmed(receipt)

    def send(self, destination, content_type, body, headers):
        typed = {"content-type": content_type} if content_type else {}
        self.client.send(destination, body, **typed, **headers)

    def offer(self, procedure):
        self.client.subscribe(f"/rpc/{procedure}")

    def call(self, procedure, correlation_id, content_type, body, headers):
        answers = {"reply-to": "/temp-queue/answers", "correlation-id": correlation_id}
        self.send(f"/rpc/{procedure}", content_type, body, {**headers, **answers})

    def is_unroutable(self, procedure):
        self.call(procedure, "unroutable", None, b"", {})
        # With soft errors it goes on after one; but there may be an answer.
        return self.client.messages.get(timeout=CEILING).headers.get("code") == "unroutable"

    def answer(self, call, content_type, body, headers):
        correlated = {"correlation-id": call["correlation-id"]}
        self.send(call["reply-to"], content_type, body, {**headers, **correlated})

    def next(self):
        frame = self.client.messages.get(timeout=CEILING)
        return frame.headers.get("content-type"), frame.body, frame.headers

    def leave(self):
        self.client.close()


class Pika:
    """pika at RabbitMQ."""

    def __init__(self):
        self.connection = pika.BlockingConnection(pika.URLParameters(sys.argv[1]))
        self.channel = self.connection.channel()
        self.channel.confirm_delivery()
        self.queue = self.channel.queue_declare("", exclusive=True).method.queue

    def subscribe(self, topic):
        self.bind("amq.topic", topic)

    def publish(self, topic, content_type, body, headers):
        self.send("amq.topic", topic, body, content_type, headers)

    def send(self, exchange, key, body, content_type, headers, mandatory=False, **properties):
        named = {"type": headers.pop("type", None), "user_id": headers.pop("user-id", None)}
        properties = pika.BasicProperties(content_type, headers=headers, **named, **properties)
        self.channel.basic_publish(exchange, key, body, properties, mandatory)

    def serve(self, queue):
        """Consumes this queue instead of its own."""
        self.queue = self.channel.queue_declare(queue, exclusive=True).method.queue

    def bind(self, exchange, key):
        self.channel.queue_bind(self.queue, exchange, key)

    def offer(self, procedure):
        self.channel.exchange_declare("wamp.rpc", "direct", durable=True)
        self.bind("wamp.rpc", procedure)

    def call(self, procedure, correlation_id, content_type, body, headers, **more):
        answers = {"reply_to": self.queue, "correlation_id": correlation_id, **more}
        self.send("wamp.rpc", procedure, body, content_type, headers, mandatory=True, **answers)

    def is_unroutable(self, procedure):
        try:
            self.call(procedure, "unroutable", None, b"", {})
        except pika.exceptions.UnroutableError:
            return True
        self.next()
        return False

    def answer(self, call, content_type, body, headers):
        correlated = {"correlation_id": call["correlation-id"]}
        self.send("", call["reply-to"], body, content_type, headers, **correlated)

    def next(self):
        for method, properties, body in self.channel.consume(
            self.queue, auto_ack=True, inactivity_timeout=CEILING
        ):
            holds(method is not None, "no message came")
            # What came beyond that is kept for the next time.
            break
        # Numbers are told as the texts that STOMP has for them.
        headers = {name: str(value) for name, value in (properties.headers or {}).items()}
        headers |= {"type": properties.type, "reply-to": properties.reply_to}
        headers["correlation-id"] = properties.correlation_id
        return properties.content_type, body, headers

    def leave(self):
        self.connection.close()


class Orders:
    """Carries them out."""

    def __init__(self):
        self.neighbour = Pika() if URL.scheme == "amqp" else Stomp(*sys.argv[2:])

    def subscribe(self, topic):
        self.neighbour.subscribe(topic)

    def publish(self, topic, body, content_type=None, headers=None):
        self.neighbour.publish(topic, content_type, base64.b64decode(body), headers or {})

    def serve(self, queue):
        self.neighbour.serve(queue)

    def bind(self, exchange, key):
        self.neighbour.bind(exchange, key)

    def offer(self, procedure):
        self.neighbour.offer(procedure)

    def call(self, procedure, body, correlation_id, content_type=None, headers=None, **more):
        body = base64.b64decode(body)
        self.neighbour.call(procedure, correlation_id, content_type, body, headers or {}, **more)

    def is_unroutable(self, procedure):
        return self.neighbour.is_unroutable(procedure)

    def answer(self, body, content_type=None, headers=None):
        """To what came last."""
        body = base64.b64decode(body)
        self.neighbour.answer(self.last, content_type, body, headers or {})

    def next(self):
        content_type, body, self.last = self.neighbour.next()
        body = base64.b64encode(body).decode()
        return {"content_type": content_type, "body": body, "headers": self.last}

    def leave(self):
        self.neighbour.leave()


def main():
    orders = Orders()
    for line in sys.stdin:
        order = json.loads(line)
        try:
            answer = {"ok": getattr(orders, order.pop("order"))(**order)}
        except Exception:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), flush=True)


main()
