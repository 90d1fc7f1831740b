// The evidence of a divergence: what only the remote has, looked at without changing the local repository.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { describe, test } from 'node:test';

import { runScript, startScript } from './support/child.mjs';
import { collect, once, start, startInSync, until, untilState } from './support/daemon.mjs';
import { makeGate, makeScript } from './support/gate.mjs';
import { gitWith, makeDirectory, makePair, makeRepo, Repository } from './support/git.mjs';
import { processesIn } from './support/proc.mjs';
import { commitByAnother, makeDiverged } from './support/remote.mjs';
import { LOGIN, missing, startApache, startGitDaemon, startSshd } from './support/servers.mjs';

const { divergenceCard } = createRequire(import.meta.url)('../fastify/divergence.js');

const PREFIX = 'git-push-daemon-quarantine-';

/** The git directory that has the objects. */
const commonDir = (repo) => repo.git('rev-parse', '--path-format=absolute', '--git-common-dir');

/** The quarantines in a repository. */
function quarantines(repo) {
  return fs.readdirSync(commonDir(repo)).filter((name) => name.startsWith(PREFIX));
}

/** Everything about a repository that looking must not change. */
function snapshot(repo) {
  const directory = commonDir(repo);
  return {
    objects: repo.git('count-objects', '-v'),
    refs: repo.git('for-each-ref'),
    config: fs.readFileSync(path.join(directory, 'config'), 'utf8'),
    files: fs.readdirSync(directory).filter((name) => !name.startsWith(PREFIX)),
  };
}

/** A bare clone, as in production: it has no remote-tracking ref. `more` are arguments of `git clone`. */
function cloneOf(t, remote, ...more) {
  const directory = path.join(makeDirectory(t), 'clone.git');
  gitWith({}, '/', 'clone', '--quiet', '--bare', ...more, `file://${remote.path}`, directory);
  const repo = new Repository(directory);
  repo.git('remote', 'set-url', 'origin', remote.path);
  return { repo, options: { remote: 'origin', branch: 'main', repoPath: repo.path } };
}

/** Commits some by another client. */
function commitSome(remote, number, branch) {
  return Array.from({ length: number }, () => commitByAnother(remote, branch)).at(-1);
}

/** Another client's commit of more bytes than the daemon fetches. */
function commitLarge(t, remote) {
  const file = path.join(makeDirectory(t), 'large');
  fs.writeFileSync(file, randomBytes(70 * 1024 * 1024));
  const blob = remote.git('hash-object', '-w', file);
  const tree = gitWith({ input: `100644 blob ${blob}\tlarge\n` }, remote.path, 'mktree');
  const commit = remote.git('commit-tree', tree, '-p', 'main', '-m', 'large');
  remote.git('update-ref', 'refs/heads/main', commit);
  return commit;
}

/** Whether git leaves objects out without copying others: not from 2.48 on. */
function filtersForFree() {
  const [, major, minor] = /(\d+)\.(\d+)/.exec(gitWith({}, '/', 'version'));
  return Number(major) === 2 && Number(minor) < 48;
}

/** What git itself finds in a repository that has both sides. */
function evidenceByGit(t, repo, remote, args) {
  const judge = makeRepo(t, { arguments: args });
  judge.git('fetch', '--quiet', repo.path, '+refs/heads/main:refs/heads/ours');
  judge.git('fetch', '--quiet', remote.path, '+refs/heads/main:refs/heads/theirs');
  const counts = judge.git('rev-list', '--left-right', '--count', 'ours...theirs').split('\t');
  const log = judge.git('log', '-20', '--format=%H%x09%an <%ae>%x09%ct%x09%s', 'ours..theirs');
  return {
    mergeBase: mergeBase(judge),
    ahead: Number(counts[0]),
    behind: Number(counts[1]),
    commits: log.split('\n').map((line) => {
      const [commit, author, seconds, subject] = line.split('\t');
      return { commit, author, committedAt: new Date(seconds * 1000).toISOString(), subject };
    }),
  };
}

function mergeBase(judge) {
  try {
    return judge.git('merge-base', 'ours', 'theirs');
  } catch {
    return null;
  }
}

/** The evidence without the commands. */
function facts({ commands, ...rest }) {
  assert.ok(Array.isArray(commands));
  return rest;
}

