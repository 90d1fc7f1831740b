// Pushes from all kinds of repositories, by all kinds of writers, to all kinds of remotes; and changes that cause no event.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { describe, test } from 'node:test';

import { ROOT, runScript } from './support/child.mjs';
import {
  collect,
  FAST_BACKOFF,
  macrotask,
  once,
  start,
  startInSync,
  until,
  untilState,
} from './support/daemon.mjs';
import { countConnections, makeGate, startAtGate, wrapReceivePack } from './support/gate.mjs';
import {
  git,
  makeDirectory,
  makePair,
  makeRemote,
  makeRepo,
  Repository,
  testOf,
} from './support/git.mjs';

const require = createRequire(import.meta.url);
const isomorphicGit = require('isomorphic-git');

const PERSON = { name: 'Somebody', email: 'somebody@example.invalid' };

/** Waits for the push of this commit and checks the remote. Must be called in the tick of the commit. */
async function pushOf(daemon, remote, commit, branch = 'main') {
  const push = await once(daemon, 'push', (event) => event.commit === commit);
  assert.equal(remote.tip(branch), commit);
  remote.fsck();
  return push;
}

/** Another client's commit on top of the remote's branch. */
function commitByAnother(t, remote, branch = 'main') {
  const other = new Repository(path.join(makeDirectory(t), 'other.git'));
  git('/', 'clone', '--quiet', '--bare', '--template=', remote.path, other.path);
  const commit = other.commit({ branch, files: { 'by-another': `${Math.random()}\n` } });
  other.git('push', '--quiet', remote.path, `refs/heads/${branch}`);
  return commit;
}

describe('at the start', () => {
  test('commits from before the start are pushed together', async (t) => {
    const { repo, remote, options } = makePair(t);
    const previous = repo.tip();
    repo.commit();
    repo.commit();
    const tip = repo.commit();
    const push = await pushOf(start(t, options), remote, tip);
    assert.deepEqual([push.previous, push.commits, push.attempt], [previous, 3, 1]);
    assert.ok(push.bytes > 0 && push.durationMs > 0);
  });

  test('a branch that the remote already has emits no event', async (t) => {
    const { repo, remote, options } = makePair(t);
    const connections = countConnections(t, repo);
    const daemon = start(t, options);
    const seen = collect(daemon);
    const { pendingCommits, remoteCommit, lastError } = await untilState(daemon, 'in-sync');
    assert.deepEqual([pendingCommits, remoteCommit, lastError], [0, remote.tip(), null]);
    await daemon.stop();
    assert.deepEqual(seen.names(), ['stopped']);
    assert.equal(connections(), 1);
  });

  test('a branch that is only behind emits no event', async (t) => {
    const { repo, remote, options } = makePair(t);
    const theirs = commitByAnother(t, remote);
    const daemon = start(t, options);
    const seen = collect(daemon);
    const { behindCommits, remoteCommit } = await untilState(daemon, 'in-sync');
    assert.deepEqual([behindCommits, remoteCommit], [1, theirs]);
    // The same with the commits here.
    repo.git('fetch', '--quiet', remote.path, 'main');
    await daemon.stop();
    const again = await startInSync(t, options);
    assert.equal(again.status().behindCommits, 1);
    assert.deepEqual(seen.names(), ['stopped']);
  });

  test('a commit made before the remote answers the first read is pushed', async (t) => {
    const { repo, remote, options } = makePair(t);
    const gate = makeGate(t);
    wrapReceivePack(t, repo, ...gate.lines);
    const daemon = start(t, options);
    await gate.entered();
    assert.equal(daemon.status().state, 'starting');
    const tip = repo.commit();
    gate.open();
    await pushOf(daemon, remote, tip);
  });

  test('a commit at any moment of the start is pushed', async (t) => {
    const { repo, remote, options } = makePair(t);
    for (let round = 0; round < 24; round += 1) {
      const daemon = start(t, options);
      for (let waited = 0; waited < round * 16; waited += 1) await macrotask();
      await pushOf(daemon, remote, repo.commit());
      await daemon.stop();
    }
  });
});

