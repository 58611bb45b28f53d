/**
 * Records what this computer's processor does with the floating-point and vector instructions: test/vectors/{sse,mmx,x87}.txt.
 *
 *     node scripts/record-fp-vectors.mjs            (Linux x86-64 only; the vectors are in the repository)
 *
 * scripts/record-fp-vectors.c executes the cases. Format of the result, after a line `form NAME ENCODING` for each encoding:
 *
 *     c=1f80 x1=... x2=... > c=1fa0 x1=...        what is set before, and what has changed after
 *
 * Hexadecimal values: `c` MXCSR, `xN` XMM register, `a` RAX, `f` status flags, `mNN` a byte string at offset NN of the memory operand
 * (its address is in RDI); x87: `fcw`, `fsw`, `tag` (abridged: one bit a physical register, set when not empty), `tN` ST(N) as
 * 20 digits, `qN` MMX register N; `fault` the vector.
 */

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Code, CodeExt, CpuidFeature as F, Encoder, Instruction, MemoryOperand, MemorySizeExt, OpCodeOperandKind as K, OpKind, Register } from 'iced-x86';
import { seededRandom } from './seeded-random.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const MEM_BYTES = 128, HEADER = 48, SIZE = HEADER + MEM_BYTES + 512, IMAGE = HEADER + MEM_BYTES;

const { random32, random64, pick } = seededRandom(20250301);
const chance = (n) => random32() % n === 0;

// ---- operands

/** Edge encodings of a format with a hidden bit: [exponent bits, fraction bits]. */
function edges(e, f) {
  const max = (1n << BigInt(e)) - 1n, bias = max >> 1n, one = 1n << BigInt(f);
  const at = (x, m = 0n) => (x << BigInt(f)) | m;
  return [0n, at(bias), at(bias + 1n), at(bias, one >> 1n), at(bias, 1n), at(bias - 1n, one - 1n), at(max), at(max, 1n), at(max, one >> 1n), at(max, (one >> 1n) | 0x1234n),
    at(max, (one >> 2n) | 5n), at(0n, 1n), at(0n, one - 1n), at(0n, one >> 1n), at(1n), at(1n, 1n), at(2n), at(max - 1n, one - 1n), at(max - 1n), at(bias + BigInt(f)),
    at(bias + 31n), at(bias + 30n, one - 1n), at(bias + 31n, 1n), at(bias - 2n), at(bias - BigInt(f) - 1n), at(bias - BigInt(f) - 2n), at(bias + 4n, one >> 3n), at((bias + 1n) >> 1n), at(bias >> 1n, one - 1n)];
}
const SINGLES = edges(8, 23), DOUBLES = edges(11, 52);
let previous = 0n;
/** A value of 32 or 64 bits: an edge, something near the last value, or random. */
function floatLane(width) {
  const sign = chance(2) ? 1n << BigInt(width - 1) : 0n;
  const list = width === 32 ? SINGLES : DOUBLES, f = width === 32 ? 23 : 52;
  const r = random32() % 8;
  let v;
  if (r < 4) v = pick(list) | sign;
  else if (r === 4) v = (previous ^ sign) + BigInt(random32() % 5);
  else if (r === 5) v = random64();
  else v = (((1n << BigInt(width - f - 2)) - 1n + BigInt(random32() % 40) - 20n) << BigInt(f)) | (random64() & ((1n << BigInt(f)) - 1n)) | sign;
  return (previous = BigInt.asUintN(width, v));
}
const INTEGERS = [0n, 1n, 0xffn, 0x80n, 0x7fn, 0x7fffn, 0x8000n, 0xffffn, 0x7fffffffn, 0x80000000n, 0xffffffffn, 0x7fffffffffffffffn, 0x8000000000000000n, 0xffffffffffffffffn];
const integerLane = () => (chance(3) ? random64() : chance(2) ? pick(INTEGERS) : (random64() & 0xff7f80ff00ff0180n) | pick(INTEGERS));
function vector(kind) {
  if (kind === 'i') return (BigInt.asUintN(64, integerLane()) << 64n) | BigInt.asUintN(64, integerLane());
  let v = 0n;
  for (let i = 0; i < 128; i += kind) v |= floatLane(kind) << BigInt(i);
  return v;
}
const mxcsr = () => (chance(2) ? 0x1f80 : 0x1f80 | (random32() & 0xe040)) & (chance(6) ? ~((random32() & 0x3f) << 7) : -1) | (chance(2) ? 0x20 : 0) | (chance(8) ? random32() & 0x3f : 0);

// ---- encodings

