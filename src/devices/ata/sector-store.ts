/**
 * Sectors that were written, by their number, with states that cost little to save.
 *
 * Sectors lie in chunks of 64. A saved state shares the chunks; one that is written to afterwards is copied first.
 */

const CHUNK = 64;

interface Chunk {
  readonly sectors: (Uint8Array | undefined)[];
  /** Some saved state has it: copy before writing. */
  shared: boolean;
}
export interface SectorState {
  readonly bytes: number;
  readonly chunks: ReadonlyMap<number, Chunk>;
}

export class SectorStore {
  private chunks = new Map<number, Chunk>();
  private newBytes = 0;
  private saved: SectorState | undefined;

  get(lba: number): Uint8Array | undefined {
    return this.chunks.get(Math.floor(lba / CHUNK))?.sectors[lba % CHUNK];
  }

  /** @param sector kept as it is: not to be changed afterwards */
  set(lba: number, sector: Uint8Array): void {
    const key = Math.floor(lba / CHUNK);
    let chunk = this.chunks.get(key);
    if (chunk === undefined || chunk.shared) this.chunks.set(key, (chunk = { sectors: chunk?.sectors.slice() ?? [], shared: false }));
    chunk.sectors[lba % CHUNK] = sector;
    this.newBytes += sector.length;
    this.saved = undefined;
  }

  /** Every written sector, in the order of their numbers. */
  *entries(): IterableIterator<readonly [lba: number, sector: Uint8Array]> {
    for (const key of [...this.chunks.keys()].sort((a, b) => a - b))
      for (let i = 0; i < CHUNK; i++) {
        const sector = this.chunks.get(key)!.sectors[i];
        if (sector !== undefined) yield [key * CHUNK + i, sector];
      }
  }

  saveState(): SectorState {
    if (this.saved !== undefined) return this.saved;
    for (const chunk of this.chunks.values()) chunk.shared = true;
    this.saved = { bytes: this.newBytes + 16 * this.chunks.size, chunks: new Map(this.chunks) };
    this.newBytes = 0;
    return this.saved;
  }
  loadState(state: SectorState): void {
    if (state === this.saved) return;
    this.chunks = new Map(state.chunks);
    this.newBytes = 0;
    this.saved = state;
  }
}
