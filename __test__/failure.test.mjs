// Failures of a local remote and the daemon's reactions. `faults/` covers the other transports.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import {
  collect,
  ENDLESS_BACKOFF,
  FAST_BACKOFF,
  once,
  start,
  startInSync,
  until,
} from './support/daemon.mjs';
import { ended, gateHook, makeGate, startAtGate, wrapReceivePack } from './support/gate.mjs';
import { makePair } from './support/git.mjs';
import { children, daemonThreads, isRunning } from './support/proc.mjs';
import { assertArrived, comeBack, goAway } from './support/remote.mjs';

/** The limit for a hang: less than git's keep-alive of 5 s, more than a busy machine needs. */
const HANG_MS = 2_000;

/** The deadline of a `stop()` that cannot drain. */
const STOP_MS = 300;

describe('a remote that hangs', () => {
  for (const [limit, options] of [
    ['connectTimeoutMs', { connectTimeoutMs: HANG_MS, idleTimeoutMs: 0, attemptTimeoutMs: 0 }],
    ['idleTimeoutMs', { connectTimeoutMs: 0, idleTimeoutMs: HANG_MS, attemptTimeoutMs: 0 }],
    ['attemptTimeoutMs', { connectTimeoutMs: 0, idleTimeoutMs: 0, attemptTimeoutMs: HANG_MS }],
  ]) {
    test(`before its advertisement ends at ${limit}, with all processes started for it`, async (t) => {
      const { repo, remote, options: pair } = makePair(t);
      repo.commit();
      const gate = makeGate(t);
      wrapReceivePack(t, repo, ...gate.lines);
      const daemon = start(t, { ...pair, ...options, backoff: ENDLESS_BACKOFF });
      const { kind, reason, retryable, attempt } = await once(daemon, 'error');
      assert.deepEqual([kind, reason, retryable, attempt], ['timeout', 'unknown', true, 0]);
      await ended(await gate.entered());
      // The remote answers again; nothing was lost.
      gate.open();
      await daemon.flush();
      assertArrived(remote, repo);
    });
  }

  for (const [limit, options] of [
    ['idleTimeoutMs', { idleTimeoutMs: HANG_MS, attemptTimeoutMs: 0 }],
    ['reportTimeoutMs', { idleTimeoutMs: 0, reportTimeoutMs: HANG_MS }],
    ['attemptTimeoutMs', { idleTimeoutMs: 0, attemptTimeoutMs: HANG_MS }],
  ]) {
    test(`during a push ends at ${limit}, with all processes started for it`, async (t) => {
      const { repo, remote, options: pair } = makePair(t);
      const gate = gateHook(t, remote);
      const daemon = start(t, { ...pair, ...options, backoff: ENDLESS_BACKOFF });
      const tip = repo.commit();
      const { kind, commit, attempt } = await once(daemon, 'error');
      assert.deepEqual([kind, commit, attempt], ['timeout', tip, 1]);
      await ended(await gate.entered());
      gate.open();
      await daemon.flush();
      assertArrived(remote, repo);
    });
  }

  test('does not delay stop() beyond its deadline and leaves nothing running', async (t) => {
    const { repo, remote, gate, daemon, seen } = await startAtGate(t);
    repo.commit();
    const hooks = await gate.entered();
    assert.deepEqual(await daemon.stop({ timeoutMs: STOP_MS }), {
      drained: false,
      pendingCommits: 1,
    });
    assert.deepEqual(seen.names(), ['stopped']);
    assert.deepEqual(children(), []);
    await until('no thread is left', () => daemonThreads().length === 0);
    await ended(hooks);
    assert.deepEqual(remote.locks(), []);
  });

  test('causes no push event after stop()', async (t) => {
    const { repo, remote, options } = makePair(t);
    const gate = gateHook(t, remote);
    const first = await startInSync(t, options);
    const seen = collect(first);
    const tip = repo.commit();
    await gate.entered();
    await first.stop({ timeoutMs: 0 });
    gate.open();
    const second = start(t, options);
    const push = await once(second, 'push');
    assert.equal(push.commit, tip);
    assert.deepEqual(seen.names(), ['stopped']);
    assertArrived(remote, repo);
  });
});

describe("the remote's output", () => {
  test('over 1 MB before a refusal gives a message of limited length, with its end', async (t) => {
    const { repo, remote, options } = makePair(t);
    remote.hook(
      'pre-receive',
      'head -c 1500000 /dev/zero | tr "\\0" "x" >&2',
      'echo; echo "the reason at last" >&2; exit 1',
    );
    const daemon = await startInSync(t, { ...options, backoff: ENDLESS_BACKOFF });
    repo.commit();
    const { kind, err } = await once(daemon, 'error');
    assert.equal(kind, 'rejected');
    assert.match(err.message, /the reason at last/);
    assert.ok(err.message.length < 64 * 1024, `${err.message.length} characters`);
  });

  for (const hook of ['pre-receive', 'update']) {
    test(`the refusal of its ${hook} hook is quoted, and retried until it is gone`, async (t) => {
      const { repo, remote, options } = makePair(t);
      remote.hook(hook, 'echo "policy: not on Fridays" >&2', 'exit 1');
      const daemon = await startInSync(t, { ...options, backoff: FAST_BACKOFF });
      const before = remote.tip();
      const tip = repo.commit();
      const error = await once(daemon, 'error');
      assert.deepEqual([error.kind, error.reason, error.commit], ['rejected', 'unknown', tip]);
      assert.match(error.err.message, /policy: not on Fridays/);
      assert.match(error.err.message, /hook declined/);
      assert.equal(error.err.code, 'ERR_PUSH_DAEMON_PUSH_FAILED');
      await once(daemon, 'retry');
      assert.equal(remote.tip(), before);
      remote.removeHook(hook);
      await once(daemon, 'recovered');
      assertArrived(remote, repo);
    });
  }

  test('a slow post-receive hook delays neither the push event nor the next push', async (t) => {
    const { repo, remote, options } = makePair(t);
    const gate = gateHook(t, remote, 'post-receive');
    const daemon = await startInSync(t, options);
    const first = repo.commit();
    await once(daemon, 'push', ({ commit }) => commit === first);
    const second = repo.commit();
    await once(daemon, 'push', ({ commit }) => commit === second);
    const hooks = await gate.entered(2);
    assert.ok(hooks.every(isRunning));
    assertArrived(remote, repo);
    // It is drained by then; the hook would hold the connection, and so its end, for a minute.
    assert.equal((await daemon.stop({ timeoutMs: STOP_MS })).drained, true);
    assert.deepEqual(children(), []);
    await ended(hooks);
  });
});

