/** HTTP as bytes, for requests that no client would send and answers that must not differ in any. */

import net from 'node:net';

const LIMIT_MS = 30_000;

/**
 * Sends one request and resolves to the whole answer but its date, as Latin-1. `headers` are lines, and
 * may hold what no client would send.
 *
 * @param {string} address such as `http://127.0.0.1:3000`
 * @param {string} request such as `GET /path`
 * @param {string[]} [headers]
 * @returns {Promise<string>}
 */
export function exchange(address, request, headers = []) {
  const { hostname, port } = new URL(address);
  return new Promise((resolve, reject) => {
    const socket = net.connect({ host: hostname, port });
    const chunks = [];
    socket.setTimeout(LIMIT_MS, () => socket.destroy(new Error(`${request}: no answer`)));
    socket.on('error', reject);
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('close', () =>
      resolve(
        Buffer.concat(chunks)
          .toString('latin1')
          .replace(/^date: .*\r\n/im, ''),
      ),
    );
    const lines = [`${request} HTTP/1.1`, 'host: api', 'connection: close', ...headers, '', ''];
    // Not ended: to Node's server that would be a client that has gone.
    socket.write(Buffer.from(lines.join('\r\n'), 'latin1'));
  });
}
