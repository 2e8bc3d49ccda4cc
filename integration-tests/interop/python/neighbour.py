"""What is beside WAMP at the same broker, and does what it is told: pika at RabbitMQ, or stomp.py behind
the gateway. Arguments: an AMQP URL; or a WebSocket URL, login, passcode and virtual host.

Orders come in line by line, as JSON, and what came of each goes out in one line; it ends with the
input. A topic is a routing key of the topic exchange. Bodies are in base64.
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
        self.client = Client(login, passcode, vhost=vhost, binary=True).logged_in()

    def subscribe(self, topic):
        self.client.subscribe(f"/topic/{topic}")

    def publish(self, topic, content_type, body, headers):
        receipt = str(uuid.uuid4())
        typed = {"content-type": content_type} if content_type else {}
        self.client.send(f"/topic/{topic}", body, receipt=receipt, **typed, **headers)
        self.client.confirmed(receipt)

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
        self.channel.queue_bind(self.queue, "amq.topic", topic)

    def publish(self, topic, content_type, body, headers):
        # Among the properties, as it is in STOMP.
        user_id = headers.pop("user-id", None)
        properties = pika.BasicProperties(
            content_type=content_type, headers=headers, user_id=user_id
        )
        self.channel.basic_publish("amq.topic", topic, body, properties)

    def next(self):
        for method, properties, body in self.channel.consume(
            self.queue, auto_ack=True, inactivity_timeout=CEILING
        ):
            holds(method is not None, "no message came")
            # What came beyond that is kept for the next time.
            break
        # Numbers are told as the texts that STOMP has for them.
        headers = {name: str(value) for name, value in (properties.headers or {}).items()}
        return properties.content_type, body, {**headers, "type": properties.type}

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

    def next(self):
        content_type, body, headers = self.neighbour.next()
        body = base64.b64encode(body).decode()
        return {"content_type": content_type, "body": body, "headers": headers}

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
