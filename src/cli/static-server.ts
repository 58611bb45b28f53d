/** A server of one folder's files on loopback: enough for a page that is only files. */

import { createReadStream, statSync } from 'node:fs';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize, sep } from 'node:path';

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8', '.js': 'text/javascript; charset=utf-8', '.css': 'text/css; charset=utf-8', '.json': 'application/json', '.svg': 'image/svg+xml',
};

/** The file that a request means; undefined when it is none below `folder`. */
export function fileFor(folder: string, url: string): string | undefined {
  let path: string;
  try {
    path = decodeURIComponent(new URL(url, 'http://localhost').pathname);
  } catch {
    return undefined;
  }
  if (path.includes('\0')) return undefined;
  const file = normalize(join(folder, path.endsWith('/') ? `${path}index.html` : path));
  return file.startsWith(normalize(folder) + sep) ? file : undefined;
}

function send(response: ServerResponse, file: string | undefined, body: boolean): void {
  const status = file === undefined ? undefined : statSync(file, { throwIfNoEntry: false });
  if (file === undefined || status === undefined || !status.isFile()) {
    response.writeHead(404, { 'content-type': 'text/plain' }).end('not found\n');
    return;
  }
  response.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream', 'content-length': status.size, 'cache-control': 'no-cache' });
  if (!body) response.end();
  else createReadStream(file).on('error', () => response.destroy()).pipe(response);
}

/** Starts the server. @param port 0: any that is free @throws what listening fails with, such as EADDRINUSE */
export async function serveFolder(folder: string, port: number): Promise<{ server: Server; url: string }> {
  const server = createServer((request, response) => {
    const { method = 'GET', url = '/' } = request;
    if (method !== 'GET' && method !== 'HEAD') response.writeHead(405, { allow: 'GET, HEAD' }).end();
    else send(response, fileFor(folder, url), method === 'GET');
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/` };
}
