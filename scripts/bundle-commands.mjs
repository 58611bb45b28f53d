// The commands and the worker threads of a comparison as few files, dist/node, made of the modules in dist. Node takes more than a second of
// processor time to find, read and link two hundred modules and their packages' text, in every process and some of it in every thread;
// from the bundle it takes a quarter. Packages stay outside, but for iced-x86 (iced-by-require.mjs).
//
// The machine is one file, and its top-level constants stay `const`: only then does V8 put them into the code that it optimises. What a
// module imports it loads each time, and a `var` too: that took an eighth more of the time that is not WebAssembly.
import { join } from 'node:path';
import { icedByRequire } from './iced-by-require.mjs';

export async function bundleCommands(root) {
  const { build } = await import('vite');
  const output = {
    entryFileNames: '[name].js', chunkFileNames: '[name]-[hash].js', topLevelVar: false,
    codeSplitting: { groups: [{ name: 'machine', test: /[\\/]dist[\\/](wasm|mem|mmu|cpu|devices|timing|svm|vtx|machine)[\\/]/ }] },
  };
  const from = (name) => join(root, 'dist/cli', `${name}.js`);
  await build({
    root, configFile: false, logLevel: 'error', publicDir: false, plugins: [icedByRequire()],
    build: {
      ssr: true, outDir: join(root, 'dist/node'), emptyOutDir: true, target: 'es2022', minify: false,
      rollupOptions: { input: { main: from('main'), 'compare-worker': from('compare-worker') }, output },
    },
  });
}
