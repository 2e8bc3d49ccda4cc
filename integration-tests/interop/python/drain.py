"""Takes everything out of queues, and says what that was.

Arguments: RabbitMQ's AMQP URL, and the names of queues, which must exist. Prints one JSON object: each
queue with the list of its bodies, in order.
"""

import json
import sys

import pika

PREFETCH = 1000
"""Messages on their way at a time."""


def drain(channel, name):
    """The bodies in this queue, until it is empty."""
    bodies = []
    while count := channel.queue_declare(name, passive=True).method.message_count:
        for method, _, body in channel.consume(name):
            bodies.append(body.decode())
            channel.basic_ack(method.delivery_tag)
            count -= 1
            if count == 0:
                break
        # What came beyond that goes back to its place.
        channel.cancel()
    return bodies


connection = pika.BlockingConnection(pika.URLParameters(sys.argv[1]))
channel = connection.channel()
channel.basic_qos(prefetch_count=PREFETCH)
json.dump({name: drain(channel, name) for name in sys.argv[2:]}, sys.stdout)
connection.close()
