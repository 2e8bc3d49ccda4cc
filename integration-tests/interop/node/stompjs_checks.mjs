// What @stomp/stompjs must be able to do beyond the suite, in Node or in a page.

import { Client, Versions } from '@stomp/stompjs';

import { Inbox, confirmed, equal, freshQueue, holds, subscribed, within } from './suite.mjs';

/**
 * How the suite logs in with stompjs, and the checks that are stompjs's own.
 *
 * `newSocket(protocols)` opens a WebSocket to the gateway, `cut(socket)` ends one; `login` has the
 * headers login, passcode and host.
 */
export function stompjs({ newSocket, cut, login }) {
  function open({ passcode, heartbeat = 0, ...settings }) {
    let socket;
    let signalError;
    let signalClosed;
    const beats = new Inbox();
    const error = new Promise((resolve) => (signalError = resolve));
    const closed = new Promise((resolve) => (signalClosed = resolve));
    const client = new Client({
      webSocketFactory: () => (socket = newSocket(['v12.stomp', 'v11.stomp', 'v10.stomp'])),
      connectHeaders: { ...login, ...(passcode && { passcode }) },
      heartbeatIncoming: heartbeat,
      heartbeatOutgoing: heartbeat,
      reconnectDelay: 0,
      onStompError: (frame) => signalError(frame),
      onWebSocketClose: (event) => signalClosed(event),
      onHeartbeatReceived: () => beats.put(),
      ...settings,
    });
    const connection = {
      client,
      error,
      closed,
      get version() {
        return client.connectedVersion;
      },
      send: (destination, body, headers) => client.publish({ destination, body, headers }),
      subscribe: (destination, headers, onMessage) =>
        client.subscribe(destination, onMessage, headers),
      begin: () => client.begin(),
      receipt: (id) => new Promise((resolve) => client.watchForReceipt(id, resolve)),
      heartbeat: () => beats.next('a heart-beat'),
      cut: () => cut(socket),
      async disconnect() {
        await within('deactivation', client.deactivate());
        equal(socket.readyState, socket.CLOSED);
      },
    };
    const connected = new Promise((resolve, reject) => {
      client.onConnect = ({ headers }) => {
        connection.connected = headers;
        resolve(connection);
      };
      error.then(async (frame) => {
        await closed;
        reject(frame);
      });
    });
    client.activate();
    return within('CONNECTED', connected);
  }

  const ownChecks = {
    async is_answered_in_the_version_it_offers() {
      for (const version of ['1.0', '1.1', '1.2']) {
        const client = await open({ stompVersions: new Versions([version]) });
        equal(client.version, version);
        const place = freshQueue();
        const subscription = await subscribed(client, place, { ack: 'client' });
        client.send(place, 'acknowledged', {});
        const message = await subscription.message('acknowledged');
        await confirmed(client, (receipt) => message.ack(receipt));
        await client.disconnect();
      }
    },

    async escapes_headers() {
      const [client, place] = [await open({}), freshQueue()];
      const subscription = await subscribed(client, place);
      const value = 'colon: backslash\\ newline\n return\r end';
      client.send(place, 'escaped', { 'x-mine': value });
      equal((await subscription.message('escaped')).headers['x-mine'], value);
      await client.disconnect();
    },

    async discards_a_rejected_message_if_asked() {
      const [client, place] = [await open({}), freshQueue()];
      const subscription = await subscribed(client, place, { ack: 'client-individual' });
      client.send(place, 'never again', {});
      (await subscription.message('never again')).nack({ requeue: 'false' });
      client.send(place, 'next', {});
      await subscription.message('next', false);
      await client.disconnect();
    },

    async carries_binary_bodies() {
      const [client, place] = [await open({}), freshQueue()];
      const inbox = new Inbox();
      await confirmed(client, (receipt) =>
        client.client.subscribe(place, (message) => inbox.put(message.binaryBody), receipt),
      );
      const bodies = [
        Uint8Array.from({ length: 768 }, (_, at) => at % 256),
        new Uint8Array(1 << 20).fill(0),
      ];
      for (const binaryBody of bodies) {
        client.client.publish({ destination: place, binaryBody });
        const got = await inbox.next('a binary body');
        const isEqual = got.length === binaryBody.length && got.every((byte, at) => byte === binaryBody[at]);
        holds(isEqual, `${got.length} bytes that differ`);
      }
      await client.disconnect();
    },

    async may_split_frames_over_messages() {
      const settings = { splitLargeFrames: true, maxWebSocketChunkSize: 1000 };
      const [client, place] = [await open(settings), freshQueue()];
      const subscription = await subscribed(client, place);
      const body = 'split '.repeat(20_000);
      client.send(place, body, {});
      await subscription.message(body);
      await client.disconnect();
    },

    async may_send_everything_as_binary() {
      const [client, place] = [await open({ forceBinaryWSFrames: true }), freshQueue()];
      const subscription = await subscribed(client, place);
      client.send(place, 'grüße', {});
      await subscription.message('grüße');
      await client.disconnect();
    },

    async reconnects_by_itself() {
      const [client, place] = [await open({ reconnectDelay: 50 }), freshQueue()];
      const subscription = await subscribed(client, place, { ack: 'client-individual' });
      client.send(place, 'unfinished', {});
      await subscription.message('unfinished', false);
      const reconnected = new Promise((resolve) => (client.client.onConnect = resolve));
      client.cut();
      await within('CONNECTED again', reconnected);
      const rest = await subscribed(client, place, { ack: 'client-individual' });
      const unfinished = await rest.message('unfinished', true);
      await confirmed(client, (receipt) => unfinished.ack(receipt));
      await client.disconnect();
    },

    async resumes_by_headers_alone() {
      const [publisher, topic] = [await open({}), `/topic/js-${crypto.randomUUID()}`];
      const connectHeaders = { ...login, resume: '600000' };
      const client = await open({ reconnectDelay: 50, connectHeaders });
      const headers = { id: 'orders', ack: 'client-individual' };
      const before = await subscribed(client, topic, headers);
      for (const body of ['one', 'two']) {
        await confirmed(publisher, (receipt) => publisher.send(topic, body, receipt));
      }
      const one = await before.message('one', false);
      await confirmed(client, (receipt) => one.ack(receipt));
      await before.message('two', false);
      client.client.connectHeaders['resume-token'] = client.connected['resume-token'];
      const resumed = new Promise((resolve) => (client.client.onConnect = resolve));
      client.cut();
      await confirmed(publisher, (receipt) => publisher.send(topic, 'three', receipt));
      equal((await within('CONNECTED again', resumed)).headers.resumed, 'true');
      const after = await subscribed(client, topic, headers);
      const rest = [await after.message('two', true), await after.message('three')];
      for (const message of rest) {
        equal(message.headers['x-gap'], undefined);
        await confirmed(client, (receipt) => message.ack(receipt));
      }
      await client.disconnect();
      await publisher.disconnect();
    },
  };

  return { open, ownChecks };
}