const XMM = [Register.XMM1, Register.XMM2, Register.XMM3], MM = [Register.MM1, Register.MM2, Register.MM3];
/** Bytes of an encoding, or null when this processor's 64-bit mode has none. */
function encode(code, memory, immediate) {
  const info = CodeExt.opCode(code);
  const i = new Instruction();
  i.code = code;
  for (let n = 0; n < info.opCount; n++) {
    const name = K[info.opKind(n)];
    const register = (r) => {
      i.setOpKind(n, OpKind.Register);
      i.setOpRegister(n, r);
    };
    const orMemory = (r) => {
      if (!memory) return register(r);
      i.setOpKind(n, OpKind.Memory);
      i.memoryBase = Register.RDI;
    };
    if (/^(xmm|mm|r32|r64)_or_mem$/.test(name)) orMemory({ x: XMM[n], m: MM[n], r: name.startsWith('r64') ? Register.RAX : Register.EAX }[name[0]]);
    else if (name === 'mem') orMemory(Register.None);
    else if (/^xmm/.test(name)) register(XMM[n]);
    else if (/^mm_/.test(name)) register(MM[n]);
    else if (/^r32/.test(name)) register(Register.EAX);
    else if (/^r64/.test(name)) register(Register.RAX);
    else if (name === 'st0') register(Register.ST0);
    else if (name === 'sti_opcode') register(Register.ST1 + immediate);
    else if (name === 'ax') register(Register.AX);
    else if (name === 'imm8') {
      i.setOpKind(n, OpKind.Immediate8);
      i.immediate8 = immediate;
    } else return null;
  }
  const e = new Encoder(64);
  try {
    e.encode(i, 0x200000n);
  } catch {
    return null;
  }
  return e.takeBuffer();
}

const cases = []; // { file, form, bytes, input: Buffer }
const blank = (bytes) => {
  const b = Buffer.alloc(SIZE);
  b[0] = bytes.length;
  b.set(bytes, 1);
  b.writeBigUInt64LE(0x202n, 24);
  b.writeUInt16LE(0x37f, IMAGE);
  b.writeUInt32LE(0x1f80, IMAGE + 24);
  return b;
};
const put128 = (b, at, v) => {
  b.writeBigUInt64LE(BigInt.asUintN(64, v), at);
  b.writeBigUInt64LE(BigInt.asUintN(64, v >> 64n), at + 8);
};
const xmmAt = (n) => IMAGE + 160 + 16 * n;

/** Encodings of 64-bit mode that need no feature but these. */
const byFeature = (...features) => Object.values(Code).filter((c) => {
  if (typeof c !== 'number' || CodeExt.opCode(c).encoding !== 0 || !CodeExt.opCode(c).mode64) return false;
  const i = new Instruction();
  i.code = c;
  const all = [...i.cpuidFeatures()];
  return all.every((f) => features.includes(f));
});

const SKIP = /^(Prefetch|[SLM]fence|Ldmxcsr|Stmxcsr|Movnti|Maskmov|Rcp|Rsqrt|Emms|Fxsave|Fxrstor)/;
const vectors = byFeature(F.SSE, F.SSE2, F.SSE3, F.MMX).filter((c) => !SKIP.test(Code[c]));
for (const code of vectors) {
  const name = Code[code], info = CodeExt.opCode(code);
  const mnemonic = name.split('_')[0];
  const float = /(ss|sd|ps|pd|ss2sd|sd2ss|ps2pd|pd2ps)$|^Cvtt?(ss|sd|ps|pd)/.test(mnemonic.toLowerCase()) && !/^(mov|and|or|xor|unpck)/i.test(mnemonic);
  const kind = !float ? 'i' : /s[s]$|ps$|^Cvtt?(ss|ps)/i.test(mnemonic) && !/^Cvtt?(sd|pd)/i.test(mnemonic) ? 32 : 64;
  const immediate = name.includes('imm8');
  const immediates = !immediate ? [0] : /^Cmp/.test(name) ? [0, 1, 2, 3, 4, 5, 6, 7] : [0x1b, 0xe4, random32() & 0xff, random32() & 0x1f];
  const mmx = /mm_|_mm/.test(name.replace(/xmm/g, 'x'));
  const count = float ? (/^Cmp/.test(name) ? 9 : /p[sd]$/.test(mnemonic) ? 24 : 44) : /^(Mov|Unpck|And|Or|Xor|Lddqu)/.test(name) ? 4 : immediate ? 4 : 8;
  for (const memory of [false, true]) {
    for (const imm of immediates) {
      const bytes = encode(code, memory, imm);
      if (bytes === null) continue;
      for (let n = memory ? Math.ceil(count / 4) : count; n > 0; n--) {
        const b = blank(bytes);
        b.writeUInt32LE(float || /^Cvt/.test(name) ? mxcsr() : 0x1f80, IMAGE + 24);
        let x1 = vector(kind), x2 = vector(kind);
        if (/^Ps[lr]/.test(name) && chance(2)) x2 = BigInt(random32() % 70);
        put128(b, xmmAt(1), x1);
        put128(b, xmmAt(2), memory ? 0n : x2);
        if (memory) put128(b, HEADER, x2);
        b.writeBigUInt64LE(/^Cvtsi|rm|r32|r64/.test(name) ? BigInt.asUintN(64, integerLane()) : 0n, 16);
        if (mmx) {
          b.writeBigUInt64LE(BigInt.asUintN(64, integerLane()), IMAGE + 32 + 16);
          b.writeBigUInt64LE(/^Ps[lr]/.test(name) && chance(2) ? BigInt(random32() % 70) : BigInt.asUintN(64, integerLane()), IMAGE + 48 + 16);
        }
        cases.push({ file: mmx ? 'mmx' : 'sse', form: `${name} ${Buffer.from(bytes).toString('hex')}`, input: b });
      }
    }
  }
}

