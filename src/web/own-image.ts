/** The image of the user's own that waits to be started. */

import { signal } from '@preact/signals';
import type { ImageSpec } from './protocol.js';

export const chosenImage = signal<ImageSpec | undefined>(undefined);
