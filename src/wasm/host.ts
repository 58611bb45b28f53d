/**
 * The part of the WebAssembly JavaScript API that the core uses, typed here because the core's `lib` is ES2022 alone:
 * no DOM and no Node types below `cli/` and `web/`.
 */

export interface WasmMemory {
  readonly buffer: ArrayBuffer;
  grow(pages: number): number;
}
export interface WasmTable {
  readonly length: number;
  get(index: number): unknown;
  set(index: number, value: unknown): void;
  grow(by: number): number;
}
export interface WasmGlobal {
  value: number;
}
export interface WasmModule {
  readonly _wasmModule?: never;
}
export interface WasmInstance {
  readonly exports: Record<string, unknown>;
}
export type WasmImports = Record<string, Record<string, unknown>>;

interface WasmApi {
  Memory: new (d: { initial: number; maximum: number }) => WasmMemory;
  Table: new (d: { initial: number; element: 'anyfunc' }) => WasmTable;
  Global: new (d: { value: 'i32'; mutable: true }, value: number) => WasmGlobal;
  Module: new (bytes: Uint8Array) => WasmModule;
  Instance: new (module: WasmModule, imports: WasmImports) => WasmInstance;
  validate(bytes: Uint8Array): boolean;
}

/** The host's WebAssembly object. */
export const Wasm: WasmApi = (globalThis as unknown as { WebAssembly: WasmApi }).WebAssembly;
