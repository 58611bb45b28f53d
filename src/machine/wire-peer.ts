/** What experiments need to know of the computer at the far end of the wire. */
export { streamPayload } from '../devices/net/peer.js';
