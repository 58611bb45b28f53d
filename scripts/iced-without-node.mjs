// A vite plugin: iced-x86's loader reads its wasm file through Node. In a bundle for a browser the bytes are in the text.
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

export const icedWithoutNode = () => ({
  name: 'iced-x86-without-node',
  enforce: 'pre',
  load(id) {
    if (!/[\\/]iced_x86\.js$/.test(id)) return null;
    const wasm = readFileSync(join(dirname(id), 'iced_x86_bg.wasm')).toString('base64');
    const text = readFileSync(id, 'utf8')
      .replace(/= require\(`util`\)/, '= globalThis')
      .replace(/const path = require\('path'\)[^\n]*\n/, '')
      .replace(/const bytes = require\('fs'\)[^\n]*\n/, `const bytes = Uint8Array.from(atob("${wasm}"), (c) => c.charCodeAt(0));\n`);
    if (/^[^*\n]*require\(/m.test(text)) throw new Error('iced-x86 loads itself in another way than the plugin for browsers knows');
    return text;
  },
});
