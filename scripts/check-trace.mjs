// Checks the exports against their readers: the same runs (HVM and PV, VT-x and SVM) in all formats at once, each read by somebody else.
//
//   Perfetto    decoded with the published perfetto_trace.proto; tracks, slices and counts
//   xentrace    `xenalyze --summary` must print our exit counts (XENALYZE names another program)
//   speedscope  the published JSON schema
//   pcapng      `tshark` must find the frames
//
// What is not installed or cannot be fetched is skipped, in one line. PERFETTO_PROTO and SPEEDSCOPE_SCHEMA name files that are at hand.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import protobuf from 'protobufjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..'), work = join(root, 'build/check-trace');
const PROTO = 'https://raw.githubusercontent.com/google/perfetto/v52.0/protos/perfetto/trace/perfetto_trace.proto';
const SPEEDSCOPE = ['speedscope@1.25.0', 'ajv@8.20.0'];
mkdirSync(work, { recursive: true });
if (spawnSync(process.execPath, [join(root, 'scripts/build.mjs')], { stdio: 'inherit' }).status !== 0) process.exit(1);

const { runPath } = await import('../dist/experiments/measure.js');
const { EXTENSIONS, imagesOf } = await import('../dist/experiments/paths.js');
const { PcapngWriter } = await import('../dist/experiments/pcapng.js');
const { WORKLOADS } = await import('../dist/experiments/workloads.js');
const { startExport } = await import('../dist/debug/exports/formats.js');
const { comparedPrograms } = await import('../dist/debug/exports/program-accounts.js');
const { loadProfile } = await import('../dist/cli/files.js');
const { loadImages } = await import('../dist/cli/images.js');

let failures = 0;
const fail = (what) => {
  failures++;
  console.error(`check:trace: ${what}`);
};
const expect = (ok, what) => ok || fail(what);
const skip = (what) => console.log(`skipped: ${what}`);

/** One path with a few workloads; every format's file, and what the machine itself counted. */
function run(extension, path, mode, engine = 'auto') {
  const files = {}, running = [], images = loadImages();
  let machine, frames = 0;
  const wire = [];
  const observe = (m) => {
    machine = m;
    for (const format of ['perfetto', 'xentrace', 'folded', 'speedscope']) {
      const chunks = (files[format] = []);
      running.push(startExport(format, {
        machine: m, programs: comparedPrograms(imagesOf(path, images)), sink: (c) => chunks.push(c.slice()), writer: () => protobuf.Writer.create(), title: `${extension} ${path}`, sampleCycles: 19_997,
      }));
    }
    const sampling = running.map((r) => r.samples).filter((s) => s !== undefined);
    return { get next() { return sampling[0].next; }, take: () => sampling.forEach((s) => s.take()) };
  };
  const result = runPath({
    path, profile: loadProfile(EXTENSIONS[extension]), images, workloads: WORKLOADS.filter((w) => ['disk-random-read', 'net-request', 'cpuid-exit'].includes(w.name)), quick: true, seed: 1, mode, engine, observe,
    tap: (frame, cycle) => {
      frames++;
      wire.push([frame.slice(), cycle]);
    },
  });
  for (const r of running) r.finish();
  const capture = [];
  const pcap = new PcapngWriter(result.frequencyHz, (b) => capture.push(b));
  for (const [frame, cycle] of wire) pcap.add(frame, cycle);
  return { ...Object.fromEntries(Object.entries(files).map(([f, chunks]) => [f, Buffer.concat(chunks)])), pcap: Buffer.concat(capture), frames, exits: machine.exitCounts(), cycles: machine.cycles, hz: machine.frequencyHz };
}

// --- Perfetto ----------------------------------------------------------------------------------------------------------------

async function protoText() {
  const cached = join(work, 'perfetto_trace.proto'), given = process.env.PERFETTO_PROTO;
  if (given !== undefined) return readFileSync(given, 'utf8');
  if (existsSync(cached)) return readFileSync(cached, 'utf8');
  try {
    const response = await fetch(PROTO, { signal: AbortSignal.timeout(20_000) });
    if (!response.ok) throw new Error(`HTTP status ${response.status}`);
    const text = await response.text();
    writeFileSync(cached, text);
    return text;
  } catch (e) {
    skip(`Perfetto: ${PROTO} cannot be fetched (${e.cause?.code ?? e.message}); PERFETTO_PROTO=FILE names a copy`);
    return undefined;
  }
}

