/** Servers that never answer: an address that drops every packet, and a name that is never resolved. */

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';

import { atEnd } from './cleanup.mjs';
import { until } from './daemon.mjs';
import { makeDirectory } from './git.mjs';

/** A handshake on loopback that is not dropped has long been made by then. */
const HANDSHAKE_MS = 1_000;
const BACKLOG = 1;
/** As `/proc/net/tcp` writes it. */
const SYN_SENT = '02';

const LISTEN = `
  const server = require('node:net').createServer();
  server.listen({ port: 0, host: '127.0.0.1', backlog: ${BACKLOG} }, () => console.log(server.address().port));
`;

/** How many connections to a port on this machine wait for the first answer. */
export function unanswered(port) {
  const address = `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/ +/))
    .filter(([, , remote, state]) => remote === address && state === SYN_SENT).length;
}

/**
 * A port of the loopback interface that answers no connection, as behind a firewall that drops packets: its process is
 * stopped, and its queue of connections is full.
 *
 * @returns {Promise<number>} the port
 */
export async function makeBlackHole(t) {
  const child = spawn(process.execPath, ['-e', LISTEN], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  atEnd(t, () => {
    child.kill('SIGKILL');
    return exited;
  });
  const [line] = await once(child.stdout, 'data');
  const port = Number(String(line));
  child.kill('SIGSTOP');
  const state = () => /\) (\S)/.exec(readFileSync(`/proc/${child.pid}/stat`, 'utf8'))[1];
  await until('its process is stopped', () => state() === 'T');
  for (;;) {
    const socket = net.connect(port, '127.0.0.1').on('error', () => {});
    atEnd(t, () => socket.destroy());
    const limit = AbortSignal.timeout(HANDSHAKE_MS);
    const isAnswered = await once(socket, 'connect', { signal: limit }).then(
      () => true,
      () => false,
    );
    if (isAnswered) continue;
    socket.destroy();
    await until('that connection is given up', () => unanswered(port) === 0);
    return port;
  }
}

/** Why no process can have its own network and name servers here, or false. */
export const noNamespaces =
  spawnSync('unshare', ['--net', '--mount', 'ip', 'link', 'set', 'lo', 'up']).status !== 0 &&
  'this takes root, unshare and ip (Debian, Ubuntu: apt install util-linux iproute2)';

/**
 * The beginning of a command line that runs a command in its own network, whose only name server is at 127.0.0.1.
 *
 * @returns {string[]} the beginning of a command line
 */
export function inOwnNetwork(t) {
  const file = path.join(makeDirectory(t), 'resolv.conf');
  // An unanswered lookup ends after 5 seconds.
  writeFileSync(file, 'nameserver 127.0.0.1\noptions timeout:5 attempts:1\n');
  const prepare = 'ip link set lo up && mount --bind "$0" /etc/resolv.conf && exec "$@"';
  return ['unshare', '--net', '--mount', 'sh', '-c', prepare, file];
}
