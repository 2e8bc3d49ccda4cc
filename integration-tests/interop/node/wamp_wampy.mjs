// wampy in Node.

import { CborSerializer } from 'wampy/CborSerializer.js';
import { JsonSerializer } from 'wampy/JsonSerializer.js';
import { MsgpackSerializer } from 'wampy/MsgpackSerializer.js';
import * as cra from 'wampy/wampcra.js';
import { Wampy } from 'wampy';
import WebSocket from 'ws';

import { serve } from './wamp_orders.mjs';
import { binaryInJson, peer } from './wamp_peer.mjs';

// A Uint8Array would be written as a typed array, which CBOR has a tag for.
const buffer = (bytes) => Buffer.from(bytes);

const SERIALIZERS = {
  json: { Serializer: JsonSerializer, binary: binaryInJson },
  msgpack: { Serializer: MsgpackSerializer, binary: buffer },
  cbor: { Serializer: CborSerializer, binary: buffer },
};

/** What proves who the client is: see CHALLENGE. */
const answered = ({ method, authid, secret }) => ({
  authid,
  authmethods: [method],
  onChallenge: (asked, extra) => (asked === 'ticket' ? secret : cra.sign(secret)(asked, extra)),
});

async function open({ url, serializer, realm, login }) {
  const { Serializer, binary } = SERIALIZERS[serializer];
  const client = new Wampy(url, {
    realm,
    ws: WebSocket,
    serializer: new Serializer(),
    autoReconnect: false,
    uriValidation: 'loose',
    ...(login && answered(login)),
  });
  await client.connect();
  return {
    session: client.getSessionId(),
    binary,

    async subscribe(topic, match, onEvent) {
      const handler = ({ details, argsList, argsDict }) => {
        onEvent({ args: argsList, kwargs: argsDict, topic: details.topic });
      };
      // What was subscribed to with options it cannot unsubscribe from. But an option that is not given
      // it sends as undefined, for which msgpackr has an extension of its own.
      const isPlain = match === 'exact' && serializer !== 'msgpack';
      const options = isPlain ? undefined : { match, get_retained: false };
      const { subscriptionId } = await client.subscribe(topic, handler, options);
      return { unsubscribe: () => client.unsubscribe(subscriptionId) };
    },

    async publish(topic, argsList, argsDict, options) {
      return (await client.publish(topic, { argsList, argsDict }, options)).publicationId;
    },

    // It asks for an answer to each.
    burst: (topics, count) =>
      Promise.all(
        Array.from({ length: count }, (_, number) =>
          client.publish(topics[number % topics.length], [number]),
        ),
      ),

    register: (procedure, onCall) =>
      client.register(procedure, ({ argsList, argsDict }) => {
        const { args, kwargs, error } = onCall({ args: argsList, kwargs: argsDict });
        const back = { argsList: args, argsDict: kwargs };
        if (error) throw { error, ...back };
        return back;
      }),

    async call(procedure, argsList, argsDict) {
      try {
        const result = await client.call(procedure, { argsList, argsDict });
        return { args: result.argsList, kwargs: result.argsDict };
      } catch (error) {
        if (!error.errorUri) throw error;
        return { args: error.argsList, kwargs: error.argsDict, error: error.errorUri };
      }
    },

    // It does not say what the router said.
    leave: async () => {
      await client.disconnect();
      return null;
    },
  };
}

await serve(peer(open));
