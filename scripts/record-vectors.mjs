/**
 * Records what this computer's processor does with every integer instruction form: test/vectors/*.txt.
 *
 *     node scripts/record-vectors.mjs            (Linux x86-64 only; the vectors are in the repository)
 *
 * For each form a few encodings (registers, memory, immediates) are made with iced-x86's encoder and given edge and seeded
 * random operands; scripts/record-vectors.c executes them. Format of the result, one line a case after a line a form:
 *
 *     form 64 Add_rm32_r32 01d3
 *     ax=1 bx=ff f=3 m20=5a > bx=100 f=10 m20=5b        registers and memory that differ from the defaults, hexadecimal
 *     ... > fault=0                                     the vector, when it faulted; nothing has changed then
 *
 * Defaults are in test/support/vectors.ts: keep them the same. `f` is RFLAGS; `mNN=` bytes at offset NN (hexadecimal) of
 * the operand window, `kNN=` of the stack window, `taken` a branch that went to its target.
 */

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Code, CodeExt, Encoder, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpCodeOperandKind as K, OpKind, Register, RegisterExt } from 'iced-x86';
import { seededRandom } from './seeded-random.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const CODE = 0x200000n, TAKEN = CODE + 0x40n, MEM = 0x300100n, STACK = 0x3017c0n, RSP = 0x301800n;
const MEM_BYTES = 64, STACK_BYTES = 128;
const OPERAND = 0x20; // offset of the memory operand in its window
const NAMES = ['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di', 'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'];
const AX = 0, CX = 1, DX = 2, BX = 3, SP = 4, BP = 5, SI = 6, DI = 7;
const STATUS = 0x8d5, DF = 0x400, FIXED = 0x202; // IF reads as one in user mode

const defaults = (bits) =>
  NAMES.map((_, i) => {
    const v = i === SP ? RSP : i === SI || i === DI ? MEM : i === 8 ? 0x10n : 0x1111111111111111n * BigInt(i);
    return bits === 64 ? v : BigInt.asUintN(32, v);
  });

// ---- deterministic choice

const { random32, random64, pick } = seededRandom(20240607);
const edges = [0n, 1n, 2n, 3n, 0xfn, 0x10n, 0x7fn, 0x80n, 0x81n, 0xfen, 0xffn, 0x100n, 0x7fffn, 0x8000n, 0xffffn, 0x10000n, 0x7fffffffn, 0x80000000n, 0xffffffffn,
  0x100000000n, 0x7fffffffffffffffn, 0x8000000000000000n, 0xfffffffffffffffen, 0xffffffffffffffffn, 0x0101010101010101n, 0x8080808080808080n];
/** An edge value, its like in the lower bits of a random one, or a random one of random length. */
function operandValue() {
  switch (random32() % 4) {
    case 0: return pick(edges);
    case 1: return BigInt.asUintN(64, (random64() << 8n) | pick(edges));
    case 2: return random64() >> BigInt(random32() % 64);
    default: return random64();
  }
}
const randomFlags = () => (random32() & STATUS) | FIXED;

// ---- encodings

const encodings = []; // { bits, name, bytes, make(): case }

function registerFor(kind, place, wideSet) {
  const sets = {
    8: [[Register.BL, Register.DL], [Register.BH, Register.DH], [Register.R11L, Register.R14L], [Register.BL, Register.BL]],
    16: [[Register.BX, Register.DX], [Register.BX, Register.DX], [Register.R11W, Register.R14W], [Register.BX, Register.BX]],
    32: [[Register.EBX, Register.EDX], [Register.EBX, Register.EDX], [Register.R11D, Register.R14D], [Register.EBX, Register.EBX]],
    64: [[Register.RBX, Register.RDX], [Register.RBX, Register.RDX], [Register.R11, Register.R14], [Register.RBX, Register.RBX]],
  };
  const width = Number(/^r(8|16|32|64)/.exec(K[kind])[1]);
  return sets[width][wideSet][place === 0 ? 0 : 1];
}
const FIXED_REGISTERS = { [K.al]: Register.AL, [K.cl]: Register.CL, [K.ax]: Register.AX, [K.dx]: Register.DX, [K.eax]: Register.EAX, [K.rax]: Register.RAX };

