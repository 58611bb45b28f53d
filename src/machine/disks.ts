/** Block stores that need no file, for callers above the machine. */

export { SectorStore } from '../devices/ata/sector-store.js';
export { SeededDisk, seededWord } from '../devices/ata/seeded-disk.js';
