/**
 * What devices ask of the machine around them, and what they offer it. The interfaces live here, with their callers; machine/
 * implements them.
 *
 * Invariants: a device never reads a host clock, never keeps a reference to a vCPU, and changes the world only through these
 * ports. All times are cycles since power-on; physical addresses are numbers.
 */

/** Access width in bytes of one port or memory-mapped access. */
export type Width = 1 | 2 | 4;

/** A scheduled event, as its owner sees it. */
export interface Scheduled {
  /** The cycle at which it is due. */
  readonly at: number;
  /** Still waiting in the queue? False once it fired or was cancelled. */
  readonly pending: boolean;
}

/** The machine's time. Devices convert their own rates with `frequencyHz`. */
export interface DeviceClock {
  /** Cycles since power-on, exact also in the middle of an instruction. Never goes back. */
  now(): number;
  /** Cycles in one second of the machine's time. */
  readonly frequencyHz: number;
  /** Calls `action` at cycle `at` (at once after the running instruction when `at` has passed). Ties fire in the order of scheduling. */
  schedule(at: number, action: () => void): Scheduled;
  /** Takes the event out of the queue; harmless when it has fired. */
  cancel(event: Scheduled | undefined): void;
}

/** One interrupt wire. */
export interface InterruptLine {
  /** Drives the wire high (asserted) or low. Repeating a level is harmless. */
  set(asserted: boolean): void;
}

/** A device behind I/O ports. Unimplemented registers read as all ones, like an empty bus. */
export interface PortDevice {
  ioRead(port: number, size: Width): number;
  ioWrite(port: number, size: Width, value: number): void;
}

/** A device behind physical addresses. `offset` counts from the start of the claimed range. */
export interface MmioDevice {
  mmioRead(offset: number, size: Width): number;
  mmioWrite(offset: number, size: Width, value: number): void;
}

/** Direct memory access. Reads where there is no memory give 0xff; writes there are dropped, as on a bus without a target. */
export interface DmaPort {
  read(hpa: number, length: number): Uint8Array;
  write(hpa: number, bytes: Uint8Array): void;
}

/** A block store behind a disk: synchronous, in 512-byte sectors. Latency and rate are the drive's, not the store's. */
export interface DiskBackend {
  readonly sectors: number;
  /** Copies `into.length / 512` sectors from `lba` on. */
  read(lba: number, into: Uint8Array): void;
  write(lba: number, from: Uint8Array): void;
  flush(): void;
}

/** Bytes that leave a serial port or debug console. */
export type ByteSink = (byte: number) => void;

/** An Ethernet frame seen on the wire: `cycle` is when its last bit left the sender. */
export type FrameTap = (frame: Uint8Array, cycle: number, direction: 'to-peer' | 'from-peer') => void;