describe('commits while the daemon runs', () => {
  test('a commit is pushed', async (t) => {
    const { repo, remote, options } = makePair(t);
    const daemon = await startInSync(t, options);
    const previous = repo.tip();
    const push = await pushOf(daemon, remote, repo.commit());
    assert.deepEqual([push.previous, push.commits, push.attempt], [previous, 1, 1]);
  });

  test('commits during a push go out together in the next one', async (t) => {
    const { repo, remote, gate, daemon, seen } = await startAtGate(t);
    const first = repo.commit();
    await gate.entered();
    repo.commit();
    const last = repo.commit();
    gate.open();
    await pushOf(daemon, remote, last);
    assert.deepEqual(
      seen.of('push').map(({ commit, commits }) => [commit, commits]),
      [
        [first, 1],
        [last, 2],
      ],
    );
  });

  test('a commit at the very moment of a push event is pushed', async (t) => {
    const { repo, remote, options } = makePair(t);
    const daemon = await startInSync(t, options);
    const rounds = 25;
    const seen = collect(daemon);
    let tip = repo.commit();
    for (let round = 1; round < rounds; round += 1) {
      await once(daemon, 'push', ({ commit }) => commit === tip);
      tip = repo.commit();
    }
    await pushOf(daemon, remote, tip);
    assert.equal(seen.of('push').length, rounds);
    assert.deepEqual(new Set(seen.names()), new Set(['push']));
  });

  test('a commit on another branch causes no event and no connection', async (t) => {
    const { repo, remote, options } = makePair(t);
    const connections = countConnections(t, repo);
    const daemon = await startInSync(t, options);
    const seen = collect(daemon);
    repo.commit({ branch: 'other' });
    repo.commit({ branch: 'main-2' });
    repo.commit({ branch: 'other' });
    await pushOf(daemon, remote, repo.commit());
    assert.deepEqual(seen.names(), ['push']);
    assert.equal(connections(), 2);
    assert.equal(remote.tip('other'), null);
  });

  test('a branch reset to an older commit of the remote emits no event', async (t) => {
    const { repo, remote, options } = makePair(t, { commits: 3 });
    const daemon = await startInSync(t, options);
    const seen = collect(daemon);
    repo.git('update-ref', 'refs/heads/main', 'refs/heads/main~2');
    await until('the reset is seen', () => daemon.status().behindCommits === 2);
    await untilState(daemon, 'in-sync');
    repo.git('update-ref', 'refs/heads/main', remote.tip());
    await pushOf(daemon, remote, repo.commit());
    assert.deepEqual(seen.names(), ['push']);
  });
});

