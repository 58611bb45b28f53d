/** Templates: a machine installs what another has compiled, where all of it is the same, and only there. */
import { deserialize, serialize } from 'node:v8';
import { describe, expect, it, vi } from 'vitest';
import { TestMachine } from '../../../../test/support/machine-with.js';
import { RAX, RBX, RCX } from '../../state.js';
import { EAGER_COMPILER } from './compiler.js';
import { Templates, type TemplateSet } from './templates.js';

const at = 0x24_0000;
/** mov ecx, N; loop: add/sub/xor rax, rcx; dec ecx; jnz loop */
const loop = (operation: number, n = 100): number[] => [0xb9, n, 0, 0, 0, 0x48, operation, 0xc8, 0xff, 0xc9, 0x75, 0xf9];
const ADD = 0x01, SUB = 0x29;

/** Runs the code on a new machine that has executed something else before, so that its records lie elsewhere. */
function run(code: readonly number[], before: readonly number[] = []): { rax: bigint; shared: number; compiled: number } {
  const t = new TestMachine(undefined, EAGER_COMPILER);
  if (before.length > 0) t.execute([...before], {}, 64, at + 0x5000);
  const { stats } = t.vcpu.engine.compiler!, { shared, compiled } = { ...stats };
  t.execute([...code], { [RAX]: 0n }, 64, at);
  return { rax: t.vcpu.s.gpr(RAX), shared: stats.shared - shared, compiled: stats.compiled - compiled };
}

describe('templates', () => {
  it('another machine, whose records lie elsewhere, compiles nothing', () => {
    const first = run(loop(ADD)), second = run(loop(ADD), loop(SUB, 7));
    expect(first).toMatchObject({ rax: 5050n, shared: 0 });
    expect(second).toEqual({ rax: 5050n, shared: first.compiled, compiled: first.compiled });
  });

  it('other code at the same place is compiled', () => {
    run(loop(ADD, 50));
    expect(run(loop(SUB, 50))).toMatchObject({ rax: -1275n & 0xffff_ffff_ffff_ffffn, shared: 0 });
    expect(run(loop(ADD, 51))).toMatchObject({ rax: 1326n });
  });

  it('code that is written and written back comes from its template', () => {
    const t = new TestMachine(undefined, EAGER_COMPILER);
    for (const [n, operation] of [ADD, SUB, ADD].entries()) {
      const { compiled, shared } = { ...t.vcpu.engine.compiler!.stats };
      t.execute(loop(operation, 60), { [RAX]: 0n }, 64, at);
      expect(t.vcpu.s.gpr(RAX)).toBe(operation === ADD ? 1830n : -1830n & 0xffff_ffff_ffff_ffffn);
      const { stats } = t.vcpu.engine.compiler!;
      if (n === 2) expect(stats.shared - shared).toBe(stats.compiled - compiled);
    }
  });

  it('a miss of the software TLB leaves to the handler of this machine', () => {
    // mov ecx, 40; loop: add rax, [rbx]; add rbx, 4096; dec ecx; jnz loop
    const code = [0xb9, 40, 0, 0, 0, 0x48, 0x03, 0x03, 0x48, 0x81, 0xc3, 0, 0x10, 0, 0, 0xff, 0xc9, 0x75, 0xf2];
    for (const before of [[], loop(SUB, 9)]) {
      const t = new TestMachine(undefined, EAGER_COMPILER);
      if (before.length > 0) t.execute(before, {}, 64, at + 0x6000);
      for (let i = 0; i < 40; i++) t.phys.write(0x30_0000 + i * 4096, Uint8Array.of(i));
      t.execute(code, { [RAX]: 0n, [RBX]: 0x30_0000n }, 64, at + 0x800);
      expect([t.vcpu.s.gpr(RAX), t.vcpu.s.gpr(RCX)]).toEqual([780n, 0n]);
    }
  });

  it('a later process installs what this one has made, as plain data, and compiles nothing', async () => {
    Templates.made();
    run(loop(ADD, 70));
    const made = deserialize(serialize(Templates.made())) as TemplateSet[];
    expect(made).toHaveLength(1);
    expect(Templates.made()).toEqual([]);
    // Modules that are loaded again have none of the state of these: as in another process.
    vi.resetModules();
    const [{ TestMachine: Later }, { Templates: known }] = await Promise.all([import('../../../../test/support/machine-with.js'), import('./templates.js')]);
    const later = (code: readonly number[]): { rax: bigint; shared: number; compiled: number } => {
      const t = new Later(undefined, EAGER_COMPILER);
      t.execute([...code], { [RAX]: 0n }, 64, at);
      const { shared, compiled } = t.vcpu.engine.compiler!.stats;
      return { rax: t.vcpu.s.gpr(RAX), shared, compiled };
    };
    expect(later(loop(ADD, 90))).toMatchObject({ rax: 4095n, shared: 0 });
    known.made();
    known.keep(made);
    const { rax, shared, compiled } = later(loop(ADD, 70));
    expect(rax).toBe(2485n);
    expect(compiled).toBeGreaterThan(0);
    expect(shared).toBe(compiled);
    expect(known.made()).toEqual([]);
  });

  it("a later process has numbered its helpers otherwise: those that a region calls are this one's", async () => {
    // mov ecx, 9; loop: smsw ebx; add rax, rbx; dec ecx; jnz loop
    const smsw = [0xb9, 9, 0, 0, 0, 0x0f, 0x01, 0xe3, 0x48, 0x01, 0xd8, 0xff, 0xc9, 0x75, 0xf6], cpuid = [0x0f, 0xa2], sldt = [0x0f, 0x00, 0xc0];
    Templates.made();
    const { rax } = run(smsw);
    const made = deserialize(serialize(Templates.made())) as TemplateSet[];
    vi.resetModules();
    const [{ TestMachine: Later }, { Templates: known }] = await Promise.all([import('../../../../test/support/machine-with.js'), import('./templates.js')]);
    known.keep(made);
    const t = new Later(undefined, EAGER_COMPILER), { stats } = t.vcpu.engine.compiler!;
    t.execute(cpuid, {}, 64, at + 0x5000);
    t.execute(sldt, {}, 64, at + 0x6000);
    const { shared } = stats;
    t.execute(smsw, { [RAX]: 0n }, 64, at);
    expect([t.vcpu.s.gpr(RAX), stats.shared - shared > 0]).toEqual([rax, true]);
    expect(rax).not.toBe(0n);
  });
});
