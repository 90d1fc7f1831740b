// The synchronous mode: a writer waits until its commit is on the remote, with a deadline.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { Api, environmentOf, TOKEN } from './support/api.mjs';
import { startInSync, until, within } from './support/daemon.mjs';
import { makeGate } from './support/gate.mjs';
import { makePair } from './support/git.mjs';
import { goAway } from './support/remote.mjs';

const WAITERS = 200;

/** A deadline that outlasts every test. */
const LONG_MS = 100_000;

/** A daemon whose next push waits in the remote's hook. */
async function startGated(t, more = {}) {
  const pair = makePair(t);
  const gate = makeGate(t);
  const daemon = await startInSync(t, { ...pair.options, ...more });
  pair.remote.hook('pre-receive', ...gate.lines);
  return { ...pair, gate, daemon };
}

describe('waitForPush', () => {
  test(`by ${WAITERS} at once, each for a commit of its own, takes two pushes`, async (t) => {
    const { repo, remote, gate, daemon } = await startGated(t);
    const first = repo.commit();
    await gate.entered();
    const commits = [first];
    while (commits.length < WAITERS) commits.push(repo.commit());
    const waiting = commits.map((commit) => daemon.waitForPush(commit, { timeoutMs: LONG_MS }));
    gate.open();
    const receipts = await within(Promise.all(waiting), 'the receipts');
    assert.deepEqual(
      receipts.map(({ commit }) => commit),
      commits,
    );
    assert.equal(remote.tip(), commits.at(-1));
    assert.deepEqual([daemon.status().totals.pushes, daemon.status().totals.commits], [2, WAITERS]);
  });

  test(`by ${WAITERS} at once for one commit takes one push`, async (t) => {
    const { repo, gate, daemon } = await startGated(t);
    const commit = repo.commit();
    const waiting = Array.from({ length: WAITERS }, () =>
      daemon.waitForPush(commit, { timeoutMs: LONG_MS }),
    );
    gate.open();
    await within(Promise.all(waiting), 'the receipts');
    assert.equal(daemon.status().totals.pushes, 1);
  });

  test('that times out does not end another wait', async (t) => {
    const { repo, gate, daemon } = await startGated(t);
    const commit = repo.commit();
    await gate.entered();
    const patient = daemon.waitForPush(commit, { timeoutMs: LONG_MS });
    await assert.rejects(daemon.waitForPush(commit, { timeoutMs: 0 }));
    gate.open();
    assert.equal((await within(patient, 'the receipt')).commit, commit);
  });
});

describe('the example API', () => {
  const SYNC = { CFP_DATA_PUSH_MODE: 'sync', CFP_DATA_PUSH_TIMEOUT_MS: String(LONG_MS) };

  /** The example, in sync with its remote, whose next push waits in a hook. */
  async function startApi(t, env) {
    const { repo, remote } = makePair(t);
    const gate = makeGate(t);
    const api = await Api.start(t, environmentOf({ repo, remote }, env));
    await inState(api, ({ state }) => state === 'in-sync');
    return { api, repo, remote, gate, close: () => remote.hook('pre-receive', ...gate.lines) };
  }

  function inState(api, accepts) {
    return until('the status is so', async () => {
      const answer = await api.admin(`Bearer ${TOKEN}`);
      const status = await answer.json();
      return accepts(status) && status;
    });
  }

  async function write(api, method, slug) {
    const body = JSON.stringify({ title: slug, speaker: 'Somebody' });
    const answer = await api.fetch(
      `/proposals/${slug}`,
      method === 'PUT'
        ? { method, headers: { 'content-type': 'application/json' }, body }
        : { method },
    );
    return { code: answer.status, ...(await answer.json()) };
  }

  test('answers a write before its commit is on the remote, in background mode', async (t) => {
    const { api, repo, remote, gate, close } = await startApi(t, {});
    const before = remote.tip();
    close();
    const { code, ...answer } = await write(api, 'PUT', 'soon');
    assert.deepEqual([code, answer], [201, { slug: 'soon', commit: repo.tip() }]);
    assert.equal(remote.tip(), before);
    gate.open();
  });

  test('in the sync mode answers a write once its commit is on the remote', async (t) => {
    const { api, remote } = await startApi(t, SYNC);
    for (const [method, code] of [
      ['PUT', 201],
      ['PUT', 200],
      ['DELETE', 200],
    ]) {
      const answer = await write(api, method, 'safe');
      assert.deepEqual(answer, { code, slug: 'safe', commit: remote.tip() });
    }
    assert.equal((await write(api, 'DELETE', 'absent')).code, 404);
  });

  test(`in the sync mode shares pushes among ${WAITERS} requests`, async (t) => {
    const { api, repo, remote, gate, close } = await startApi(t, SYNC);
    close();
    const answers = Array.from({ length: WAITERS }, (_, index) => write(api, 'PUT', `t-${index}`));
    await inState(api, ({ pendingCommits }) => pendingCommits === WAITERS);
    gate.open();
    const codes = (await Promise.all(answers)).map(({ code }) => code);
    assert.deepEqual([...new Set(codes)], [201]);
    assert.equal(remote.tip(), repo.tip());
    const { totals } = await inState(api, ({ state }) => state === 'in-sync');
    assert.deepEqual([totals.pushes, totals.commits, totals.failures], [2, WAITERS, 0]);
  });

  test('in the sync mode answers 202 when the deadline passes first, and pushes later', async (t) => {
    const { api, repo, remote, gate, close } = await startApi(t, {
      ...SYNC,
      CFP_DATA_PUSH_TIMEOUT_MS: '20',
    });
    close();
    const answer = await write(api, 'PUT', 'late');
    assert.deepEqual(answer, { code: 202, slug: 'late', commit: repo.tip(), pending: true });
    const removed = await write(api, 'DELETE', 'late');
    assert.deepEqual(removed, { code: 202, slug: 'late', commit: repo.tip(), pending: true });
    gate.open();
    await inState(api, ({ state }) => state === 'in-sync');
    assert.equal(remote.tip(), removed.commit);
  });

  for (const [what, goWrong] of [
    ['the remote is away', goAway],
    ['the branches have diverged', (remote) => remote.commit()],
    ['the remote declines', (remote) => remote.hook('pre-receive', 'exit 1')],
  ]) {
    test(`in the sync mode answers 202 while ${what}`, async (t) => {
      const { api, repo, remote } = await startApi(t, {
        ...SYNC,
        CFP_DATA_PUSH_TIMEOUT_MS: '200',
      });
      goWrong(remote);
      const answer = await write(api, 'PUT', 'kept');
      assert.deepEqual(answer, { code: 202, slug: 'kept', commit: repo.tip(), pending: true });
    });
  }

  test('refuses the sync mode without a remote, and an unknown mode', async (t) => {
    const env = environmentOf(makePair(t), { CFP_DATA_REMOTE: undefined });
    await assert.rejects(
      Api.start(t, { ...env, CFP_DATA_PUSH_MODE: 'sync' }),
      /CFP_DATA_PUSH_MODE is sync, which waits for a remote, but CFP_DATA_REMOTE is not set/,
    );
    await assert.rejects(
      Api.start(t, { ...env, CFP_DATA_PUSH_MODE: 'async' }),
      /CFP_DATA_PUSH_MODE/,
    );
  });
});
