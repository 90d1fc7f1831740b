/** docs/runbook.md: each block is run where a service runs, in the trouble that it is for. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';

import { Api } from '../support/api.mjs';
import { atEnd } from '../support/cleanup.mjs';
import { FAST_BACKOFF, once, start, startInSync, until, untilState } from '../support/daemon.mjs';
import { git, makeDirectory, makePair, makeRemote, Repository } from '../support/git.mjs';
import { LOGIN, missing, startApache } from '../support/servers.mjs';
import { Sandbox } from '../support/shell.mjs';
import { makeSshRemote } from './ssh.mjs';

/** A pair, and a shell in its service. */
function makeService(t, options) {
  const pair = makePair(t, options);
  const env = { CFP_DATA_REPO_PATH: pair.repo.path, CFP_DATA_REMOTE: pair.remote.path };
  return { ...pair, env, sandbox: new Sandbox(t, env) };
}

async function asksTheApi(t, show, flush) {
  const { repo, remote, env } = makeService(t);
  const token = 'secret';
  const api = await Api.start(t, { ...env, PATH: process.env.PATH, ADMIN_TOKEN: token });
  const sandbox = new Sandbox(t, { ADMIN_TOKEN: token });
  const ask = (block) =>
    sandbox
      .run(sandbox.localize(block, { 'http://127.0.0.1:3000': api.address }))
      .then((output) => JSON.parse(output));

  remote.hook('pre-receive', 'echo closed today >&2', 'exit 1');
  const commit = repo.commit();
  await api.logged('push failed');
  const status = await ask(show);
  assert.equal(status.pendingCommits, 1);
  assert.equal(status.lastError.kind, 'rejected');
  for (const key of ['state', 'oldestPendingAt', 'nextAttemptAt', 'localCommit', 'remoteCommit']) {
    assert.ok(key in status, key);
  }
  assert.equal((await ask(flush)).kind, 'rejected');
  remote.removeHook('pre-receive');
  assert.deepEqual(await ask(flush), { commit, pending: false });
  await api.logged('push recovered');
  assert.equal(remote.tip(), commit);
}

async function asksGit(t, block) {
  const { repo, remote, sandbox } = makeService(t);
  assert.equal(await sandbox.run(block), `${repo.tip()}\n${repo.tip()}\trefs/heads/main\n`);
  const commit = repo.commit();
  assert.equal(await sandbox.run(block), `${commit}\n${remote.tip()}\trefs/heads/main\n`);
  // It asks the place that is pushed to.
  const other = makeRemote(t);
  const theirs = other.commit();
  repo.git('config', 'remote.origin.pushurl', other.path);
  assert.equal(await sandbox.run(block), `${commit}\n${theirs}\trefs/heads/main\n`);
}

async function pushesByHand(t, block) {
  const { repo, remote, options, sandbox } = makeService(t);
  const commit = repo.commit();
  await sandbox.run(block);
  assert.equal(remote.tip(), commit);
  await startInSync(t, options);
}

async function bundles(t, block) {
  const { repo, sandbox } = makeService(t);
  const commit = repo.commit();
  await sandbox.run(block);
  const elsewhere = makeRemote(t);
  elsewhere.git('fetch', '--quiet', path.join(sandbox.temporary, 'main.bundle'), 'main:main');
  assert.equal(elsewhere.tip(), commit);
  elsewhere.fsck();
}

async function triesAccess(t, block) {
  const { repo, remote, sandbox } = makeService(t);
  const before = remote.tip();
  repo.commit();
  await sandbox.run(block);
  assert.equal(remote.tip(), before);
  repo.git('remote', 'set-url', 'origin', '/nowhere');
  assert.notEqual((await sandbox.outcome(block)).error, null);
}

async function readsTheHostKey(t, block) {
  const sandbox = new Sandbox(t);
  const { server, hostKey } = await makeSshRemote(t, sandbox);
  const output = await sandbox.run(
    sandbox.localize(block, { 'git.example.com': `-p ${server.port} 127.0.0.1` }),
  );
  const expected = execFileSync('ssh-keygen', ['-l', '-f', hostKey], { encoding: 'utf8' });
  assert.equal(output.split(' ')[1], expected.split(' ')[1]);
  // What it wrote is what the service can be given.
  copyFileSync(
    path.join(sandbox.temporary, 'known_hosts.new'),
    path.join(sandbox.secrets, 'known_hosts'),
  );
}

