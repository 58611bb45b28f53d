/**
 * One client: packets in, packets out. gdb manual, appendix E "gdb Remote Serial Protocol".
 *
 * All-stop mode: while the machine runs, only the interrupt byte is heard. The caller hands over what arrives (`receive`), lets the machine run in pieces
 * (`work`) while `running` is true, and closes when `over` is set.
 *
 * Invariants: nothing that a client sends throws or harms the machine; when it goes, its breakpoints go, and the machine stays where it is.
 */

import { SessionError } from '../history.js';
import { readMemory, writeMemory } from './memory-packets.js';
import { textToHex } from './hex.js';
import { frame, PacketReader } from './packets.js';
import { query } from './queries.js';
import { readAll, readOne, writeAll, writeOne } from './registers-packets.js';
import { parseVcont, VCONT_ACTIONS } from './resume-packets.js';
import type { Action, Halt } from './resume.js';
import { StopPoints } from './stop-points.js';
import { type ClientFeatures, endReply, endText, stopReply } from './stop-reply.js';
import type { Target } from './target.js';

/**
 * Why a client is done. `detached`: the machine is to run on without it. `killed`, `ended`: nothing is left to do. `refused`: what it sent is not the
 * protocol.
 */
export type Over = 'detached' | 'killed' | 'ended' | 'refused';

export interface ClientPort {
  /** Sends text, one character a byte. */
  send(text: string): void;
  /** One line for whoever started the server. */
  note(text: string): void;
}

const EXPEDITED = ['rbp', 'rsp', 'rip'];
/** An O packet's text: well below what any client accepts. */
const CONSOLE_PIECE = 1000;

export class Client {
  /** vCPU that g, p, m and the like are about. */
  generalThread: number;
  /** m, M and X take physical addresses. */
  physicalMemory = false;
  features: ClientFeatures = { swbreak: false, hwbreak: false };
  over: Over | undefined;

  private readonly reader = new PacketReader();
  private readonly points: StopPoints;
  private acknowledged = true;
  private lastSent = '';
  private action: Action | undefined;
  private interruptWanted = false;
  /** The last stop was in code that gdb takes for another program's, and it was told so. */
  private wasMistaken = false;
  private halt: Halt;
  /** vCPU that was chosen for c, s, bc and bs; else the general one. */
  private resumeThread: number | undefined;

  constructor(readonly target: Target, private readonly port: ClientPort) {
    const { machine } = target;
    this.points = new StopPoints(machine);
    this.generalThread = machine.current;
    const { end } = target.resumer;
    this.halt = end === undefined ? { kind: 'step', vcpu: machine.current } : { kind: 'ended', vcpu: machine.current, reason: end };
  }

  /** The machine is to run: call `work`. */
  get running(): boolean {
    return this.action !== undefined;
  }
  /** vCPU that a step without a thread is about. */
  get current(): number {
    return this.resumeThread ?? this.generalThread;
  }

  receive(bytes: Uint8Array): void {
    for (const got of this.reader.read(bytes)) {
      if (this.over !== undefined) return;
      switch (got.kind) {
        case 'ack': break;
        case 'resend':
          if (this.acknowledged && this.lastSent !== '') this.port.send(this.lastSent);
          break;
        case 'interrupt':
          this.interruptWanted = this.running;
          break;
        case 'packet':
          this.packet(got.text);
          break;
        case 'damaged':
          this.port.note(`the client sent ${got.what}`);
          if (this.acknowledged) this.port.send('-');
          else this.over = 'refused';
          break;
        case 'garbage':
          this.port.note(`the client does not speak gdb's protocol: ${got.what}; connection closed`);
          this.over = 'refused';
      }
    }
  }

  /** The connection is gone. */
  close(): void {
    if (this.reader.incomplete) this.port.note('the client went away in the middle of a packet');
    this.action = undefined;
    this.points.clear();
  }

  // --- running --------------------------------------------------------------------------------------------------------------

  /** Does a piece of what was asked for. @param cycles length of the piece, when it is a long run */
  work(cycles: number): void {
    if (this.action === undefined) return;
    const vcpu = this.target.machine.current;
    const halt = this.piece(this.action, cycles) ?? (this.interruptWanted ? ({ kind: 'interrupted', vcpu } as const) : undefined);
    if (halt !== undefined) this.stopped(halt);
  }

  private piece(action: Action, cycles: number): Halt | undefined {
    try {
      return this.target.resumer.work(action, cycles);
    } catch (e) {
      if (!(e instanceof SessionError)) throw e;
      this.console(`xenolith: ${e.message}\n`);
      return { kind: 'interrupted', vcpu: this.target.machine.current };
    }
  }

  private resume(action: Action | undefined): string | undefined {
    if (action === undefined) return 'E01';
    const { end } = this.target.resumer;
    if (end !== undefined && action.kind !== 'back' && action.kind !== 'reverse') {
      this.over = 'ended';
      return endReply(end);
    }
    this.action = action;
    this.interruptWanted = false;
    return undefined;
  }

