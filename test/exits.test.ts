/**
 * VM exits of the hypervisor's own HVM guest, explained: what the sentences say is compared with what the test finds by itself in memory
 * and in the processor's own counts, on both extensions.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { FieldView } from '../src/debug/api.js';
import { ExitExplainer } from '../src/debug/exits/explainer.js';
import { bootOf, DISK_SECTORS, EXTENSIONS, type ExtensionName, type Images, MEMORY_BYTES } from '../src/experiments/paths.js';
import { guestSpecification, WORKLOADS } from '../src/experiments/workloads.js';
import { SeededDisk } from '../src/machine/disks.js';
import { Machine } from '../src/machine/machine.js';
import { PROBE } from '../src/machine/probe.js';
import type { Snapshot } from '../src/machine/snapshot.js';
import { parseProfile } from '../src/machine/profile.js';

const root = join(import.meta.dirname, '..');
const image = (path: string) => ({ name: path.split('/').pop()!, bytes: new Uint8Array(readFileSync(join(root, 'build', path))) });
const images: Images = {
  hypervisor: image('hypervisor/xenolith.elf'), dom0: image('guests/dom0.elf'), native: image('guests/workload-native.elf'),
  hvm: image('guests/workload-hvm.elf'), pv: image('guests/workload-pv.elf'),
};

/** A machine with the HVM guest. */
function boot(extension: ExtensionName) {
  const file = `${EXTENSIONS[extension]}.json`;
  const profile = parseProfile(JSON.parse(readFileSync(join(root, 'profiles', file), 'utf8')), file);
  const specification = guestSpecification(WORKLOADS.filter((w) => w.name === 'disk-random-read'), true);
  const machine = new Machine({ memoryBytes: MEMORY_BYTES, profile, boot: bootOf('hvm', images, specification), disks: [{ backend: new SeededDisk(DISK_SECTORS, 1) }], nic: { model: 'e1000' } });
  return machine;
}
/** The hypervisor's function at an address, by the symbol file that its build writes. */
const symbols = readFileSync(join(root, 'build/hypervisor/xenolith.sym'), 'utf8').trim().split('\n').map((l) => l.split(' ')).map(([at, , name]) => [BigInt(`0x${at!}`), name!] as const);
const functionAt = (rip: bigint): string => symbols.filter(([at]) => at <= rip).pop()?.[1] ?? '?';

/** Runs until `wanted` says so of an exit; the host's first instruction is next. */
function runToExit(machine: Machine, wanted: (reason: number) => boolean): void {
  const end = machine.probe.subscribe((_kind, _cycle, _vcpu, a) => {
    if (wanted(a)) machine.requestStop();
  }, [PROBE.vmHandlerStart]);
  expect(machine.run({ instructions: 1e9 })).toEqual({ kind: 'interrupted' });
  end();
}
const byte = (machine: Machine, hpa: number): number => machine.phys.read(hpa, 1)[0]!;

