// Reading the remote while nothing is due, and what follows if it has lost commits that it had confirmed.
// docs/reliability.md has each fault over each transport.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { atEnd } from './support/cleanup.mjs';
import {
  collect,
  ENDLESS_BACKOFF,
  FAST_BACKOFF,
  once,
  start,
  startInSync,
  until,
  untilState,
} from './support/daemon.mjs';
import { countConnections } from './support/gate.mjs';
import { makePair, Repository } from './support/git.mjs';
import { assertArrived, comeBack, goAway } from './support/remote.mjs';

const OFTEN = { verifyMs: 50 };

const rewind = (remote) => remote.git('update-ref', 'refs/heads/main', 'refs/heads/main~1');

/** The same while the repository is away. */
const rewindAway = ({ path }) => rewind(new Repository(`${path}.away`));

const makeSynced = (t) => makePair(t, { commits: 3 });

describe('verification', () => {
  test('moves verifiedAt again and again, without an event or a download', async (t) => {
    const { options } = makeSynced(t);
    const daemon = await startInSync(t, { ...options, ...OFTEN });
    const seen = collect(daemon);
    const moments = new Set();
    await until('three readings', () => moments.add(daemon.status().verifiedAt).size > 3);
    assert.deepEqual(seen.names(), []);
    assert.equal(daemon.status().state, 'in-sync');
    assert.deepEqual(daemon.status().totals, {
      pushes: 0,
      commits: 0,
      failures: 0,
      bytes: 0,
      regressions: 0,
    });
  });

  test('is off with 0', async (t) => {
    const { repo, options } = makeSynced(t);
    const connections = countConnections(t, repo);
    const daemon = await startInSync(t, { ...options, verifyMs: 0 });
    const { verifiedAt } = daemon.status();
    assert.equal(connections(), 1);
    // The first commit comes after a time in which another daemon has read the remote several times.
    const other = makeSynced(t);
    const busy = await startInSync(t, { ...other.options, ...OFTEN });
    const moments = new Set();
    await until('three readings', () => moments.add(busy.status().verifiedAt).size > 3);
    assert.deepEqual([daemon.status().verifiedAt, connections()], [verifiedAt, 1]);
  });

  test('counts a push, and lets it go first', async (t) => {
    const { repo, remote, options } = makeSynced(t);
    const daemon = await startInSync(t, { ...options, ...OFTEN });
    for (let round = 0; round < 20; round += 1) {
      const before = daemon.status().verifiedAt;
      const commit = repo.commit();
      const push = await once(daemon, 'push', (event) => event.commit === commit);
      assert.equal(push.attempt, 1);
      assert.ok(daemon.status().verifiedAt >= before);
    }
    await daemon.stop();
    assertArrived(remote, repo);
    assert.equal(daemon.status().totals.pushes, 20);
  });

  for (const [what, lose, commits] of [
    ['set back', rewind, 1],
    ['deleted', (remote) => remote.git('update-ref', '-d', 'refs/heads/main'), 3],
  ]) {
    test(`tells that the branch was ${what}, and brings it forward at once`, async (t) => {
      const { repo, remote, options } = makeSynced(t);
      const lines = [];
      const keep = (level) => (fields, message) => lines.push({ level, fields, message });
      const logger = Object.fromEntries(
        ['debug', 'info', 'warn', 'error'].map((level) => [level, keep(level)]),
      );
      const daemon = await startInSync(t, { ...options, ...OFTEN, logger });
      const seen = collect(daemon);
      const from = repo.tip();
      const to = what === 'deleted' ? null : repo.git('rev-parse', 'main~1');
      lose(remote);
      const pushed = await once(daemon, 'push');
      assert.deepEqual([pushed.commit, pushed.previous, pushed.commits], [from, to, commits]);
      assert.deepEqual(seen.of('regressed'), [{ from, to, commits, nextDelayMs: 0 }]);
      assert.deepEqual(seen.names(), ['regressed', 'push']);
      assert.equal(seen.events[0].status.remoteCommit, to);
      await untilState(daemon, 'in-sync');
      assert.equal(daemon.status().totals.regressions, 1);
      const told = lines.filter(({ level }) => level === 'error');
      assert.deepEqual(
        told.map(({ fields, message }) => [fields.from, fields.to ?? null, message]),
        [
          [
            from,
            to,
            `the remote lost ${commits === 1 ? '1 commit' : `${commits} commits`} that it had confirmed: it is brought forward again at once`,
          ],
        ],
      );
      assertArrived(remote, repo);
    });
  }

  test('is told by the attempt for the next commit as well', async (t) => {
    const { repo, remote, options } = makeSynced(t);
    const daemon = await startInSync(t, { ...options, verifyMs: 0 });
    const seen = collect(daemon);
    const from = repo.tip();
    rewind(remote);
    const commit = repo.commit();
    await once(daemon, 'push');
    assert.deepEqual(seen.names(), ['regressed', 'push']);
    assert.deepEqual([seen.of('regressed')[0].from, seen.of('push')[0].commit], [from, commit]);
  });

  test('knows after a restart what the remote had confirmed', async (t) => {
    const { repo, remote, options } = makeSynced(t);
    rewind(remote);
    const daemon = await startInSync(t, options);
    assert.equal(daemon.status().totals.regressions, 1);
    assertArrived(remote, repo);
  });

  test('waits ever longer with a remote that loses the same commits again and again', async (t) => {
    const { repo, remote, options } = makeSynced(t);
    const backoff = { base: 20, multiplier: 2, cap: 1_000, jitter: 0 };
    const daemon = await startInSync(t, { ...options, ...OFTEN, backoff });
    const seen = collect(daemon);
    remote.hook('post-receive', 'git update-ref refs/heads/main refs/heads/main~1');
    rewind(remote);
    await until('five losses', () => seen.of('regressed').length >= 5);
    const delays = seen.of('regressed').map(({ nextDelayMs }) => nextDelayMs);
    assert.deepEqual(delays.slice(0, 5), [0, 20, 40, 80, 160]);
    remote.removeHook('post-receive');
    await until(
      'it holds',
      () => remote.tip() === repo.tip() && daemon.status().state === 'in-sync',
    );
  });

  test('tells that the remote cannot be read, and when it can again', async (t) => {
    const { repo, remote, options } = makeSynced(t);
    const daemon = await startInSync(t, { ...options, ...OFTEN, backoff: FAST_BACKOFF });
    const seen = collect(daemon);
    goAway(remote);
    atEnd(t, () => comeBack(remote));
    const error = await once(daemon, 'error');
    assert.deepEqual([error.attempt, error.commit, error.kind], [0, null, 'remote-error']);
    await until('retries', () => seen.of('retry').length >= 3);
    const { state, pendingCommits, lastError, consecutiveFailures } = daemon.status();
    assert.deepEqual([state, pendingCommits, lastError.attempt], ['backing-off', 0, 0]);
    assert.ok(consecutiveFailures >= 3);
    // The remote had confirmed it.
    assert.deepEqual(await daemon.flush(), { commit: repo.tip() });
    comeBack(remote);
    const recovered = await once(daemon, 'recovered');
    assert.equal(recovered.commit, repo.tip());
    await untilState(daemon, 'in-sync');
    assert.deepEqual(new Set(seen.names()), new Set(['error', 'retry', 'recovered']));
    goAway(remote);
  });

  test('does not let a commit wait for its backoff', async (t) => {
    const { repo, remote, options } = makeSynced(t);
    const daemon = await startInSync(t, { ...options, ...OFTEN, backoff: ENDLESS_BACKOFF });
    goAway(remote);
    await once(daemon, 'error');
    comeBack(remote);
    const commit = repo.commit();
    assert.equal((await once(daemon, 'push')).commit, commit);
  });

  test('reports a divergence before there is a commit', async (t) => {
    const { remote, options } = makeSynced(t);
    const daemon = await startInSync(t, { ...options, ...OFTEN });
    const tree = remote.git('rev-parse', 'main^{tree}');
    const other = remote.git('commit-tree', '-m', 'another history', tree);
    remote.git('update-ref', 'refs/heads/main', other);
    const error = await once(daemon, 'error');
    assert.deepEqual([error.kind, error.remoteCommit], ['non-fast-forward', other]);
    await untilState(daemon, 'diverged');
    assert.equal(remote.tip(), other);
  });
});

