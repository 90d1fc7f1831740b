// The example API as it would run: a process of its own, spoken to over HTTP and ended by signals. Each test
// of the first part is a point of what its users ask of the daemon.

import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, test } from 'node:test';

import { Api, LEVEL } from './support/api.mjs';
import { until } from './support/daemon.mjs';
import { countConnections, makeGate } from './support/gate.mjs';
import { GIT_ENV, git, makeDirectory, makeRemote, Repository } from './support/git.mjs';
import { children, daemonThreads } from './support/proc.mjs';
import { comeBack, goAway } from './support/remote.mjs';

const TOKEN = 'a token for the tests';

/** What a pod has: a bare clone of a remote, and the environment that names both. */
function makePod(t, { branch = 'main' } = {}) {
  const remote = makeRemote(t, { branch });
  remote.commit({ branch, message: 'the first' });
  const repo = new Repository(path.join(makeDirectory(t), 'data.git'));
  git('/', 'clone', '--quiet', '--bare', '--template=', remote.path, repo.path);
  const env = {
    ...GIT_ENV,
    PATH: process.env.PATH,
    CFP_DATA_REPO_PATH: repo.path,
    CFP_DATA_REMOTE: remote.path,
    ADMIN_TOKEN: TOKEN,
  };
  return { repo, remote, env };
}

const bearer = (token) => `Bearer ${token}`;

/** Waits until the API's log says that this commit was pushed, and asks git. */
async function pushed(api, remote, commit, branch = 'main') {
  const line = await api.logged('pushed', (entry) => entry.commit === commit);
  assert.equal(line.level, LEVEL.info);
  assert.equal(typeof line.durationMs, 'number');
  assert.equal(remote.tip(branch), commit);
  remote.fsck();
}

async function statusOf(api) {
  const response = await api.admin(bearer(TOKEN));
  assert.equal(response.status, 200);
  return response.json();
}

async function inState(api, state) {
  let status;
  await until(`the API's daemon is '${state}'`, async () => {
    status = await statusOf(api);
    return status.state === state;
  });
  return status;
}

async function exitsCleanly(api) {
  const { code, signal } = await api.exited;
  assert.deepEqual({ code, signal }, { code: 0, signal: null }, JSON.stringify(api.log.at(-1)));
}

describe('the boot path', () => {
  test('starts the daemon when CFP_DATA_REMOTE is set, for origin and main', async (t) => {
    const { env } = makePod(t);
    const api = await Api.start(t, env);
    assert.deepEqual(api.lines('no remote is set'), []);
    const { running, remote, branch, url } = await statusOf(api);
    assert.deepEqual([running, remote, branch, url], [true, 'origin', 'main', env.CFP_DATA_REMOTE]);
    assert.ok(daemonThreads(api.pid).length > 0);
  });

  for (const [what, value] of [
    ['not set', {}],
    ['empty', { CFP_DATA_REMOTE: '' }],
  ]) {
    test(`does not start the daemon when CFP_DATA_REMOTE is ${what}: commits stay here`, async (t) => {
      const { repo, remote, env } = makePod(t);
      const connections = countConnections(t, repo);
      const { CFP_DATA_REMOTE: _, ...rest } = env;
      const api = await Api.start(t, { ...rest, ...value });
      assert.equal(api.lines('no remote is set').length, 1);
      const before = remote.tip();
      const commit = await api.put('kept-here');
      assert.equal(repo.tip(), commit);
      assert.deepEqual(daemonThreads(api.pid), []);
      assert.equal((await api.admin(bearer(TOKEN))).status, 503);
      api.signal('SIGTERM');
      await exitsCleanly(api);
      assert.equal(remote.tip(), before);
      assert.equal(connections(), 0);
    });
  }

  test('follows CFP_DATA_BRANCH', async (t) => {
    const { remote, env } = makePod(t, { branch: 'data/live' });
    const api = await Api.start(t, { ...env, CFP_DATA_BRANCH: 'data/live' });
    assert.equal((await statusOf(api)).branch, 'data/live');
    await pushed(api, remote, await api.put('on-a-branch'), 'data/live');
  });

  test('asks for the exponential backoff: 1 s at first, shortened by 20 % at most', async (t) => {
    const { remote, env } = makePod(t);
    const api = await Api.start(t, env);
    await inState(api, 'in-sync');
    goAway(remote);
    await api.put('during-an-outage');
    const retry = await api.logged('push retry');
    assert.equal(retry.attempt, 1);
    assert.ok(retry.nextDelayMs >= 800 && retry.nextDelayMs <= 1000, String(retry.nextDelayMs));
  });

  test('fails, with the code and the reason, where the clone has no such remote', async (t) => {
    const { repo, env } = makePod(t);
    repo.git('remote', 'remove', 'origin');
    await assert.rejects(Api.start(t, env), /ERR_PUSH_DAEMON_REMOTE_NOT_FOUND/);
  });
});