/** Starts a daemon that finds the branches diverged, and returns the evidence of the event. */
async function look(t, options, more = {}) {
  const daemon = start(t, { divergedProbeMs: 0, ...options, ...more });
  const error = await once(daemon, 'error');
  assert.equal(error.reason, 'non-fast-forward');
  return { daemon, error, evidence: error.divergence };
}

/** Counts how often the repository fetches from its `origin`. */
function countFetches(t, repo) {
  const log = path.join(makeDirectory(t), 'fetches');
  fs.writeFileSync(log, '');
  repo.git(
    'config',
    'remote.origin.uploadpack',
    makeScript(t, `echo fetch >>'${log}'`, 'exec git upload-pack "$@"'),
  );
  return () => fs.readFileSync(log, 'utf8').split('\n').filter(Boolean).length;
}

/** How a remote is reached. Each returns what `repo` must have for that. */
const TRANSPORTS = {
  'a path': { reach: () => {} },
  'git://': {
    async reach(t, repo, remote) {
      const server = await startGitDaemon(t, path.dirname(remote.path));
      repo.git('remote', 'set-url', 'origin', server.url(path.basename(remote.path)));
    },
  },
  ssh: {
    skip: missing.ssh,
    async reach(t, repo, remote) {
      const server = await startSshd(t);
      repo.git('config', 'core.sshCommand', server.command);
      repo.git('config', 'ssh.variant', 'ssh');
      repo.git('remote', 'set-url', 'origin', server.url(remote.path));
    },
  },
  'https with a password': {
    skip: missing.https,
    async reach(t, repo, remote) {
      const server = await startApache(t, path.dirname(remote.path));
      server.admit(remote.path);
      repo.git('config', 'http.sslCAInfo', server.ca);
      const url = new URL(server.url(path.basename(remote.path), { place: 'basic' }));
      Object.assign(url, { username: LOGIN.user, password: LOGIN.password });
      repo.git('remote', 'set-url', 'origin', url.href);
    },
  },
};

describe('a bare clone that is merely behind', () => {
  for (const [name, { skip = false, reach }] of Object.entries(TRANSPORTS)) {
    test(`starts in sync with the exact number of commits, over ${name}`, { skip }, async (t) => {
      const { remote } = makePair(t, { commits: 3 });
      const { repo, options } = cloneOf(t, remote);
      await reach(t, repo, remote);
      const theirs = commitSome(remote, 4);
      const before = snapshot(repo);
      const daemon = start(t, { ...options, divergedProbeMs: 0 });
      const seen = collect(daemon);
      await untilState(daemon, 'in-sync');
      const expected = {
        behindCommits: 4,
        pendingCommits: 0,
        remoteCommit: theirs,
        lastError: null,
        divergence: null,
      };
      const shown = () =>
        Object.fromEntries(Object.keys(expected).map((key) => [key, daemon.status()[key]]));
      assert.deepEqual(shown(), expected);
      await daemon.flush();
      assert.deepEqual(shown(), expected);
      assert.deepEqual(seen.names(), []);
      await until('the quarantine is removed', () => quarantines(repo).length === 0);
      assert.deepEqual(snapshot(repo), before);

      const tip = repo.commit();
      const error = await once(daemon, 'error');
      assert.deepEqual([error.commit, error.remoteCommit], [tip, theirs]);
      assert.deepEqual(facts(error.divergence), evidenceByGit(t, repo, remote));
      const { pendingCommits, behindCommits } = daemon.status();
      assert.deepEqual([pendingCommits, behindCommits], [1, 4]);
      await daemon.stop();
      assert.deepEqual(seen.names(), ['error', 'stopped']);
      assert.deepEqual(quarantines(repo), []);
      assert.equal(JSON.stringify(error).includes(LOGIN.password), false);
    });
  }

  test('is in sync although an earlier tip of the remote is known that it lacked', async (t) => {
    // Another process has pushed what is here, and somebody more.
    const { repo, remote, options } = makePair(t);
    repo.commit();
    remote.git('fetch', '--quiet', repo.path, 'main:main');
    commitSome(remote, 2);
    const daemon = await startInSync(t, options);
    assert.deepEqual([daemon.status().behindCommits, daemon.status().pendingCommits], [2, 0]);
  });
});

