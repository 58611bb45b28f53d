import { readFileSync } from 'node:fs';
import { Decoder, DecoderOptions, Instruction } from 'iced-x86';
import { describe, expect, it } from 'vitest';
import { BlockCost } from './block-cost.js';
import { costClass } from './cost-classes.js';
import { HINT_CALL, HINT_DEPENDENT, HINT_RETURN } from './emit.js';
import { readTimingProfile } from './profile.js';

const nehalem = new BlockCost(readTimingProfile(JSON.parse(readFileSync('profiles/nehalem-2008.json', 'utf8'))));

function decode(hex: string): Instruction[] {
  const bytes = Uint8Array.from(hex.replace(/ /g, '').match(/../g)!, (x) => parseInt(x, 16));
  const d = new Decoder(64, bytes, DecoderOptions.None), out: Instruction[] = [];
  d.ip = 0x1000n;
  while (d.canDecode) out.push(d.decode());
  return out;
}
function run(hex: string): { costs: number[]; hints: number[]; total: number } {
  const list = decode(hex), costs = new Uint16Array(list.length), hints = new Uint8Array(list.length);
  nehalem.schedule(list.map((i) => nehalem.timed(i)), list.map((i) => Number(i.ip)), list.map((i) => Number(BigInt.asIntN(64, i.nearBranchTarget - i.nextIP))), costs, hints);
  return { costs: [...costs], hints: [...hints], total: costs.reduce((a, b) => a + b, 0) };
}

describe('loops, in cycles a pass (Nehalem: width 4, load latency 4)', () => {
  it.each([
    ['pointer chase: mov rax,[rax]; dec rcx; jnz', '48 8b 00  48 ff c9  75 f8', 4],
    ['independent loads: mov rax,[rsi+rcx*8]; dec rcx; jnz', '48 8b 04 ce  48 ff c9  75 f7', 1],
    ['two loads through one port: mov rax,[rsi]; mov rbx,[rdi]; dec rcx; jnz', '48 8b 06  48 8b 1f  48 ff c9  75 f5', 2],
    ['chain of adds: add rax,rbx x4; dec; jnz', '48 01 d8  48 01 d8  48 01 d8  48 01 d8  48 ff c9  75 ef', 4],
    ['independent adds, 3 units: add rax/rdx/rsi/rdi,rbx; dec; jnz', '48 01 d8  48 01 da  48 01 de  48 01 df  48 ff c9  75 ef', 2],
    ['imul chain: imul rax,rbx; dec; jnz', '48 0f af c3  48 ff c9  75 f7', 3],
    ['addsd chain: addsd xmm0,xmm1; dec; jnz', 'f2 0f 58 c1  48 ff c9  75 f7', 3],
    ['read-modify-write: add [rsi],rax is not a load-to-load chain of its address', '48 01 06  48 ff c9  75 f8', 1],
  ])('%s', (_, hex, cycles) => {
    expect(run(hex).total).toBe(cycles);
  });
});

it('straight code costs its instructions by width, latencies being hidden', () => {
  expect(run('48 01 d8  48 01 d8  48 01 d8  48 01 d8').total).toBe(1); // even a chain: it overlaps with what follows
  expect(run('90 90 90 90 90 90 90 90').total).toBe(2);
});

it('a loop inside a run is one, with code before and after it', () => {
  const { costs } = run('48 89 f0 90 90 90  48 8b 00  48 ff c9  75 f8  90 90 90 90');
  const sum = (from: number, to: number): number => costs.slice(from, to).reduce((a, b) => a + b, 0);
  expect([sum(0, 4), sum(4, 7), sum(7, 11)]).toEqual([1, 4, 1]);
});

it('a branch that may go back takes a cycle, out of its block', () => {
  expect(run('90 90 90 eb fb').costs).toEqual([0, 0, 0, 1]); // back to the second NOP: a loop of three
  expect(run('90 90 90 eb 80').costs).toEqual([0, 0, 0, 1]);
  expect(run('90 90 90 90 c3').costs).toEqual([1, 0, 0, 0, 1]);
  expect(run('90 74 02 eb 80 90').costs.slice(0, 3)).toEqual([1, 0, 1]); // JZ forward may be free
});

it('serial instructions cost their figure', () => {
  expect(run('0f a2').total).toBe(84); // CPUID
  expect(run('0f 31 90').costs[0]).toBe(24); // RDTSC
  expect(run('f0 48 01 06').total).toBe(20); // LOCK ADD
});

it('hints: calls, returns, and loads whose address was loaded', () => {
  expect(run('48 8b 06  48 8b 18  48 8b 0f').hints).toEqual([0, HINT_DEPENDENT, 0]);
  expect(run('48 8b 06  48 83 c0 08  48 8b 18').hints[2]).toBe(HINT_DEPENDENT);
  expect(run('48 8b 00  48 ff c9  75 f8').hints).toEqual([HINT_DEPENDENT, 0, 0]); // from one pass to the next
  expect(run('e8 00 00 00 00').hints).toEqual([HINT_CALL]);
  expect(run('ff d0').hints).toEqual([HINT_CALL]);
  expect(run('c3').hints[0]! & HINT_RETURN).toBe(HINT_RETURN);
});

it('classes', () => {
  const classes = (hex: string): string[] => decode(hex).map((i) => costClass(i));
  expect(classes('0f 22 d8  0f 20 c0  8e d8  f7 f1  48 f7 f1  0f af c1  d8 c1  f2 0f 10 c1  a4  87 06  0f 01 c1  cf')).toEqual([
    'mov_cr3', 'mov_cr', 'mov_segment', 'divide_32', 'divide_64', 'multiply', 'x87', 'vector', 'string_start', 'xchg_memory', 'microcoded', 'iret',
  ]);
});