describe('store.transact', () => {
  test('makes commits that are observed on the remote', async (t) => {
    const { repo, remote, env } = makePod(t);
    const api = await Api.start(t, env);
    const commit = await api.put('observed', { title: 'Observed', speaker: 'Ada' });
    assert.equal(repo.tip(), commit);
    await pushed(api, remote, commit);
    assert.match(remote.git('show', 'main:proposals/observed.toml'), /Observed/);
  });

  test('in a burst of requests makes one commit each, which all arrive', async (t) => {
    const { repo, remote, env } = makePod(t);
    const api = await Api.start(t, env);
    const slugs = Array.from({ length: 40 }, (_, index) => `talk-${index}`);
    const commits = await Promise.all(slugs.map((slug) => api.put(slug)));
    assert.equal(new Set(commits).size, slugs.length);
    const tip = repo.tip();
    await pushed(api, remote, tip);
    assert.equal(remote.count(), 1 + slugs.length);
    for (const commit of commits) remote.git('merge-base', '--is-ancestor', commit, tip);
    assert.deepEqual(api.lines('push failed'), []);
  });

  test('while the remote is away makes commits that arrive when it is back', async (t) => {
    const { remote, env } = makePod(t);
    const backoff = JSON.stringify({ base: 10, multiplier: 1, cap: 10 });
    const api = await Api.start(t, { ...env, CFP_DATA_BACKOFF: backoff });
    await inState(api, 'in-sync');
    goAway(remote);
    const commit = await api.put('during-an-outage');
    const failed = await api.logged('push failed');
    assert.deepEqual(
      [failed.level, failed.kind, failed.commit],
      [LEVEL.warn, 'remote-error', commit],
    );
    comeBack(remote);
    await api.logged('push recovered');
    await pushed(api, remote, commit);
  });

  test('knows nothing of another writer, whose commit is pushed all the same', async (t) => {
    const { repo, remote, env } = makePod(t);
    const api = await Api.start(t, env);
    await pushed(api, remote, repo.commit());
  });
});

for (const signal of ['SIGTERM', 'SIGINT']) {
  describe(signal, () => {
    test('ends an idle API through onClose, with exit code 0', async (t) => {
      const { env } = makePod(t);
      const api = await Api.start(t, env);
      await inState(api, 'in-sync');
      api.signal(signal);
      await exitsCleanly(api);
      assert.equal((await api.logged('closing')).signal, signal);
      assert.equal(api.lines('push daemon stopped: the remote has every commit').length, 1);
    });

    test('drains what is pending: the push in flight, and commits made during it', async (t) => {
      const { repo, remote, env } = makePod(t);
      const gate = makeGate(t);
      const api = await Api.start(t, env);
      await inState(api, 'in-sync');
      remote.hook('pre-receive', ...gate.lines);
      await api.put('in-flight');
      await gate.entered();
      await api.put('queued');
      const last = await api.put('queued-too');
      api.signal(signal);
      await api.logged('closing');
      gate.open();
      await exitsCleanly(api);
      await pushed(api, remote, last);
      assert.equal(repo.tip(), last);
      assert.equal(api.lines('push daemon stopped: the remote has every commit').length, 1);
      assert.ok(
        api.log.findIndex(({ msg }) => msg.startsWith('closing')) <
          api.log.findIndex(({ msg }) => msg.startsWith('push daemon stopped')),
      );
    });

    test('during a backoff makes a last attempt, which succeeds if the remote is back', async (t) => {
      const { remote, env } = makePod(t);
      const endless = JSON.stringify({ base: 3_600_000, multiplier: 1, cap: 3_600_000 });
      const api = await Api.start(t, { ...env, CFP_DATA_BACKOFF: endless });
      await inState(api, 'in-sync');
      goAway(remote);
      const commit = await api.put('during-an-outage');
      await api.logged('push retry');
      comeBack(remote);
      api.signal(signal);
      await exitsCleanly(api);
      await pushed(api, remote, commit);
    });

    test('with a remote that hangs ends at the deadline all the same, and says what is pending', async (t) => {
      const { remote, env } = makePod(t);
      const gate = makeGate(t);
      const api = await Api.start(t, { ...env, CFP_DATA_STOP_TIMEOUT_MS: '300' });
      await inState(api, 'in-sync');
      remote.hook('pre-receive', ...gate.lines);
      await api.put('stuck');
      await gate.entered();
      api.signal(signal);
      await exitsCleanly(api);
      const line = await api.logged('push daemon stopped with commits that the remote lacks');
      assert.deepEqual([line.level, line.pendingCommits], [LEVEL.error, 1]);
      assert.deepEqual(children(api.pid), []);
    });
  });
}