describe('the evidence of a divergence', () => {
  /** Makes histories of both sides. */
  const HISTORIES = {
    'a commit on either side': ({ repo, remote }) => {
      repo.commit();
      commitByAnother(remote);
    },
    'merges on both sides': ({ repo, remote }) => {
      for (const side of [repo, remote]) {
        side.git('branch', 'topic', 'main');
        const content = `${side.path}`;
        const [topic, main] = ['1800000001 +0000', '1800000002 +0000'];
        side.commit({ branch: 'topic', files: { topic: content }, committedAt: topic });
        side.commit({ files: { main: content }, committedAt: main });
        const tree = side.git('rev-parse', 'main^{tree}');
        const merge = side.git(
          ...['commit-tree', tree, '-p', 'main', '-p', 'topic', '-m', 'a merge'],
        );
        side.git('update-ref', 'refs/heads/main', merge);
      }
    },
    'unrelated histories': ({ repo, remote }) => {
      remote.git('update-ref', '-d', 'refs/heads/main');
      commitSome(remote, 3);
      repo.commit();
    },
    'a remote that was set back and went on': ({ repo, remote }) => {
      remote.git('update-ref', 'refs/heads/main', 'main~1');
      commitSome(remote, 2);
      repo.commit();
    },
    'more commits than are shown': ({ repo, remote }) => {
      repo.commit();
      commitSome(remote, 25);
    },
  };

  for (const [what, diverge] of Object.entries(HISTORIES)) {
    test(`is right for ${what}`, async (t) => {
      const pair = makePair(t, { commits: 3 });
      diverge(pair);
      const { daemon, error, evidence } = await look(t, pair.options);
      const expected = evidenceByGit(t, pair.repo, pair.remote);
      assert.deepEqual(facts(evidence), expected);
      const { divergence, pendingCommits, behindCommits } = daemon.status();
      assert.deepEqual(divergence, evidence);
      assert.deepEqual([pendingCommits, behindCommits], [expected.ahead, expected.behind]);
      assert.deepEqual([error.commit, error.attempt], [pair.repo.tip(), 1]);
    });
  }

  test('is right for a bare clone that knows no earlier tip of the remote', async (t) => {
    const { remote } = makePair(t, { commits: 3 });
    const { repo, options } = cloneOf(t, remote);
    commitSome(remote, 2);
    const tip = repo.commit();
    const { error, evidence } = await look(t, options);
    assert.deepEqual([error.commit, error.attempt], [tip, 1]);
    assert.deepEqual(facts(evidence), evidenceByGit(t, repo, remote));
  });

  test('is right for thousands of foreign commits', async (t) => {
    const { repo, remote, options } = makePair(t);
    const lines = [];
    for (let number = 0; number < 3000; number += 1) {
      const from = number === 0 ? ['from refs/heads/main^0'] : [];
      const [message, content] = [`foreign ${number}`, `${number}`];
      lines.push(
        'commit refs/heads/main',
        `committer C <c@example.invalid> ${1_800_000_000 + number} +0000`,
        `data ${message.length}\n${message}`,
        ...from,
        `M 100644 inline foreign/${number % 7}`,
        `data ${content.length}\n${content}`,
      );
    }
    gitWith(
      { input: `${lines.join('\n')}\ndone\n` },
      remote.path,
      'fast-import',
      '--quiet',
      '--done',
    );
    repo.commit();
    const { evidence } = await look(t, options);
    assert.equal(evidence.behind, 3000);
    assert.deepEqual(facts(evidence), evidenceByGit(t, repo, remote));
  });

  test('is right for a shallow clone', async (t) => {
    const { remote } = makePair(t, { commits: 5 });
    const { repo, options } = cloneOf(t, remote, '--depth=1');
    const base = repo.tip();
    commitSome(remote, 2);
    repo.commit();
    const { evidence } = await look(t, options);
    assert.deepEqual([evidence.mergeBase, evidence.ahead, evidence.behind], [base, 1, 2]);
  });

  test('is right for a shallow clone of a remote that was set back beyond its boundary', async (t) => {
    const { remote } = makePair(t, { commits: 5 });
    const { repo, options } = cloneOf(t, remote, '--depth=1');
    const base = remote.git('rev-parse', 'main~1');
    remote.git('update-ref', 'refs/heads/main', base);
    commitSome(remote, 2);
    repo.commit();
    const { evidence } = await look(t, options);
    assert.deepEqual([evidence.mergeBase, evidence.ahead, evidence.behind], [base, 2, 2]);
  });

  test('is right for SHA-256 and reftable', async (t) => {
    const args = ['--object-format=sha256', '--ref-format=reftable'];
    const pair = makePair(t, { arguments: args });
    commitSome(pair.remote, 2);
    pair.repo.commit();
    const before = snapshot(pair.repo);
    const { daemon, evidence } = await look(t, pair.options);
    assert.deepEqual(facts(evidence), evidenceByGit(t, pair.repo, pair.remote, args));
    await daemon.stop();
    assert.deepEqual(snapshot(pair.repo), before);
  });

  test('is right for a linked worktree', async (t) => {
    const { repo, remote, options } = makePair(t, { bare: false });
    const linked = path.join(makeDirectory(t), 'linked');
    repo.git('worktree', 'add', '--quiet', '-b', 'linked', linked, 'main');
    repo.git('push', '--quiet', 'origin', 'linked');
    commitSome(remote, 2, 'linked');
    repo.commit({ branch: 'linked' });
    const { evidence } = await look(t, { ...options, repoPath: linked, branch: 'linked' });
    assert.deepEqual([evidence.ahead, evidence.behind], [1, 2]);
  });

  for (const [what, remote, settings] of [
    [
      'a push URL',
      'origin',
      { 'remote.origin.url': () => '/nonexistent', 'remote.origin.pushurl': (it) => it.path },
    ],
    [
      'a relative path',
      'origin',
      { 'remote.origin.url': (it, repo) => path.relative(repo.path, it.path) },
    ],
    [
      'pushInsteadOf',
      'origin',
      {
        'remote.origin.url': () => 'there:data.git',
        'url.PLACE.pushInsteadOf': () => 'there:data.git',
      },
    ],
    ['no name', undefined, {}],
  ]) {
    test(`is found through ${what}`, async (t) => {
      const pair = makeDiverged(t);
      for (const [key, value] of Object.entries(settings)) {
        const named = key.replace('PLACE', pair.remote.path);
        pair.repo.git('config', named, value(pair.remote, pair.repo));
      }
      const options = { ...pair.options, remote: remote ?? pair.remote.path };
      const { evidence } = await look(t, options);
      assert.deepEqual(facts(evidence), evidenceByGit(t, pair.repo, pair.remote));
    });
  }

  test('needs no fetch if the commits are here', async (t) => {
    const { repo, remote, options } = makeDiverged(t);
    repo.git('fetch', '--quiet', remote.path, 'main');
    const fetches = countFetches(t, repo);
    const { evidence } = await look(t, options);
    assert.deepEqual(facts(evidence), evidenceByGit(t, repo, remote));
    assert.equal(fetches(), 0);
  });

  test('has clean texts, whatever somebody wrote', async (t) => {
    const { repo, remote, options } = makePair(t);
    const messages = [
      Buffer.from('<script>alert(1)</script>\nsecond line\n\nbody'),
      Buffer.from('\x1b[31mred\x1b]0;title\x07\tand \u202eturned'),
      Buffer.from([0x63, 0x61, 0x66, 0xe9, 0x20, 0xff]),
      Buffer.from('x'.repeat(100_000)),
      Buffer.from('see https://user:hunter2@h.example/r.git'),
    ];
    for (const message of messages) {
      const author = 'A\x1b[1m<&> <a@example.invalid>';
      const commit = `tree ${remote.git('rev-parse', 'main^{tree}')}\nparent ${remote.tip()}\nauthor ${author} 1800000000 +0000\ncommitter C <c@example.invalid> 1800000000 +0000\n\n`;
      const input = Buffer.concat([Buffer.from(commit), message]);
      const args = ['hash-object', '-w', '-t', 'commit', '--stdin', '--literally'];
      remote.git('update-ref', 'refs/heads/main', gitWith({ input }, remote.path, ...args));
    }
    repo.commit();
    const { evidence } = await look(t, options);
    const subjects = evidence.commits.map(({ subject }) => subject).reverse();
    assert.deepEqual(subjects.slice(0, 2), [
      '<script>alert(1)</script> second line',
      'red and turned',
    ]);
    assert.equal(subjects[2], 'caf\ufffd \ufffd');
    assert.equal(subjects[3], `${'x'.repeat(200)}…`);
    assert.equal(subjects[4].includes('hunter2'), false);
    assert.doesNotMatch(JSON.stringify(evidence), /\\u001b/);
  });

  test('follows the remote, and is fetched again only when the remote has moved', async (t) => {
    const { repo, remote, options } = makeDiverged(t);
    const fetches = countFetches(t, repo);
    const daemon = start(t, { ...options, divergedProbeMs: 20 });
    const seen = collect(daemon);
    await once(daemon, 'error');
    assert.equal(daemon.status().divergence.behind, 1);
    const next = repo.commit();
    await once(daemon, 'error', ({ commit }) => commit === next);
    assert.deepEqual(facts(daemon.status().divergence), evidenceByGit(t, repo, remote));
    assert.equal(fetches(), 1);
    const more = commitByAnother(remote);
    await until('it is shown', () => daemon.status().divergence?.behind === 2);
    assert.equal(daemon.status().divergence.commits[0].commit, more);
    assert.equal(fetches(), 2);
    assert.equal(seen.of('error').length, 2);
  });
});