describe('writers', () => {
  test('git commit in a working tree', async (t) => {
    const { repo, remote, options } = makePair(t, { bare: false });
    repo.git('reset', '--quiet', '--hard');
    const daemon = await startInSync(t, options);
    fs.writeFileSync(path.join(repo.path, 'file'), 'content\n');
    repo.git('add', 'file');
    repo.git('commit', '--quiet', '--message=by hand');
    await pushOf(daemon, remote, repo.tip());
    repo.git('commit', '--quiet', '--allow-empty', '--message=nothing in it');
    await pushOf(daemon, remote, repo.tip());
    repo.git('merge', '--quiet', '--no-ff', '--message=merge', commitOnSideBranch(repo));
    await pushOf(daemon, remote, repo.tip());
  });

  test('git update-ref', async (t) => {
    const { repo, remote, options } = makePair(t);
    const daemon = await startInSync(t, options);
    const commit = repo.commit({ branch: 'prepared' });
    const onTop = repo.git('commit-tree', `${commit}^{tree}`, '-p', 'main', '-m', 'moved');
    repo.git('update-ref', 'refs/heads/main', onTop);
    await pushOf(daemon, remote, onTop);
  });

  const forIsomorphicGit = { objects: 'sha1', refs: 'files' };

  testOf(forIsomorphicGit, 'isomorphic-git in this process', async (t) => {
    const { repo, remote, options } = makePair(t);
    const daemon = await startInSync(t, options);
    for (let round = 0; round < 5; round += 1) {
      const commit = await isomorphicGit.commit({
        fs,
        gitdir: repo.path,
        ref: 'refs/heads/main',
        tree: repo.git('rev-parse', 'main^{tree}'),
        parent: [repo.tip()],
        message: `round ${round}`,
        author: PERSON,
      });
      await until('the commit is there', () => remote.tip() === commit);
      assert.equal((await daemon.waitForPush(commit)).remoteCommit, commit);
    }
    remote.fsck();
  });

  testOf({ refs: 'files' }, "a writer that empties the ref's file before filling it", async (t) => {
    const { repo, remote, options } = makePair(t);
    const daemon = await startInSync(t, options);
    const seen = collect(daemon);
    const file = path.join(repo.path, 'refs/heads/main');
    const commit = repo.git('commit-tree', 'main^{tree}', '-p', 'main', '-m', 'next');
    fs.writeFileSync(file, '');
    for (let turn = 0; turn < 500; turn += 1) await macrotask();
    fs.writeFileSync(file, `${commit}\n`);
    await pushOf(daemon, remote, commit);
    assert.deepEqual(seen.names(), ['push']);
  });

  testOf(forIsomorphicGit, 'isomorphic-git in another process', async (t) => {
    const { repo, remote, options } = makePair(t);
    const daemon = await startInSync(t, options);
    const { told } = await runScript(
      `import fs from 'node:fs';
      const git = require('node:module').createRequire(input.root)('isomorphic-git');
      const { repo: gitdir, tree, author } = input;
      const parent = await git.resolveRef({ fs, gitdir, ref: 'refs/heads/main' });
      tell(await git.commit({ fs, gitdir, ref: 'refs/heads/main', tree, parent: [parent], message: 'm', author }));`,
      {
        input: {
          root: path.join(ROOT, 'package.json'),
          repo: repo.path,
          tree: repo.git('rev-parse', 'main^{tree}'),
          author: PERSON,
        },
      },
    );
    const [commit] = told;
    await daemon.waitForPush(commit);
    assert.equal(remote.tip(), commit);
    assert.equal(repo.tip(), commit);
    remote.fsck();
  });

  test('git fetch into the branch', async (t) => {
    const { repo, remote, options } = makePair(t);
    const source = new Repository(path.join(makeDirectory(t), 'source.git'));
    git('/', 'clone', '--quiet', '--bare', repo.path, source.path);
    const commit = source.commit();
    const daemon = await startInSync(t, options);
    repo.git('fetch', '--quiet', source.path, 'main:main');
    await pushOf(daemon, remote, commit);
  });

  testOf({ refs: 'files' }, 'a branch that is in packed-refs only', async (t) => {
    const { repo, remote, options } = makePair(t);
    const previous = repo.tip();
    const tip = repo.commit();
    repo.git('pack-refs', '--all', '--prune');
    assert.equal(fs.existsSync(path.join(repo.path, 'refs/heads/main')), false);
    const daemon = start(t, options);
    await pushOf(daemon, remote, tip);
    // The next value goes into packed-refs alone, as no git command does it, but a restored backup may.
    const packed = path.join(repo.path, 'packed-refs');
    const next = repo.commit({ branch: 'next' });
    const onTop = repo.git('commit-tree', `${next}^{tree}`, '-p', tip, '-m', 'packed');
    fs.writeFileSync(
      `${packed}.new`,
      fs.readFileSync(packed, 'utf8').replace(`${tip} refs/heads/main`, `${onTop} refs/heads/main`),
    );
    fs.renameSync(`${packed}.new`, packed);
    const push = await pushOf(daemon, remote, onTop);
    assert.equal(push.previous, tip);
    assert.notEqual(previous, tip);
  });
});

/** Packs the refs, unless another git has locked them: that of the daemon writes the remote-tracking ref after a push. */
function packsRefs(repo) {
  try {
    repo.git('pack-refs', '--all', '--prune');
    return true;
  } catch {
    return false;
  }
}

/** Makes a commit on a side branch for a merge. */
function commitOnSideBranch(repo) {
  repo.git('branch', '--force', 'side', 'main~1');
  return repo.commit({ branch: 'side' });
}

