// A WAMP client that does what it is told: orders come in, one after the other, and what came of each
// goes out. Whoever gives them knows what is to come of them. In Node or in a page.
//
// A script brings `open({ url, serializer, realm, login })`, which joins with its library and resolves
// to a connection:
//   session            the ID of the session
//   binary(bytes)      a Uint8Array as its library wants to have it
//   subscribe(topic, match, onEvent)
//                      onEvent({ args, kwargs, topic }), topic only if the event names it;
//                      resolves to { unsubscribe() }
//   publish(topic, args, kwargs, options)
//                      acknowledged; resolves to the ID of the publication
//   burst(topics, count)
//                      publishes the numbers below `count`, to the topics in turn, without waiting for
//                      the answers between; resolves once the last is acknowledged
//   register(procedure, onCall)
//                      onCall({ args, kwargs }) returns { args, kwargs }, or { error, args, kwargs }
//   call(procedure, args, kwargs)
//                      resolves to { args, kwargs }, or { error, args, kwargs }
//   leave()            resolves to the reason of the router's GOODBYE; null if the library keeps it
//
// In orders and answers binary data is { $binary: base64 }.

import { Inbox, within } from './suite.mjs';

const bytesOf = (base64) => Uint8Array.from(atob(base64), (letter) => letter.codePointAt(0));

const base64Of = (bytes) =>
  btoa(Array.from(bytes, (byte) => String.fromCodePoint(byte)).join(''));

const bytesIn = (binary) =>
  new Uint8Array(binary.buffer ?? binary, binary.byteOffset, binary.byteLength);

const isBinary = (value) => value instanceof ArrayBuffer || ArrayBuffer.isView(value);

/** A value of an order, as it is to be sent. */
function sent(value, binary) {
  if (Array.isArray(value)) return value.map((item) => sent(item, binary));
  if (value === null || typeof value !== 'object') return value;
  if ('$binary' in value) return binary(bytesOf(value.$binary));
  return Object.fromEntries(Object.entries(value).map(([key, it]) => [key, sent(it, binary)]));
}

/** A value that came, as it is told. No library of these reads binary data out of JSON's texts. */
function told(value) {
  if (Array.isArray(value)) return value.map(told);
  if (isBinary(value)) return { $binary: base64Of(bytesIn(value)) };
  // Some have these for integers of 64 bits. Those of WAMP fit into a number.
  if (typeof value === 'bigint') return Number(value);
  if (typeof value === 'string' && value.startsWith('\0')) return { $binary: value.slice(1) };
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, it]) => [key, told(it)]));
}

/** Binary data in JSON (WAMP, "Binary support in JSON"). */
export const binaryInJson = (bytes) => `\0${base64Of(bytes)}`;

/** Carries out orders: a function from an order to what came of it. */
export function peer(open) {
  const peers = new Map();

  const carriedOut = {
    async open({ as, ...how }) {
      const connection = await within('WELCOME', open(how));
      peers.set(as, { connection, inbox: new Inbox(), subscriptions: new Map() });
      return connection.session;
    },

    async subscribe({ as, topic, match = 'exact' }) {
      const { connection, inbox, subscriptions } = peers.get(as);
      const put = (event) => inbox.put(event);
      const subscription = await connection.subscribe(topic, match, put);
      subscriptions.set(`${match} ${topic}`, subscription);
    },

    async unsubscribe({ as, topic, match = 'exact' }) {
      await peers.get(as).subscriptions.get(`${match} ${topic}`).unsubscribe();
    },

    async publish({ as, topic, args, kwargs, options = {} }) {
      const { connection } = peers.get(as);
      const [list, dict] = [args, kwargs].map((it) => sent(it, connection.binary));
      return connection.publish(topic, list, dict, options);
    },

    async burst({ as, topics, count }) {
      await peers.get(as).connection.burst(topics, count);
    },

    async next({ as }) {
      const { args = [], kwargs = {}, topic = null } = await peers.get(as).inbox.next('an event');
      return { args, kwargs, topic };
    },

    // What it is called with it gives back; as an error, if `refused_as` says which.
    async register({ as, procedure }) {
      const { connection } = peers.get(as);
      await connection.register(procedure, ({ args = [], kwargs = {} }) => {
        const back = sent(told({ args, kwargs }), connection.binary);
        return kwargs.refused_as ? { error: kwargs.refused_as, ...back } : back;
      });
    },

    async call({ as, procedure, args, kwargs }) {
      const { connection } = peers.get(as);
      const [list, dict] = [args, kwargs].map((it) => sent(it, connection.binary));
      const { args: got = [], kwargs: named = {}, error = null } =
        await connection.call(procedure, list, dict);
      return { args: got, kwargs: named, error };
    },

    async leave({ as }) {
      const reason = await peers.get(as).connection.leave();
      peers.delete(as);
      return reason;
    },
  };

  return async ({ order, ...parameters }) => {
    try {
      return { ok: told((await within(order, carriedOut[order](parameters))) ?? null) };
    } catch (error) {
      const why = error?.errorUri ?? error?.error ?? error?.stack ?? error?.message ?? error;
      return { error: typeof why === 'string' ? why : JSON.stringify(why) };
    }
  };
}