describe('looking at the remote', () => {
  test('changes nothing in the repository, and leaves nothing behind', async (t) => {
    const { repo, remote, options } = makeDiverged(t);
    repo.git('config', 'uploadpack.allowFilter', 'true');
    const before = snapshot(repo);
    const { daemon } = await look(t, options, { divergedProbeMs: 20 });
    assert.deepEqual(snapshot(repo), before);
    const directory = path.join(commonDir(repo), quarantines(repo)[0]);
    assert.equal(fs.statSync(directory).mode & 0o777, 0o700);
    remote.git('update-ref', 'refs/heads/main', 'refs/heads/main~1');
    await untilState(daemon, 'in-sync');
    assert.equal(daemon.status().divergence, null);
    await until('the quarantine is removed', () => quarantines(repo).length === 0);

    commitByAnother(remote);
    repo.commit();
    await once(daemon, 'error');
    assert.equal(quarantines(repo).length, 1);
    await daemon.stop();
    assert.deepEqual(quarantines(repo), []);
    assert.equal(daemon.status().divergence, null);
    assert.deepEqual(repo.locks(), []);
  });

  test('fetches commits alone if the server can leave the rest out', async (t) => {
    if (!filtersForFree()) return t.skip('this git copies objects when it filters');
    const { repo, remote, options } = makePair(t);
    remote.git('config', 'uploadpack.allowFilter', 'true');
    const theirs = commitLarge(t, remote);
    repo.commit();
    const before = snapshot(repo);
    const { evidence } = await look(t, options);
    assert.deepEqual([evidence.behind, evidence.commits[0].commit], [1, theirs]);
    assert.deepEqual(snapshot(repo), before);
  });

  test('leaves nothing behind if the process exits', async (t) => {
    const { repo, options } = makeDiverged(t);
    const host = await runScript(
      `const daemon = startPushDaemon(input.options);
       daemon.on('error', () => { tell(daemon.status().divergence?.behind); process.exit(0); });`,
      { input: { options } },
    );
    assert.deepEqual(host.told, [1]);
    assert.deepEqual(quarantines(repo), []);
  });

  test('what a killed process has left is removed at the next start', async (t) => {
    const { repo, remote, options } = makeDiverged(t);
    const gate = makeGate(t);
    const uploadPack = makeScript(t, ...gate.lines, 'exec git upload-pack "$@"');
    repo.git('config', 'remote.origin.uploadpack', uploadPack);
    const host = startScript('startPushDaemon(input.options);', { input: { options } });
    await gate.entered();
    assert.equal(quarantines(repo).length, 1);
    host.kill('SIGKILL');
    gate.open();
    await until('nothing of it runs', () => processesIn(remote.path).length === 0);
    await until('its git has ended', () => processesIn(repo.path).length === 0);
    remote.git('update-ref', 'refs/heads/main', 'refs/heads/main~1');
    await startInSync(t, options);
    assert.deepEqual(quarantines(repo), []);
  });
});

