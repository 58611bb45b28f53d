/** The title bar: what runs, and what concerns the page as a whole. */

import { chooserOpen, helpOpen } from './keys.js';
import { openFiles, saveSession } from './own-files.js';
import { catalogue, link, remark, spec, version, view } from './store.js';
import { chooseTheme, theme, type Theme } from './theme.js';
import { specTitle } from './titles.js';

async function copyLink(): Promise<void> {
  const url = new URL(link.value, location.href).href;
  try {
    await navigator.clipboard.writeText(url);
    remark.value = 'The link to this state is in the clipboard.';
  } catch {
    remark.value = 'The address of this page is the link to this state; copy it from the address bar.';
  }
}

export function Header() {
  const stopped = view.value !== undefined;
  return (
    <header class="top">
      <h1>Xenolith</h1>
      <button class="what" type="button" onClick={() => (chooserOpen.value = true)} aria-haspopup="dialog">
        <span class="clip">{specTitle(spec.value)}</span> <span aria-hidden="true">▾</span>
        <span class="sr">: choose what runs</span>
      </button>
      <span class="spring" />
      <button type="button" onClick={() => void copyLink()} disabled={!stopped} title="Copies a link that reproduces this state">Copy link</button>
      <button type="button" onClick={() => void saveSession()} disabled={!stopped} title="Saves what runs, where it stands, and what was typed">Save</button>
      <label class="button" title="Opens a session file or an image of your own">
        Open<input class="sr" type="file" multiple onChange={(e) => void openFiles(e.currentTarget)} />
      </label>
      <label class="theme">
        <span class="sr">Colours</span>
        <select value={theme.value} onChange={(e) => chooseTheme(e.currentTarget.value as Theme)}>
          <option value="system">System</option>
          <option value="light">Light</option>
          <option value="dark">Dark</option>
        </select>
      </label>
      <button type="button" onClick={() => (helpOpen.value = true)} aria-haspopup="dialog" title={catalogue.value === undefined ? 'Help' : `Help (version ${version.value})`}>
        <span aria-hidden="true">?</span><span class="sr">Help and keyboard</span>
      </button>
    </header>
  );
}
