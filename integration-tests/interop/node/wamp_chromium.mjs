// autobahn's bundle for browsers in a page in headless Chromium.

import { pageOf } from './browser.mjs';
import { serve } from './wamp_orders.mjs';

const { page, load, close } = await pageOf(`<!doctype html>
<title>WAMP in a page</title>
<link rel="icon" href="data:,">
<body>
<script src="/node_modules/autobahn-browser/autobahn.min.js"></script>
<script type="module" src="/wamp_page.mjs"></script>
</body>`);
page.on('console', (message) => {
  // At each end it warns that it does not connect again.
  if (message.type() !== 'warning') console.error(message.text());
});
page.on('pageerror', (error) => console.error(error));
await load();
await page.waitForFunction(() => window.carryOut);
await serve((order) => page.evaluate((it) => window.carryOut(it), order));
await close();