/** Builds an instruction of the form; null when it has no such variant. `memory` is 0 none, 1 base + displacement, 2 base + index. */
function build(bits, code, { memory, set, immediate }) {
  const info = CodeExt.opCode(code);
  const insn = Instruction.create(code);
  let usedMemory = false, hasRegister = false;
  for (let i = 0; i < info.opCount; i++) {
    const kind = info.opKind(i);
    const name = K[kind];
    const setKind = (k) => insn.setOpKind(i, k);
    if (FIXED_REGISTERS[kind] !== undefined) {
      setKind(OpKind.Register);
      insn.setOpRegister(i, FIXED_REGISTERS[kind]);
    } else if (kind === K.mem || (/_or_mem$/.test(name) && memory > 0)) {
      if (memory === 0) return null;
      usedMemory = true;
      setKind(OpKind.Memory);
      insn.memoryBase = bits === 64 ? Register.RDI : Register.EDI;
      if (memory === 1) insn.memoryDisplacement = BigInt(OPERAND);
      else {
        if (bits !== 64) return null;
        insn.memoryIndex = Register.R8;
        insn.memoryIndexScale = 2;
      }
      insn.memoryDisplSize = memory === 1 ? 1 : 0;
    } else if (kind === K.mem_offs) {
      if (memory !== 1) return null;
      usedMemory = true;
      setKind(OpKind.Memory);
      insn.memoryDisplacement = MEM + BigInt(OPERAND);
      insn.memoryDisplSize = bits === 64 ? 8 : 4;
    } else if (/^r(8|16|32|64)_(reg|rm|opcode|or_mem)/.test(name)) {
      hasRegister = true;
      setKind(OpKind.Register);
      insn.setOpRegister(i, registerFor(kind, i, set));
    } else if (kind === K.imm8_const_1) {
      setKind(OpKind.Immediate8);
      insn.immediate8 = 1;
    } else if (/^imm/.test(name)) {
      const v = i === 1 && /^Enter/.test(Code[code]) ? BigInt(immediate & 3n) : immediate;
      const signed = (n) => BigInt.asIntN(n, v);
      switch (kind) {
        case K.imm8:
          setKind(i === 1 && /^Enter/.test(Code[code]) ? OpKind.Immediate8_2nd : OpKind.Immediate8);
          if (/^Enter/.test(Code[code])) insn.immediate8_2nd = Number(v & 0xffn);
          else insn.immediate8 = Number(v & 0xffn);
          break;
        case K.imm16: setKind(OpKind.Immediate16); insn.immediate16 = Number((/^(Enter|Retn)/.test(Code[code]) ? v & 0xfn : v) & 0xffffn); break;
        case K.imm32: setKind(OpKind.Immediate32); insn.immediate32 = Number(v & 0xffffffffn); break;
        case K.imm64: setKind(OpKind.Immediate64); insn.immediate64 = BigInt.asUintN(64, v); break;
        case K.imm8sex16: setKind(OpKind.Immediate8to16); insn.immediate8to16 = Number(signed(8)); break;
        case K.imm8sex32: setKind(OpKind.Immediate8to32); insn.immediate8to32 = Number(signed(8)); break;
        case K.imm8sex64: setKind(OpKind.Immediate8to64); insn.immediate8to64 = signed(8); break;
        case K.imm32sex64: setKind(OpKind.Immediate32to64); insn.immediate32to64 = signed(32); break;
        default: return null;
      }
    } else if (/^br/.test(name)) {
      setKind(bits === 64 ? OpKind.NearBranch64 : OpKind.NearBranch32);
      if (bits === 64) insn.nearBranch64 = TAKEN;
      else insn.nearBranch32 = Number(TAKEN);
    } else if (kind === K.seg_rBX_al) {
      setKind(OpKind.Memory);
      usedMemory = true;
      insn.memoryBase = bits === 64 ? Register.RBX : Register.EBX;
      insn.memoryIndex = Register.AL;
    } else return null;
  }
  if (memory > 0 && !usedMemory) return null;
  if (set > 0 && !hasRegister) return null;
  const encoder = new Encoder(bits);
  try {
    encoder.encode(insn, CODE);
  } catch {
    return null;
  }
  return { insn, bytes: Buffer.from(encoder.takeBuffer()), memory: usedMemory };
}

const SHIFT = /^(Rol|Ror|Rcl|Rcr|Shl|Sal|Shr|Sar|Shld|Shrd)_/;
const COUNTS = [0n, 1n, 2n, 3n, 7n, 8n, 9n, 15n, 16n, 17n, 18n, 24n, 31n, 32n, 33n, 63n, 64n, 65n, 255n];
const infoFactory = new InstructionInfoFactory();

