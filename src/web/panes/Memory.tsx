/** Memory at an address, as bytes and text. */

import { useEffect, useState } from 'preact/hooks';
import { Nothing } from '../Pane.js';
import { complaint, memory, showMemory, view } from '../store.js';

const SHOWN = 512, ROW = 16;
const hex = (n: number, digits: number): string => n.toString(16).padStart(digits, '0');
const printable = (b: number): string => (b >= 0x20 && b < 0x7f ? String.fromCharCode(b) : '·');

function Row({ base, offset, bytes }: { base: bigint; offset: number; bytes: Uint8Array }) {
  const row = bytes.subarray(offset, offset + ROW);
  return <div class="row"><span class="addr">{(base + BigInt(offset)).toString(16).padStart(12, '0')}</span><span class="hex">{Array.from(row, (b) => hex(b, 2)).join(' ').padEnd(ROW * 3 - 1)}</span><span class="ascii">{Array.from(row, printable).join('')}</span></div>;
}

export function Memory() {
  const [text, setText] = useState('$rsp'), { value: v } = view, { value: m } = memory;
  useEffect(() => void showMemory(text, SHOWN), [v]);
  const submit = (e: Event): void => {
    e.preventDefault();
    complaint.value = undefined;
    void showMemory(text, SHOWN);
  };
  return (
    <div class="scroll">
      <form class="line" onSubmit={submit}>
        <label class="grow"><span class="sr">Address</span><input type="text" class="mono" spellcheck={false} value={text} placeholder="0x address, $register, symbol or file:line" onInput={(e) => setText(e.currentTarget.value)} /></label>
        <button type="submit">Show</button>
      </form>
      {m === undefined ? <Nothing>Name an address of the level that runs: a number, a register or a symbol.</Nothing> : (
        <div class="memory mono" tabIndex={0} role="group" aria-label={`Memory at ${m.linear}`}>
          {Array.from({ length: Math.ceil(m.bytes.length / ROW) }, (_, i) => <Row key={i} base={BigInt(m.linear)} offset={i * ROW} bytes={m.bytes} />)}
          {m.bytes.length === SHOWN ? null : <p class="fault">What follows cannot be read: it is not mapped, or belongs to a device.</p>}
        </div>
      )}
    </div>
  );
}
