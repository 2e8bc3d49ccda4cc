"""autobahn for asyncio, which does what it is told: orders come in line by line, as JSON, and what came
of each goes out in one line. Whoever gives them knows what is to come of them. It ends with the input.

Orders are those of `wamp_peer.mjs` beside it: each names the connection that it is about. In orders and
answers binary data is {"$binary": base64}.
"""

import asyncio
import base64
import json
import sys
import traceback
import urllib.parse

from autobahn.asyncio.rawsocket import WampRawSocketClientFactory
from autobahn.asyncio.wamp import ApplicationSession
from autobahn.asyncio.websocket import WampWebSocketClientFactory
from autobahn.wamp import auth, types
from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.serializer import CBORSerializer, JsonSerializer, MsgPackSerializer

CEILING = 20
"""Seconds any single thing may take; only a failure takes so long."""

SERIALIZERS = {"json": JsonSerializer, "msgpack": MsgPackSerializer, "cbor": CBORSerializer}


def sent(value):
    """A value of an order, as it is to be sent."""
    if isinstance(value, list):
        return [sent(item) for item in value]
    if isinstance(value, dict):
        if "$binary" in value:
            return base64.b64decode(value["$binary"])
        return {key: sent(it) for key, it in value.items()}
    return value


def told(value):
    """A value that came, as it is told."""
    if isinstance(value, bytes):
        return {"$binary": base64.b64encode(value).decode()}
    if isinstance(value, (list, tuple)):
        return [told(item) for item in value]
    if isinstance(value, dict):
        return {key: told(it) for key, it in value.items()}
    return value


class Session(ApplicationSession):
    """A session, and what came over it."""

    def __init__(self, realm, login):
        super().__init__(types.ComponentConfig(realm))
        self.login = login
        self.joined = asyncio.get_running_loop().create_future()
        self.left = asyncio.get_running_loop().create_future()
        self.events = asyncio.Queue()
        self.subscriptions = {}

    def onConnect(self):
        login = self.login
        if login:
            self.join(self.config.realm, [login["method"]], login["authid"])
        else:
            self.join(self.config.realm)

    def onChallenge(self, challenge):
        if challenge.method == "ticket":
            return self.login["secret"]
        key, extra = self.login["secret"].encode(), challenge.extra
        if "salt" in extra:
            key = auth.derive_key(key, extra["salt"], extra["iterations"], extra["keylen"])
        return auth.compute_wcs(key, extra["challenge"].encode()).decode()

    def onJoin(self, details):
        self.joined.set_result(details.session)

    def onLeave(self, details):
        if not self.joined.done():
            self.joined.set_exception(ApplicationError(details.reason, details.message))
        self.reason = details.reason
        self.disconnect()

    def onDisconnect(self):
        self.left.set_result(self.reason)

    def onUserError(self, failure, message):
        # What a procedure raises is said aloud, though the caller gets it.
        if not isinstance(failure.value, ApplicationError):
            super().onUserError(failure, message)

    async def watch(self, topic, match):
        def put(*args, details=None, **kwargs):
            # Without a topic in the event, the library has that of the subscription.
            of_event = None if match == "exact" else details.topic
            self.events.put_nowait({"args": told(args), "kwargs": told(kwargs), "topic": of_event})

        options = types.SubscribeOptions(match=match, details=True)
        self.subscriptions[match, topic] = await self.subscribe(put, topic, options)


async def opened(url, serializer, realm, login):
    """A session that has joined."""
    where = urllib.parse.urlsplit(url)
    session = Session(realm, login)
    serializer = SERIALIZERS[serializer]()
    if where.scheme == "rs":
        factory = WampRawSocketClientFactory(lambda: session, serializer=serializer)
    else:
        factory = WampWebSocketClientFactory(lambda: session, url=url, serializers=[serializer])
    await asyncio.get_running_loop().create_connection(factory, where.hostname, where.port)
    await session.joined
    return session


class Peer:
    """Carries out orders."""

    def __init__(self):
        self.sessions = {}

    async def open(self, name, url, serializer, realm, login=None):
        session = await opened(url, serializer, realm, login)
        self.sessions[name] = session
        return session.joined.result()

    async def subscribe(self, name, topic, match="exact"):
        await self.sessions[name].watch(topic, match)

    async def unsubscribe(self, name, topic, match="exact"):
        await self.sessions[name].subscriptions.pop((match, topic)).unsubscribe()

    async def publish(self, name, topic, args, kwargs, options=None):
        options = types.PublishOptions(acknowledge=True, **(options or {}))
        publish = self.sessions[name].publish
        return (await publish(topic, *sent(args), options=options, **sent(kwargs))).id

    async def burst(self, name, topics, count):
        publish = self.sessions[name].publish
        for number in range(count - 1):
            publish(topics[number % len(topics)], number)
        acknowledged = types.PublishOptions(acknowledge=True)
        await publish(topics[(count - 1) % len(topics)], count - 1, options=acknowledged)

    async def next(self, name):
        return await self.sessions[name].events.get()

    async def register(self, name, procedure):
        # What it is called with it gives back; as an error, if `refused_as` says which.
        def echo(*args, **kwargs):
            if "refused_as" in kwargs:
                raise ApplicationError(kwargs["refused_as"], *args, **kwargs)
            return types.CallResult(*args, **kwargs)

        await self.sessions[name].register(echo, procedure)

    async def call(self, name, procedure, args, kwargs):
        try:
            result = await self.sessions[name].call(procedure, *sent(args), **sent(kwargs))
        except ApplicationError as error:
            got = {"args": error.args, "kwargs": error.kwargs, "error": error.error}
            return told(got)
        if not isinstance(result, types.CallResult):
            # One argument alone comes as itself, and none as None.
            result = types.CallResult(*([] if result is None else [result]))
        return told({"args": result.results, "kwargs": result.kwresults or {}, "error": None})

    async def ended(self, name):
        # Without having said goodbye first.
        return await self.sessions.pop(name).left

    async def leave(self, name):
        session = self.sessions.pop(name)
        session.leave()
        return await session.left

    async def carry_out(self, order):
        parameters = {key: value for key, value in order.items() if key not in ("order", "as")}
        work = getattr(self, order["order"])(order["as"], **parameters)
        try:
            return {"ok": await asyncio.wait_for(work, CEILING)}
        except ApplicationError as error:
            return {"error": error.error}
        except Exception:
            return {"error": traceback.format_exc()}


async def main():
    peer, loop = Peer(), asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(await peer.carry_out(json.loads(line))), flush=True)


asyncio.run(main())