/** Full registers (0-15) that the instruction reads, RSP and the operands' address registers left out. */
function inputsOf(insn) {
  const used = new Set();
  for (const u of infoFactory.info(insn).usedRegisters()) {
    if (u.access === OpAccess.Write || u.access === OpAccess.CondWrite) continue;
    if (RegisterExt.isGPR(u.register)) used.add(RegisterExt.number(RegisterExt.fullRegister(u.register)));
  }
  return used;
}

/** Values for one case of an encoded instruction. */
function makeCase(bits, name, built) {
  const gpr = defaults(bits);
  const mem = Buffer.alloc(64, 0x5a), stack = Buffer.alloc(STACK_BYTES, 0x5a);
  for (const r of inputsOf(built.insn)) {
    if (r === SP || ((r === DI || r === 8) && built.memory && !/^Xlat/.test(name))) continue;
    gpr[r] = operandValue();
  }
  if (/_CL$|_rm\d+_CL/.test(name)) gpr[CX] = (random64() & ~0xffn) | pick(COUNTS);
  if (/^(I?div)_/i.test(name) && random32() % 4 !== 0) fitDividend(name, gpr, mem);
  else if (built.memory) mem.writeBigUInt64LE(operandValue(), OPERAND), mem.writeBigUInt64LE(operandValue(), OPERAND + 8);
  if (/^Bt[rsc]?_rm(16|32|64)_r/.test(name) && built.memory) {
    // A bit offset inside the window, as wide as the operand.
    const offset = BigInt((random32() % 512) - 256);
    gpr[DX] = BigInt.asUintN(64, offset);
    if (!/_r64$/.test(name)) gpr[DX] = (random64() & ~0xffffffffn) | BigInt.asUintN(32, offset);
    if (/_r16$/.test(name)) gpr[DX] = (random64() & ~0xffffn) | BigInt.asUintN(16, offset);
    gpr[14] = gpr[BX] = gpr[DX]; // any of them may be the offset
    for (let i = 0; i < 64; i++) mem[i] = random32();
  }
  if (/^Cmpxchg_/.test(name) && random32() % 2 === 0) {
    if (built.memory) mem.writeBigUInt64LE(gpr[AX], OPERAND);
    else for (const r of inputsOf(built.insn)) if (r !== DX && r !== 14) gpr[r] = gpr[AX];
  }
  if (/^Cmpxchg(8|16)b/.test(name) && random32() % 2 === 0) {
    const half = /16b/.test(name) ? 8 : 4;
    for (const [r, at] of [[AX, 0], [DX, half]]) {
      if (half === 8) mem.writeBigUInt64LE(gpr[r], OPERAND + at);
      else mem.writeUInt32LE(Number(gpr[r] & 0xffffffffn), OPERAND + at);
    }
  }
  if (/^(Loop|J[er]?cxz)/.test(name)) gpr[CX] = pick([0n, 1n, 2n, 0x10000n, 0x10001n, 0x100000000n, 0x100000001n, random64()]);
  if (/^(Pop|Leave|Retn)/.test(name)) for (let i = 0; i < STACK_BYTES; i++) stack[i] = random32();
  if (/^Retn/.test(name)) stack.writeBigUInt64LE(TAKEN, Number(RSP - STACK));
  if (/^Pop_rm/.test(name) && built.memory) gpr[SP] = RSP;
  if (/^(Leave|Enter)/.test(name)) gpr[BP] = RSP + BigInt((random32() % 4) * 8 - 16);
  if (/^(Call|Jmp)_rm/.test(name)) {
    for (const r of inputsOf(built.insn)) if (r !== SP && r !== DI && r !== 8) gpr[r] = TAKEN;
    if (built.memory) mem.writeBigUInt64LE(TAKEN, OPERAND);
  }
  if (/^Xlat/.test(name)) {
    gpr[BX] = MEM;
    gpr[AX] = (random64() & ~0xffn) | BigInt(random32() % 64);
    for (let i = 0; i < 64; i++) mem[i] = random32();
  }
  if (/^Bound/.test(name)) {
    const low = random32() % 100;
    mem.writeInt16LE(low, OPERAND), mem.writeInt16LE(low + 50, OPERAND + 2);
    if (/r32/.test(name)) mem.writeInt32LE(low, OPERAND), mem.writeInt32LE(low + 50, OPERAND + 4);
    gpr[BX] = BigInt(random32() % 200);
  }
  if (bits === 32) for (let i = 0; i < 16; i++) gpr[i] = BigInt.asUintN(32, gpr[i]);
  return { gpr, rflags: randomFlags(), mem, stack };
}

