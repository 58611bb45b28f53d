/**
 * `xenolith gdb` with the distribution's gdb: from a hypervisor's exit handler into the guest and back, a field of the VMCS, and backwards to who wrote
 * a variable. What gdb prints is compared line by line; addresses, line numbers and counts are left out, because they are the compilers'.
 */
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { gdb } from '../src/cli/gdb.js';

const present = spawnSync('gdb', ['--version']).status === 0;
if (!present) console.warn('gdb is not installed: its session with the machine is not tested');

const SCRIPT = `
echo -- the first exit\\n
break vmx_exited
continue
bt
p/x $vmcs.exit_reason
monitor explain
monitor position
echo -- back to the guest's instruction, and forward again\\n
reverse-stepi
x/i $pc
p $guest_mode
stepi
p $guest_mode
monitor position
delete
echo -- the next entry, back to the instruction that made it, and through it\\n
monitor stop entry
continue
reverse-stepi
x/i $pc
stepi
p $guest_mode
monitor stop off
echo -- a function of the guest\\n
break guests/workloads/main.c:main
continue
bt
info threads
echo -- who wrote that\\n
watch boot.environment
reverse-continue
info registers cr3 vmcs_pointer
kill
`;

const TRANSCRIPT = `
-- the first exit
Breakpoint 1 at ADDRESS: file ./src/hypervisor/hvm/vmx_run.S, line N.

Breakpoint 1, vmx_exited () at ./src/hypervisor/hvm/vmx_run.S:N
N	  PUSH rdi
#0  vmx_exited () at ./src/hypervisor/hvm/vmx_run.S:N
#1  ADDRESS in run (v=ADDRESS) at ./src/hypervisor/hvm/vmx.c:N
#2  ADDRESS in hvm_loop (v=ADDRESS) at ./src/hypervisor/hvm/hvm.c:N
#3  ADDRESS in vcpu_first () at ./src/hypervisor/entry.S:N
#4  ADDRESS in ?? ()
$1 = 0x1c
MOV CR4, ... exited because ...
instruction N, cycle N
-- back to the guest's instruction, and forward again
start () at guests/images/start-pvh.S:N
N	  ENTER_LONG_MODE boot_from_pvh
=> ADDRESS <start+N>:	mov    %rax,%cr4
$2 = 1

Breakpoint 1, vmx_exited () at ./src/hypervisor/hvm/vmx_run.S:N
N	  PUSH rdi
$3 = 0
instruction N, cycle N
-- the next entry, back to the instruction that made it, and through it
continue stops at: entry
xenolith: stopped at entry

Program received signal SIGTRAP, Trace/breakpoint trap.
start () at guests/images/start-pvh.S:N
N	  ENTER_LONG_MODE boot_from_pvh
vmx_enter () at ./src/hypervisor/hvm/vmx_run.S:N
N	  vmresume
=> ADDRESS <vmx_enter+N>:	vmresume
start () at guests/images/start-pvh.S:N
N	  ENTER_LONG_MODE boot_from_pvh
$4 = 1
continue stops at nothing of its own
-- a function of the guest
Breakpoint 2 at ADDRESS: file guests/workloads/main.c, line N.

Breakpoint 2, main () at guests/workloads/main.c:N
N	  printf("workloads on %s, %s drivers\\n", environment_name(), use_pv_drivers() ? "pv" : "emulated");
#0  main () at guests/workloads/main.c:N
#1  ADDRESS in environment_start () at guests/lib/environment.c:N
#2  ADDRESS in boot_from_pvh (info=0x1000) at guests/lib/boot.c:N
#3  ADDRESS in start () at guests/images/start-pvh.S:N
  Id   Target Id                                    Frame 
* 1    Thread 1 (vCPU 0, guest (guest mode), CPL 0) main () at guests/workloads/main.c:N
-- who wrote that
Hardware watchpoint 3: boot.environment

Hardware watchpoint 3: boot.environment

Old value = ENVIRONMENT_HVM
New value = ENVIRONMENT_NATIVE
ADDRESS in boot_from_pvh (info=0x1000) at guests/lib/boot.c:N
N	  boot.environment = xen_detect() ? ENVIRONMENT_HVM : ENVIRONMENT_NATIVE;
`;

/** What the compilers decide is not this test's business. */
const general = (text: string): string =>
  text.replace(/0x[0-9a-f]{6,}/g, 'ADDRESS').replace(/(\.[Sch]:)\d+/g, '$1N').replace(/line \d+/g, 'line N').replace(/^\d+\t/gm, 'N\t')
    .replace(/(<\w+\+)\d+>/g, '$1N>').replace(/^instruction \d+, cycle \d+$/gm, 'instruction N, cycle N')
    // The sentences have tests of their own; a checkout may be newer than what was built from the same text.
    .replace(/^(MOV CR4, ).*( exited because ).*$/gm, '$1...$2...').replace(/^warning: Source file is more recent.*\n/gm, '');

/** Runs the server in this process and gdb beside it; the transcript. */
async function session(script: string): Promise<{ text: string; status: number }> {
  let client: Promise<void> | undefined;
  const folder = mkdtempSync(join(tmpdir(), 'xenolith-gdb-')), file = join(folder, 'script.gdb');
  writeFileSync(file, script);
  // One file for both, so that the order is gdb's: what the machine says arrives on standard error.
  const output = openSync(join(folder, 'transcript'), 'w+');
  const commands: string[] = [];
  const status = await gdb({
    experiment: 'hvm', extension: 'vtx', workload: 'cpuid-exit', quick: true, mode: 'functional', append: '', memory: '256M', cpus: 1, engine: 'auto', nic: 'none', seed: 1,
    port: 0, serial: 'null', history: '512M', printGdbCommands: false,
  }, (line) => {
    if (line.startsWith('    ') && !line.includes('#')) commands.push(line.trim());
    if (client !== undefined || !line.includes('target remote')) return;
    const child = spawn('gdb', ['-nx', '-batch', '-ex', 'set confirm off', '-ex', 'set width 0', ...commands.flatMap((c) => ['-ex', c]), '-x', file], { stdio: ['ignore', output, output] });
    client = new Promise((resolve) => void child.on('close', () => resolve()));
  });
  await client;
  const text = readFileSync(join(folder, 'transcript'), 'utf8');
  closeSync(output);
  rmSync(folder, { recursive: true });
  return { text, status };
}

describe.skipIf(!present)('gdb', () => {
  it('goes through VM exits, forward and back', { timeout: 120_000 }, async () => {
    const { text, status } = await session(SCRIPT);
    const from = text.indexOf('-- the first exit');
    const got = general(text.slice(from)).split('\n'), wanted = TRANSCRIPT.trim().split('\n');
    expect(got.slice(0, wanted.length)).toEqual(wanted);
    expect(status).toBe(0);
    // Back and forth is the same point of the run, to the cycle.
    const positions = [...text.matchAll(/^instruction \d+, cycle \d+$/gm)].map((m) => m[0]);
    expect(positions).toHaveLength(2);
    expect(positions[0]).toBe(positions[1]);
  });
});
