/** xterm.js as a console that can also take text back: when the machine goes back in time, the terminal is written anew. */

import { FitAddon } from '@xterm/addon-fit';
import { Terminal } from '@xterm/xterm';
import '@xterm/xterm/css/xterm.css';
import { colour } from '../theme.js';

export interface ConsoleTerminal {
  /** All bytes from the beginning. */
  show(bytes: Uint8Array): void;
  /** Takes the colours of the page. */
  theme(): void;
  close(): void;
}

/** @param input gets what is typed; absent: the console only shows */
export function openTerminal(host: HTMLElement, input: ((text: string) => void) | undefined): ConsoleTerminal {
  const terminal = new Terminal({
    convertEol: true, fontSize: 12, scrollback: 5000, disableStdin: input === undefined, screenReaderMode: true, cursorBlink: false, fontFamily: 'ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace',
  });
  const fit = new FitAddon();
  terminal.loadAddon(fit);
  terminal.open(host);
  // Tab leaves the console: the keyboard must get out again. Links and titles that a guest sets are not followed.
  terminal.attachCustomKeyEventHandler((e) => e.key !== 'Tab' && e.key !== 'F6' && !(e.key === 'Escape' && e.type === 'keydown'));
  if (input !== undefined) terminal.onData(input);
  const observer = new ResizeObserver(() => {
    if (host.clientWidth > 0 && host.clientHeight > 0) fit.fit();
  });
  observer.observe(host);
  fit.fit();
  let shown = new Uint8Array(0);
  return {
    show(bytes) {
      let same = Math.min(shown.length, bytes.length);
      for (let i = 0; i < same; i++) if (shown[i] !== bytes[i]) same = i;
      if (same < shown.length) {
        terminal.reset();
        terminal.write(bytes);
      } else terminal.write(bytes.subarray(same));
      shown = bytes.slice();
    },
    theme() {
      terminal.options.theme = { background: colour('console'), foreground: colour('console-ink'), cursor: colour('console-ink'), selectionBackground: colour('select') };
    },
    close() {
      observer.disconnect();
      terminal.dispose();
    },
  };
}
