/** A link with latency: a relay that passes everything on in its order and at its rate, each direction a fixed time later. */

import net from 'node:net';

import { atEnd } from '../__test__/support/cleanup.mjs';

/**
 * Starts one on a free port of the loopback interface. Connecting to it takes no time; a real link takes one more round
 * trip for that.
 *
 * @param {object} t what it ends with
 * @param {number} port where the server listens
 * @param {number} delayMs the delay of each direction
 * @returns {Promise<number>} its own port
 */
export async function startDelayLine(t, port, delayMs) {
  const sockets = new Set();
  const pass = (from, to) => {
    sockets.add(from);
    from.setNoDelay(true);
    from.on('data', (chunk) => setTimeout(() => to.write(chunk), delayMs));
    from.on('end', () => setTimeout(() => to.end(), delayMs));
    from.on('error', () => to.destroy());
    from.on('close', () => sockets.delete(from));
  };
  const server = net.createServer({ allowHalfOpen: true }, (client) => {
    const target = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    pass(client, target);
    pass(target, client);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  atEnd(t, () => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return server.address().port;
}
