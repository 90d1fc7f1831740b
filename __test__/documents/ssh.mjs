/** The remote that the documents have: over ssh, with a deploy key and a pinned host key among the mounted secrets. */

import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { makePair } from '../support/git.mjs';
import { startSshd } from '../support/servers.mjs';

/**
 * A pair whose `origin` is behind a real sshd, and its secrets in the sandbox.
 *
 * @returns {Promise<object>} as of `makePair`, with the server's `authorizedKeys` and `hostKey`, and the remote's `url`
 */
export async function makeSshRemote(t, sandbox) {
  const server = await startSshd(t);
  const hostKey = path.join(path.dirname(server.key), 'host_key.pub');
  const known = `[127.0.0.1]:${server.port} ${readFileSync(hostKey, 'utf8')}`;
  writeFileSync(path.join(sandbox.secrets, 'known_hosts'), known);
  copyFileSync(server.key, path.join(sandbox.secrets, 'deploy-key'));
  const pair = makePair(t);
  const url = server.url(pair.remote.path);
  pair.repo.git('remote', 'set-url', 'origin', url);
  return { ...pair, server, url, hostKey, authorizedKeys: `${server.key}.pub` };
}
