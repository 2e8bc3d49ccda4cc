// webstomp-client against the gateway at the URL given as argument.

import webstomp from 'webstomp-client';
import WebSocket from 'ws';

import { Inbox, equal, freshQueue, run, subscribed, within } from './suite.mjs';

const url = process.argv[2];

function open({ passcode = 'guest', heartbeat = 0, protocols, ...settings }) {
  const socket = new WebSocket(url, protocols ?? webstomp.VERSIONS.supportedProtocols());
  const beats = new Inbox();
  socket.on('message', (data) => data.toString() === '\n' && beats.put());
  const closed = new Promise((resolve) => socket.on('close', resolve));
  const client = webstomp.over(socket, {
    debug: false,
    heartbeat: heartbeat && { incoming: heartbeat, outgoing: heartbeat },
    ...settings,
  });
  const awaited = new Map();
  client.onreceipt = (frame) => awaited.get(frame.headers['receipt-id'])?.(frame);

  let signalError;
  const connection = {
    client,
    closed,
    error: new Promise((resolve) => (signalError = resolve)),
    get version() {
      return client.version;
    },
    send: (destination, body, headers) => client.send(destination, body, headers),
    subscribe: (destination, headers, onMessage) =>
      client.subscribe(destination, onMessage, headers),
    begin: () => client.begin(),
    receipt: (id) => new Promise((resolve) => awaited.set(id, resolve)),
    heartbeat: () => beats.next('a heart-beat'),
    cut: () => socket.terminate(),
    async disconnect() {
      client.disconnect();
      await within('the end of the connection', closed);
    },
  };
  const connected = new Promise((resolve, reject) => {
    const headers = { login: 'guest', passcode, host: '/' };
    const onError = (frame) => {
      if (frame.command !== 'ERROR') return;
      signalError(frame);
      closed.then(() => reject(frame));
    };
    client.connect(headers, () => resolve(connection), onError);
  });
  return within('CONNECTED', connected);
}

await run(open, {
  async is_answered_in_the_version_it_offers() {
    const versions = { 'v10.stomp': '1.0', 'v11.stomp': '1.1', 'v12.stomp': '1.2' };
    for (const [protocol, version] of Object.entries(versions)) {
      const client = await open({ protocols: [protocol] });
      equal(client.version, version);
      const place = freshQueue();
      const subscription = await subscribed(client, place);
      client.send(place, 'hello', {});
      await subscription.message('hello');
      await client.disconnect();
    }
  },

  async may_send_everything_as_binary() {
    const [client, place] = [await open({ binary: true }), freshQueue()];
    const subscription = await subscribed(client, place);
    client.send(place, 'grüße', {});
    await subscription.message('grüße');
    await client.disconnect();
  },

  // Not larger: this library turns a binary message into one call with an argument for each byte.
  async carries_bodies_of_several_messages_as_binary() {
    const [client, place] = [await open({ binary: true }), freshQueue()];
    const subscription = await subscribed(client, place);
    const body = '0123456789abcdef'.repeat(3 << 10);
    client.send(place, body, {});
    await subscription.message(body);
    await client.disconnect();
  },
});
