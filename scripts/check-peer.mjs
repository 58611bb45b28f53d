// The same hypervisor, dom0 and guests on our machine and under another emulator (QEMU), with the same disk: what the guests print
// about their operations, bytes and checksums must be the same line for line, and so must the way they end. A misreading of the
// manual that our machine and our hypervisor share shows here.
//
// Compared: everything from "workloads on" to "workloads done" without times (tsc=...), and the exit status.
// Usage: node scripts/check-peer.mjs; QEMU names another program than qemu-system-x86_64.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const qemu = process.env.QEMU ?? 'qemu-system-x86_64';
const PEER_SECONDS = 120, OUR_SECONDS = 300, DISK_SECTORS = 65536;

const WORK = [
  'diskseq:ops=4:size=65536:start=0',
  'diskrand:ops=8:size=4096:start=0:span=16384:seed=7',
  'diskwrite:ops=4:size=65536:start=32768:seed=1',
  'cpuid:ops=50',
  'hypercall:ops=50',
  'portio:ops=20',
  'pagefault:ops=64',
].join(',');

/** What boots: domain type, its image, its drivers, and our profiles that can run it (the peer offers SVM with nested paging). */
const CASES = [
  { title: 'HVM, emulated devices', type: 'hvm', drivers: 'emulated', profiles: ['nehalem-2008', 'barcelona-2007'] },
  { title: 'HVM, paravirtual drivers', type: 'hvm', drivers: 'pv', profiles: ['barcelona-2007'] },
  { title: 'paravirtual', type: 'pv', drivers: 'pv', profiles: ['barcelona-2007'] },
];

/** Sector n differs from every other sector, in every word. */
function diskImage() {
  const words = new BigUint64Array(DISK_SECTORS * 64);
  let x = 0x9e3779b97f4a7c15n;
  for (let i = 0; i < words.length; i += 64) {
    x = BigInt.asUintN(64, x ^ (x << 13n));
    x ^= x >> 7n;
    x = BigInt.asUintN(64, x ^ (x << 17n));
    for (let w = 0; w < 64; w++) words[i + w] = x + BigInt(w);
  }
  return new Uint8Array(words.buffer);
}

const modulesOf = (c) =>
  `${join(root, 'build/guests/dom0.elf')} mem=64M,` +
  `${join(root, `build/guests/workload-${c.type}.elf`)} type=${c.type} mem=64M -- drivers=${c.drivers} w=${WORK.replaceAll(',', ',,')}`;

/** Runs a program to its end. @returns what it printed and how it ended */
function run(program, args, seconds) {
  const r = spawnSync(program, args, { encoding: 'latin1', timeout: seconds * 1000, killSignal: 'SIGKILL', maxBuffer: 64 << 20 });
  const end = r.error?.code === 'ETIMEDOUT' ? `no end within ${seconds} s` : r.signal !== null ? `signal ${r.signal}` : `exit status ${r.status}`;
  return { text: (r.stdout ?? '').replaceAll('\r', ''), errors: (r.stderr ?? '').trim(), end };
}

/** The lines of the workloads, without the guest's prefix on the hypervisor's console and without times. */
function linesOf(text) {
  const lines = text.split('\n').map((l) => /(workloads? .*|disk: .*)$/.exec(l)?.[1]).filter((l) => l !== undefined);
  return lines.map((l) => l.replace(/ tsc=\d+/, '').trimEnd());
}

function compare(title, ours, peer) {
  const a = [...linesOf(ours.text), ours.end], b = [...linesOf(peer.text), peer.end];
  const different = a.findIndex((line, i) => line !== b[i]);
  const good = different < 0 && a.length === b.length && a.some((l) => l === 'workloads done: ok');
  if (good) {
    console.log(`check-peer: ${title}: same ${a.length} lines (${a.filter((l) => l.includes('checksum')).length} checksums), ${ours.end}`);
    return true;
  }
  const at = different < 0 ? Math.min(a.length, b.length) : different;
  console.log(`check-peer: ${title}: DIFFERENT at line ${at + 1}\n  ours: ${a[at] ?? '(nothing)'}\n  peer: ${b[at] ?? '(nothing)'}`);
  for (const [name, r] of [['ours', ours], ['peer', peer]]) console.log(`  --- last of ${name}\n${r.text.split('\n').slice(-8).join('\n')}\n${r.errors}`);
  return false;
}

const present = spawnSync(qemu, ['--version'], { encoding: 'utf8' });
if (present.error !== undefined || present.status !== 0) {
  console.log(`check-peer: skipped: ${qemu} is not installed`);
  process.exit(0);
}
const built = spawnSync(process.execPath, [join(root, 'scripts/ensure.mjs')], { stdio: 'inherit' });
if (built.status !== 0) process.exit(built.status ?? 1);

const folder = mkdtempSync(join(tmpdir(), 'xenolith-peer-'));
let good = true;
try {
  const contents = diskImage(), disk = join(folder, 'disk.img');
  const hypervisor = join(root, 'build/hypervisor/xenolith.elf');
  console.log(`check-peer: against ${present.stdout.split('\n')[0]}`);
  for (const c of CASES) {
    // Both write to the disk: each gets it fresh.
    writeFileSync(disk, contents);
    const peer = run(qemu, [
      '-accel', 'tcg', '-cpu', 'max', '-m', '256', '-display', 'none', '-serial', 'stdio', '-monitor', 'none', '-no-reboot',
      '-kernel', hypervisor, '-initrd', modulesOf(c), '-drive', `file=${disk},if=ide,format=raw`, '-nic', 'none', '-device', 'e1000',
      '-device', 'isa-debug-exit,iobase=0xf4,iosize=4',
    ], PEER_SECONDS);
    for (const profile of c.profiles) {
      writeFileSync(disk, contents);
      const ours = run(process.execPath, [
        join(root, 'bin/xenolith.js'), 'run', hypervisor, '--initrd', modulesOf(c), '--memory', '256M', '--disk', disk, '--nic', 'e1000', '--profile', profile,
      ], OUR_SECONDS);
      good = compare(`${c.title}, ${profile}`, ours, peer) && good;
    }
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.exitCode = good ? 0 : 1;