describe('retries', () => {
  test('each error is followed by its retry, with attempts from 1 and the configured delays', async (t) => {
    const { repo, remote, options } = makePair(t);
    const daemon = await startInSync(t, {
      ...options,
      backoff: { base: 4, multiplier: 2, cap: 20, jitter: 0 },
    });
    const seen = collect(daemon);
    goAway(remote);
    const tip = repo.commit();
    await once(daemon, 'retry', ({ attempt }) => attempt === 5);
    comeBack(remote);
    const recovered = await once(daemon, 'recovered');

    const failures = seen.events.slice(0, -2);
    assert.deepEqual(
      failures.map(({ name }) => name),
      failures.map((_, index) => (index % 2 === 0 ? 'error' : 'retry')),
    );
    const attempts = failures.length / 2;
    const numbers = Array.from({ length: attempts }, (_, index) => index + 1);
    assert.deepEqual(
      seen.of('error').map(({ attempt }) => attempt),
      numbers,
    );
    assert.deepEqual(
      seen.of('retry').map(({ attempt }) => attempt),
      numbers,
    );
    assert.deepEqual(
      seen.of('retry').map(({ nextDelayMs }) => nextDelayMs),
      [4, 8, 16, ...numbers.slice(3).map(() => 20)],
    );
    for (const { name, payload, status } of failures) {
      assert.deepEqual([payload.commit, payload.kind], [tip, 'remote-error']);
      if (name !== 'retry') continue;
      // The delay may be over by the time a busy listener is called.
      if (status.currentBackoffMs !== null && status.currentAttempt === payload.attempt) {
        assert.equal(status.state, 'backing-off');
        assert.notEqual(status.nextAttemptAt, null);
      }
    }
    assert.deepEqual(seen.names().slice(-2), ['push', 'recovered']);
    assert.deepEqual([recovered.commit, recovered.failedAttempts], [tip, attempts]);
    assert.ok(recovered.downMs > 0);
    const { consecutiveFailures, lastError, totals } = daemon.status();
    assert.deepEqual([consecutiveFailures, lastError, totals.failures], [0, null, attempts]);
    assertArrived(remote, repo);
  });

  test('the first read of the remote is attempt 0, without a commit', async (t) => {
    const { repo, remote, options } = makePair(t);
    const tip = repo.commit();
    goAway(remote);
    const daemon = start(t, { ...options, backoff: FAST_BACKOFF });
    const seen = collect(daemon);
    await once(daemon, 'retry', ({ attempt }) => attempt === 2);
    assert.deepEqual(
      seen
        .of('error')
        .slice(0, 3)
        .map(({ attempt, commit }) => [attempt, commit]),
      [
        [0, null],
        [1, tip],
        [2, tip],
      ],
    );
    comeBack(remote);
    await once(daemon, 'recovered');
    assertArrived(remote, repo);
  });

  for (const [what, fail, heal] of [
    ['an absent remote', goAway, comeBack],
    [
      'a hook that refuses',
      (remote) => remote.hook('pre-receive', 'exit 1'),
      (remote) => remote.removeHook('pre-receive'),
    ],
  ]) {
    for (const maxRetries of [0, 1, 2]) {
      test(`${what} is given up after ${maxRetries} retries and attempted anew for a new tip`, async (t) => {
        const { repo, remote, options } = makePair(t);
        const daemon = await startInSync(t, { ...options, backoff: FAST_BACKOFF, maxRetries });
        const seen = collect(daemon);
        fail(remote);
        for (const round of [1, 2]) {
          const tip = repo.commit();
          await once(
            daemon,
            'error',
            ({ commit, attempt }) => commit === tip && attempt === maxRetries + 1,
          );
          const { state, running, pendingCommits, nextAttemptAt } = daemon.status();
          assert.deepEqual(
            [state, running, pendingCommits, nextAttemptAt],
            ['gave-up', true, round, null],
          );
          const attempts = Array.from({ length: maxRetries + 1 }, (_, index) => index + 1);
          const ofTip = (name) =>
            seen
              .of(name)
              .filter(({ commit }) => commit === tip)
              .map(({ attempt }) => attempt);
          assert.deepEqual(ofTip('error'), attempts);
          assert.deepEqual(ofTip('retry'), attempts.slice(0, -1));
        }
        heal(remote);
        const tip = repo.commit();
        const push = await once(daemon, 'push');
        assert.deepEqual([push.commit, push.commits], [tip, 3]);
        assertArrived(remote, repo);
      });
    }
  }
});
