/** Progress on standard error: one bar that is drawn over itself on a terminal, plain lines elsewhere. */
export class Progress {
  private done = 0;
  private readonly terminal = process.stderr.isTTY === true;

  constructor(
    private readonly total: number,
    private readonly what: string,
  ) {}

  /** Says what is going on now. */
  now(text: string): void {
    if (this.terminal) this.draw(text);
  }
  step(text: string): void {
    this.done++;
    if (this.terminal) this.draw(text);
    else process.stderr.write(`[${this.done}/${this.total}] ${this.what}: ${text}\n`);
  }
  end(): void {
    if (this.terminal) process.stderr.write('\r\x1b[K');
  }
  private draw(text: string): void {
    const width = 20, filled = Math.round((width * this.done) / this.total);
    const line = `${'#'.repeat(filled)}${'.'.repeat(width - filled)} ${this.done}/${this.total} ${text}`;
    process.stderr.write(`\r\x1b[K${line.slice(0, (process.stderr.columns ?? 80) - 1)}`);
  }
}