  private stopped(halt: Halt): void {
    this.action = undefined;
    this.interruptWanted = false;
    this.halt = halt;
    this.generalThread = halt.vcpu;
    this.resumeThread = undefined;
    const mistaken = this.target.mistaken(halt.vcpu);
    if (mistaken !== undefined && !this.wasMistaken) this.console(`xenolith: ${mistaken}\n`);
    this.wasMistaken = mistaken !== undefined;
    if (halt.kind === 'ended') this.console(`xenolith: ${endText(halt.reason)}; going back is still possible, going on ends the session\n`);
    if (halt.kind === 'catch') this.console(`xenolith: stopped at ${halt.caught.text}${halt.caught.kind === 'exit' ? this.explanation() : ''}\n`);
    this.reply(this.stopReply());
  }

  private explanation(): string {
    const sentence = this.target.explain();
    return sentence === undefined ? '' : `: ${sentence}`;
  }

  private stopReply(): string {
    const { target, halt, points, features } = this;
    const expedited = target.registers.flatMap((r, n) => (EXPEDITED.includes(r.name) ? [[n, r] as const] : []));
    return stopReply(halt, target.context(halt.vcpu), expedited, points, features);
  }

  // --- packets --------------------------------------------------------------------------------------------------------------

  private packet(text: string): void {
    if (this.acknowledged) this.port.send('+');
    if (this.running) {
      this.port.note('a packet came while the machine was running; it is not answered');
      return;
    }
    const answer = this.answer(text);
    if (answer !== undefined) this.reply(answer);
  }

  private reply(text: string): void {
    this.lastSent = frame(text);
    this.port.send(this.lastSent);
  }

  /** Text on gdb's terminal: O packets. Only while gdb waits for the end of a run or of a monitor command. */
  console(text: string): void {
    for (let at = 0; at < text.length; at += CONSOLE_PIECE) this.port.send(frame(`O${textToHex(text.slice(at, at + CONSOLE_PIECE))}`));
  }

  /** After QStartNoAckMode's own OK nothing is acknowledged any more. */
  endAcknowledgement(): string {
    this.acknowledged = false;
    return 'OK';
  }

  /** A thread id as a vCPU: 0 is any, -1 is all; undefined when there is no such thread. */
  vcpuOf(thread: string): number | undefined {
    if (thread === '-1' || thread === '0') return this.current;
    const id = /^[0-9a-fA-F]{1,4}$/.test(thread) ? parseInt(thread, 16) : 0;
    return id >= 1 && id <= this.target.vcpus ? id - 1 : undefined;
  }

  /** The reply; undefined when there is none now. An empty one says that the packet is not known. */
  private answer(text: string): string | undefined {
    const rest = text.slice(1);
    switch (text[0]) {
      case '?': return this.stopReply();
      case 'g': return readAll(this);
      case 'G': return writeAll(this, rest);
      case 'p': return readOne(this, rest);
      case 'P': return writeOne(this, rest);
      case 'm': return readMemory(this, rest);
      case 'M': return writeMemory(this, rest, false);
      case 'X': return writeMemory(this, rest, true);
      case 'Z': return this.points.change(true, rest);
      case 'z': return this.points.change(false, rest);
      case 'H': return this.selectThread(rest);
      case 'T': return this.vcpuOf(rest) === undefined ? 'E01' : 'OK';
      case 'c': case 'C': return rest.includes(';') || (text[0] === 'c' && rest !== '') ? 'E01' : this.resume({ kind: 'continue' });
      case 's': case 'S': return rest.includes(';') || (text[0] === 's' && rest !== '') ? 'E01' : this.resume({ kind: 'step', vcpu: this.current });
      case 'b':
        if (rest === 's') return this.resume({ kind: 'back', vcpu: this.current });
        return rest === 'c' ? this.resume({ kind: 'reverse' }) : '';
      case 'v': return this.longPacket(text);
      case 'q': case 'Q': return query(this, text);
      case 'D':
        this.over = 'detached';
        return 'OK';
      case 'k':
        this.over = 'killed';
        return undefined;
      default: return '';
    }
  }

  private longPacket(text: string): string | undefined {
    if (text === 'vCont?') return VCONT_ACTIONS;
    if (text.startsWith('vCont;')) return this.resume(parseVcont(this, text.slice(6)));
    if (!text.startsWith('vKill')) return '';
    this.over = 'killed';
    return 'OK';
  }

  /** `H op thread` */
  private selectThread(text: string): string {
    const vcpu = this.vcpuOf(text.slice(1));
    if (vcpu === undefined) return 'E01';
    if (text[0] === 'g') this.generalThread = vcpu;
    else if (text[0] === 'c') this.resumeThread = text === 'c-1' || text === 'c0' ? undefined : vcpu;
    else return 'E01';
    return 'OK';
  }

}
