// Where orders of a WAMP client come from in Node: one in each line of the input, as JSON, and each is
// answered by one line of the output. It ends with the input.

import { createInterface } from 'node:readline';

/** Has `carryOut` carry out all orders, one after the other. */
export async function serve(carryOut) {
  for await (const line of createInterface({ input: process.stdin })) {
    console.log(JSON.stringify(await carryOut(JSON.parse(line))));
  }
}
