/** Where COM1's bytes go: raw, line by line, so that a pipe sees each line when it is complete. */

import { writeSync } from 'node:fs';

const NEWLINE = 10, LARGEST = 4096;

export class SerialOutput {
  private pending: number[] = [];
  /** The reader went away: nothing that follows can be seen by anybody. */
  closed = false;

  /** @param fd the file descriptor; undefined drops everything */
  constructor(private readonly fd: number | undefined) {}

  readonly sink = (byte: number): void => {
    if (this.fd === undefined || this.closed) return;
    this.pending.push(byte);
    if (byte === NEWLINE || this.pending.length >= LARGEST) this.flush();
  };

  /** Writes what has gathered, also without a line end: prompts must be seen. */
  flush(): void {
    if (this.fd === undefined || this.pending.length === 0) return;
    const bytes = Uint8Array.from(this.pending);
    this.pending = [];
    for (let done = 0; done < bytes.length; ) {
      try {
        done += writeSync(this.fd, bytes, done);
      } catch (e) {
        // A pipe that is full for the moment; any other failure ends the output.
        if ((e as { code?: string }).code !== 'EAGAIN') {
          this.closed = true;
          return;
        }
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
      }
    }
  }
}
