// What every JavaScript client must be able to do, in Node or in a page, and how a script runs it.
//
// A script brings `open(options)`, which logs in with its library and resolves to a connection:
//   version            the negotiated version
//   send(destination, body, headers)
//   subscribe(destination, headers, onMessage)
//                      onMessage({ headers, body, ack(headers), nack(headers) });
//                      returns { unsubscribe(headers) }
//   begin()            returns { id, commit(), abort() }
//   receipt(id)        resolves once that receipt has come
//   error              resolves to the ERROR frame, if one comes
//   closed             resolves once the socket is closed
//   heartbeat()        resolves at the next heart-beat from the gateway
//   cut()              ends the connection without a goodbye of STOMP's
//   disconnect()       says goodbye; resolves once it is closed
// `options` has `passcode` (default `guest`) and `heartbeat` in milliseconds (default 0).
//
// Whether something does *not* arrive is told by what arrives in its place: a queue keeps its order.

/** Milliseconds any single thing may take; only a failure takes so long. */
const CEILING = 20_000;

/** Fails if `promise` takes longer than the ceiling. */
export async function within(what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited in vain for ${what}`)), CEILING);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

export function equal(got, expected) {
  if (got !== expected) {
    const [shownGot, shownExpected] = [got, expected].map((it) => String(it).slice(0, 100));
    throw new Error(`got ${JSON.stringify(shownGot)}, expected ${JSON.stringify(shownExpected)}`);
  }
}

export function holds(condition, otherwise) {
  if (!condition) throw new Error(otherwise);
}

export const freshQueue = () => `/queue/js-${crypto.randomUUID()}`;

/** What was put in and not yet taken; `next` waits for it. */
export class Inbox {
  #items = [];
  #takers = [];

  put(item) {
    const taker = this.#takers.shift();
    if (taker) taker(item);
    else this.#items.push(item);
  }

  next(what) {
    if (this.#items.length > 0) return Promise.resolve(this.#items.shift());
    return within(what, new Promise((resolve) => this.#takers.push(resolve)));
  }
}

let receipts = 0;

/** Calls `ask` with headers that ask for a receipt, and waits for it. */
export async function confirmed(connection, ask) {
  receipts += 1;
  const id = `suite-${receipts}`;
  const arrived = connection.receipt(id);
  ask({ receipt: id });
  await within(`receipt ${id}`, arrived);
}

/** A subscription that stands, and its messages. */
export async function subscribed(connection, destination, headers = {}) {
  const inbox = new Inbox();
  let subscription;
  await confirmed(connection, (receipt) => {
    const put = (message) => inbox.put(message);
    subscription = connection.subscribe(destination, { ...headers, ...receipt }, put);
  });
  return {
    async message(body, redelivered) {
      const message = await inbox.next(`a message ${String(body).slice(0, 40)}`);
      equal(message.body, body);
      if (redelivered !== undefined) equal(message.headers.redelivered, String(redelivered));
      return message;
    },
    unsubscribe: (more) => subscription.unsubscribe(more),
  };
}

const INDIVIDUAL = { ack: 'client-individual' };

function commonChecks(open) {
  return {
    async connects_and_disconnects() {
      const client = await open({});
      equal(client.version, '1.2');
      await client.disconnect();
    },

    async exchanges_text_through_a_queue() {
      const [sender, receiver, place] = [await open({}), await open({}), freshQueue()];
      const subscription = await subscribed(receiver, place);
      sender.send(place, 'grüße, 世界 🦀', { 'content-type': 'text/plain', 'x-mine': 'value' });
      const message = await subscription.message('grüße, 世界 🦀', false);
      equal(message.headers.destination, place);
      equal(message.headers['content-type'], 'text/plain');
      equal(message.headers['x-mine'], 'value');
      await sender.disconnect();
      await receiver.disconnect();
    },

    async keeps_the_order_of_many_messages() {
      const [client, place] = [await open({}), freshQueue()];
      const subscription = await subscribed(client, place);
      for (let number = 0; number < 500; number += 1) client.send(place, `${number}`, {});
      for (let number = 0; number < 500; number += 1) await subscription.message(`${number}`);
      await client.disconnect();
    },

    async exchanges_through_topics_with_wildcards() {
      const [client, publisher, root] = [await open({}), await open({}), `js-${crypto.randomUUID()}`];
      const oneWord = await subscribed(client, `/topic/${root}.*`);
      const anyWords = await subscribed(client, `/topic/${root}.#`);
      publisher.send(`/topic/${root}.a.b`, 'two words', {});
      publisher.send(`/topic/${root}.a`, 'one word', {});
      await oneWord.message('one word');
      await anyWords.message('two words');
      await anyWords.message('one word');
      await publisher.disconnect();
      await client.disconnect();
    },

    async gets_receipts() {
      const [client, place] = [await open({}), freshQueue()];
      await confirmed(client, (receipt) => client.send(place, 'one', receipt));
      const subscription = await subscribed(client, place);
      await subscription.message('one');
      await confirmed(client, (receipt) => subscription.unsubscribe(receipt));
      await client.disconnect();
    },

    async acknowledges_cumulatively() {
      const [client, place] = [await open({}), freshQueue()];
      const subscription = await subscribed(client, place, { ack: 'client' });
      for (const body of ['one', 'two', 'three']) client.send(place, body, {});
      await subscription.message('one');
      const second = await subscription.message('two');
      await subscription.message('three');
      await confirmed(client, (receipt) => second.ack(receipt));
      client.cut();
      await within('the cut', client.closed);
      const other = await open({});
      const rest = await subscribed(other, place);
      await rest.message('three', true);
      other.send(place, 'four', {});
      await rest.message('four', false);
      await other.disconnect();
    },

    async acknowledges_individually() {
      const [client, place] = [await open({}), freshQueue()];
      const subscription = await subscribed(client, place, INDIVIDUAL);
      for (const body of ['one', 'two', 'three']) client.send(place, body, {});
      await subscription.message('one');
      const second = await subscription.message('two');
      await subscription.message('three');
      await confirmed(client, (receipt) => second.ack(receipt));
      client.cut();
      await within('the cut', client.closed);
      const other = await open({});
      const rest = await subscribed(other, place);
      await rest.message('one', true);
      await rest.message('three', true);
      await other.disconnect();
    },

    async gets_a_rejected_message_again() {
      const [client, place] = [await open({}), freshQueue()];
      const subscription = await subscribed(client, place, INDIVIDUAL);
      client.send(place, 'again', {});
      (await subscription.message('again', false)).nack({});
      const again = await subscription.message('again', true);
      await confirmed(client, (receipt) => again.ack(receipt));
      await client.disconnect();
    },

    async commits_a_transaction() {
      const [client, place] = [await open({}), freshQueue()];
      const subscription = await subscribed(client, place, INDIVIDUAL);
      client.send(place, 'before', {});
      const before = await subscription.message('before');
      const transaction = client.begin();
      client.send(place, 'inside', { transaction: transaction.id });
      before.ack({ transaction: transaction.id });
      client.send(place, 'outside', {});
      const outside = await subscription.message('outside', false);
      transaction.commit();
      const inside = await subscription.message('inside', false);
      outside.ack({});
      await confirmed(client, (receipt) => inside.ack(receipt));
      client.cut();
      await within('the cut', client.closed);
      const other = await open({});
      const rest = await subscribed(other, place);
      other.send(place, 'nothing was left', {});
      await rest.message('nothing was left', false);
      await other.disconnect();
    },

    async aborts_a_transaction() {
      const [client, place] = [await open({}), freshQueue()];
      const subscription = await subscribed(client, place, INDIVIDUAL);
      client.send(place, 'kept', {});
      const kept = await subscription.message('kept');
      const transaction = client.begin();
      client.send(place, 'dropped', { transaction: transaction.id });
      kept.ack({ transaction: transaction.id });
      transaction.abort();
      client.send(place, 'after', {});
      const after = await subscription.message('after', false);
      await confirmed(client, (receipt) => after.ack(receipt));
      client.cut();
      await within('the cut', client.closed);
      const other = await open({});
      const rest = await subscribed(other, place);
      await rest.message('kept', true);
      await other.disconnect();
    },

    async carries_bodies_of_a_mebibyte() {
      const [client, place] = [await open({}), freshQueue()];
      const subscription = await subscribed(client, place);
      const body = '0123456789abcdef'.repeat(1 << 16);
      client.send(place, body, {});
      await subscription.message(body);
      await client.disconnect();
    },

    async lives_on_heartbeats() {
      const [client, place] = [await open({ heartbeat: 1000 }), freshQueue()];
      for (let beats = 0; beats < 3; beats += 1) await within('a heart-beat', client.heartbeat());
      const subscription = await subscribed(client, place);
      client.send(place, 'still here', {});
      await subscription.message('still here');
      await client.disconnect();
    },

    async gets_what_it_has_not_acknowledged_after_reconnecting() {
      const [client, place] = [await open({}), freshQueue()];
      const subscription = await subscribed(client, place, INDIVIDUAL);
      client.send(place, 'unfinished', {});
      await subscription.message('unfinished', false);
      client.cut();
      await within('the cut', client.closed);
      const again = await open({});
      const rest = await subscribed(again, place, INDIVIDUAL);
      const unfinished = await rest.message('unfinished', true);
      await confirmed(again, (receipt) => unfinished.ack(receipt));
      await again.disconnect();
    },

    async is_refused_with_a_wrong_passcode() {
      let refusal;
      try {
        await open({ passcode: 'wrong' });
      } catch (frame) {
        refusal = frame;
      }
      equal(refusal?.headers?.message, 'Bad CONNECT');
    },

    async is_told_what_was_wrong() {
      const client = await open({});
      client.send('/nowhere/at-all', 'lost', { receipt: 'r-1' });
      const error = await within('an ERROR frame', client.error);
      equal(error.headers.message, 'Unknown destination');
      equal(error.headers['receipt-id'], 'r-1');
      holds(error.body.includes('/nowhere/at-all'), `the body does not say which: ${error.body}`);
      await within('the end of the connection', client.closed);
    },
  };
}

/** Runs the common checks and the script's own, one line each; says whether all passed. */
export async function passes(open, ownChecks) {
  const checks = Object.entries({ ...commonChecks(open), ...ownChecks });
  let failed = 0;
  for (const [name, check] of checks) {
    try {
      await check();
      console.log(`ok ${name}`);
    } catch (error) {
      failed += 1;
      const why = error instanceof Error ? error.stack : JSON.stringify(error);
      console.log(`not ok ${name}: ${why.split('\n').slice(0, 4).join(' ')}`);
    }
  }
  console.log(`${checks.length - failed} of ${checks.length} checks passed`);
  return failed === 0;
}

/** As `passes`, in Node: ends the process. */
export async function run(open, ownChecks) {
  process.exit((await passes(open, ownChecks)) ? 0 : 1);
}
