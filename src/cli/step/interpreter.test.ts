/** Commands on a tiny image: what they print, and the one line that each wrong input gets. */
import { beforeEach, describe, expect, it } from 'vitest';
import { multibootImage } from '../../../test/support/multiboot-image.js';
import { Session, SessionError } from '../../debug/session.js';
import { loadProfile } from '../files.js';
import { CommandError, type Context } from './command.js';
import { Interpreter } from './interpreter.js';
import { Paint } from './paint.js';

// mov dx, 0x3f8; mov al, 'H'; out dx, al; nop; nop; mov [0x5000], al; jmp $
const CODE = [0x66, 0xba, 0xf8, 0x03, 0xb0, 0x48, 0xee, 0x90, 0x90, 0xa2, 0x00, 0x50, 0x00, 0x00, 0xeb, 0xfe];

let printed: string[], interpreter: Interpreter;
beforeEach(() => {
  const image = { name: 'tiny.elf', bytes: multibootImage(CODE) };
  const session = new Session({
    config: { memoryBytes: 16 << 20, profile: loadProfile('barcelona-2007'), boot: { kind: 'image', image } }, programs: [{ name: 'tiny.elf', image }],
    origin: { kind: 'image', name: 'tiny.elf', fingerprint: '0'.repeat(16), options: '', profile: 'barcelona-2007', mode: 'functional', seed: 1 },
  });
  printed = [];
  const context: Context = { session, paint: new Paint(false), print: (...lines) => printed.push(...lines), script: async () => undefined, load: async () => undefined, quit: () => undefined, showStop: () => printed.push(session.stopView.sentence) };
  interpreter = new Interpreter(context);
});
async function say(...lines: string[]): Promise<string> {
  for (const line of lines) {
    printed = [];
    await interpreter.run(line);
  }
  return printed.join('\n');
}

describe('the stepper\'s commands', () => {
  it('step, repeat by an empty line, print and examine', async () => {
    expect(await say('si 2', 'p $al')).toBe('0x48 (72)');
    expect(await say('', 'p $al')).toBe('0x48 (72)'); // an empty line after a look repeats nothing
    expect(await say('si', '', 'x/2i $rip')).toMatch(/^=> 0x[0-9a-f]+ {2}90 +nop\n[^]*mov \[0x5000\], al$/);
    expect(await say('x/4xb $rip')).toMatch(/^0x[0-9a-f]+: {2}0x90 {2}0xa2 {2}0x00 {2}0x50$/);
    expect(await say('info registers rbx')).toMatch(/^RBX [0-9a-f]{16}$/);
  });

  it('watches memory, catches cycles, and tells what there is', async () => {
    expect(await say('watch 0x5000 1')).toBe('Stop 1  watchpoint   1 bytes at 0x5000 (0x5000), write');
    expect(await say('c')).toBe('Watchpoint 1: 1 byte at 0x5000 written.');
    expect(await say('delete', 'catch cycle 500', 'c')).toBe('Cycle 500.');
    expect(await say('info walk 0x5000')).toBe('linear 0x5000\n=> physical 0x5000 in a 4-KByte page');
    expect(await say('info screen')).toBe('Nothing has been written to the screen yet.');
    expect(await say('con')).toBe('serial:\n  H');
    expect(await say('help break')).toMatch(/^break ADDRESS\n[^]*Examples:/);
  });

  it('completes commands, what follows them, registers', () => {
    expect(interpreter.complete('fi')).toEqual([['fin ', 'finish '], 'fi']);
    expect(interpreter.complete('info w')).toEqual([['walk '], 'w']);
    expect(interpreter.complete('p $ra')).toEqual([['$rax'], '$ra']);
  });

  it.each([
    ['b nowhere', 'no symbol "nowhere" in tiny.elf'],
    ['b vmx.c:12', 'no code of line 12 of a file "vmx.c"'],
    ['b tea!main', 'there is no program "tea"; there are tiny.elf'],
    ['si many', '"many" is not a count: a whole number from 1 on is needed'],
    ['catch exit tea-time', 'no VM exit is called "tea-time"'],
    ['catch tea', 'catch needs "exit", "exit REASON" or "cycle N"'],
    ['x/4zz 0', 'x has no format or size "z": formats are x d u c s i, sizes b h w g'],
    ['p $tea', 'there is no register "tea"'],
    ['p 1 2', '"1 2" is not an address: write a number, $register, symbol, symbol+offset or file:line'],
    ['info vmcs', 'there is no VMCS or VMCB in use'],
    ['info tea', 'there is no "info tea"; there are registers, breakpoints, exits, vmcs, vmcb, walk, domains, vcpus, screen, history'],
    ['goto tea', '"tea" is neither "cycle N" nor a position such as 1000 or 1000.2'],
    ['delete 7', 'there is no breakpoint 7'],
    ['watch 0 5000', 'a watchpoint has 1 to 4096 bytes, not 5000'],
    ['list', 'no source line is known for this place'],
    ['con d7', 'there is no console "d7"; there are serial'],
    ['!', '"!" is not a command (help lists them)'],
  ])('%s', async (line, message) => {
    const error = await interpreter.run(line).then(() => undefined, (e: unknown) => e as Error);
    expect(error instanceof CommandError || error instanceof SessionError).toBe(true);
    expect(error!.message).toBe(message);
  });
});