async function findsLocks(t, block) {
  const { remote, sandbox } = makeService(t);
  const lock = (name) => path.join(remote.path, 'refs/heads', name);
  for (const name of ['main.lock', 'new.lock']) writeFileSync(lock(name), '');
  const hours = new Date(Date.now() - 2 * 3_600_000);
  utimesSync(lock('main.lock'), hours, hours);
  assert.equal(await sandbox.run(block, { cwd: remote.path }), './refs/heads/main.lock\n');
}

/** What each decision leaves of the two sides' files, and whether it moves the remote back first. */
const DECISIONS = {
  merge: { files: ['ours', 'theirs'] },
  keepOurs: { files: ['ours'] },
  keepTheirs: { files: ['theirs'] },
  setBack: { files: ['ours'], destroys: true },
};

/** A service whose daemon has found that the branches have diverged: by files of their own, or in one. */
async function makeDivergedService(t, options = {}, file = undefined) {
  const service = makeService(t);
  const daemon = await startInSync(t, { ...service.options, divergedProbeMs: 50, ...options });
  const theirs = service.remote.commit({ files: { [file ?? 'theirs']: 'theirs\n' } });
  const ours = service.repo.commit({ files: { [file ?? 'ours']: 'ours\n' } });
  await untilState(daemon, 'diverged');
  return { ...service, daemon, ours, theirs };
}

async function reconciles(parent, look, ...rest) {
  const tidy = rest.pop();
  await parent.test('merge: a conflict is resolved where the page says', async (t) => {
    const { repo, remote, daemon, sandbox } = await makeDivergedService(t, {}, 'same');
    const [begin, end] = sandbox.localize(rest[0]).split(/(?=^git update-ref)/m);
    const { stdout } = await sandbox.outcome([look, begin]);
    assert.match(stdout, /^CONFLICT .*\bsame\b/m);
    const resolve = [
      `cd ${path.join(sandbox.temporary, 'reconcile')}`,
      'echo both >same && git add same && git commit --quiet --no-edit',
      `cd ${repo.path}`,
    ];
    const recovered = once(daemon, 'recovered');
    // The operator's shell is still the one that looked.
    const [identity] = sandbox.localize(look).split(/(?=^cd )/m);
    await sandbox.run([identity, ...resolve, end]);
    await recovered;
    assert.equal(remote.tip(), repo.tip());
    assert.equal(remote.git('show', 'main:same'), 'both');
  });

  for (const [index, [decision, { files, destroys = false }]] of Object.entries(
    DECISIONS,
  ).entries()) {
    await parent.test(`${decision}: the daemon resumes, and nothing else is lost`, async (t) => {
      const { repo, remote, daemon, sandbox, ours, theirs } = await makeDivergedService(t);
      const recovered = once(daemon, 'recovered');
      const output = await sandbox.run([look, rest[index]]);
      assert.match(output, new RegExp(`^< ${ours.slice(0, 7)} .*$`, 'm'));
      assert.match(output, new RegExp(`^> ${theirs.slice(0, 7)} .*$`, 'm'));
      await recovered;
      await untilState(daemon, 'in-sync');
      assert.equal(remote.tip(), repo.tip());
      remote.fsck();
      const there = ['ours', 'theirs'].filter((file) =>
        remote.git('ls-tree', '--name-only', 'main').split('\n').includes(file),
      );
      assert.deepEqual(there, files);
      // Both sides stay in the history, but where that was what had to change.
      remote.git('merge-base', '--is-ancestor', ours, 'main');
      if (destroys) assert.throws(() => remote.git('merge-base', '--is-ancestor', theirs, 'main'));
      else remote.git('merge-base', '--is-ancestor', theirs, 'main');
      await sandbox.run(tidy);
      assert.equal(repo.git('for-each-ref', 'refs/reconcile/'), '');
      assert.equal(existsSync(path.join(sandbox.temporary, 'reconcile')), false);
    });

    await parent.test(`${decision}: changes nothing where somebody was faster`, async (t) => {
      const { repo, remote, sandbox, daemon } = await makeDivergedService(t);
      await daemon.stop({ timeoutMs: 0 });
      await sandbox.run(look);
      const faster = destroys ? remote.commit() : repo.commit();
      const { error } = await sandbox.outcome(rest[index], { cwd: repo.path });
      assert.notEqual(error, null);
      assert.equal((destroys ? remote : repo).tip(), faster);
    });
  }
}

