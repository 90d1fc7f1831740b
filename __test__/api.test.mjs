// The example API in a separate process, used over HTTP and ended by signals. operator.test.mjs has its routes and its log.

import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';

import { Api, environmentOf, LEVEL, TOKEN } from './support/api.mjs';
import { until } from './support/daemon.mjs';
import { countConnections, makeGate } from './support/gate.mjs';
import { git, makeDirectory, makeRemote, Repository } from './support/git.mjs';
import { daemonThreads } from './support/proc.mjs';
import { goAway } from './support/remote.mjs';

/** The contents of a pod: a bare clone of a remote, and the environment that names both. */
function makePod(t, { branch = 'main' } = {}) {
  const remote = makeRemote(t, { branch });
  remote.commit({ branch, message: 'the first' });
  const repo = new Repository(path.join(makeDirectory(t), 'data.git'));
  git('/', 'clone', '--quiet', '--bare', '--template=', remote.path, repo.path);
  return { repo, remote, env: environmentOf({ repo, remote }) };
}

const bearer = (token) => `Bearer ${token}`;

/** Waits for the line in the API's log that reports this push, and checks the remote. */
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
    test(`does not start the daemon when CFP_DATA_REMOTE is ${what}: commits stay local`, async (t) => {
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

  test('fails with a code and a reason if the clone lacks the remote', async (t) => {
    const { repo, env } = makePod(t);
    repo.git('remote', 'remove', 'origin');
    await assert.rejects(Api.start(t, env), /ERR_PUSH_DAEMON_NOT_THE_REPOSITORY/);
  });

  test('restores lost data before it serves, and pushes on', async (t) => {
    const { repo, remote, env } = makePod(t);
    const first = await Api.start(t, env);
    await pushed(first, remote, await first.put('before'));
    first.kill();
    await first.exited;
    const tip = remote.tip();
    rmSync(repo.path, { recursive: true });
    const api = await Api.start(t, env);
    assert.equal((await api.logged('the data was not there')).commit, tip);
    assert.equal((await api.fetch('/proposals/before')).status, 200);
    await pushed(api, remote, await api.put('after'));
  });
});

describe('store.transact', () => {
  test('makes commits that reach the remote', async (t) => {
    const { repo, remote, env } = makePod(t);
    const api = await Api.start(t, env);
    const commit = await api.put('observed', { title: 'Observed', speaker: 'Ada' });
    assert.equal(repo.tip(), commit);
    await pushed(api, remote, commit);
    assert.match(remote.git('show', 'main:proposals/observed.toml'), /Observed/);
  });

  test('makes one commit for each request of a burst, and all arrive', async (t) => {
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

  test("does not prevent the push of another writer's commit", async (t) => {
    const { repo, remote, env } = makePod(t);
    const api = await Api.start(t, env);
    await pushed(api, remote, repo.commit());
  });
});

for (const signal of ['SIGTERM', 'SIGINT']) {
  describe(signal, () => {
    test('closes an idle API through onClose, with exit code 0', async (t) => {
      const { env } = makePod(t);
      const api = await Api.start(t, env);
      await inState(api, 'in-sync');
      api.signal(signal);
      await exitsCleanly(api);
      assert.equal((await api.logged('closing')).signal, signal);
      assert.equal(api.lines('push daemon stopped: the remote has every commit').length, 1);
    });

    test('drains the push in flight and the commits made during it', async (t) => {
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
  });
}
