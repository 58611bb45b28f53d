/** All instruction descriptions of the processor: importing this registers them. Extensions (vtx, svm) register their own. */

import './add-subtract.js';
import './bcd.js';
import './bit-scan.js';
import './bit-test.js';
import './bound.js';
import './branch.js';
import './crc32.js';
import './exchange.js';
import './extend.js';
import './flags.js';
import './logic.js';
import './move.js';
import './multiply-divide.js';
import './no-operation.js';
import './segment-base.js';
import './set-cmov.js';
import './shift-rotate.js';
import './stack.js';
import './string.js';
import './system-index.js';
import './sse-state.js';
