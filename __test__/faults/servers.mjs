/** The real servers that all cells share, started once; a cell's process is told of them in plain data. */

import { chmodSync } from 'node:fs';
import { userInfo } from 'node:os';

import { makeDirectory } from '../support/git.mjs';
import { missing, startApache, startGitDaemon, startSshd } from '../support/servers.mjs';

/** What the web server can be told to answer, by a file in a repository: `answer-503`, `answer-503-POST`. */
export const STATUSES = [401, 403, 404, 413, 429, 500, 503];

/** How long the web server asks for with 429, in seconds. */
export const RETRY_AFTER_S = 1;

/** For Apache: answers with a status where a file in the repository says so. */
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
 * Starts whatever can be started here, for one directory of repositories.
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

/** Why the cells of a transport cannot run here; `false` where they can. */
export function isMissing(transport) {
  const carrier = transport.split(' ').at(-1);
  return missing[carrier] ?? false;
}