// ---- x87

const EXTENDED = (() => {
  const at = (x, m) => (BigInt(x) << 64n) | m, J = 1n << 63n, ALL = (1n << 64n) - 1n;
  return [0n, at(0x3fff, J), at(0x4000, J), at(0x3fff, J | (1n << 62n)), at(0x3fff, J | 1n), at(0x3ffe, ALL), at(0x7fff, J), at(0x7fff, J | 1n), at(0x7fff, J | (1n << 62n)),
    at(0x7fff, ALL), at(0x7fff, J | (1n << 61n)), at(0, 1n), at(0, J >> 1n), at(0, J - 1n), at(0, J), at(1, J), at(1, J | 1n), at(0x7ffe, ALL), at(0x7ffe, J), at(0x7fff, 0n), at(0x3fff, 1n),
    at(0x403e, J), at(0x403d, ALL), at(0x401e, J), at(0x401d, ALL), at(0x400e, J), at(0x3ffe, J), at(0x3ffe, J | 1n), at(0x43fe, J), at(0x3c00, J), at(0x3c00, ALL), at(0x407e, ALL), at(0x3f81, J), at(0x4000, 0xc90fdaa22168c235n)];
})();
let last = 0n;
function extended() {
  const sign = chance(2) ? 1n << 79n : 0n, r = random32() % 8;
  if (r < 4) last = pick(EXTENDED) | sign;
  else if (r === 4) last = BigInt.asUintN(80, (last ^ sign) + BigInt(random32() % 5) * (chance(2) ? 1n : 0x400n));
  else if (r === 5) last = (BigInt(0x3fff + (random32() % 140) - 70) << 64n) | (1n << 63n) | (random64() & ~0x7ffn) | sign;
  else last = (BigInt(0x3fff + (random32() % 40) - 20) << 64n) | (1n << 63n) | random64() | sign;
  return last;
}
const X87_SKIP = /^(Wait|Fstp?cw|Fnstenv|Fstenv|Fldenv|Fnsave|Fsave|Frstor|Fninit|Finit|Fclex|Fstsw|Fneni|Feni|Fndisi|Fdisi|Fnsetpm|Fsetpm|Frstpm|Fstdw|Fnstdw|Fstsg|Fnstsg)/;
for (const code of byFeature(F.FPU, F.FPU387, F.CMOV, F.SSE3).filter((c) => /^F/.test(Code[c]))) {
  const name = Code[code], info = CodeExt.opCode(code);
  if (X87_SKIP.test(name) || name === 'Fstpnce_sti') continue;
  const memory = /_m(16|32|64|80)/.test(name);
  const fpBits = /_m(16|32|64|80)(fp|int|bcd)?/.exec(name);
  const bytes = encode(code, memory, random32() % 3);
  if (bytes === null) continue;
  const count = /^(Fadd|Fsub|Fmul|Fdiv|Fsqrt|Fcom|Fst|Fist|Fprem|Fscale|Frndint|Fxtract|Fbstp)/.test(name) ? 36 : 14;
  for (let n = 0; n < count; n++) {
    const b = blank(bytes);
    const fcw = (chance(6) ? random32() & 0x3f : 0x3f) | (chance(2) ? 0x300 : pick([0x000, 0x200])) | (chance(2) ? 0 : random32() & 0xc00) | 0x40;
    const top = random32() & 7;
    b.writeUInt16LE(fcw, IMAGE);
    b.writeUInt16LE((top << 11) | (chance(3) ? random32() & 0x4700 : 0), IMAGE + 2);
    b[IMAGE + 4] = chance(8) ? random32() & 0xff : (chance(2) && /^(Fld|Fild|Fbld)/.test(name)) ? 0x7f >> 0 & ~(1 << ((top - 1) & 7)) : 0xff & (/^(Fld|Fild|Fbld|Fxtract)/.test(name) ? ~(1 << ((top - 1) & 7)) : 0xff);
    for (let r = 0; r < 4; r++) {
      const v = extended();
      b.writeBigUInt64LE(BigInt.asUintN(64, v), IMAGE + 32 + 16 * r);
      b.writeUInt16LE(Number(v >> 64n), IMAGE + 40 + 16 * r);
    }
    if (/^(Fprem|Fscale)/.test(name) && chance(2)) {
      // Exponents that are not far apart, and small scales.
      b.writeUInt16LE(0x3fff + (random32() % 80), IMAGE + 40);
      b.writeUInt16LE(0x3fff + (random32() % 16), IMAGE + 56);
    }
    if (memory) {
      const w = Number(fpBits[1]);
      const v = w === 80 ? (fpBits[2] === 'bcd' || /^Fb/.test(name) ? BigInt(random32() % 1e9) * 0n + BigInt('0x' + (chance(2) ? '80' : '00') + String(random64() % 10n ** 18n).padStart(18, '0')) : extended())
        : /Fi/.test(name) ? integerLane() : floatLane(w === 64 ? 64 : 32);
      put128(b, HEADER, v);
    }
    cases.push({ file: 'x87', form: `${name} ${Buffer.from(bytes).toString('hex')}`, input: b });
  }
}

