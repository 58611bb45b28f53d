/**
 * The state that TypeScript objects hold: everything reachable from a root by fields, array elements, and keys and values of maps,
 * copied so that it can be written back into the same objects.
 *
 * Nothing has to be declared: a field that a device gets later is covered as it stands. What is not machine state has to be excluded,
 * and says why (`outsideSnapshots` at a class, or the list in snapshot.ts).
 *
 * Invariants:
 * - Objects keep their identity. Whoever refers to one (a device to its scheduled event, a closure to its device) still does after
 *   `restore`.
 * - Functions are kept by reference, so a closure must not have variables of its own that change: state belongs into fields.
 * - A class with a representation of its own (large tables, views of the linear memory) has `saveState` and `loadState` instead.
 * - What cannot be copied (a weak map, a promise) is an error, not a gap.
 */

/** A class that saves itself. */
export interface Stateful {
  /** The state now: immutable, and sharing with the last saved one what has not changed. `bytes`: what is new in it. */
  saveState(): SavedState;
  /** @param state what `saveState` of this object returned, at any time */
  loadState(state: SavedState): void;
}
export interface SavedState {
  readonly bytes: number;
}

type TypedArray = Uint8Array | Int8Array | Uint16Array | Int16Array | Uint32Array | Int32Array | Float32Array | Float64Array | BigUint64Array | BigInt64Array;

/** One object's contents. */
type Contents =
  | { readonly kind: 'fields'; readonly object: Record<string, unknown>; readonly keys: readonly string[]; readonly values: readonly unknown[] }
  | { readonly kind: 'array'; readonly object: unknown[]; readonly values: readonly unknown[] }
  | { readonly kind: 'map'; readonly object: Map<unknown, unknown>; readonly keys: readonly unknown[]; readonly values: readonly unknown[] }
  | { readonly kind: 'set'; readonly object: Set<unknown>; readonly values: readonly unknown[] }
  | { readonly kind: 'typed'; readonly object: TypedArray; readonly copy: TypedArray }
  | { readonly kind: 'own'; readonly object: Stateful; readonly state: SavedState };

export interface ObjectState {
  readonly contents: readonly Contents[];
  /** Bytes that are not shared with the state saved before. */
  readonly bytes: number;
}

/** What is not state: never entered, kept by reference. */
export type Outside = (object: object) => boolean;

const isStateful = (o: object): o is Stateful => typeof (o as Partial<Stateful>).saveState === 'function';
const isExcluded = (o: object): boolean => (o as { outsideSnapshots?: boolean }).outsideSnapshots === true;

/** Kinds of object that have no state of the machine in them. */
const INERT = /^\[object (WebAssembly\..*|RegExp|Date|Error)\]$/;
const NONE: ReadonlySet<string> = new Set();
const tagOf = (o: object): string => Object.prototype.toString.call(o);

export class ObjectStates {
  private last = new Map<object, Contents>();
  private bytes = 0;

  /** @param shared the buffer whose views are saved otherwise @param outside objects that are not state @param outsideFields fields of an object that are not */
  constructor(
    private readonly shared: ArrayBufferLike,
    private readonly outside: Outside,
    private readonly outsideFields: (object: object) => ReadonlySet<string> = () => NONE,
  ) {}

  /** Copies everything reachable from `root`. */
  save(root: object): ObjectState {
    const contents: Contents[] = [], next = new Map<object, Contents>();
    const stack: object[] = [root], seen = new Set<object>(stack);
    this.bytes = 0;
    const visit = (v: unknown): void => {
      if (typeof v !== 'object' || v === null || seen.has(v)) return;
      seen.add(v);
      stack.push(v);
    };
    for (let o = stack.pop(); o !== undefined; o = stack.pop()) {
      if (this.skips(o)) continue;
      const c = this.contentsOf(o);
      contents.push(c);
      next.set(o, c);
      if (c.kind === 'typed' || c.kind === 'own') continue;
      if (c.kind === 'map') c.keys.forEach(visit);
      c.values.forEach(visit);
    }
    this.last = next;
    return { contents, bytes: this.bytes + 16 * contents.length };
  }

  /** Writes a saved state back. */
  restore(state: ObjectState): void {
    this.last = new Map();
    for (const c of state.contents) {
      this.last.set(c.object, c);
      write(c);
    }
  }

  private skips(o: object): boolean {
    if (isExcluded(o) || this.outside(o)) return true;
    if (ArrayBuffer.isView(o)) return o.buffer === this.shared;
    return o === this.shared;
  }