describe.each(['vtx', 'svm'] as const)('%s', (extension) => {
  let m: Machine, x: ExitExplainer, powerOn: Snapshot;
  const svm = extension === 'svm';
  const IO = svm ? 0x7b : 30;
  const fields = (): Map<string, FieldView> => new Map(x.controlBlock()!.groups.flatMap((g) => g.fields).map((f) => [f.name, f]));

  beforeAll(() => {
    m = boot(extension);
    x = new ExitExplainer({ place: (rip, stack) => ({ file: functionAt(functionAt(rip) === 'memset' ? stack!.find((w) => functionAt(w).startsWith('svm_'))! : rip), line: 1 }) });
    powerOn = m.snapshot();
    x.attach(m);
    runToExit(m, (reason) => reason === IO);
  }, 60_000);

  it('the first port access: port, value and control are those of the machine', () => {
    const v = x.last()!, f = fields();
    const value = (name: string): number => Number(BigInt(f.get(name)!.value));
    const q = svm ? value('EXITINFO1') : value('EXIT_QUALIFICATION');
    const port = (q >>> 16) & 0xffff, input = svm ? (q & 1) !== 0 : (q & 8) !== 0;
    expect(v.sentence.startsWith(`${input ? 'IN' : 'OUT'} 0x${port.toString(16).toUpperCase()} (`)).toBe(true);
    if (svm) {
      const map = value('IOPM_BASE_PA') + (port >>> 3);
      expect(byte(m, map) & (1 << (port & 7))).not.toBe(0);
      expect(v.sentence).toContain(`because bit ${port & 7} of byte 0x${(port >>> 3).toString(16).toUpperCase()} of the I/O permissions map is set`);
    } else {
      // Our hypervisor uses no I/O bitmaps.
      expect(value('PRIMARY_PROCESSOR_BASED_CONTROLS') & ((1 << 24) | (1 << 25))).toBe(1 << 24);
      expect(v.sentence).toContain('because "Unconditional I/O exiting" (bit 24 of the primary processor-based VM-execution controls) is 1; the hypervisor asked for it in ');
    }
    const bytes = v.details.find((d) => d.name === 'instruction')!.value;
    expect(bytes).toMatch(input ? /^IN / : /^OUT /);
    expect(v.details.find((d) => d.name === 'RIP')!.value).toBe(f.get(svm ? 'RIP' : 'GUEST_RIP')!.value);
    expect(v.position).toEqual({ instructions: m.position.instructions - 1, events: 0 });
  });

  it('marks what the exit changed, and then what the hypervisor did', () => {
    const name = svm ? 'RIP' : 'GUEST_RIP', untouched = svm ? 'IOPM_BASE_PA' : 'EPT_POINTER';
    const left = fields().get(name)!;
    expect(left).toMatchObject({ changed: true, changedBy: 'transition' });
    expect(fields().get(untouched)).toMatchObject({ changed: false });
    const end = m.probe.subscribe(() => m.requestStop(), [PROBE.vmEntry]);
    m.run({ instructions: 1e9 });
    end();
    // The guest goes on behind the instruction.
    const resumed = fields().get(name)!;
    expect(resumed).toMatchObject({ changed: true, changedBy: 'hypervisor', before: left.value });
    expect(BigInt(resumed.value)).toBeGreaterThan(BigInt(left.value));
    expect(Number(BigInt(resumed.value) - BigInt(left.value))).toBeLessThanOrEqual(3);
  });

  it('says which function of the hypervisor asked for it', () => {
    if (svm) {
      expect(x.last()!.askedBy).toBeUndefined();
      expect(x.canLearn).toBe(true);
      const there = m.position, cycles = m.cycles, block = x.controlBlock();
      x.learn({ instructions: 0, events: 0 }, {
        goTo: (p) => {
          if (p.instructions < m.position.instructions) m.restore(powerOn);
          m.run({ position: p });
        },
        runTo: (p) => void m.run({ position: p }),
      });
      expect([m.position, m.cycles]).toEqual([there, cycles]);
      expect(x.controlBlock()).toEqual(block); // with what has changed: it has been gone through again
      expect(x.canLearn).toBe(false);
    }
    const asked = new Map(x.list(0, 100).map((v) => [v.reason, v.askedBy?.file]));
    expect(asked.get(svm ? 'IOIO' : 'IO_INSTRUCTION')).toBe(svm ? 'svm_init' : 'vmx_apply_control_registers');
    if (svm) {
      expect(x.last()!.sentence).toMatch(/of the I\/O permissions map is set; the hypervisor asked for it in svm_init:1\.$/);
      expect(asked.get('MSR')).toBe('svm_init');
    } else expect(asked.get('CR_ACCESS')).toBe('vmx_vcpu_init');
  });

  it('the reading of a control block changes nothing', () => {
    const before = m.memory.u8.slice(0, 64 << 20);
    x.controlBlock();
    x.last();
    expect(Buffer.compare(Buffer.from(before.buffer), Buffer.from(m.memory.u8.buffer, 0, before.length))).toBe(0);
  });

  it('every exit is in the log with the processor\'s own counts, and its four stamps are in order', () => {
    m.run({ instructions: m.position.instructions + 3_000_000 });
    const counts = [...m.exitCounts()].sort();
    expect(x.histogram().map((r) => [r.reason, r.count]).sort()).toEqual(counts);
    expect(x.count).toBe(counts.reduce((n, [, c]) => n + c, 0));
    for (const v of x.list(-200, 200)) {
      expect(v.sentence).toMatch(/ exited because .+\.$/);
      expect(v.sentence).not.toMatch(/undefined|unknown/);
      const { guestLeaves, handlerStarts, handlerEnds, guestResumes } = v.stamps!;
      expect(guestLeaves <= handlerStarts).toBe(true);
      if (handlerEnds >= 0) expect(handlerStarts < handlerEnds && handlerEnds <= guestResumes).toBe(true);
    }
  });

  it('names the kinds of exit that this guest has', () => {
    const kinds = new Map(x.list(0, 100_000).map((v) => [v.reason, v]));
    expect(kinds.get('HLT')!.askedBy?.file).toBe(svm ? 'vcpu_init' : 'vmx_apply_control_registers');
    const nested = kinds.get(svm ? 'NPF' : 'EPT_VIOLATION')!;
    expect(nested.sentence).toMatch(svm ? /the nested P\w+ at 0x[0-9A-F]+ is not present/ : /the EPT P\w+ at 0x[0-9A-F]+ is not present/);
    expect(kinds.get('HLT')!.sentence).toMatch(svm ? /^HLT in ring 0 exited because "Intercept HLT instruction"/ : /^HLT in ring 0 exited because "HLT exiting"/);
  });

  it.runIf(svm)('changes nothing in the run: the same without anyone who listens', () => {
    const machine = boot(extension);
    machine.run({ position: m.position });
    expect(machine.cycles).toBe(m.cycles);
    expect(machine.exitCounts()).toEqual(m.exitCounts());
  });
});
