// The formats of repositories: hashes of object ids, storages of refs, and what happens where they differ or change.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { FORMATS } from '../scripts/formats.mjs';
import {
  collect,
  ENDLESS_BACKOFF,
  FAST_BACKOFF,
  once,
  start,
  startInSync,
  until,
} from './support/daemon.mjs';
import { git, makeDirectory, makePair, makeRemote, Repository } from './support/git.mjs';
import { processesIn } from './support/proc.mjs';
import { assertArrived } from './support/remote.mjs';
import { startGitDaemon } from './support/servers.mjs';

const OTHER = { sha1: 'sha256', sha256: 'sha1', files: 'reftable', reftable: 'files' };

const initArguments = ({ objects, refs }) => [`--object-format=${objects}`, `--ref-format=${refs}`];

/** A repository of these formats with one commit, and its remote, which has it. */
function makePairOf(t, format, { bare = true, remoteRefs = format.refs } = {}) {
  return makePair(t, {
    bare,
    arguments: initArguments(format),
    remoteArguments: initArguments({ ...format, refs: remoteRefs }),
  });
}

/** A worktree of a repository on a branch of its own. */
function addWorktree(t, repo) {
  const place = `${makeDirectory(t)}/linked`;
  repo.git('worktree', 'add', '--quiet', '-b', 'linked', place, 'main');
  return new Repository(place);
}

for (const format of FORMATS) {
  describe(`${format.objects} and ${format.refs}`, () => {
    for (const shape of ['bare', 'work tree', 'linked worktree']) {
      test(`${shape}: each commit is pushed natively, and the tracking ref follows`, async (t) => {
        const { repo, remote } = makePairOf(t, format, { bare: shape === 'bare' });
        const linked = shape === 'linked worktree' ? addWorktree(t, repo) : repo;
        // The branch is that of HEAD.
        const daemon = await startInSync(t, {
          remote: 'origin',
          repoPath: linked.path,
          transport: 'native',
        });
        const branch = shape === 'linked worktree' ? 'linked' : 'main';
        const { objectFormat, refFormat, branch: followed } = daemon.status();
        assert.deepEqual(
          [objectFormat, refFormat, followed],
          [format.objects, format.refs, branch],
        );
        for (let round = 0; round < 3; round += 1) {
          const commit = linked.commit({ branch });
          const { remoteCommit } = await daemon.waitForPush(commit);
          assert.equal(remoteCommit, commit);
          assert.equal(remote.tip(branch), commit);
        }
        const written = () => repo.git('rev-parse', `refs/remotes/origin/${branch}`);
        await until('the tracking ref is written', () => written() === remote.tip(branch));
        repo.git('pack-refs', '--all');
        const last = linked.commit({ branch });
        await daemon.waitForPush(last);
        assert.equal((await daemon.stop()).drained, true);
        assert.equal(written(), last);
        remote.fsck();
        assert.deepEqual([...remote.locks(), ...repo.locks()], []);
      });
    }

    test('to a remote whose refs are stored in the other way', async (t) => {
      const { repo, remote, options } = makePairOf(t, format, { remoteRefs: OTHER[format.refs] });
      const daemon = await startInSync(t, options);
      await daemon.waitForPush(repo.commit());
      await daemon.stop();
      assertArrived(remote, repo);
    });

    test('the first push fills an empty remote', async (t) => {
      const { repo, options } = makePairOf(t, format);
      const empty = makeRemote(t, { arguments: initArguments(format) });
      const daemon = start(t, { ...options, remote: empty.path });
      await daemon.waitForPush(repo.tip());
      assertArrived(empty, repo);
    });

    for (const transport of ['auto', 'git-cli']) {
      for (const state of ['with commits', 'empty']) {
        test(`a remote of the other hash, ${state}, is refused by one clear error, by ${transport}`, async (t) => {
          const { options } = makePairOf(t, format);
          const other = { ...format, objects: OTHER[format.objects] };
          const remote = makeRemote(t, { arguments: initArguments(other) });
          if (state === 'with commits') remote.commit();
          const before = remote.tip();
          const daemon = start(t, {
            ...options,
            remote: remote.path,
            transport,
            backoff: ENDLESS_BACKOFF,
          });
          const seen = collect(daemon);
          const { kind, err, hint } = await once(daemon, 'error');
          assert.equal(kind, 'rejected');
          assert.match(err.message, /object format|hash algorithm/);
          assert.match(hint, /git init --bare --object-format/);
          await once(daemon, 'retry');
          assert.deepEqual(seen.names(), ['error', 'retry']);
          assert.equal(remote.tip(), before);
        });
      }
    }

    test('refs that another program converts are followed on, there and back', async (t) => {
      const { repo, remote, options } = makePairOf(t, format);
      const daemon = await startInSync(t, { ...options, backoff: FAST_BACKOFF });
      for (const refs of [OTHER[format.refs], format.refs]) {
        const tip = repo.commit();
        await daemon.waitForPush(tip);
        // git converts no reflogs, and no refs that another git is writing.
        const isTracked = () => repo.git('rev-parse', 'refs/remotes/origin/main') === tip;
        await until('the remote-tracking ref is written', isTracked);
        await until('no git writes', () => processesIn(repo.path).length === 0);
        repo.git('reflog', 'expire', '--expire=all', '--all');
        repo.git('refs', 'migrate', `--ref-format=${refs}`);
        await daemon.waitForPush(repo.commit());
        await until('the status names the format', () => daemon.status().refFormat === refs);
      }
      await daemon.stop();
      assertArrived(remote, repo);
    });
  });
}

test('a remote of the other hash is refused over git:// too', async (t) => {
  const { options } = makePairOf(t, { objects: 'sha256', refs: 'files' });
  const root = makeDirectory(t);
  git(root, 'init', '--quiet', '--bare', '--object-format=sha1', 'data.git');
  git(`${root}/data.git`, 'config', 'daemon.receivepack', 'true');
  const server = await startGitDaemon(t, root);
  const daemon = start(t, {
    ...options,
    remote: server.url('data.git'),
    backoff: ENDLESS_BACKOFF,
  });
  const { kind, err } = await once(daemon, 'error');
  assert.equal(kind, 'rejected');
  assert.match(err.message, /the object format sha1, and this one sha256/);
});
