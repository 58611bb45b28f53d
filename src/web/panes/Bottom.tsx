/** The lower panes, one at a time: consoles, the screen, exits, charts, page walk, memory, stop points. */

import { signal } from '@preact/signals';
import { Tabs } from '../Tabs.js';
import { Consoles } from './Consoles.js';
import { Exits } from './Exits.js';
import { Memory } from './Memory.js';
import { Screen } from './Screen.js';
import { Statistics } from './Statistics.js';
import { Stops } from './Stops.js';
import { Walk } from './Walk.js';

const TABS = [
  { id: 'consoles', title: 'Consoles', Panel: Consoles },
  { id: 'screen', title: 'Screen', Panel: Screen },
  { id: 'exits', title: 'Exits', Panel: Exits },
  { id: 'charts', title: 'Charts', Panel: Statistics },
  { id: 'walk', title: 'Page walk', Panel: Walk },
  { id: 'memory', title: 'Memory', Panel: Memory },
  { id: 'stops', title: 'Stop points', Panel: Stops },
] as const;

const chosen = signal<string>('consoles');

export function Bottom() {
  return (
    <section class="pane pane-bottom" id="pane-bottom" aria-label="More" tabIndex={-1}>
      <Tabs tabs={TABS} chosen={chosen} label="More panes" />
    </section>
  );
}
