// The script of the page: @stomp/stompjs in a browser. The page's URL has the gateway's and the login.

import { stompjs } from './stompjs_checks.mjs';
import { confirmed, equal, freshQueue, holds, passes, subscribed, within } from './suite.mjs';

const given = Object.fromEntries(new URLSearchParams(location.search));
const { url, ...login } = given;

const { open, ownChecks } = stompjs({
  newSocket: (protocols) => new WebSocket(url, protocols),
  cut: (socket) => socket.close(),
  login,
});

/** How a WebSocket to the gateway ends that offers these sub-protocols: its CloseEvent. */
function ended(protocols) {
  const socket = new WebSocket(url, protocols);
  return within('its end', new Promise((resolve) => (socket.onclose = resolve)));
}

const ofPages = {
  async agrees_on_the_first_version_that_is_offered() {
    const client = await open({});
    equal(client.client.webSocket.protocol, 'v12.stomp');
    await client.disconnect();
  },

  async may_go_without_a_sub_protocol() {
    const socket = new WebSocket(url);
    const frame = new Promise((resolve) => (socket.onmessage = ({ data }) => resolve(data)));
    await within('the handshake', new Promise((resolve) => (socket.onopen = resolve)));
    equal(socket.protocol, '');
    const { login: name, passcode, host } = login;
    socket.send(
      `CONNECT\naccept-version:1.2\nhost:${host}\nlogin:${name}\npasscode:${passcode}\n\n\0`,
    );
    holds((await within('CONNECTED', frame)).startsWith('CONNECTED\n'), 'another frame');
    socket.close();
  },

  async is_refused_with_an_unknown_sub_protocol() {
    equal((await ended(['mqtt'])).wasClean, false);
  },

  async is_told_the_reason_by_the_close_code() {
    const client = await open({});
    client.client.publish({ destination: '/nowhere/at-all', body: '' });
    const { code, reason, wasClean } = await within('the close', client.closed);
    equal(code, 1008);
    equal(wasClean, true);
    holds(reason.startsWith('Unknown destination'), reason);
  },

  async shares_a_topic_between_many_connections() {
    const [publisher, place] = [await open({}), `/topic/page-${crypto.randomUUID()}`];
    const readers = await Promise.all(
      Array.from({ length: 20 }, async () => {
        const client = await open({});
        return { client, subscription: await subscribed(client, place) };
      }),
    );
    const body = 'to all '.repeat(1000);
    await confirmed(publisher, (receipt) => publisher.send(place, body, receipt));
    for (const { client, subscription } of readers) {
      await subscription.message(body);
      await client.disconnect();
    }
    await publisher.disconnect();
  },

  async takes_back_what_a_closed_page_had_not_acknowledged() {
    const [reader, place] = [await open({}), freshQueue()];
    const frame = document.createElement('iframe');
    const parameters = new URLSearchParams({ ...given, take: place });
    frame.src = `${location.pathname}?${parameters}`;
    const taken = new Promise((resolve) => (window.onmessage = ({ data }) => resolve(data)));
    document.body.append(frame);
    reader.send(place, 'unfinished', {});
    equal(await within('a word from the other page', taken), 'unfinished');
    frame.remove();
    const subscription = await subscribed(reader, place);
    await subscription.message('unfinished', true);
    await reader.disconnect();
  },
};

/** The page in the iframe: takes one message, and never acknowledges it. */
async function take(place) {
  const client = await open({});
  client.subscribe(place, { ack: 'client' }, ({ body }) => window.parent.postMessage(body));
}

if (given.take) {
  delete login.take;
  await take(given.take);
} else {
  await window.finished(await passes(open, { ...ownChecks, ...ofPages }));
}