describe("onRegression: 'report'", () => {
  async function startRegressed(t) {
    const pair = makeSynced(t);
    const daemon = await startInSync(t, { ...pair.options, ...OFTEN, onRegression: 'report' });
    const seen = collect(daemon);
    rewind(pair.remote);
    await untilState(daemon, 'regressed');
    return { ...pair, daemon, seen };
  }

  test('leaves the remote as it is, and tells once', async (t) => {
    const { repo, remote, daemon, seen } = await startRegressed(t);
    const { verifiedAt, pendingCommits } = daemon.status();
    assert.equal(pendingCommits, 1);
    await until('it is read again', () => daemon.status().verifiedAt > verifiedAt);
    assert.deepEqual(seen.names(), ['regressed']);
    assert.equal(seen.of('regressed')[0].nextDelayMs, null);
    assert.equal(remote.tip(), repo.git('rev-parse', 'main~1'));
    await assert.rejects(daemon.waitForPush(repo.tip()), {
      code: 'ERR_PUSH_DAEMON_PUSH_FAILED',
      message: /has lost 1 commits .* until the next commit or a flush/,
    });
    assert.deepEqual(await daemon.stop(), { drained: false, pendingCommits: 1 });
  });

  for (const [what, act] of [
    ['the next commit', ({ repo }) => repo.commit()],
    ['a flush', ({ daemon }) => daemon.flush()],
  ]) {
    test(`brings the remote forward with ${what}`, async (t) => {
      const it = await startRegressed(t);
      const pushed = once(it.daemon, 'push');
      await act(it);
      assert.equal((await pushed).commit, it.repo.tip());
      await untilState(it.daemon, 'in-sync');
      assertArrived(it.remote, it.repo);
    });
  }

  test('notices that a person has put the commits back', async (t) => {
    const { repo, remote, daemon, seen } = await startRegressed(t);
    remote.git('update-ref', 'refs/heads/main', repo.tip());
    await untilState(daemon, 'in-sync');
    assert.deepEqual(seen.names(), ['regressed']);
  });

  test('remembers over a restart what the remote had, and reads on', async (t) => {
    const { repo, remote, options, daemon } = await startRegressed(t);
    await daemon.stop();
    const again = start(t, { ...options, ...OFTEN, onRegression: 'report' });
    await untilState(again, 'regressed');
    const { verifiedAt } = again.status();
    await until('it is read again', () => again.status().verifiedAt > verifiedAt);
    assert.equal(remote.tip(), repo.git('rev-parse', 'main~1'));
    remote.git('update-ref', 'refs/heads/main', repo.tip());
    await untilState(again, 'in-sync');
  });

  test('tells a second loss, and leaves that as well', async (t) => {
    const { repo, remote, daemon, seen } = await startRegressed(t);
    rewind(remote);
    await until('it is told', () => seen.of('regressed').length === 2);
    const [first, second] = seen.of('regressed');
    assert.deepEqual([first.from, second.from], [repo.tip(), repo.tip()]);
    assert.deepEqual([second.commits, second.nextDelayMs], [2, null]);
    assert.equal(daemon.status().state, 'regressed');
    assert.equal(remote.tip(), repo.git('rev-parse', 'main~2'));
  });

  test('ends the failures to read before it', async (t) => {
    const { remote, options } = makeSynced(t);
    const report = { onRegression: 'report', backoff: FAST_BACKOFF };
    const daemon = await startInSync(t, { ...options, ...OFTEN, ...report });
    goAway(remote);
    await once(daemon, 'error');
    const recovered = once(daemon, 'recovered');
    rewindAway(remote);
    comeBack(remote);
    await recovered;
    const { state, lastError, consecutiveFailures } = await untilState(daemon, 'regressed');
    assert.deepEqual([state, lastError, consecutiveFailures], ['regressed', null, 0]);
  });

  test('leaves the remote as it is at the start, too', async (t) => {
    const { repo, remote, options } = makeSynced(t);
    rewind(remote);
    const daemon = start(t, { ...options, onRegression: 'report' });
    const seen = collect(daemon);
    await untilState(daemon, 'regressed');
    assert.deepEqual(seen.names(), ['regressed']);
    assert.equal(remote.tip(), repo.git('rev-parse', 'main~1'));
  });
});