describe('repositories', () => {
  test('a branch with slashes in its name and without its directories', async (t) => {
    const { repo, remote, options } = makePair(t);
    const branch = 'feature/nested/deep';
    const daemon = start(t, { ...options, branch });
    const tip = repo.commit({ branch });
    await pushOf(daemon, remote, tip, branch);
    // git removes the empty directories too, and makes them again.
    await until('the refs are packed', () => packsRefs(repo));
    await pushOf(daemon, remote, repo.commit({ branch }), branch);
    assert.equal(daemon.status().branch, branch);
  });

  test('a linked worktree', async (t) => {
    const { repo, remote, options } = makePair(t, { bare: false });
    const linked = new Repository(path.join(makeDirectory(t), 'linked'));
    repo.git('worktree', 'add', '--quiet', '-b', 'linked', linked.path, 'main');
    const daemon = start(t, { ...options, repoPath: linked.path, branch: undefined });
    assert.equal(daemon.status().branch, 'linked');
    await pushOf(daemon, remote, linked.tip('linked'), 'linked');
    fs.writeFileSync(path.join(linked.path, 'file'), 'content\n');
    linked.git('add', 'file');
    linked.git('commit', '--quiet', '--message=in the linked worktree');
    await pushOf(daemon, remote, linked.tip('linked'), 'linked');
  });

  test('the .git directory and a file within the working tree name the repository too', async (t) => {
    const { repo, remote, options } = makePair(t, { bare: false });
    const daemon = await startInSync(t, { ...options, repoPath: path.join(repo.path, '.git') });
    await pushOf(daemon, remote, repo.commit());
    await daemon.stop();
  });

  test('a bare clone, without fetch refspec and tracking ref, pushes its backlog', async (t) => {
    const { remote } = makePair(t, { commits: 3 });
    const repo = bareClone(t, remote);
    assert.equal(repo.git('for-each-ref', 'refs/remotes'), '');
    repo.commit();
    const tip = repo.commit();
    const push = await pushOf(start(t, optionsFor(repo)), remote, tip);
    assert.equal(push.commits, 2);
    assert.equal(repo.git('rev-parse', 'refs/remotes/origin/main'), tip);
  });

  test("a bare clone that lacks the remote's commits is behind, which is no error", async (t) => {
    const { remote } = makePair(t);
    const repo = bareClone(t, remote);
    const theirs = commitByAnother(t, remote);
    const daemon = start(t, { ...optionsFor(repo), divergedProbeMs: 0 });
    const seen = collect(daemon);
    const { remoteCommit, behindCommits } = await untilState(daemon, 'in-sync');
    assert.deepEqual([remoteCommit, behindCommits], [theirs, 1]);
    await daemon.stop();
    assert.deepEqual(seen.names(), ['stopped']);
    assert.equal(remote.tip(), theirs);
  });

  test('a bare clone that pushed before knows after a restart that it is only behind', async (t) => {
    const { remote } = makePair(t);
    const repo = bareClone(t, remote);
    const first = start(t, optionsFor(repo));
    await pushOf(first, remote, repo.commit());
    await first.stop();
    const theirs = commitByAnother(t, remote);
    const daemon = start(t, optionsFor(repo));
    const seen = collect(daemon);
    await untilState(daemon, 'in-sync');
    assert.equal(daemon.status().remoteCommit, theirs);
    await daemon.stop();
    assert.deepEqual(seen.names(), ['stopped']);
  });

  test('a shallow clone', async (t) => {
    const { remote } = makePair(t, { commits: 5 });
    const repo = new Repository(path.join(makeDirectory(t), 'shallow.git'));
    git('/', 'clone', '--quiet', '--bare', '--depth=2', `file://${remote.path}`, repo.path);
    assert.equal(repo.count(), 2);
    const daemon = await startInSync(t, optionsFor(repo));
    const push = await pushOf(daemon, remote, repo.commit());
    assert.equal(push.commits, 1);
    assert.equal(remote.count(), 6);
    assert.equal(remote.git('rev-parse', '--is-shallow-repository'), 'false');
  });

  test('a linked worktree of a shallow clone', async (t) => {
    const { remote } = makePair(t, { commits: 5 });
    const main = path.join(makeDirectory(t), 'shallow');
    git('/', 'clone', '--quiet', '--depth=1', `file://${remote.path}`, main);
    const linked = new Repository(path.join(makeDirectory(t), 'linked'));
    git(main, 'worktree', 'add', '--quiet', '-b', 'linked', linked.path);
    linked.git('commit', '--quiet', '--allow-empty', '--message=on top');
    const daemon = start(t, { remote: 'origin', repoPath: linked.path });
    const push = await pushOf(daemon, remote, linked.tip('linked'), 'linked');
    assert.equal(push.commits, 1);
    assert.equal(remote.count('linked'), 6);
  });

  test('a tree with a submodule whose commit is missing', async (t) => {
    const { repo, remote, options } = makePair(t, { bare: false });
    repo.git('reset', '--quiet', '--hard');
    const daemon = await startInSync(t, options);
    const elsewhere = '12'.repeat(repo.tip().length / 2);
    repo.git('update-index', '--add', '--cacheinfo', `160000,${elsewhere},module`);
    fs.writeFileSync(path.join(repo.path, 'beside'), 'content\n');
    repo.git('add', 'beside');
    repo.git('commit', '--quiet', '--message=add a submodule');
    await pushOf(daemon, remote, repo.tip());
    assert.match(remote.git('ls-tree', 'main', 'module'), new RegExp(`commit ${elsewhere}`));
  });

  for (const [what, content] of [
    ['an empty file', ''],
    ['zeros, as a power loss leaves them', '\0'.repeat(41)],
    ['a ref that leads to itself', 'ref: refs/remotes/origin/main\n'],
  ]) {
    testOf({ refs: 'files' }, `a remote-tracking ref that is ${what}`, async (t) => {
      const { repo, remote, options } = makePair(t);
      const file = path.join(repo.path, 'refs', 'remotes', 'origin', 'main');
      fs.mkdirSync(path.dirname(file), { recursive: true });
      fs.writeFileSync(file, content);
      const daemon = start(t, options);
      const seen = collect(daemon);
      const commit = repo.commit();
      await daemon.waitForPush(commit);
      assert.equal(remote.tip(), commit);
      assert.deepEqual(seen.names(), ['push']);
    });
  }

  test('a branch that does not exist yet is pushed with its first commit', async (t) => {
    const { repo, remote, options } = makePair(t, { commits: 0 });
    const daemon = start(t, options);
    const seen = collect(daemon);
    await untilState(daemon, 'in-sync');
    assert.equal(daemon.status().localCommit, null);
    const push = await pushOf(daemon, remote, repo.commit());
    assert.deepEqual([push.previous, push.commits, push.attempt], [null, 1, 1]);
    assert.deepEqual(seen.names(), ['push']);
  });

  test('a deleted branch is not deleted on the remote, and is followed again once recreated', async (t) => {
    const { repo, remote, options } = makePair(t);
    const daemon = await startInSync(t, options);
    const seen = collect(daemon);
    const tip = repo.tip();
    repo.git('update-ref', '-d', 'refs/heads/main');
    await until('the deletion is seen', () => daemon.status().localCommit === null);
    assert.equal(daemon.status().pendingCommits, 0);
    repo.git('update-ref', 'refs/heads/main', tip);
    await until('the branch is seen', () => daemon.status().localCommit === tip);
    await pushOf(daemon, remote, repo.commit());
    assert.deepEqual(seen.names(), ['push']);
  });
});

