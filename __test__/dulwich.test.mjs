// Dulwich's servers compare the old value of a ref but answer `ok` in any case. The daemon never reports a false success and
// loses nothing, over each transport and with connections kept, as by default.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';

import { collect, ENDLESS_BACKOFF, once, startInSync } from './support/daemon.mjs';
import { makePair } from './support/git.mjs';
import { DULWICH_ENV, missing, startDulwich, startSshd } from './support/servers.mjs';

/** How to make `origin` a remote behind Dulwich, by transport. */
const TRANSPORTS = {
  http: async (t, { repo, remote }) => {
    const { url } = await startDulwich(t, 'http', remote.path);
    repo.git('remote', 'set-url', 'origin', url);
  },
  git: async (t, { repo, remote }) => {
    const { url } = await startDulwich(t, 'git', remote.path);
    repo.git('remote', 'set-url', 'origin', url);
  },
  ssh: async (t, { repo, remote }) => {
    const sshd = await startSshd(t);
    repo.git('remote', 'set-url', 'origin', sshd.url(remote.path));
    repo.git('config', 'core.sshCommand', sshd.command);
    const receivePack = `PYTHONPATH='${DULWICH_ENV.PYTHONPATH}' python3 -m dulwich receive-pack`;
    repo.git('config', 'remote.origin.receivepack', receivePack);
  },
};

async function makeSite(t, transport, options = {}) {
  const pair = makePair(t);
  await TRANSPORTS[transport](t, pair);
  const all = { ...pair.options, ...options, backoff: ENDLESS_BACKOFF };
  const daemon = await startInSync(t, all);
  const seen = collect(daemon);
  return { ...pair, daemon, seen };
}

/** Another client's commit on top of the remote's branch, which does not move yet. */
function foreignCommit(remote) {
  return remote.git('commit-tree', '-p', 'main', '-m', 'theirs', 'main^{tree}');
}

/** Has a hook of the remote run a command of git once, after a push has arrived and before its ref is moved. */
function duringPush(remote, command) {
  const mark = path.join(remote.path, 'is-due');
  writeFileSync(mark, '');
  const git = `env -u GIT_DIR git --git-dir='${remote.path}'`;
  remote.hook('update', `[ -e '${mark}' ] || exit 0`, `rm '${mark}'`, `${git} ${command}`);
}

for (const transport of Object.keys(TRANSPORTS)) {
  const skip = missing.dulwich || (transport === 'ssh' && missing.ssh);

  describe(`Dulwich over ${transport}`, { skip }, () => {
    for (const [when, strike] of [
      [
        'between two pushes',
        (remote, theirs) => remote.git('update-ref', 'refs/heads/main', theirs),
      ],
      [
        'during a push',
        (remote, theirs) => duringPush(remote, `update-ref refs/heads/main ${theirs}`),
      ],
    ]) {
      test(`a foreign commit ${when} is one non-fast-forward and no push`, async (t) => {
        const { repo, remote, daemon, seen } = await makeSite(t, transport);
        await daemon.waitForPush(repo.commit());
        const theirs = foreignCommit(remote);
        strike(remote, theirs);
        const ours = repo.commit();
        const { reason, commit, remoteCommit } = await once(daemon, 'error');
        assert.deepEqual([reason, commit, remoteCommit], ['non-fast-forward', ours, theirs]);
        await daemon.stop();
        assert.deepEqual(seen.names(), ['push', 'error', 'stopped']);
        assert.equal(remote.tip(), theirs);
        remote.fsck();
      });
    }

    for (const [when, strike] of [
      ['between two pushes', (remote) => remote.git('update-ref', '-d', 'refs/heads/main')],
      ['during a push', (remote) => duringPush(remote, 'update-ref -d refs/heads/main')],
    ]) {
      test(`a branch that was deleted ${when} is made again`, async (t) => {
        const { repo, remote, daemon, seen } = await makeSite(t, transport);
        await daemon.waitForPush(repo.commit());
        strike(remote);
        const ours = repo.commit();
        await daemon.waitForPush(ours);
        assert.equal(remote.tip(), ours);
        assert.deepEqual(seen.names(), ['push', 'regressed', 'push']);
        remote.fsck();
      });
    }

    test('a diverged tip is preserved', async (t) => {
      const { repo, remote, daemon, seen } = await makeSite(t, transport, {
        onDivergence: 'preserve',
      });
      const theirs = foreignCommit(remote);
      remote.git('update-ref', 'refs/heads/main', theirs);
      const ours = repo.commit();
      const { commit, ref } = await once(daemon, 'preserved');
      assert.deepEqual([commit, remote.git('rev-parse', ref)], [ours, ours]);
      assert.deepEqual(seen.names(), ['error', 'preserved']);
      assert.equal(remote.tip(), theirs);
      remote.fsck();
    });

    test('200 quick commits all arrive', async (t) => {
      const { repo, remote, daemon, seen } = await makeSite(t, transport);
      for (let made = 0; made < 200; made += 1) {
        repo.commit();
        await new Promise(setImmediate);
      }
      await daemon.waitForPush(repo.tip(), { timeoutMs: 60_000 });
      assert.equal(remote.count(), repo.count());
      assert.deepEqual(seen.of('error'), []);
      remote.fsck();
    });
  });
}