describe('a non-fast-forward rejection', () => {
  test('is logged once at error level with its reason, and not retried', async (t) => {
    const { repo, remote, env } = makePod(t);
    const connections = countConnections(t, repo);
    const backoff = JSON.stringify({ base: 1, multiplier: 1, cap: 1 });
    const api = await Api.start(t, { ...env, CFP_DATA_BACKOFF: backoff });
    await inState(api, 'in-sync');
    const theirs = remote.commit({ message: "somebody else's" });
    const refused = [await api.put('refused')];
    const line = await api.logged('push refused');
    assert.deepEqual(
      [line.level, line.reason, line.commit, line.remoteCommit],
      [LEVEL.error, 'non-fast-forward', refused[0], theirs],
    );
    const status = await inState(api, 'diverged');
    assert.deepEqual(
      [status.pendingCommits, status.nextAttemptAt, status.lastError.reason],
      [1, null, 'non-fast-forward'],
    );
    // Requests go on; each new commit is refused once, and nothing connects in between.
    for (const slug of ['refused-2', 'refused-3']) {
      refused.push(await api.put(slug));
      await until(`${refused.length} refusals`, async () => {
        const { totals } = await statusOf(api);
        return totals.failures === refused.length;
      });
    }
    api.signal('SIGTERM');
    await exitsCleanly(api);
    assert.deepEqual(
      api.lines('push refused').map(({ commit }) => commit),
      [refused[0]],
      'the log is not flooded',
    );
    assert.deepEqual(api.lines('push retry'), []);
    // The first look, and one for each tip.
    assert.equal(connections(), 1 + refused.length);
    assert.equal(remote.tip(), theirs);
    assert.equal((await api.logged('push daemon stopped with')).pendingCommits, refused.length);
  });

  test('is over when an operator has reconciled the branches', async (t) => {
    const { repo, remote, env } = makePod(t);
    const api = await Api.start(t, env);
    await inState(api, 'in-sync');
    const theirs = remote.commit();
    const ours = await api.put('refused');
    await api.logged('push refused');
    repo.git('fetch', '--quiet', 'origin', 'main');
    const tree = repo.git('merge-tree', '--write-tree', ours, theirs);
    const merge = repo.git('commit-tree', tree, '-p', ours, '-p', theirs, '-m', 'merge');
    repo.git('update-ref', 'refs/heads/main', merge);
    await pushed(api, remote, merge);
    await pushed(api, remote, await api.put('goes-on'));
  });
});

describe('fastify.pushDaemon.status()', () => {
  test('is shown by the admin route to who has the token', async (t) => {
    const { remote, env } = makePod(t);
    const api = await Api.start(t, env);
    const commit = await api.put('shown');
    await pushed(api, remote, commit);
    const response = await api.admin(bearer(TOKEN));
    assert.equal(response.status, 200);
    assert.equal(response.headers.get('cache-control'), 'no-store');
    const status = await response.json();
    for (const key of [
      'running',
      'lastPushAt',
      'lastError',
      'pendingCommits',
      'currentBackoffMs',
      'currentAttempt',
    ]) {
      assert.ok(key in status, key);
    }
    assert.deepEqual(
      [status.running, status.pendingCommits, status.localCommit, status.remoteCommit],
      [true, 0, commit, commit],
    );
  });

  test('is not shown to others: 401', async (t) => {
    const { env } = makePod(t);
    const api = await Api.start(t, env);
    for (const [what, authorization] of [
      ['no header', undefined],
      ['another token', bearer('another token')],
      ['the beginning of the token', bearer(TOKEN.slice(0, -1))],
      ['the token and more', bearer(`${TOKEN}!`)],
      ['another case', bearer(TOKEN.toUpperCase())],
      ['no token', 'Bearer'],
      ['a blank token', 'Bearer  '],
      ['the token alone', TOKEN],
      ['another scheme', `Digest ${TOKEN}`],
      ['no space', `Bearer${TOKEN}`],
      ['two schemes', `Basic Bearer ${TOKEN}`],
      ['no ASCII', bearer('t\u00f6ken')],
      ['a long token', bearer('x'.repeat(8_000))],
      ['a long token that begins right', bearer(TOKEN + 'x'.repeat(8_000))],
    ]) {
      const response = await api.admin(authorization);
      assert.equal(response.status, 401, what);
      assert.match(response.headers.get('www-authenticate'), /^Bearer/, what);
      const text = await response.text();
      assert.doesNotMatch(text, /pendingCommits|a token for/, what);
    }
    // Node itself ends a request whose headers are longer than it takes.
    assert.equal((await api.admin(bearer('x'.repeat(100_000)))).status, 431);
    assert.equal((await api.fetch('/healthz')).status, 200);
    assert.equal((await api.admin(bearer(TOKEN))).status, 200);
  });

  for (const [what, token] of [
    ['not set', undefined],
    ['empty', ''],
  ]) {
    test(`is shown to nobody where the token is ${what}: 503`, async (t) => {
      const { env } = makePod(t);
      const { ADMIN_TOKEN: _, ...rest } = env;
      const api = await Api.start(t, token === undefined ? rest : { ...rest, ADMIN_TOKEN: token });
      for (const authorization of [undefined, 'Bearer', bearer(''), bearer('undefined')]) {
        assert.equal((await api.admin(authorization)).status, 503);
      }
      assert.equal((await api.fetch('/healthz')).status, 200);
    });
  }
});
