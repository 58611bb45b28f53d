/** Choosing what runs: an experiment of the comparison, or an image of one's own. */

import { useEffect, useRef, useState } from 'preact/hooks';
import { EXTENSIONS, type ExtensionName, PATH_TITLES, PATHS, type PathName } from '../experiments/paths.js';
import { WORKLOADS } from '../experiments/workloads.js';
import type { TimeMode } from '../machine/config.js';
import { Dialog } from './Dialog.js';
import { chooserOpen } from './keys.js';
import { openFiles } from './own-files.js';
import { chosenImage } from './own-image.js';
import { DEFAULT_SPEC } from './link.js';
import type { ExperimentSpec, ImageSpec } from './protocol.js';
import { spec, start } from './store.js';
import { EXTENSION_TITLES } from './titles.js';

const MODES: readonly (readonly [TimeMode, string])[] = [['cycle', 'cycle: every instruction is priced'], ['functional', 'functional: an instruction is a cycle']];

function Mode({ value, onChange }: { value: TimeMode; onChange: (m: TimeMode) => void }) {
  return <label>Time <select value={value} onChange={(e) => onChange(e.currentTarget.value as TimeMode)}>{MODES.map(([m, text]) => <option key={m} value={m}>{text}</option>)}</select></label>;
}
const Seed = ({ value, onChange }: { value: number; onChange: (n: number) => void }) => (
  <label>Seed of the disk <input type="number" min={0} max={0xffff_ffff} step={1} value={value} required onChange={(e) => onChange(e.currentTarget.valueAsNumber)} /></label>
);

function Experiment() {
  const [s, set] = useState<ExperimentSpec>(spec.value.kind === 'experiment' ? spec.value : DEFAULT_SPEC);
  const submit = (e: Event): void => {
    e.preventDefault();
    chooserOpen.value = false;
    void start(s);
  };
  return (
    <form onSubmit={submit}>
      <h3>An experiment</h3>
      <label>Path <select value={s.path} onChange={(e) => set({ ...s, path: e.currentTarget.value as PathName })}>{PATHS.map((p) => <option key={p} value={p}>{p}: {PATH_TITLES[p]}</option>)}</select></label>
      <label>Extension <select value={s.extension} onChange={(e) => set({ ...s, extension: e.currentTarget.value as ExtensionName })}>{(Object.keys(EXTENSIONS) as ExtensionName[]).map((x) => <option key={x} value={x}>{EXTENSION_TITLES[x]}: {EXTENSIONS[x]}</option>)}</select></label>
      <label>Workload <select value={s.workload} onChange={(e) => set({ ...s, workload: e.currentTarget.value })}>{WORKLOADS.map((w) => <option key={w.name} value={w.name}>{w.title}</option>)}</select></label>
      <Mode value={s.mode} onChange={(mode) => set({ ...s, mode })} />
      <Seed value={s.seed} onChange={(seed) => set({ ...s, seed })} />
      <button class="primary" type="submit">Start the experiment</button>
    </form>
  );
}

function OwnImage({ image }: { image: ImageSpec }) {
  const set = (change: Partial<ImageSpec>): void => void (chosenImage.value = { ...image, ...change });
  const setModule = (i: number, commandLine: string): void => set({ modules: image.modules.map((m, k) => (k === i ? { ...m, commandLine } : m)) });
  const submit = (e: Event): void => {
    e.preventDefault();
    chooserOpen.value = false;
    void start(image);
  };
  return (
    <form onSubmit={submit}>
      <h3>{image.name}</h3>
      <label>Command line <input type="text" value={image.commandLine} spellcheck={false} onInput={(e) => set({ commandLine: e.currentTarget.value })} /></label>
      {image.modules.map((m, i) => <label key={m.name}>Module {m.name}, arguments <input type="text" value={m.commandLine} spellcheck={false} onInput={(e) => setModule(i, e.currentTarget.value)} /></label>)}
      <label>Processor <select value={image.profile} onChange={(e) => set({ profile: e.currentTarget.value })}>{Object.values(EXTENSIONS).map((p) => <option key={p}>{p}</option>)}</select></label>
      <Mode value={image.mode} onChange={(mode) => set({ mode })} />
      <Seed value={image.seed} onChange={(seed) => set({ seed })} />
      <button class="primary" type="submit">Start the image</button>
    </form>
  );
}

export function Chooser() {
  const form = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (chooserOpen.value) form.current?.querySelector<HTMLElement>('select, input')?.focus();
  }, [chooserOpen.value]);
  return (
    <Dialog open={chooserOpen} title="What runs">
      <div class="choices" ref={form}>
        {chosenImage.value === undefined ? null : <OwnImage image={chosenImage.value} />}
        <Experiment />
        <div>
          <h3>Or a file</h3>
          <p>Drop an image onto the page, with its modules, or choose it: a Multiboot 1 or 2 image, an ELF file with a PVH note, or a Linux bzImage. A session file opens where it was saved. Nothing leaves this page.</p>
          <label class="button">Choose files<input class="sr" type="file" multiple onChange={(e) => void openFiles(e.currentTarget)} /></label>
        </div>
      </div>
    </Dialog>
  );
}