describe('if the commits of the remote cannot be looked at', () => {
  /** The words without evidence. */
  async function assertWithoutEvidence(t, { repo, options, theirs }, more) {
    const { daemon, error } = await look(t, options, more);
    assert.equal(error.remoteCommit, theirs);
    assert.equal('divergence' in error, false);
    assert.match(error.err.message, / does not contain$/);
    assert.deepEqual([daemon.status().state, daemon.status().divergence], ['diverged', null]);
    await daemon.stop();
    assert.deepEqual(quarantines(repo), []);
  }

  test('because the remote refuses it, the divergence is reported without them', async (t) => {
    const pair = makeDiverged(t);
    pair.repo.git('config', 'remote.origin.uploadpack', 'false');
    await assertWithoutEvidence(t, pair);
  });

  test('because the remote is silent, the divergence is reported without them', async (t) => {
    const pair = makeDiverged(t);
    const gate = makeGate(t);
    pair.repo.git('config', 'remote.origin.uploadpack', makeScript(t, ...gate.lines));
    await assertWithoutEvidence(t, pair, { idleTimeoutMs: 1500 });
  });

  test('because they are too large, the divergence is reported without them', async (t) => {
    const pair = makePair(t);
    const theirs = commitLarge(t, pair.remote);
    pair.repo.commit();
    await assertWithoutEvidence(t, { ...pair, theirs });
  });

  test('because there is no git, the divergence is reported without them', async (t) => {
    const pair = makeDiverged(t);
    await TRANSPORTS['git://'].reach(t, pair.repo, pair.remote);
    const { PATH } = process.env;
    t.after(() => {
      process.env.PATH = PATH;
    });
    process.env.PATH = '/nonexistent';
    const daemon = start(t, pair.options);
    process.env.PATH = PATH;
    const error = await once(daemon, 'error');
    assert.equal(error.remoteCommit, pair.theirs);
    assert.equal('divergence' in error, false);
  });

  test('a branch that was in sync before and is behind stays in sync, and does not know the number', async (t) => {
    const { repo, remote, options } = makePair(t);
    repo.git('config', 'remote.origin.uploadpack', 'false');
    commitByAnother(remote);
    const daemon = await startInSync(t, options);
    assert.deepEqual([daemon.status().behindCommits, daemon.status().lastError], [null, null]);
  });

  test('a bare clone that is behind is reported as diverged at its start', async (t) => {
    const { remote } = makePair(t);
    const { repo, options } = cloneOf(t, remote);
    repo.git('config', 'remote.origin.uploadpack', 'false');
    const theirs = commitByAnother(remote);
    const { error } = await look(t, options);
    assert.deepEqual([error.commit, error.attempt, error.remoteCommit], [null, 0, theirs]);
  });
});