async function restores(t, restore, recover, remove, merge) {
  const { repo, remote, options, env, sandbox, daemon } = await makeDivergedService(t, {
    onDivergence: 'preserve',
  });
  const conflicts = () => remote.git('for-each-ref', '--format=%(refname)', 'refs/heads/conflicts');
  await until('the tip is preserved', () => conflicts() !== '');
  const lost = repo.tip();
  await daemon.stop({ timeoutMs: 0 });
  rmSync(repo.path, { recursive: true });

  assert.match(await sandbox.run(restore), new RegExp(`^${remote.tip()} `));
  const again = await startInSync(t, options);
  const pushed = once(again, 'push');
  const output = await sandbox.run([recover, merge]);
  assert.match(output, /^\S*conflicts\/\S+ \S+ .+$/m);
  await pushed;
  const restored = new Repository(env.CFP_DATA_REPO_PATH);
  assert.equal(remote.tip(), restored.tip());
  remote.git('merge-base', '--is-ancestor', lost, 'main');
  assert.equal(remote.git('show', 'main:ours'), 'ours');
  assert.equal(remote.git('show', 'main:theirs'), 'theirs');
  await sandbox.run(remove, { cwd: restored.path });
  assert.equal(conflicts(), '');
}

async function rotatesAKey(t, make, attempt) {
  const sandbox = new Sandbox(t);
  const { repo, remote, options, authorizedKeys } = await makeSshRemote(t, sandbox);
  const key = path.join(sandbox.secrets, 'deploy-key');
  // As the README has it.
  process.env.GIT_SSH_COMMAND = `ssh -F none -i ${key} -o IdentitiesOnly=yes -o UserKnownHostsFile=${path.join(sandbox.secrets, 'known_hosts')}`;
  atEnd(t, () => {
    delete process.env.GIT_SSH_COMMAND;
  });
  const daemon = await startInSync(t, { ...options, backoff: FAST_BACKOFF });
  const env = { CFP_DATA_REPO_PATH: repo.path };

  await sandbox.run(make);
  const fresh = path.join(sandbox.temporary, 'deploy-key');
  assert.match((await sandbox.outcome(attempt, { env })).stderr, /Permission denied/);
  appendFileSync(authorizedKeys, readFileSync(`${fresh}.pub`));
  await sandbox.run(attempt, { env });
  copyFileSync(fresh, key);
  writeFileSync(authorizedKeys, readFileSync(`${fresh}.pub`));
  // The first may go over a connection that the old key made; the second cannot.
  for (let made = 0; made < 2; made += 1) {
    const pushed = once(daemon, 'push');
    const commit = repo.commit();
    assert.equal((await pushed).commit, commit);
    assert.equal(remote.tip(), commit);
  }
}

async function rotatesAToken(t, block) {
  const root = makeDirectory(t);
  const server = await startApache(t, root);
  const place = path.join(root, 'remote.git');
  git('/', 'init', '--quiet', '--bare', '--template=', '--initial-branch=main', place);
  server.admit(place);
  const { repo, env, sandbox } = makeService(t);
  const url = server.url('remote.git', { place: 'basic' });
  repo.git('remote', 'set-url', 'origin', url.replace('//', `//${LOGIN.user}@`));
  repo.git('config', 'http.sslCAInfo', server.ca);
  await sandbox.run(block, { env });
  const token = path.join(sandbox.secrets, 'token');
  writeFileSync(token, 'a token that has expired\n');
  const daemon = start(t, {
    remote: 'origin',
    branch: 'main',
    repoPath: repo.path,
    backoff: FAST_BACKOFF,
  });
  assert.equal((await once(daemon, 'error')).kind, 'auth');
  writeFileSync(token, `${LOGIN.password}\n`);
  await once(daemon, 'recovered');
  assert.equal(git(place, 'rev-parse', 'main'), repo.tip());
}

async function mends(t, check, rescue, replace) {
  const { repo, remote, options, sandbox } = makeService(t, { commits: 3 });
  assert.equal(await sandbox.run(check), '');
  const [, blob] = repo.git('rev-list', '--objects', 'main~2').match(/^(\w+) records\/\S+$/m);
  const pending = repo.commit();
  rmSync(path.join(repo.path, 'objects', blob.slice(0, 2), blob.slice(2)));
  assert.match((await sandbox.outcome(check)).stdout, new RegExp(`missing blob ${blob}`));

  await sandbox.run([rescue, replace]);
  await sandbox.run(check);
  assert.equal(repo.tip(), pending);
  assert.ok(existsSync(`${repo.path}.damaged`));
  const daemon = start(t, options);
  assert.equal((await once(daemon, 'push')).commit, pending);
  assert.equal(remote.tip(), pending);
}

