/** Block stores that need no file, for callers above the machine. */

export { SeededDisk, seededWord } from '../devices/ata/seeded-disk.js';