describe('the commands to reconcile', () => {
  for (const bare of [true, false]) {
    test(`merge both sides in a ${bare ? 'bare repository' : 'working tree'}`, async (t) => {
      const pair = makePair(t, { bare });
      if (!bare) pair.repo.git('reset', '--quiet', '--hard');
      const theirs = commitByAnother(pair.remote);
      if (bare) pair.repo.commit();
      else pair.repo.git('commit', '--quiet', '--allow-empty', '--message=ours');
      const ours = pair.repo.tip();
      const { daemon, evidence } = await look(t, pair.options);
      const recovered = once(daemon, 'recovered');
      const place = path.join(makeDirectory(t), 'reconcile');
      const script = evidence.commands.join('\n').replaceAll('/tmp/reconcile', place);
      execFileSync('sh', ['-ec', script], { stdio: 'pipe' });
      await recovered;
      for (const tip of [ours, theirs]) {
        pair.remote.git('merge-base', '--is-ancestor', tip, 'main');
      }
      if (!bare) assert.equal(pair.repo.git('status', '--porcelain'), '');
    });
  }
});

describe('a divergence is shown', () => {
  test('in the log, with its numbers and first commits', async (t) => {
    const { repo, remote, options } = makePair(t);
    const theirs = commitSome(remote, 5);
    repo.commit();
    const lines = [];
    const log = (level) => (fields, message) => lines.push({ level, fields, message });
    const levels = ['debug', 'info', 'warn', 'error'].map((level) => [level, log(level)]);
    start(t, { ...options, logger: Object.fromEntries(levels) });
    const line = await until('a line', () => lines.find(({ level }) => level === 'error'));
    const { ahead, behind, commits } = line.fields.divergence;
    assert.deepEqual([ahead, behind, commits.length, commits[0].commit], [1, 5, 3, theirs]);
    assert.match(line.message, /commits only there: 5, only here: 1/);
  });

  test('on the page, where foreign texts stay texts', () => {
    const hostile = `<script>alert("1")</script>`;
    const commit = {
      commit: 'a'.repeat(40),
      author: hostile,
      committedAt: new Date(0).toISOString(),
      subject: hostile,
    };
    const evidence = {
      mergeBase: null,
      ahead: 1,
      behind: 2,
      commits: [commit],
      commands: [`git fetch '${hostile}'`],
    };
    const page = divergenceCard(evidence).toString();
    assert.equal(page.includes('<script'), false);
    assert.equal(page.split('&lt;script&gt;').length, 4);
    assert.match(page, /The newest 1 of the remote/);
    assert.equal(divergenceCard(null), null);
  });
});
