// A page in headless Chromium, with the scripts beside this one.

import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { chromium } from 'playwright-core';

const here = dirname(fileURLToPath(import.meta.url));

/** Serves the page, and the scripts beside this one. */
async function served(html) {
  const server = createServer(async ({ url: path }, response) => {
    const { pathname } = new URL(path, 'http://localhost');
    try {
      const isPage = pathname === '/';
      const body = isPage ? html : await readFile(join(here, pathname));
      const type = isPage ? 'text/html' : 'text/javascript';
      response.writeHead(200, { 'content-type': `${type}; charset=utf-8` }).end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

/** Nothing is asked of any host but this one. */
const launched = () =>
  chromium.launch({
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

/** A browser with a page that is yet to be loaded, and what loads this HTML in it. */
export async function pageOf(html) {
  const server = await served(html);
  const browser = await launched();
  const page = await browser.newPage();
  return {
    page,
    version: browser.version(),
    load: (parameters = '') =>
      page.goto(`http://127.0.0.1:${server.address().port}/?${parameters}`),
    async close() {
      await browser.close();
      server.close();
    },
  };
}