function bareClone(t, remote) {
  const repo = new Repository(path.join(makeDirectory(t), 'clone.git'));
  git('/', 'clone', '--quiet', '--bare', remote.path, repo.path);
  return repo;
}

function optionsFor(repo) {
  return { remote: 'origin', branch: 'main', repoPath: repo.path };
}

describe('remotes', () => {
  test('an empty remote', async (t) => {
    const { repo, remote, options } = makePair(t, { commits: 3, inSync: false });
    const push = await pushOf(start(t, options), remote, repo.tip());
    assert.deepEqual([push.previous, push.commits], [null, 3]);
  });

  test('a remote that has other branches, but not this one', async (t) => {
    const { repo, remote, options } = makePair(t, { commits: 3 });
    repo.git('branch', 'new', 'main');
    const tip = repo.commit({ branch: 'new' });
    const push = await pushOf(start(t, { ...options, branch: 'new' }), remote, tip, 'new');
    assert.deepEqual([push.previous, push.commits], [null, 1]);
  });

  test('a tag with the name of the branch, here and there', async (t) => {
    const { repo, remote, options } = makePair(t);
    repo.git('tag', '-a', '-m', 'the tag', 'main', 'refs/heads/main');
    repo.git('push', '--quiet', 'origin', 'refs/tags/main');
    const tag = remote.git('rev-parse', 'refs/tags/main');
    const daemon = await startInSync(t, options);
    await pushOf(daemon, remote, repo.commit());
    assert.equal(remote.git('rev-parse', 'refs/tags/main'), tag);
  });

  test('the remote-tracking ref of a named remote follows each push', async (t) => {
    const { repo, remote, options } = makePair(t);
    repo.git('config', '--unset-all', 'remote.origin.fetch');
    const daemon = await startInSync(t, options);
    const tip = repo.commit();
    await pushOf(daemon, remote, tip);
    assert.equal(repo.git('rev-parse', 'refs/remotes/origin/main'), tip);
    assert.equal(
      repo.git('for-each-ref', '--format=%(refname)', 'refs/remotes'),
      'refs/remotes/origin/main',
    );
  });

  for (const [kind, urlOf] of [
    ['a path', (remote) => remote.path],
    ['a path relative to the repository', (remote, repo) => path.relative(repo.path, remote.path)],
    ['a file:// URL', (remote) => `file://${remote.path}`],
  ]) {
    test(`${kind} in the place of a name, which leaves no remote-tracking ref`, async (t) => {
      const remote = makeRemote(t);
      const repo = makeRepo(t);
      const tip = repo.commit();
      const options = { remote: urlOf(remote, repo), branch: 'main', repoPath: repo.path };
      const daemon = start(t, options);
      await pushOf(daemon, remote, tip);
      await pushOf(daemon, remote, repo.commit());
      assert.equal(repo.git('for-each-ref', 'refs/remotes'), '');
    });
  }

  test('a folder with core.bare set, named without its /.git', async (t) => {
    const { repo, remote, options } = pairWithFolder(t);
    const daemon = await startInSync(t, options);
    await pushOf(daemon, remote, repo.commit());
  });

  test('a path with spaces and quotes', async (t) => {
    const place = path.join(makeDirectory(t), `it's a "remote" $HOME.git`);
    const remote = makeRemote(t, { directory: place });
    const repo = makeRepo(t);
    repo.git('remote', 'add', 'origin', place);
    await pushOf(start(t, optionsFor(repo)), remote, repo.commit());
  });

  test('the push URL of the remote, its insteadOf rules, and a change of them while running', async (t) => {
    const { repo, remote, options } = makePair(t);
    const second = makeRemote(t);
    repo.git('config', 'remote.origin.pushurl', 'there:main');
    repo.git('config', `url.${remote.path}.insteadOf`, 'there:main');
    const daemon = await startInSync(t, options);
    await pushOf(daemon, remote, repo.commit());
    repo.git('config', 'remote.origin.pushurl', second.path);
    await pushOf(daemon, second, repo.commit());
  });
});

