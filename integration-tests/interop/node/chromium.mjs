// A page in headless Chromium that speaks to the gateway by @stomp/stompjs. Arguments: the gateway's
// URL, and if they are not guest's: login, passcode and virtual host.

import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { chromium } from 'playwright-core';

const [url, login = 'guest', passcode = 'guest', host = '/'] = process.argv.slice(2);
const here = dirname(fileURLToPath(import.meta.url));

const PAGE = `<!doctype html>
<title>STOMP in a page</title>
<link rel="icon" href="data:,">
<script type="importmap">
{ "imports": { "@stomp/stompjs": "/node_modules/@stomp/stompjs/esm6/index.js" } }
</script>
<body><script type="module" src="/page.mjs"></script></body>`;

/** Serves the page, and the scripts beside this one. */
const server = createServer(async ({ url: path }, response) => {
  const { pathname } = new URL(path, 'http://localhost');
  try {
    const isPage = pathname === '/';
    const body = isPage ? PAGE : await readFile(join(here, pathname));
    const type = isPage ? 'text/html' : 'text/javascript';
    response.writeHead(200, { 'content-type': `${type}; charset=utf-8` }).end(body);
  } catch {
    response.writeHead(404).end();
  }
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));

// Nothing is asked of any host but this one.
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: [
    '--no-sandbox',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-default-apps',
    '--disable-sync',
    '--no-first-run',
    '--no-pings',
    '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
  ],
});
console.log(`Chromium ${browser.version()}`);
const page = await browser.newPage();
page.on('console', (message) => console.log(message.text()));
const outcome = new Promise((resolve, reject) => {
  page.on('pageerror', reject);
  page.on('crash', () => reject(new Error('the page crashed')));
  page.exposeFunction('finished', resolve).then(() => {
    const parameters = new URLSearchParams({ url, login, passcode, host });
    return page.goto(`http://127.0.0.1:${server.address().port}/?${parameters}`);
  }, reject);
});
let passed = false;
try {
  passed = await outcome;
} catch (error) {
  console.log(`not ok ${error.stack}`);
}
await browser.close();
server.close();
process.exit(passed ? 0 : 1);
