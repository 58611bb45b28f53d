/** Registers every system instruction. */

import './system-control.js';
import './system-segments.js';
import './system-transfers.js';
