/** SECURITY.md: its settings, by a real ssh server and a real remote. */

import assert from 'node:assert/strict';

import { once, startInSync } from '../support/daemon.mjs';
import { makePair } from '../support/git.mjs';
import { missing } from '../support/servers.mjs';
import { Sandbox } from '../support/shell.mjs';
import { makeSshRemote } from './ssh.mjs';

async function pinned(t, block) {
  const sandbox = new Sandbox(t);
  const { repo, remote, options } = await makeSshRemote(t, sandbox);
  await sandbox.run(block, { cwd: repo.path });
  const daemon = await startInSync(t, options);
  const pushed = once(daemon, 'push');
  const commit = repo.commit();
  assert.equal((await pushed).commit, commit);
  assert.equal(remote.tip(), commit);
  assert.equal(daemon.status().transport, 'ssh');
}

async function denied(t, block) {
  const { repo, remote } = makePair(t, { commits: 2 });
  await new Sandbox(t).run(block, { cwd: remote.path });
  const tip = remote.tip();
  assert.throws(() => repo.git('push', '--force', 'origin', 'main~1:main'), /non-fast-forward/);
  assert.throws(() => repo.git('push', 'origin', ':main'), /deletion prohibited/);
  assert.equal(remote.tip(), tip);
  const commit = repo.commit();
  repo.git('push', 'origin', 'main');
  assert.equal(remote.tip(), commit);
}

export default {
  name: 'SECURITY.md',
  runs: [
    {
      title: 'its ssh command pushes with a pinned key and host',
      blocks: ['sh in Hardening'],
      run: pinned,
      skip: missing.ssh,
    },
    {
      title: 'its rules for a server refuse force and deletion, and take a fast-forward',
      blocks: ['sh in Hardening (2)'],
      run: denied,
    },
  ],
};
