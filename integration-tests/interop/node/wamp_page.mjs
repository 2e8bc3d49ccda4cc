// The script of the page: autobahn's bundle for browsers, which has been loaded before.

import { autobahnClient } from './autobahn_client.mjs';
import { peer } from './wamp_peer.mjs';

// What the bundle writes as bytes: of MessagePack a Uint8Array, and of CBOR what that is a view of.
const binary = { msgpack: (bytes) => bytes, cbor: (bytes) => bytes.buffer };
window.carryOut = peer(autobahnClient(window.autobahn, binary));
