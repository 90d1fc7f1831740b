/** The real servers that all cells share, started once, and described to the cells' processes in plain data. */

import { chmodSync } from 'node:fs';
import { userInfo } from 'node:os';

import { makeDirectory } from '../support/git.mjs';
import { missing, startApache, startGitDaemon, startSshd } from '../support/servers.mjs';

/** Statuses that a file in a repository makes the web server answer: `answer-503`, `answer-503-POST`. */
export const STATUSES = [401, 403, 404, 413, 429, 500, 503];

/** The `Retry-After` that the web server sends with 429, in seconds. */
export const RETRY_AFTER_S = 1;

/** Lines for Apache that answer with a status if the repository has such a file. */
function answers(root) {
  return [
    'RewriteEngine On',
    ...STATUSES.flatMap((status) => [
      `RewriteCond "${root}/$1/answer-${status}" -f`,
      `RewriteRule "^/[a-z]+/([^/]+)/" - [R=${status},L]`,
      `RewriteCond "%{REQUEST_METHOD}" "=POST"`,
      `RewriteCond "${root}/$1/answer-${status}-POST" -f`,
      `RewriteRule "^/[a-z]+/([^/]+)/" - [R=${status},L]`,
    ]),
    `Header always set Retry-After ${RETRY_AFTER_S} "expr=%{REQUEST_STATUS} == 429"`,
  ];
}

/**
 * Starts the servers that are available here, for one directory of repositories.
 *
 * @param {object} t the test
 */
export async function startServers(t) {
  const root = makeDirectory(t);
  chmodSync(root, 0o755);
  const [git, ssh, https] = await Promise.all([
    startGitDaemon(t, root),
    missing.ssh ? undefined : startSshd(t),
    missing.https
      ? undefined
      : startApache(t, root, { modules: ['rewrite', 'headers'], settings: answers(root) }),
  ]);
  return {
    root,
    user: userInfo().username,
    git: { port: git.port },
    ssh: ssh && { port: ssh.port, command: ssh.command, key: ssh.key },
    https: https && { port: https.port, ca: https.ca },
  };
}

/** Why the cells of a transport cannot run here, or `false`. */
export function isMissing(transport) {
  const carrier = transport.split(' ').at(-1);
  return missing[carrier] ?? false;
}
