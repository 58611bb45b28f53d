// A vite plugin: iced-x86 is a large CommonJS file. Imported, Node first looks through its text for names of exports, a fifth of a second in
// every process and thread; required, it does not. So the package becomes a module that requires it and exports the names that it finds.
import { createRequire } from 'node:module';

const ID = '\0iced-x86-by-require';

export const icedByRequire = () => ({
  name: 'iced-x86-by-require',
  enforce: 'pre',
  resolveId: (source) => (source === 'iced-x86' ? ID : null),
  load(id) {
    if (id !== ID) return null;
    const names = Object.keys(createRequire(import.meta.url)('iced-x86')).filter((n) => /^[A-Z]\w*$/.test(n));
    return `import { createRequire } from 'node:module';\nconst iced = createRequire(import.meta.url)('iced-x86');\nexport const { ${names.join(', ')} } = iced;\n`;
  },
});