async function moves(t, block) {
  const { repo, options, sandbox } = makeService(t, { commits: 2 });
  const moved = makeRemote(t);
  const daemon = await startInSync(t, options);
  const output = await sandbox.run(block, { env: { CFP_DATA_REMOTE: moved.path } });
  assert.equal(output, `${moved.path}\n`);
  const pushed = once(daemon, 'push');
  repo.commit();
  await pushed;
  assert.equal(moved.tip(), repo.tip());
  assert.equal(moved.count(), 3);
}

async function removesASecret(t, keep, push, forget) {
  const { repo, remote, options, sandbox } = makeService(t);
  const kept = repo.tip();
  const leak = repo.commit({ files: { secret: 'hunter2\n' } });
  await (await startInSync(t, options)).stop();
  assert.equal(remote.tip(), leak);
  await sandbox.run(keep);
  repo.git('update-ref', 'refs/heads/main', kept);
  const clean = repo.commit();
  await sandbox.run(push);
  const daemon = await startInSync(t, options);
  await daemon.flush();
  assert.deepEqual([daemon.status().totals.pushes, remote.tip()], [0, clean]);
  await sandbox.run(forget);
  assert.throws(() => repo.git('cat-file', '-e', leak));
}

async function measures(t, block) {
  const { sandbox } = makeService(t);
  const output = await sandbox.run(block);
  assert.match(output, /^Filesystem/);
  assert.match(output, /^count: \d+$/m);
}

const LOOK = 'sh in Divergence, step by step';

export default {
  name: 'docs/runbook.md',
  runs: [
    {
      title: 'asks the API for its status, and for a push',
      blocks: ['sh in Where to look', 'sh in Where to look (2)'],
      run: asksTheApi,
    },
    {
      title: 'asks git whether everything is on the remote',
      blocks: ['sh in Is everything on the remote?'],
      run: asksGit,
    },
    { title: 'pushes by hand', blocks: ['sh in Push by hand'], run: pushesByHand },
    { title: 'makes a copy of all commits', blocks: ['sh in PushDaemonFarBehind'], run: bundles },
    { title: 'tries access without a push', blocks: ['sh in auth'], run: triesAccess },
    {
      title: "shows the fingerprint of the server's key",
      blocks: ['sh in host-key'],
      run: readsTheHostKey,
      skip: missing.ssh,
    },
    { title: 'finds the locks that are old', blocks: ['sh in remote-lock'], run: findsLocks },
    {
      title: 'reconciles branches that have diverged',
      blocks: [LOOK, ...[2, 3, 4, 5, 6].map((number) => `${LOOK} (${number})`)],
      run: reconciles,
    },
    {
      title: 'restores a lost disk, and what a conflict branch has',
      blocks: [
        'sh in A pod or its disk is lost',
        'sh in Recover from a conflict branch',
        'sh in Recover from a conflict branch (2)',
      ],
      // Its steps go on with those of a merge.
      also: [`${LOOK} (2)`],
      run: restores,
    },
    {
      title: 'removes a secret from both histories',
      blocks: ['', ' (2)', ' (3)'].map(
        (number) => `sh in Remove a secret from the history${number}`,
      ),
      run: removesASecret,
    },
    {
      title: 'rotates an ssh key while the service runs',
      blocks: ['sh in An ssh key', 'sh in An ssh key (2)'],
      run: rotatesAKey,
      skip: missing.ssh,
    },
    {
      title: 'reads a token from a file, and so a new one',
      blocks: ['sh in A token'],
      run: rotatesAToken,
      skip: missing.https,
    },
    {
      title: 'mends a damaged repository without losing what is pending',
      blocks: [1, 2, 3].map(
        (number) => `sh in The repository is damaged${number === 1 ? '' : ` (${number})`}`,
      ),
      run: mends,
    },
    {
      title: 'leads the daemon to where the remote is now',
      blocks: ['sh in The remote has moved'],
      run: moves,
    },
    { title: 'shows what room there is', blocks: ['sh in The disk is full'], run: measures },
  ],
};
