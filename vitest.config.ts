import { defineConfig } from 'vitest/config';

/**
 * Many small files: each would load the engine and warm it up again, which takes longer than its tests. So they share processes. Those that
 * look at what the process keeps for all machines (compiled regions: cpu/engine, machine) do not.
 */
const SHARED = ['src/{devices,experiments,mem,mmu,svm,timing,vtx,wasm}/**/*.test.ts', 'src/cpu/{isa,system,fp}/**/*.test.ts', 'src/cpu/*.test.ts'];

export default defineConfig({
  test: {
    testTimeout: 60_000,
    pool: 'forks',
    maxWorkers: 2,
    projects: [
      { extends: true, test: { name: 'shared', include: SHARED, isolate: false } },
      { extends: true, test: { name: 'alone', include: ['src/**/*.test.ts', 'test/**/*.test.ts'], exclude: [...SHARED, '**/node_modules/**'] } },
    ],
  },
});
