// autobahn in Node, with a WebSocket of ws: Node has one of its own only from version 22 on.

import WebSocket from 'ws';

import { autobahnClient } from './autobahn_client.mjs';
import { serve } from './wamp_orders.mjs';
import { peer } from './wamp_peer.mjs';

globalThis.WebSocket = WebSocket;
// At each end it would warn that it does not connect again.
console.warn = () => {};
const { default: autobahn } = await import('autobahn');

// A Uint8Array would be written as a typed array, which CBOR has a tag for.
const buffer = (bytes) => Buffer.from(bytes);
await serve(peer(autobahnClient(autobahn, { msgpack: buffer, cbor: buffer })));
