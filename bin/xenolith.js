#!/usr/bin/env node
// The xenolith command. The code is built into dist/, and bundled in dist/node, by `npm run build` (npm start and npm test do that themselves).
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const main = new URL('../dist/node/main.js', import.meta.url);
if (!existsSync(fileURLToPath(main))) {
  console.error('xenolith: not built yet; run "npm run build" first');
  process.exit(2);
}
await import(main.href);
