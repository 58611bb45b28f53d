/** What callers above the machine need of the wire's other end: its counters and its stream. */

export { type Peer, type StreamCount, streamPayload } from '../devices/net/peer.js';