function checkPerfetto(Trace, name, r) {
  const trace = Trace.decode(r.perfetto);
  // What the schema does not know is lost in decoding: the same bytes come out only when all of it is known.
  expect(Trace.encode(trace).finish().length === r.perfetto.length, `${name}: the trace has fields that the schema does not`);
  const names = new Map(), tracks = new Map(), open = new Map(), last = new Map();
  let slices = 0, exits = 0, counted = 0, instants = 0;
  const interned = { categories: new Map(), names: new Map() };
  for (const p of trace.packet) {
    if (p.trackDescriptor) {
      const d = p.trackDescriptor;
      tracks.set(String(d.uuid), d);
      names.set(String(d.uuid), d.name || d.process?.processName);
      if (Number(d.parentUuid) !== 0) expect(tracks.get(String(d.parentUuid))?.process != null, `${name}: track ${d.name} is not in a vCPU's group`);
    }
    for (const e of p.internedData?.eventNames ?? []) interned.names.set(String(e.iid), e.name);
    for (const e of p.internedData?.eventCategories ?? []) interned.categories.set(String(e.iid), e.name);
    const e = p.trackEvent;
    if (!e) continue;
    const track = String(e.trackUuid), at = Number(p.timestamp);
    expect(names.has(track), `${name}: an event on a track that is not described`);
    expect(at <= (r.cycles * 1e9) / r.hz + 1, `${name}: an event after the end of the run`);
    if (e.type === 1) {
      slices++;
      expect(!open.has(track) && at >= (last.get(track) ?? 0), `${name}: slices overlap on ${names.get(track)}`);
      open.set(track, at);
      expect(interned.names.has(String(e.nameIid)), `${name}: a slice without a name`);
      if (interned.categories.get(String(e.categoryIids[0])) === 'exit') {
        exits++;
        expect(e.debugAnnotations.some((a) => a.stringValue), `${name}: an exit without a sentence`);
      }
    } else if (e.type === 2) {
      expect(open.has(track) && at >= open.get(track), `${name}: an end without a beginning on ${names.get(track)}`);
      open.delete(track);
      last.set(track, at);
    } else if (e.type === 3) instants++;
    else if (e.type === 4) counted = Math.max(counted, Number(e.counterValue));
  }
  const total = [...r.exits.values()].reduce((a, b) => a + b, 0), shown = [...names.values()];
  expect(open.size === 0, `${name}: a slice is not ended`);
  expect(exits === total && counted === total, `${name}: ${exits} exit slices, the counter says ${counted}, the machine ${total}`);
  for (const level of name.includes('functional') ? ['host'] : ['hypervisor', 'dom0', 'guest', 'idle']) expect(shown.includes(level), `${name}: no track for ${level}`);
  console.log(`Perfetto ${name}: ${trace.packet.length} packets, ${tracks.size} tracks, ${slices} slices (${exits} exits), ${instants} instants`);
}

// --- xentrace ----------------------------------------------------------------------------------------------------------------

/** xenalyze's names where they are not the manuals'. */
const THEIR_NAMES = { EXCEPTION_NMI: 'EXCEPTION_OR_NMI', MSR_READ: 'RDMSR', MSR_WRITE: 'WRMSR', PENDING_INTERRUPT: 'INTERRUPT_WINDOW', PENDING_VIRT_INTR: 'INTERRUPT_WINDOW', DR_ACCESS: 'MOV_DR', EPT_MISCONFIG: 'EPT_MISCONFIGURATION' };

function checkXenalyze(program, name, r) {
  const file = join(work, `${name.replaceAll(' ', '-')}.xentrace`);
  writeFileSync(file, r.xentrace);
  const done = spawnSync(program, ['--summary', `--cpu-hz=${(r.hz / 1e9).toFixed(3)}G`, ...(name.startsWith('svm') ? ['--svm-mode'] : []), file], { encoding: 'utf8' });
  if (done.error?.code === 'ENOENT') return false;
  expect(done.status === 0, `${name}: xenalyze ended with status ${done.status}: ${done.stderr.split('\n').slice(-3).join(' ')}`);
  const found = new Map();
  let inside = false;
  for (const line of done.stdout.split('\n')) {
    if (/^\S/.test(line)) inside = line.startsWith('Exit reasons');
    const m = inside && /^ (\S+)\s+(\d+)\s+[\d.]+s/.exec(line);
    if (!m) continue;
    const theirs = m[1].replace(/^VMEXIT_/, '');
    found.set(THEIR_NAMES[theirs] ?? theirs, Number(m[2]));
  }
  const sorted = (map) => JSON.stringify([...map].sort());
  expect(sorted(found) === sorted(r.exits), `${name}: xenalyze counts ${sorted(found)}, the machine ${sorted(r.exits)}`);
  const strange = done.stderr.split('\n').filter((l) => /strange|unexpected|unknown|error|fatal/i.test(l));
  expect(strange.length === 0, `${name}: xenalyze says: ${strange[0]}`);
  const hypercalls = /hypercall\s+(\d+)/.exec(done.stdout)?.[1] ?? 0;
  console.log(`xentrace ${name}: ${[...found.values()].reduce((a, b) => a + b, 0)} exits by ${found.size} reasons as counted, ${hypercalls} hypercalls of domain 0 and others`);
  return true;
}

