/** A stepper on the bare machine: instructions forward, registers and disassembly. */

import { Decoder, DecoderOptions, Formatter, FormatterSyntax } from 'iced-x86';
import type { DisassemblyLineView, RegisterView, StateView } from '../../debug/api.js';
import type { Machine } from '../../machine/machine.js';
import type { Move, Stepper } from './stepper.js';

const NAMES = ['RAX', 'RCX', 'RDX', 'RBX', 'RSP', 'RBP', 'RSI', 'RDI', 'R8', 'R9', 'R10', 'R11', 'R12', 'R13', 'R14', 'R15'];
const hex = (v: bigint): string => `0x${BigInt.asUintN(64, v).toString(16)}`;
const no = (what: string) => (): never => {
  throw new Error(`${what}: not in this build`);
};

export function machineStepper(machine: Machine): Stepper {
  let target = 0, previous = new Map<string, string>(), interrupted = false;
  const { vcpu } = machine.processors[0]!;
  const state = (): StateView => {
    vcpu.activate();
    const { s } = vcpu, rip = s.rip;
    const registers: RegisterView[] = [...NAMES.map((name, i) => [name, hex(s.gpr(i))] as const), ['RIP', hex(rip)] as const]
      .map(([name, value]) => ({ name, value, bits: 64, changed: previous.has(name) && previous.get(name) !== value }));
    previous = new Map(registers.map((r) => [r.name, r.value]));
    const place = { vcpu: 0, level: 'unknown', inGuest: vcpu.inGuest, cpl: 0, rip: hex(rip), linear: hex(rip) };
    return {
      position: { instructions: machine.instructions, events: 0 }, cycle: machine.cycles, stop: { kind: 'step', sentence: interrupted ? 'Interrupted.' : 'Stepped.' },
      place, vcpus: [place], registers: [{ title: 'General', registers }], disassembly: disassemble(machine, rip), history: { bytes: 0, limit: 1, snapshots: 0 },
    };
  };
  return {
    begin: (move: Move) => {
      interrupted = false;
      target = move.kind === 'step' && move.step === 'instruction' ? machine.instructions + move.count : move.kind === 'position' ? move.position.instructions : Infinity;
    },
    piece: () => interrupted || machine.run({ instructions: Math.min(target, machine.instructions + 200_000) }).kind !== 'limit' || machine.instructions >= target,
    interrupt: () => {
      interrupted = true;
    },
    state,
    stops: () => [], exits: () => [],
    walk: no('walk'), memory: no('memory'), disassemble: no('disassemble'), resolve: no('resolve'), addStop: no('addStop'), removeStop: no('removeStop'), input: no('input'), save: no('save'),
  };
}

function disassemble(machine: Machine, rip: bigint): DisassemblyLineView[] {
  const at = Number(rip & 0xfff_ffffn), decoder = new Decoder(32, machine.phys.read(at, 128), DecoderOptions.None), formatter = new Formatter(FormatterSyntax.Intel);
  decoder.ip = rip;
  return Array.from({ length: 16 }, (_, i) => {
    const instruction = decoder.decode();
    return { linear: hex(instruction.ip), bytes: '', text: formatter.format(instruction), current: i === 0, breakpoint: false };
  });
}