/** A pair whose remote is an ordinary folder with core.bare set, as in gitsheets' tests. */
function pairWithFolder(t) {
  const remote = makeRepo(t, { bare: false });
  remote.git('config', 'core.bare', 'true');
  const repo = makeRepo(t, { bare: false });
  repo.git('remote', 'add', 'origin', remote.path);
  repo.commit();
  repo.git('push', '--quiet', 'origin', 'main');
  return { repo, remote, options: { remote: 'origin', repoPath: path.join(repo.path, '.git') } };
}

test('a commit that reached the remote by another way emits no event', async (t) => {
  const { repo, options } = makePair(t);
  const daemon = await startInSync(t, { ...options, watch: false });
  const seen = collect(daemon);
  const commit = repo.commit();
  repo.git('push', '--quiet', 'origin', 'main');
  daemon.notifyCommit(commit);
  assert.deepEqual(await daemon.flush(), { commit });
  assert.deepEqual(seen.names(), []);
  assert.equal(daemon.status().pendingCommits, 0);
});

test('an unreachable remote at the start is an error event, and the daemon remains usable', async (t) => {
  const { repo, options } = makePair(t);
  const absent = path.join(makeDirectory(t), 'absent');
  repo.git('remote', 'set-url', 'origin', absent);
  const daemon = start(t, { ...options, backoff: FAST_BACKOFF, maxRetries: 0 });
  const error = await once(daemon, 'error');
  assert.deepEqual([error.commit, error.attempt, error.reason], [null, 0, 'unknown']);
  assert.equal(daemon.status().running, true);
  const remote = makeRemote(t, { directory: absent });
  await pushOf(daemon, remote, repo.commit());
});
