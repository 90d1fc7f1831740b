/**
 * Children of the daemon in a service in which nothing tells of their exit: without pidfd, as in gVisor, on old kernels and
 * under some seccomp profiles; and with a handler of SIGCHLD that is not ours, as soon as the service runs a child.
 */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { constants } from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';

import { ROOT, startScript } from './support/child.mjs';
import { until } from './support/daemon.mjs';
import { makePair } from './support/git.mjs';
import { children, isRunning } from './support/proc.mjs';
import { assertArrived } from './support/remote.mjs';
import { LOGIN, missing, startApache, startSshd } from './support/servers.mjs';

const FILTER = path.join(ROOT, '__test__', 'support', 'without_exit_notice.py');
const { ENOSYS, EINVAL, EPERM } = constants.errno;

const SKIP = spawnSync('python3', ['--version']).error
  ? 'there is no python3: apt install python3'
  : process.platform !== 'linux' && 'a seccomp filter is one of Linux';

/** After each push the service runs a child of its own, so that libuv handles SIGCHLD; unless it ignores that. */
const SERVICE = `
import { execFile } from 'node:child_process';
const { hasChildren, ...options } = input;
const daemon = startPushDaemon(options);
const run = (then) => hasChildren ? execFile('true', then) : then();
daemon.on('push', ({ commit }) => run(() => tell({ commit })));
daemon.on('error', ({ kind, err }) => tell({ error: kind + ': ' + err.message }));
process.once('SIGUSR2', async () => tell({ stopped: await daemon.stop({ timeoutMs: 30_000 }) }));
setInterval(() => {}, 1000);
run(() => tell({ ready: true }));
`;

const WAYS = {
  local: () => ({}),
  'the git command': () => ({ options: { transport: 'git-cli' } }),
  'https with a credential helper': async (t, { repo, remote }) => {
    const apache = await startApache(t, path.dirname(remote.path));
    apache.admit(remote.path);
    const { user, password } = LOGIN;
    const helper = `!f() { test "$1" = get && echo username=${user} && echo password=${password}; }; f`;
    repo.git('config', 'http.sslCAInfo', apache.ca);
    repo.git('config', 'credential.helper', helper);
    return {
      url: apache.url(path.basename(remote.path), { place: 'basic' }),
      options: { keepConnectionMs: 0 },
    };
  },
  ssh: async (t, { remote }) => {
    const sshd = await startSshd(t);
    return { url: sshd.url(remote.path), env: { GIT_SSH_COMMAND: sshd.command } };
  },
};

const NEEDS = { ssh: missing.ssh, 'https with a credential helper': missing.https };

const CASES = [
  ...Object.keys(WAYS).map((way) => [way, ENOSYS, 'pidfd_open fails with ENOSYS']),
  ['the git command', EINVAL, 'pidfd_open fails with EINVAL'],
  ['ssh', EPERM, 'pidfd_open fails with EPERM'],
  // Not where git has children of its own: it would handle SIGCHLD, which the filter keeps it from. tests/cli.rs has those.
  ['https with a credential helper', 'SIGCHLD', 'SIGCHLD is ignored'],
  ['ssh', 'SIGCHLD', 'SIGCHLD is ignored'],
];

describe('children are waited for', () => {
  for (const [way, how, when] of CASES) {
    test(`over ${way} where ${when}`, { skip: SKIP || NEEDS[way] }, async (t) => {
      const pair = makePair(t);
      const { repo, remote } = pair;
      const { url = remote.path, options = {}, env = {} } = await WAYS[way](t, pair);
      repo.git('remote', 'set-url', 'origin', url);
      const script = startScript(SERVICE, {
        input: { ...pair.options, ...options, hasChildren: how !== 'SIGCHLD' },
        env,
        under: ['python3', FILTER, String(how)],
      });
      t.after(() => script.kill());
      await script.untilTold(({ ready }) => ready);
      for (let pushed = 0; pushed < 3; pushed += 1) {
        const tip = repo.commit();
        const told = await script.untilTold(({ commit, error }) => commit === tip || error);
        assert.equal(told.error, undefined);
      }
      const zombies = () => children(script.pid).filter((pid) => !isRunning(pid));
      await until('no zombie is left', () => zombies().length === 0);
      script.child.kill('SIGUSR2');
      const { stopped } = await script.untilTold((told) => told.stopped);
      assert.deepEqual(stopped, { drained: true, pendingCommits: 0 });
      await until('no child is left', () => children(script.pid).length === 0);
      assertArrived(remote, repo);
    });
  }
});
