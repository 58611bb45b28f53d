import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { fileFor, serveFolder } from './static-server.js';

const folder = mkdtempSync(join(tmpdir(), 'xenolith-server-'));
writeFileSync(join(folder, 'index.html'), '<p>page');
afterAll(() => rmSync(folder, { recursive: true }));

it('serves files of the folder, with their type, and nothing else', async () => {
  const { server, url } = await serveFolder(folder, 0);
  try {
    const page = await fetch(url);
    expect([page.status, page.headers.get('content-type'), await page.text()]).toEqual([200, 'text/html; charset=utf-8', '<p>page']);
    expect((await fetch(`${url}nothing.js`)).status).toBe(404);
    expect((await fetch(url, { method: 'POST' })).status).toBe(405);
  } finally {
    server.closeAllConnections();
    server.close();
  }
});
it.each(['/../secret', '/%2e%2e/secret', '/a/../../secret', '/..%2fsecret', '/%00', '/%'])('%s leads nowhere outside', (url) => {
  const file = fileFor('/srv/page', url);
  expect(file === undefined || file.startsWith('/srv/page/')).toBe(true);
});
