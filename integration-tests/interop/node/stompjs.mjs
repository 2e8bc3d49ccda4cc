// @stomp/stompjs in Node, against the gateway at the URL given as argument.

import WebSocket from 'ws';

import { stompjs } from './stompjs_checks.mjs';
import { run } from './suite.mjs';

const { open, ownChecks } = stompjs({
  newSocket: (protocols) => new WebSocket(process.argv[2], protocols),
  cut: (socket) => socket.terminate(),
  login: { login: 'guest', passcode: 'guest', host: '/' },
});
await run(open, ownChecks);