/** Makes a dividend whose quotient fits, usually: any quotient of the width times the divisor, and a remainder. */
function fitDividend(name, gpr, mem) {
  const width = Number(/rm(\d+)/.exec(name)[1]);
  const signed = /^Idiv/.test(name);
  const cut = (v) => (signed ? BigInt.asIntN(width, v) : BigInt.asUintN(width, v));
  const divisor = cut(operandValue()) || 1n;
  const quotient = cut(operandValue());
  const size = divisor < 0n ? -divisor : divisor;
  let remainder = (random64() % size) * (quotient * divisor < 0n ? -1n : 1n);
  const dividend = quotient * divisor + remainder;
  const low = BigInt.asUintN(width, dividend), high = BigInt.asUintN(width, dividend >> BigInt(width));
  const merge = (r, v) => (gpr[r] = width === 64 ? v : (gpr[r] & ~((1n << BigInt(width)) - 1n)) | v);
  if (width === 8) gpr[AX] = (gpr[AX] & ~0xffffn) | (high << 8n) | low;
  else merge(AX, low), merge(DX, high);
  mem.writeBigUInt64LE(BigInt.asUintN(64, divisor), OPERAND);
  if (width === 8) gpr[BX] = (gpr[BX] & ~0xffffn) | BigInt.asUintN(8, divisor) | (BigInt.asUintN(8, divisor) << 8n);
  else merge(BX, BigInt.asUintN(width, divisor));
  gpr[11] = gpr[BX];
}

const casesFor = (name) => (/^(J|Set|Cmov|Loop)/.test(name) ? 8 : SHIFT.test(name) && !/_CL$/.test(name) ? 3 : SHIFT.test(name) ? 14 : /^(I?div|I?mul)/i.test(name) ? 12 : 9);

/** @param sample just one register and one memory encoding, for forms whose meaning another mode's vectors cover */
function addForm(bits, code, sample = false) {
  const name = Code[code];
  const seen = new Set();
  for (const memory of sample ? [0, 1] : [0, 1, 2]) {
    for (const set of memory === 2 || sample ? [0] : [0, 1, 2, 3]) {
      if (bits === 32 && set === 2) continue;
      if (set === 3 && !/^(Add|Sub|Xor|Xadd|Xchg|Cmpxchg|Imul|Cmov|Bt|Shld)/.test(name)) continue;
      const info = CodeExt.opCode(code);
      const kinds = Array.from({ length: info.opCount }, (_, i) => K[info.opKind(i)]);
      const hasImmediate = kinds.some((k) => /^imm(?!8_const)/.test(k));
      const immediates = !hasImmediate ? [0n] : sample ? [pick(SHIFT.test(name) ? COUNTS : edges)] : SHIFT.test(name) ? (set > 0 || memory > 1 ? [pick(COUNTS)] : COUNTS) : set > 0 ? [random64()] : [pick(edges), pick(edges), random64()];
      for (const immediate of immediates) {
        const built = build(bits, code, { memory, set, immediate });
        if (built === null) continue;
        const hex = built.bytes.toString('hex');
        if (seen.has(hex)) continue;
        seen.add(hex);
        encodings.push({ bits, name, bytes: built.bytes, count: sample ? 3 : hasImmediate ? Math.ceil(casesFor(name) / 2) : set + memory > 0 ? Math.ceil(casesFor(name) / 2) : casesFor(name), make: () => makeCase(bits, name, built) });
      }
    }
  }
}

const MNEMONICS = `Add Or Adc Sbb And Sub Xor Cmp Inc Dec Neg Not Test Shl Sal Shr Sar Rol Ror Rcl Rcr Shld Shrd Mul Imul Div Idiv Mov Movzx Movsx
  Movsxd Lea Xchg Xadd Cmpxchg Cmpxchg8b Cmpxchg16b Bswap Push Pop Pusha Pushad Popa Popad Enter Leave Bt Bts Btr Btc Bsf Bsr Tzcnt Lzcnt Popcnt Cbw
  Cwde Cdqe Cwd Cdq Cqo Lahf Sahf Clc Stc Cmc Cld Std Xlatb Daa Das Aaa Aas Aam Aad Movbe Crc32 Adcx Adox Movnti Salc Bound Nop Ud2 Call Jmp Ret
  Loop Loope Loopne Jcxz Jecxz Jrcxz`.split(/\s+/);
