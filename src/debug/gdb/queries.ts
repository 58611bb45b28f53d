/** `q` and `Q` packets: what the server can do, the target description, threads. gdb manual, E.4 "General Query Packets". */

import { textToHex } from './hex.js';
import { runMonitor } from './monitor.js';
import { PACKET_BYTES } from './packets.js';
import type { Client } from './client.js';
import { threadId } from './stop-reply.js';

const FEATURES = [
  `PacketSize=${PACKET_BYTES.toString(16)}`, 'qXfer:features:read+', 'vContSupported+', 'swbreak+', 'hwbreak+', 'ReverseStep+', 'ReverseContinue+', 'QStartNoAckMode+',
  'multiprocess-',
].join(';');

/** The reply to a query, or an empty text for one that is not known: the protocol's way to say so. */
export function query(client: Client, text: string): string {
  const { target } = client;
  const [name = ''] = text.split(/[:,;]/, 1), rest = text.slice(name.length + 1);
  switch (name) {
    case 'qSupported': {
      const theirs = rest.split(';');
      client.features = { swbreak: theirs.includes('swbreak+'), hwbreak: theirs.includes('hwbreak+') };
      return FEATURES;
    }
    case 'QStartNoAckMode': return client.endAcknowledgement();
    case 'qXfer': return transfer(target.description, rest);
    // This server made the machine for its client: a gdb that quits ends it, one that detaches lets it run on.
    case 'qAttached': return '0';
    case 'qC': return `QC${threadId(client.generalThread)}`;
    case 'qfThreadInfo': return `m${Array.from({ length: target.vcpus }, (_, vcpu) => threadId(vcpu)).join(',')}`;
    case 'qsThreadInfo': return 'l';
    case 'qThreadExtraInfo': {
      const vcpu = client.vcpuOf(rest);
      return vcpu === undefined ? 'E01' : textToHex(target.describe(vcpu));
    }
    case 'qSymbol': return 'OK';
    case 'qRcmd': return runMonitor(client, rest);
    case 'qqemu.PhyMemMode': return client.physicalMemory ? '1' : '0';
    case 'Qqemu.PhyMemMode':
      if (rest !== '0' && rest !== '1') return 'E01';
      client.physicalMemory = rest === '1';
      return 'OK';
    default: return '';
  }
}

/** `features:read:target.xml:OFFSET,LENGTH` */
function transfer(description: string, text: string): string {
  const match = /^features:read:([^:]*):([0-9a-f]+),([0-9a-f]+)$/i.exec(text);
  if (match === null) return '';
  if (match[1] !== 'target.xml') return 'E00';
  const from = parseInt(match[2]!, 16), length = Math.min(parseInt(match[3]!, 16), PACKET_BYTES - 64);
  if (from > description.length) return 'E01';
  return `${from + length >= description.length ? 'l' : 'm'}${description.slice(from, from + length)}`;
}
