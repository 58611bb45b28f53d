/** The frame: bars on top, the timeline, the panes; files dropped anywhere; the keyboard. */

import { useEffect } from 'preact/hooks';
import { Chooser } from './Chooser.js';
import { Header } from './Header.js';
import { Help } from './Help.js';
import { onKey } from './keys.js';
import { offer } from './own-files.js';
import { Bottom } from './panes/Bottom.js';
import { ControlBlock } from './panes/ControlBlock.js';
import { Disassembly } from './panes/Disassembly.js';
import { LastExit } from './panes/LastExit.js';
import { Registers } from './panes/Registers.js';
import { Source } from './panes/Source.js';
import { Messages } from './Messages.js';
import { Timeline } from './timeline/Timeline.js';
import { Toolbar } from './Toolbar.js';

export function App() {
  useEffect(() => {
    const drop = (e: DragEvent): void => {
      e.preventDefault();
      if (e.type === 'drop' && e.dataTransfer !== null && e.dataTransfer.files.length > 0) void offer([...e.dataTransfer.files]);
    };
    document.addEventListener('keydown', onKey);
    for (const name of ['dragover', 'drop'] as const) document.addEventListener(name, drop);
    return () => {
      document.removeEventListener('keydown', onKey);
      for (const name of ['dragover', 'drop'] as const) document.removeEventListener(name, drop);
    };
  }, []);
  return (
    <>
      <Header />
      <Toolbar />
      <Messages />
      <Timeline />
      <LastExit />
      <main class="panes">
        <Disassembly />
        <Source />
        <Registers />
        <ControlBlock />
        <Bottom />
      </main>
      <Chooser />
      <Help />
    </>
  );
}
