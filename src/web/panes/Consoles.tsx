/** The consoles: everything on COM1, which also takes input, and the same split by domain. Guests' bytes reach the terminal only, never the page. */

import { signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { Nothing } from '../Pane.js';
import { consoleBytes, type, view } from '../store.js';
import { dark } from '../theme.js';
import { speakerTitle, splitConsole } from './console-text.js';
import type { ConsoleTerminal } from './terminal.js';

const chosen = signal('all');

function bytesOf(id: string): Uint8Array {
  return id === 'all' ? consoleBytes.value : Uint8Array.from(splitConsole(consoleBytes.value).get(id) ?? []);
}

function Terminal({ id }: { id: string }) {
  const host = useRef<HTMLDivElement>(null), terminal = useRef<ConsoleTerminal | undefined>(undefined);
  useEffect(() => {
    let gone = false;
    void import('./terminal.js').then(({ openTerminal }) => {
      if (gone || host.current === null) return;
      terminal.current = openTerminal(host.current, id === 'all' ? (text) => void type(new TextEncoder().encode(text)) : undefined);
      terminal.current.theme();
      terminal.current.show(bytesOf(id));
    });
    return () => {
      gone = true;
      terminal.current?.close();
    };
  }, []);
  const bytes = bytesOf(id);
  useEffect(() => terminal.current?.show(bytes), [bytes]);
  useEffect(() => terminal.current?.theme(), [dark.value]);
  return <div class="terminal" ref={host} />;
}

export function Consoles() {
  const speakers = [...splitConsole(consoleBytes.value).keys()], virtualised = speakers.includes('XEN');
  const ids = ['all', ...speakers], id = ids.includes(chosen.value) ? chosen.value : 'all';
  return (
    <div class="consoles">
      <div class="console-list" role="radiogroup" aria-label="Console">
        {ids.map((x) => <label key={x} class={x === id ? 'chosen' : ''}><input type="radio" name="console" checked={x === id} onChange={() => (chosen.value = x)} />{x === 'all' ? 'COM1, all' : speakerTitle(x, virtualised)}</label>)}
      </div>
      {view.value === undefined ? <Nothing>Nothing runs yet.</Nothing> : <Terminal key={id} id={id} />}
    </div>
  );
}
