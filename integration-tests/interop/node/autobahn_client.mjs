// How autobahn joins, in Node or in a page: see `open` in wamp_peer.mjs.

import { binaryInJson } from './wamp_peer.mjs';

/** What proves who the client is: see CHALLENGE. */
function answered(autobahn, { secret }) {
  return (session, method, { challenge, salt, iterations, keylen }) => {
    if (method === 'ticket') return secret;
    const { sign, derive_key: derived } = autobahn.auth_cra;
    return sign(salt ? derived(secret, salt, iterations, keylen) : secret, challenge);
  };
}

/** `binary` has for MessagePack and CBOR what a Uint8Array is to be for the library to write bytes. */
export function autobahnClient(autobahn, { msgpack, cbor }) {
  const { JSONSerializer, MsgpackSerializer, CBORSerializer } = autobahn.serializer;
  const serializers = {
    json: { Serializer: JSONSerializer, binary: binaryInJson },
    msgpack: { Serializer: MsgpackSerializer, binary: msgpack },
    cbor: { Serializer: CBORSerializer, binary: cbor },
  };

  return function open({ url, serializer, realm, login }) {
    const { Serializer, binary } = serializers[serializer];
    const proof = login && {
      authmethods: [login.method],
      authid: login.authid,
      onchallenge: answered(autobahn, login),
    };
    const settings = {
      url,
      realm,
      serializers: [new Serializer()],
      max_retries: 0,
      // What a procedure throws is said aloud, though the caller gets it.
      on_user_error(error) {
        if (!(error instanceof autobahn.Error)) console.error(error);
      },
      ...proof,
    };
    const connection = new autobahn.Connection(settings);
    return new Promise((resolve, reject) => {
      const closed = new Promise((resolveClosed) => {
        connection.onclose = (why, { reason, message }) => {
          reject(new Error(`${reason ?? why}: ${message}`));
          resolveClosed(reason);
          return true;
        };
      });
      connection.onopen = (session) => resolve(joined(session, closed, { autobahn, connection, binary }));
      connection.open();
    });
  };
}

function joined(session, closed, { autobahn, connection, binary }) {
  return {
    session: session.id,
    binary,

    subscribe(topic, match, onEvent) {
      const handler = (args, kwargs, details) => {
        // Without a topic in the event, the library has that of the subscription.
        onEvent({ args, kwargs, topic: match === 'exact' ? undefined : details.topic });
      };
      return session.subscribe(topic, handler, { match });
    },

    async publish(topic, args, kwargs, options) {
      const acknowledged = { ...options, acknowledge: true };
      return (await session.publish(topic, args, kwargs, acknowledged)).id;
    },

    burst(topics, count) {
      for (let number = 0; number < count - 1; number += 1) {
        session.publish(topics[number % topics.length], [number]);
      }
      const last = topics[(count - 1) % topics.length];
      return session.publish(last, [count - 1], {}, { acknowledge: true });
    },

    register(procedure, onCall) {
      return session.register(procedure, (list, dict) => {
        const { args, kwargs, error } = onCall({ args: list, kwargs: dict });
        if (error) throw new autobahn.Error(error, args, kwargs);
        return new autobahn.Result(args, kwargs);
      });
    },

    async call(procedure, args, kwargs) {
      try {
        const result = await session.call(procedure, args, kwargs);
        if (result instanceof autobahn.Result) return result;
        // One argument alone comes as itself, and none as null.
        return { args: result === null ? [] : [result] };
      } catch (error) {
        if (error instanceof autobahn.Error) return error;
        throw error;
      }
    },

    leave() {
      connection.close('wamp.close.normal');
      return closed;
    },
  };
}
