// Runs a Multiboot image in v86 (32-bit guests only), its COM1 on standard output: node v86-guest.mjs FOLDER IMAGE COMMAND-LINE
// FOLDER holds the package `v86` in node_modules. Without a BIOS v86 starts a Multiboot image at once, as we do.
import { readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [folder, image, commandLine] = process.argv.slice(2), build = join(folder, 'node_modules/v86/build');
const { V86 } = await import(pathToFileURL(join(build, 'libv86.mjs')).href);
const bytes = new Uint8Array(readFileSync(image));
const emulator = new V86({
  wasm_path: join(build, 'v86.wasm'), multiboot: { buffer: bytes.buffer }, cmdline: commandLine, memory_size: 64 << 20, autostart: true,
  disable_keyboard: true, disable_mouse: true, disable_speaker: true,
});
let line = '';
emulator.add_listener('serial0-output-byte', (byte) => {
  line += String.fromCharCode(byte);
  if (byte !== 10) return;
  writeSync(1, line);
  line = '';
});