// ---- run and print

const work = mkdtempSync(join(tmpdir(), 'xenolith-'));
const runner = join(work, 'run');
try {
  execFileSync('npx', ['zig', 'cc', '-target', 'x86_64-linux-musl', '-static', '-fno-pie', '-no-pie', '-O1', '-o', runner, join(root, 'scripts/record-fp-vectors.c')], { cwd: root, stdio: 'inherit' });
  const result = spawnSync(runner, { input: Buffer.concat(cases.map((c) => c.input)), maxBuffer: 1 << 28 });
  if (result.status !== 0) throw new Error(`the runner ended with ${result.status} ${result.signal}`);
  print(result.stdout);
} finally {
  rmSync(work, { recursive: true });
}

function fields(file, b) {
  const hex = (v) => v.toString(16);
  const out = { c: hex(b.readUInt32LE(IMAGE + 24)), a: hex(b.readBigUInt64LE(16)), f: hex(b.readUInt32LE(24) & 0x8d5), m: b.subarray(HEADER, HEADER + 16).toString('hex') };
  for (const n of [1, 2]) out[`x${n}`] = hex(b.readBigUInt64LE(xmmAt(n)) | (b.readBigUInt64LE(xmmAt(n) + 8) << 64n));
  const fsw = b.readUInt16LE(IMAGE + 2), top = (fsw >> 11) & 7;
  const st = (r) => b.readBigUInt64LE(IMAGE + 32 + 16 * r) | (BigInt(b.readUInt16LE(IMAGE + 40 + 16 * r)) << 64n);
  if (file !== 'sse') {
    out.fsw = hex(fsw);
    out.tag = hex(b[IMAGE + 4]);
  }
  if (file === 'mmx') for (const n of [1, 2]) out[`q${n}`] = hex(st((n - top) & 7));
  if (file === 'x87') {
    out.fcw = hex(b.readUInt16LE(IMAGE));
    for (let n = 0; n < 8; n++) out[`p${n}`] = hex(st((n - top) & 7));
  }
  return out;
}
function print(all) {
  const text = {}, form = {};
  let model = '';
  const info = readFileSync('/proc/cpuinfo', 'utf8');
  for (const key of ['cpu family', 'model', 'stepping']) model += ` ${key.replace('cpu ', '')} ${new RegExp(`^${key}\\s*: (.*)$`, 'm').exec(info)[1]}`;
  cases.forEach((c, i) => {
    const before = fields(c.file, c.input), o = all.subarray(i * SIZE, (i + 1) * SIZE), after = fields(c.file, o), fault = o.readUInt32LE(32);
    text[c.file] ??= [`# Made by scripts/record-fp-vectors.mjs: do not edit.`, `# processor ${/^\S+ \S+/.exec(cpus()[0].model)[0]},${model}`, `# seed 20250301`];
    if (form[c.file] !== c.form) text[c.file].push(`form ${(form[c.file] = c.form)}`);
    const plain = { c: '1f80', a: '0', f: '0', m: '0'.repeat(32), x1: '0', x2: '0', fsw: '0', tag: '0', fcw: '37f' };
    const left = Object.entries(before).filter(([k, v]) => v !== (plain[k] ?? '0')).map(([k, v]) => `${k}=${v}`);
    const right = Object.entries(after).filter(([k, v]) => v !== before[k]).map(([k, v]) => `${k}=${v}`);
    if (fault !== 0xffffffff) right.push(`fault=${fault}`);
    text[c.file].push(`${left.join(' ')} > ${right.join(' ')}`);
  });
  for (const [file, lines] of Object.entries(text)) {
    writeFileSync(join(root, `test/vectors/${file}.txt`), lines.join('\n') + '\n');
    console.log(`${file}: ${lines.length} lines`);
  }
}
