/** Opens a machine with its stepper. */

import { Machine } from '../../machine/machine.js';
import type { MachineSpec } from '../protocol.js';
import type { Assembly } from './assemble.js';
import { machineStepper } from './machine-stepper.js';
import type { Stepper } from './stepper.js';

export function openStepper(assembly: Assembly, _spec: MachineSpec): { machine: Machine; stepper: Stepper } {
  const machine = new Machine(assembly.config);
  return { machine, stepper: machineStepper(machine) };
}