// --- speedscope, folded stacks, pcapng ---------------------------------------------------------------------------------------

function speedscopeValidator() {
  const prefix = join(work, 'speedscope'), schema = process.env.SPEEDSCOPE_SCHEMA ?? join(prefix, 'node_modules/speedscope/dist/release/file-format-schema.json');
  const require = createRequire(join(prefix, 'package.json'));
  if (!existsSync(join(prefix, 'node_modules/ajv'))) {
    mkdirSync(prefix, { recursive: true });
    writeFileSync(join(prefix, 'package.json'), '{ "private": true }\n');
    if (spawnSync('npm', ['install', '--no-audit', '--no-fund', ...SPEEDSCOPE], { cwd: prefix, stdio: 'ignore', shell: process.platform === 'win32' }).status !== 0) {
      skip(`speedscope: npm cannot install ${SPEEDSCOPE.join(' ')}`);
      return undefined;
    }
  }
  const Ajv = require('ajv').default;
  return new Ajv({ strict: false }).compile(JSON.parse(readFileSync(schema, 'utf8')));
}

function checkSamples(validate, name, r) {
  const profile = JSON.parse(r.speedscope.toString()), [sampled] = profile.profiles;
  if (validate !== undefined) expect(validate(profile), `${name}: speedscope: ${JSON.stringify(validate.errors?.[0])}`);
  const weights = sampled.weights.reduce((a, b) => a + b, 0), folded = r.folded.toString().trim().split('\n');
  const sum = folded.reduce((n, l) => n + Number(l.slice(l.lastIndexOf(' '))), 0);
  expect(weights === r.cycles && sum === r.cycles, `${name}: the stacks have ${weights} and ${sum} cycles, the run ${r.cycles}`);
  expect(folded.some((l) => /^hypervisor;[a-z]\w+ \d+$/.test(l)) || name.includes('native'), `${name}: no function of the hypervisor in the folded stacks`);
  console.log(`stacks ${name}: ${folded.length} stacks, ${weights} cycles${validate === undefined ? '' : ', as the schema says'}`);
}

function checkCapture(name, r) {
  const file = join(work, `${name.replaceAll(' ', '-')}.pcapng`);
  writeFileSync(file, r.pcap);
  const done = spawnSync('tshark', ['-r', file, '-T', 'fields', '-e', 'frame.number', '-e', 'udp.port'], { encoding: 'utf8' });
  if (done.error?.code === 'ENOENT') return false;
  const lines = done.stdout.trim().split('\n');
  expect(lines.length === r.frames, `${name}: tshark finds ${lines.length} frames, the wire had ${r.frames}`);
  expect(lines.some((l) => /\t\d+,7|\t7,/.test(l)), `${name}: tshark finds no UDP to the echo port`);
  console.log(`pcapng ${name}: ${lines.length} frames`);
  return true;
}

// -----------------------------------------------------------------------------------------------------------------------------

const text = await protoText();
const Trace = text === undefined ? undefined : protobuf.parse(text, { keepCase: false }).root.lookupType('perfetto.protos.Trace');
const validate = speedscopeValidator();
let xenalyze = true, tshark = true;
for (const [extension, path, mode] of [['vtx', 'hvm', 'cycle'], ['svm', 'hvm', 'cycle'], ['vtx', 'pvhvm', 'functional'], ['vtx', 'pv', 'cycle']]) {
  const name = `${extension} ${path} ${mode}`, r = run(extension, path, mode);
  if (Trace !== undefined) checkPerfetto(Trace, name, r);
  xenalyze &&= checkXenalyze(process.env.XENALYZE ?? 'xenalyze', name, r);
  checkSamples(validate, name, r);
  tshark &&= checkCapture(name, r);
}
const [one, other] = ['compiler', 'interpreter'].map((engine) => run('svm', 'hvm', 'cycle', engine));
for (const format of ['perfetto', 'xentrace', 'folded', 'speedscope', 'pcap']) expect(one[format].equals(other[format]), `${format}: compiler and interpreter leave different files`);
console.log('engines: the same files from both');
if (!xenalyze) skip('xentrace: xenalyze is not installed (Debian: xen-utils-common)');
if (!tshark) skip('pcapng: tshark is not installed');
console.log(failures === 0 ? 'check:trace: all is well' : `check:trace: ${failures} failures`);
process.exitCode = failures === 0 ? 0 : 1;