for (const cc of ['o', 'no', 'b', 'ae', 'e', 'ne', 'be', 'a', 's', 'ns', 'p', 'np', 'l', 'ge', 'le', 'g']) MNEMONICS.push(`J${cc}`, `Set${cc}`, `Cmov${cc}`);

/** System registers, far transfers, and branches that cut RIP to 16 bits are not for user mode at these addresses. */
const SKIPPED = /Sreg|_(cr|dr|tr)|(cr|dr|tr)_r|_[CDEFGS]S$|_m16(16|32|64)|_ptr|486|rel16|rel8_16|(Call|Jmp)_rm16|Retnw/;

const byMnemonic = new Map();
for (const code of Object.values(Code)) {
  if (typeof code !== 'number') continue;
  const info = CodeExt.opCode(code);
  if (info.encoding !== 0 || SKIPPED.test(Code[code])) continue;
  const name = Mnemonic[info.mnemonic];
  byMnemonic.set(name, [...(byMnemonic.get(name) ?? []), code]);
}
for (const mnemonic of MNEMONICS) {
  for (const code of byMnemonic.get(mnemonic) ?? []) {
    const info = CodeExt.opCode(code);
    if (info.mode64) addForm(64, code);
    if (info.mode32) addForm(32, code, info.mode64);
  }
}
addStrings();

/** String instructions are easier as bytes: all prefixes, both directions, both address sizes, overlapping strings. */
function addStrings() {
  const operations = { Movs: 0xa4, Cmps: 0xa6, Stos: 0xaa, Lods: 0xac, Scas: 0xae };
  const sizes = [['b', [], 0, 1], ['w', [0x66], 1, 2], ['d', [], 1, 4], ['q', [0x48], 1, 8]];
  for (const [operation, opcode] of Object.entries(operations)) {
    for (const [suffix, prefix, odd, size] of sizes) {
      for (const [repeat, byte] of [['', []], ['Rep_', [0xf3]], ['Repne_', [0xf2]]]) {
        for (const [addressing, a] of [['', []], ['_a32', [0x67]]]) {
          const rex = prefix[0] === 0x48 ? prefix : [];
          const bytes = Buffer.from([...a, ...(rex.length ? [] : prefix), ...byte, ...rex, opcode + odd]);
          encodings.push({ bits: 64, name: `${repeat}${operation}${suffix}${addressing}`, bytes, count: repeat === '' ? 6 : 9, make: () => makeString(size, addressing !== '') });
        }
      }
    }
  }
}
function makeString(size, narrow) {
  const gpr = defaults(64);
  const mem = Buffer.alloc(64), stack = Buffer.alloc(STACK_BYTES, 0x5a);
  const alike = random32() % 3 !== 0;
  for (let i = 0; i < 64; i++) mem[i] = alike ? 0x41 + (Math.floor(i / 8) % 7 === 6 ? 1 : 0) : random32() % 4;
  const count = random32() % (32 / size);
  const down = random32() % 3 === 0;
  const at = () => MEM + BigInt(down ? 64 - size - (random32() % 4) * size : (random32() % 4) * size);
  gpr[SI] = at();
  gpr[DI] = at();
  gpr[CX] = BigInt(count);
  gpr[AX] = alike ? 0x4141414141414141n : random64() & 0x0303030303030303n;
  if (narrow) for (const r of [SI, DI, CX]) gpr[r] |= random64() & ~0xffffffffn;
  return { gpr, rflags: randomFlags() | (down ? DF : 0), mem, stack };
}

// ---- running and writing

const IN = 16 + 17 * 8 + MEM_BYTES + STACK_BYTES, OUT = 17 * 8 + MEM_BYTES + STACK_BYTES + 8;
const cases = encodings.flatMap((e) => Array.from({ length: e.count }, () => ({ e, c: e.make() })));
const input = Buffer.alloc(cases.length * IN);
cases.forEach(({ e, c }, n) => {
  const at = n * IN;
  input[at] = e.bits;
  input[at + 1] = e.bytes.length;
  e.bytes.copy(input, at + 2);
  c.gpr.forEach((v, i) => input.writeBigUInt64LE(v, at + 16 + 8 * i));
  input.writeBigUInt64LE(BigInt(c.rflags), at + 16 + 128);
  c.mem.copy(input, at + 152);
  c.stack.copy(input, at + 216);
});