  /** The object's contents; the record of last time when they are the same. */
  private contentsOf(o: object): Contents {
    const last = this.last.get(o);
    if (isStateful(o)) {
      const state = o.saveState();
      if (last?.kind === 'own' && last.state === state) return last;
      this.bytes += state.bytes;
      return { kind: 'own', object: o, state };
    }
    if (ArrayBuffer.isView(o)) return this.typed(o, last);
    if (Array.isArray(o)) {
      if (last?.kind === 'array' && sameElements(o, last.values)) return last;
      this.bytes += 8 * o.length;
      return { kind: 'array', object: o, values: o.slice() };
    }
    if (o instanceof Map) {
      if (last?.kind === 'map' && sameMap(o, last.keys, last.values)) return last;
      this.bytes += 16 * o.size;
      return { kind: 'map', object: o, keys: [...o.keys()], values: [...o.values()] };
    }
    if (o instanceof Set) {
      const values = [...o];
      if (last?.kind === 'set' && sameElements(values, last.values)) return last;
      this.bytes += 8 * values.length;
      return { kind: 'set', object: o, values };
    }
    const tag = tagOf(o);
    if (tag !== '[object Object]') {
      if (INERT.test(tag)) return { kind: 'array', object: [], values: [] };
      throw new Error(`a snapshot cannot hold ${tag}`);
    }
    return this.fields(o as Record<string, unknown>, last);
  }

  private fields(o: Record<string, unknown>, last: Contents | undefined): Contents {
    const plain = Object.getPrototypeOf(o) === Object.prototype, hidden = plain ? NONE : this.outsideFields(o);
    const keys = hidden.size === 0 ? Object.keys(o) : Object.keys(o).filter((k) => !hidden.has(k)), n = keys.length;
    if (last?.kind === 'fields' && last.keys.length === n) {
      let same = true;
      for (let i = 0; same && i < n; i++) same = keys[i] === last.keys[i] && Object.is(o[keys[i]!], last.values[i]);
      if (same) return last;
    }
    this.bytes += 8 * n;
    const sharedKeys = last?.kind === 'fields' && sameElements(keys, last.keys) ? last.keys : keys;
    return { kind: 'fields', object: o, keys: sharedKeys, values: keys.map((k) => o[k]) };
  }

  private typed(o: ArrayBufferView, last: Contents | undefined): Contents {
    if (o instanceof DataView) throw new Error('a snapshot cannot hold a DataView of a buffer of its own');
    const a = o as TypedArray;
    if (last?.kind === 'typed' && sameBytes(a, last.copy)) return last;
    this.bytes += a.byteLength;
    return { kind: 'typed', object: a, copy: a.slice() };
  }
}

function sameElements(a: readonly unknown[], b: readonly unknown[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (!Object.is(a[i], b[i])) return false;
  return true;
}

function sameMap(m: Map<unknown, unknown>, keys: readonly unknown[], values: readonly unknown[]): boolean {
  if (m.size !== keys.length) return false;
  let i = 0;
  for (const [k, v] of m) {
    if (!Object.is(k, keys[i]) || !Object.is(v, values[i])) return false;
    i++;
  }
  return true;
}

function sameBytes(a: TypedArray, b: TypedArray): boolean {
  if (a.byteLength !== b.byteLength) return false;
  // As words where they are aligned; one type of array keeps the loop fast.
  const words = a.byteOffset % 4 === 0 ? a.byteLength >>> 2 : 0;
  const x = new Int32Array(a.buffer, words === 0 ? 0 : a.byteOffset, words), y = new Int32Array(b.buffer, b.byteOffset, words);
  for (let i = 0; i < words; i++) if (x[i] !== y[i]) return false;
  const p = new Uint8Array(a.buffer, a.byteOffset, a.byteLength), q = new Uint8Array(b.buffer, b.byteOffset, b.byteLength);
  for (let i = words * 4; i < p.length; i++) if (p[i] !== q[i]) return false;
  return true;
}

/** Only what differs is written: objects that a configuration has frozen do not differ. */
function write(c: Contents): void {
  switch (c.kind) {
    case 'own':
      return c.object.loadState(c.state);
    case 'typed':
      return (c.object as Uint8Array).set(c.copy as Uint8Array);
    case 'array': {
      if (c.object.length !== c.values.length) c.object.length = c.values.length;
      for (let i = 0; i < c.values.length; i++) if (!Object.is(c.object[i], c.values[i])) c.object[i] = c.values[i];
      return;
    }
    case 'map':
      if (sameMap(c.object, c.keys, c.values)) return;
      c.object.clear();
      c.keys.forEach((k, i) => c.object.set(k, c.values[i]));
      return;
    case 'set':
      if (sameElements([...c.object], c.values)) return;
      c.object.clear();
      for (const v of c.values) c.object.add(v);
      return;
    case 'fields': {
      const { object, keys, values } = c, now = Object.keys(object);
      if (now.length > keys.length && Object.getPrototypeOf(object) === Object.prototype) for (const k of now) if (!keys.includes(k)) delete object[k];
      for (let i = 0; i < keys.length; i++) {
        const k = keys[i]!;
        if (!Object.is(object[k], values[i])) object[k] = values[i];
      }
    }
  }
}
