/** The timing core under the real engine: small loops in 64-bit mode, their cycles per pass by the profile's figures. */

import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import '../cpu/isa/index.js';
import { Engine } from '../cpu/engine/engine.js';
import type { PlatformPort } from '../cpu/ports.js';
import { MsrTable } from '../cpu/registers.js';
import { ACTIVITY, CR0_ET, CR0_PE, CR0_PG, CR4_PAE, CS, DS, EFER_LMA, EFER_LME, ES, RAX, RCX, RDI, RSI, RSP, S, SEG, SS, segAddress } from '../cpu/state.js';
import { Vcpu } from '../cpu/vcpu.js';
import { LinearMemory } from '../mem/linear-memory.js';
import { PhysicalMemory } from '../mem/physical.js';
import { TimingCore } from './core.js';
import { readTimingProfile } from './profile.js';

const CODE = 0x10_0000, DATA = 0x40_0000;
const NONE = { fieldsLoaded: 0, fieldsSaved: 0, segmentsLoaded: 0, checks: 0, msrsLoaded: 0, msrsSaved: 0, tlbFlushed: false, injected: false };
const m = new LinearMemory(32 << 20);
const phys = new PhysicalMemory(m);
let vcpu: Vcpu, core: TimingCore;

beforeAll(() => {
  core = new TimingCore(m, phys, readTimingProfile(JSON.parse(readFileSync('profiles/nehalem-2008.json', 'utf8'))), 1, { entry: NONE, exit: NONE });
  const engine = new Engine(m, phys, core);
  const platform = { interruptPending: () => false, ioRead: () => 0xff, readTpr: () => 0, writeTpr: () => undefined } as unknown as PlatformPort;
  vcpu = new Vcpu({
    id: 0, engine, platform, virt: null, timing: core, probe: { active: false, emit: () => undefined },
    cpuid: { vendor: 'GenuineIntel', leaf: () => ({ eax: 0, ebx: 0, ecx: 0, edx: 0 }) }, msrs: new MsrTable(), physicalAddressBits: 40, gigabytePages: false, bit8Reserved: false,
  });
  core.attach(0, { mmu: vcpu.mmu, isUser: () => vcpu.s.cpl === 3 });
  vcpu.reset();
  // Identity map of the first 32 MByte with 2-MByte pages.
  const put = (at: number, v: number): void => void (m.u64[phys.address(at) >>> 3] = BigInt(v));
  put(0x1000, 0x2003);
  put(0x2000, 0x3003);
  for (let i = 0; i < 16; i++) put(0x3000 + 8 * i, (i << 21) | 0x83);
  const { s } = vcpu;
  s.set64(S.cr3, 0x1000n);
  s.set32(S.cr4, CR4_PAE);
  s.set32(S.efer, EFER_LMA | EFER_LME);
  s.set32(S.cr0, CR0_PG | CR0_PE | CR0_ET);
  for (const [seg, attr] of [[CS, 0xa09b], [SS, 0xc093], [DS, 0xc093], [ES, 0xc093]] as const) {
    s.set64(segAddress(seg) + SEG.base, 0n);
    s.set32(segAddress(seg) + SEG.limit, 0xffff_ffff);
    s.set32(segAddress(seg) + SEG.attr, attr);
  }
});

let next = CODE;
/** Puts down a loop that ends in DEC RCX; JNZ, then HLT: its address. */
function place(hex: string): number {
  const bytes = (hex.match(/[0-9a-f]{2}/g) ?? []).map((x) => parseInt(x, 16));
  phys.write(next, Uint8Array.from([...bytes, 0x48, 0xff, 0xc9, 0x75, 256 - (bytes.length + 5), 0xf4]));
  next += 64;
  return next - 64;
}
/** Cycles that `passes` passes of the loop take. */
function run(at: number, passes: number, rax = 0n): number {
  const { s } = vcpu;
  s.set32(S.activity, ACTIVITY.active);
  s.rip = BigInt(at);
  s.setGpr(RCX, BigInt(passes));
  s.setGpr(RAX, rax);
  s.setGpr(RSI, BigInt(DATA));
  s.setGpr(RDI, BigInt(DATA + 0x1000));
  s.setGpr(RSP, 0x8_0000n);
  vcpu.modeChanged();
  let now = 0, exit: string;
  do {
    exit = vcpu.run(now, 100_000_000);
    now += vcpu.elapsed;
  } while (exit === 'slice');
  expect(exit).toBe('halt');
  return now;
}
/** Cycles a pass once warm, start and end taken off. */
function perPass(hex: string): number {
  const at = place(hex);
  run(at, 100);
  run(at, 100); // the histories after the first run's end are known now
  return (run(at, 3000) - run(at, 1000)) / 2000;
}

describe('cycles a pass', () => {
  it('an empty loop takes a cycle', () => expect(perPass('')).toBe(1));
  it('a chain of four adds takes four', () => expect(perPass('48 01 d8 48 01 d8 48 01 d8 48 01 d8')).toBe(4));
  it('CPUID takes its figure and little more', () => {
    const cycles = perPass('51 0f a2 59'); // PUSH RCX; CPUID; POP RCX
    expect(cycles).toBeGreaterThanOrEqual(84);
    expect(cycles).toBeLessThan(93); // nothing hides the POP and what waits for it
  });
  it('REP MOVSB of 4 KiB in the first level: its start, and 16 bytes a cycle', () => {
    const cycles = perPass('51 56 57 b9 00 10 00 00 f3 a4 5f 5e 59');
    expect(cycles).toBeGreaterThanOrEqual(20 + 256);
    expect(cycles).toBeLessThan(20 + 256 + 20);
  });
  it('IN takes the bus time', () => {
    expect(perPass('e4 80')).toBeGreaterThan(844 * 2.67);
  });
  it('a call and return are predicted', () => {
    const callee = place('c3');
    const at = next, distance = callee - (at + 5);
    expect(perPass(`e8 ${[0, 8, 16, 24].map((n) => ((distance >> n) & 0xff).toString(16).padStart(2, '0')).join(' ')}`)).toBeLessThan(5);
  });

  it.each([
    ['first', 16 << 10, 4, 4.3], // a misprediction and a HLT at the end
    ['second', 192 << 10, 9, 10.1],
    ['third', 4 << 20, 30, 35.1],
    ['memory', 12 << 20, 170, 185],
  ])('a pointer chase through the %s level takes its latency', (_, bytes, least, most) => {
    // Lines linked in shuffled order: MOV RAX,[RAX].
    const lines = bytes / 64, order = Uint32Array.from({ length: lines }, (_, i) => i);
    let x = 1;
    for (let i = lines - 1; i > 0; i--) {
      x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
      const j = Math.floor((x / 2 ** 32) * (i + 1));
      [order[i], order[j]] = [order[j]!, order[i]!];
    }
    for (let i = 0; i < lines; i++) m.u64[phys.address(DATA + order[i]! * 64) >>> 3] = BigInt(DATA + order[(i + 1) % lines]! * 64);
    const chase = place('48 8b 00');
    run(chase, lines, BigInt(DATA)); // warm
    const measured = run(chase, lines, BigInt(DATA)) / lines;
    expect(measured).toBeGreaterThanOrEqual(least);
    expect(measured).toBeLessThanOrEqual(most);
  });
});