const work = mkdtempSync(join(tmpdir(), 'vectors-'));
const runner = process.env.VECTOR_RUNNER ?? join(work, 'runner');
if (process.env.VECTOR_RUNNER === undefined) {
  execFileSync('npx', ['zig', 'cc', '-target', 'x86_64-linux-musl', '-static', '-fno-pie', '-no-pie', '-O1', '-o', runner, join(root, 'scripts/record-vectors.c')], { cwd: root, stdio: 'inherit' });
}
const result = spawnSync(runner, { input, maxBuffer: 1 << 28 });
rmSync(work, { recursive: true });
if (result.status !== 0 || result.stdout.length !== cases.length * OUT) {
  throw new Error(`the runner stopped after ${result.stdout.length / OUT} of ${cases.length} cases (${result.signal ?? result.status}): ${cases[Math.floor(result.stdout.length / OUT)]?.e.name}`);
}

const hex = (v) => v.toString(16);
/** Runs of bytes that differ between two windows: " m20=0011". */
function differences(letter, before, after) {
  let text = '';
  for (let i = 0; i < before.length; i++) {
    if (before[i] === after[i]) continue;
    let end = i + 1;
    while (end < before.length && (before[end] !== after[end] || (end + 1 < before.length && before[end + 1] !== after[end + 1]))) end++;
    text += ` ${letter}${hex(i)}=${after.toString('hex', i, end)}`;
    i = end;
  }
  return text;
}

const filler = Buffer.alloc(STACK_BYTES, 0x5a);
const files = { integer64: [], integer32: [], strings: [] };
let last;
cases.forEach(({ e, c }, n) => {
  const file = e.bits === 32 ? files.integer32 : /^(Rep|Repne)?_?(Movs|Cmps|Stos|Lods|Scas)[bwdq]/.test(e.name) ? files.strings : files.integer64;
  if (e !== last) file.push(`form ${e.bits} ${e.name} ${e.bytes.toString('hex')}`);
  last = e;
  const out = result.stdout.subarray(n * OUT, (n + 1) * OUT);
  const start = defaults(e.bits);
  let line = '';
  c.gpr.forEach((v, i) => { if (v !== start[i]) line += ` ${NAMES[i]}=${hex(v)}`; });
  line += ` f=${hex(c.rflags)}${differences('m', filler.subarray(0, MEM_BYTES), c.mem)}${differences('k', filler, c.stack)} >`;
  const fault = out.readUInt32LE(OUT - 8);
  if (fault !== 0xffffffff) line += ` fault=${fault}`;
  else {
    c.gpr.forEach((v, i) => {
      const after = out.readBigUInt64LE(8 * i);
      if (after !== v && (e.bits === 64 || i < 8)) line += ` ${NAMES[i]}=${hex(after)}`;
    });
    line += ` f=${hex(out.readBigUInt64LE(128))}${differences('m', c.mem, out.subarray(136, 200))}${differences('k', c.stack, out.subarray(200, 328))}`;
    if (out.readUInt32LE(OUT - 4)) line += ' taken';
  }
  file.push(line.slice(1));
});

const model = cpus()[0].model;
for (const [name, lines] of Object.entries(files)) {
  const head = [`# Made by scripts/record-vectors.mjs: do not edit.`, `# processor ${model}, ${processorNumbers()}`, `# seed 20240607`];
  writeFileSync(join(root, `test/vectors/${name}.txt`), [...head, ...lines, ''].join('\n'));
  console.log(`test/vectors/${name}.txt: ${lines.filter((l) => l.startsWith('form')).length} forms, ${lines.filter((l) => !l.startsWith('form')).length} cases`);
}
console.log(files.integer64.slice(0, 4).join('\n'));

/** Family, model and stepping, because the name alone says little in a virtual machine. */
function processorNumbers() {
  const text = execFileSync('cat', ['/proc/cpuinfo'], { encoding: 'utf8' });
  const field = (name) => new RegExp(`^${name}\\s*: (.*)$`, 'm').exec(text)?.[1];
  return `family ${field('cpu family')} model ${field('model')} stepping ${field('stepping')}`;
}
