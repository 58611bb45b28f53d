/** 32-bit code for `multibootImage` that waits for its timer. */

/** Address at which `multibootImage` puts code. */
const CODE_BASE = 0x10_0020;
export const le32 = (v: number): number[] => [v & 255, (v >>> 8) & 255, (v >>> 16) & 255, v >>> 24];
export const exitWith = (v: number): number[] => [0xb0, v, 0xe6, 0xf4]; // mov al, v; out 0xf4, al
export const outb = (port: number, v: number): number[] => [0x66, 0xba, port & 255, port >> 8, 0xb0, v, 0xee]; // mov dx; mov al; out dx, al

/** Sets up 8259 and 8254 (1193 Hz), halts until so many ticks (at most 127) have come, and exits with 7. The IDT is at 0x20000. */
export function tickProgram(ticks: number): number[] {
  const body = (handler: number, pointer: number): number[] => [
    0xbf, ...le32(0x2_0100), // mov edi, 0x20100: the gate of vector 0x20
    0xc7, 0x07, ...le32((0x10 << 16) | (handler & 0xffff)), // mov dword [edi], selector and low offset
    0xc7, 0x47, 0x04, ...le32((handler & 0xffff_0000) | 0x8e00), // mov dword [edi+4], high offset and type
    0x0f, 0x01, 0x1d, ...le32(pointer), // lidt [pointer]
    0xbc, ...le32(0x8_0000), // mov esp, 0x80000
    ...outb(0x20, 0x11), ...outb(0x21, 0x20), ...outb(0x21, 4), ...outb(0x21, 1), ...outb(0x21, 0xfe),
    ...outb(0x43, 0x34), ...outb(0x40, 0xe8), ...outb(0x40, 0x03),
    0x31, 0xc9, 0xfb, // xor ecx, ecx; sti
    0xf4, 0x83, 0xf9, ticks, 0x75, 0xfa, // wait: hlt; cmp ecx, ticks; jne wait
    ...exitWith(7),
  ];
  const handler = CODE_BASE + body(0, 0).length, routine = [0x41, 0xb0, 0x20, 0xe6, 0x20, 0xcf]; // inc ecx; mov al, 0x20; out 0x20, al; iret
  return [...body(handler, handler + routine.length), ...routine, 0xff, 0x07, ...le32(0x2_0000)];
}
