/** The help: shortcuts, and how to read the page. */

import { Dialog } from './Dialog.js';
import { helpOpen, lettersOn, SHORTCUTS } from './keys.js';
import { timings, version } from './store.js';

const keyText = (key: string): string => key.replace(/(^|\+)[a-z]$/, (k) => k.toUpperCase());

export function Help() {
  return (
    <Dialog open={helpOpen} title="Help and keyboard">
      <p>
        The whole machine runs in this page: processor, devices, hypervisor, dom0 and guest. Each step kind goes forward with its letter and back with
        Shift. What has changed since the previous stop is marked with a dot and a bar. The address of the page reproduces the state.
      </p>
      <table class="keys">
        <thead><tr><th scope="col">Key</th><th scope="col">What it does</th></tr></thead>
        <tbody>{SHORTCUTS.map((s) => <tr key={s.key}><td>{keyText(s.key).split('+').map((k, i) => <>{i > 0 ? '+' : ''}<kbd>{k}</kbd></>)}</td><td>{s.help}</td></tr>)}</tbody>
      </table>
      <p>
        In the timeline: arrows move the mark, Enter goes there, <kbd>+</kbd> and <kbd>-</kbd> zoom, <kbd>0</kbd> shows all. In lists and toolbars: arrows, Home, End.
        In a list of instructions: Enter or <kbd>b</kbd> sets or removes a breakpoint.
      </p>
      <p><label><input type="checkbox" checked={lettersOn.value} onChange={(e) => (lettersOn.value = e.currentTarget.checked)} /> Single letters are shortcuts</label></p>
      <p class="fine">Version {version.value}{timings.value.firstStop === undefined ? '' : `; first stop ${(timings.value.firstStop / 1000).toFixed(1)} s after opening`}{timings.value.lastStep === undefined ? '' : `, last move ${timings.value.lastStep.toFixed(0)} ms`}.</p>
    </Dialog>
  );
}
