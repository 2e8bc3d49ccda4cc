// A page in headless Chromium that speaks to the gateway by @stomp/stompjs. Arguments: the gateway's
// URL, and if they are not guest's: login, passcode and virtual host.

import { pageOf } from './browser.mjs';

const [url, login = 'guest', passcode = 'guest', host = '/'] = process.argv.slice(2);

const { page, version, load, close } = await pageOf(`<!doctype html>
<title>STOMP in a page</title>
<link rel="icon" href="data:,">
<script type="importmap">
{ "imports": { "@stomp/stompjs": "/node_modules/@stomp/stompjs/esm6/index.js" } }
</script>
<body><script type="module" src="/page.mjs"></script></body>`);
console.log(`Chromium ${version}`);
page.on('console', (message) => console.log(message.text()));
const outcome = new Promise((resolve, reject) => {
  page.on('pageerror', reject);
  page.on('crash', () => reject(new Error('the page crashed')));
  page.exposeFunction('finished', resolve).then(() => {
    return load(new URLSearchParams({ url, login, passcode, host }));
  }, reject);
});
let passed = false;
try {
  passed = await outcome;
} catch (error) {
  console.log(`not ok ${error.stack}`);
}
await close();
process.exit(passed ? 0 : 1);
