/** The handle: the module's exports, events and their listeners, the status, and the methods. */

import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { createRequire } from 'node:module';
import path from 'node:path';
import { describe, test } from 'node:test';

import { runScript, startScript } from './support/child.mjs';
import { members } from './support/contract.mjs';
import {
  collect,
  ENDLESS_BACKOFF,
  FAST_BACKOFF,
  once,
  PushError,
  start,
  startInSync,
  startPushDaemon,
  until,
  untilState,
  within,
} from './support/daemon.mjs';
import { gateHook, makeGate, wrapReceivePack } from './support/gate.mjs';
import { makePair } from './support/git.mjs';

const require = createRequire(import.meta.url);

/** A remote that refuses every push until `accept()`. */
function refusePushes(remote) {
  remote.hook('pre-receive', 'echo "closed for today" >&2', 'exit 1');
  return () => remote.removeHook('pre-receive');
}

/** Makes the remote's branch go where the local one is not. */
function diverge({ remote, repo }) {
  remote.commit({ message: 'theirs', files: { theirs: 'theirs\n' } });
  return repo.commit({ message: 'ours', files: { ours: 'ours\n' } });
}

const WRONG_DEADLINES = [
  ...[null, 1, 'now'],
  ...[-1, '1', Number.NaN].map((timeoutMs) => ({ timeoutMs })),
];

/** A logger that records its lines. */
function recordingLogger() {
  const lines = [];
  const log = (level) => [level, (fields, message) => lines.push({ level, fields, message })];
  return { lines, logger: Object.fromEntries(['debug', 'info', 'warn', 'error'].map(log)) };
}

describe('the module', () => {
  test('is required and imported by name alike', async () => {
    const required = require('../index.js');
    const imported = await import('../index.js');
    for (const name of ['startPushDaemon', 'PushError']) {
      assert.equal(typeof required[name], 'function');
      assert.equal(imported[name], required[name]);
    }
  });

  test('is found by its own name, as by a user of the package', async () => {
    const imported = await import('git-push-daemon');
    assert.equal(imported.startPushDaemon, startPushDaemon);
    assert.equal(require('git-push-daemon').startPushDaemon, startPushDaemon);
  });
});

describe('the handle', () => {
  test('is an EventEmitter and no thenable', async (t) => {
    const { options } = makePair(t);
    const daemon = start(t, options);
    assert.ok(daemon instanceof EventEmitter);
    assert.equal(daemon.then, undefined);
    assert.equal(await daemon, daemon);
    for (const name of ['on', 'once', 'off', 'prependListener']) {
      assert.equal(
        daemon[name]('push', () => {}),
        daemon,
      );
    }
  });

  test('delivers every event to listeners attached after an await or in setImmediate', async (t) => {
    const { repo, options } = makePair(t);
    const commit = repo.commit();
    const daemon = await start(t, options);
    const afterAwait = once(daemon, 'push');
    const inImmediate = new Promise((resolve) => {
      setImmediate(() => resolve(once(daemon, 'push')));
    });
    assert.equal((await afterAwait).commit, commit);
    assert.equal((await inImmediate).commit, commit);
  });

  test('emits nothing before a macrotask, even if the caller blocks the thread', async (t) => {
    const { repo, remote, options } = makePair(t);
    const commit = repo.commit();
    const daemon = start(t, options);
    // The thread is busy until the daemon has pushed behind its back.
    while (remote.tip() !== commit);
    const { names } = collect(daemon);
    for (let tick = 0; tick < 100; tick += 1) await null;
    assert.deepEqual(names(), []);
    await until('the push is told', () => names().includes('push'));
    assert.deepEqual(names(), ['push']);
  });

  test('stays silent with nothing to push', async (t) => {
    const { options } = makePair(t);
    const daemon = start(t, options);
    const { names } = collect(daemon);
    await untilState(daemon, 'in-sync');
    await within(daemon.stop(), 'stop');
    assert.deepEqual(names(), ['stopped']);
  });
});

describe('an error event', () => {
  test('without a listener or a logger is a warning, and the process continues', async (t) => {
    const { repo, options } = makePair(t);
    repo.git('remote', 'set-url', 'origin', path.join(repo.path, 'gone.git'));
    const { code, told, stderr } = await runScript(
      `process.on('warning', ({ name, code, message }) => tell({ name, code, message }));
       const daemon = startPushDaemon({ ...input, backoff: { base: 1, multiplier: 1, cap: 1 } });
       daemon.ref();
       const watch = setInterval(() => {
         if (daemon.status().totals.failures < 3) return;
         clearInterval(watch);
         daemon.stop({ timeoutMs: 0 });
       }, 5);`,
      { input: options },
    );
    assert.equal(code, 0, stderr);
    assert.equal(told.length, 1, 'one warning for failures of one kind');
    assert.equal(told[0].name, 'PushDaemonWarning');
    assert.equal(told[0].code, 'PUSH_DAEMON_UNHANDLED_ERROR');
    assert.match(told[0].message, /gone\.git/);
  });

  test('without a listener goes to the logger', async (t) => {
    const pair = makePair(t);
    const { lines, logger } = recordingLogger();
    refusePushes(pair.remote);
    const daemon = start(t, { ...pair.options, backoff: ENDLESS_BACKOFF, logger });
    pair.repo.commit();
    const warned = await until('a warning', () => lines.find((line) => line.level === 'warn'));
    assert.equal(warned.fields.kind, 'rejected');
    assert.ok(warned.fields.err instanceof PushError);
    assert.match(warned.message, /closed for today/);
    diverge(pair);
    daemon.flush().catch(() => {});
    const failed = await until('an error', () => lines.find((line) => line.level === 'error'));
    assert.equal(failed.fields.reason, 'non-fast-forward');
  });

  test('has the declared fields and a PushError', async (t) => {
    const { repo, remote, options } = makePair(t);
    refusePushes(remote);
    const daemon = start(t, { ...options, backoff: ENDLESS_BACKOFF });
    await untilState(daemon, 'in-sync');
    const failed = once(daemon, 'error');
    const retried = once(daemon, 'retry');
    const commit = repo.commit();
    const { err, hint, durationMs, ...rest } = await failed;
    assert.ok(durationMs > 0);
    assert.deepEqual(rest, {
      commit,
      attempt: 1,
      reason: 'unknown',
      kind: 'rejected',
      retryable: true,
    });
    assert.ok(err instanceof PushError && err instanceof Error);
    assert.equal(err.name, 'PushError');
    assert.equal(err.code, 'ERR_PUSH_DAEMON_PUSH_FAILED');
    assert.equal(err.hint, hint);
    assert.match(err.message, /closed for today/);
    assert.match(hint, /\S/);
    assert.deepEqual(await retried, {
      commit,
      attempt: 1,
      nextDelayMs: ENDLESS_BACKOFF.base,
      reason: 'unknown',
      kind: 'rejected',
    });
  });
});

test('a listener that throws is an uncaught exception, no failed push, and later events are emitted', async (t) => {
  const { repo, options } = makePair(t);
  const script = startScript(
    `process.on('uncaughtException', (error, origin) => tell({ uncaught: error.message, origin }));
     const daemon = startPushDaemon(input);
     daemon.ref();
     daemon.on('push', () => { throw new Error('the listener’s own bug'); });
     daemon.on('push', () => tell({ second: true }));
     daemon.on('error', ({ err }) => tell({ failed: err.message }));
     let pushes = 0;
     daemon.prependListener('push', ({ commit }) => {
       tell({ commit });
       pushes += 1;
       if (pushes === 2) daemon.stop().then((result) => tell({ ...result, ...daemon.status().totals }));
     });`,
    { input: options },
  );
  for (let round = 0; round < 2; round += 1) {
    const commit = repo.commit();
    await script.untilTold((told) => told.commit === commit);
  }
  const { code, told, stderr } = await script.ended;
  assert.equal(code, 0, stderr);
  const uncaught = told.filter((value) => value.uncaught);
  assert.deepEqual(
    uncaught.map(({ origin }) => origin),
    ['uncaughtException', 'uncaughtException'],
  );
  assert.deepEqual(
    told.filter((value) => value.failed),
    [],
  );
  const { pushes, failures, drained } = told.find((value) => 'drained' in value);
  assert.deepEqual({ pushes, failures, drained }, { pushes: 2, failures: 0, drained: true });
});

test('a listener that rejects is an unhandled rejection, as with any emitter', async (t) => {
  const { repo, options } = makePair(t);
  repo.commit();
  const { code, told, stderr } = await runScript(
    `process.on('unhandledRejection', (error) => tell({ unhandled: error.message }));
     const daemon = startPushDaemon(input);
     daemon.on('push', async () => { throw new Error('late'); });`,
    { input: options },
  );
  assert.equal(code, 0, stderr);
  assert.deepEqual(told, [{ unhandled: 'late' }]);
});

describe('the status', () => {
  function assertShape(status) {
    assert.deepEqual(Object.keys(status), members('PushDaemonStatus'));
    assert.deepEqual(Object.keys(status.totals), members('PushDaemonTotals'));
    if (status.lastError !== null) {
      assert.deepEqual(Object.keys(status.lastError), members('PushDaemonLastError'));
    }
    assert.deepEqual(JSON.parse(JSON.stringify(status)), status, 'survives JSON');
    for (const at of ['lastPushAt', 'oldestPendingAt', 'nextAttemptAt', 'startedAt']) {
      if (status[at] !== null) assert.equal(new Date(status[at]).toISOString(), status[at]);
    }
  }

  test('has the declared keys in every state and survives JSON', async (t) => {
    const { repo, remote, options } = makePair(t);
    const gate = makeGate(t);
    wrapReceivePack(t, repo, ...gate.lines);
    const daemon = start(t, { ...options, backoff: ENDLESS_BACKOFF });
    const { events } = collect(daemon);
    assertShape(daemon.status());
    assert.equal(daemon.status().state, 'starting');
    gate.open();
    assertShape(await untilState(daemon, 'in-sync'));
    const accept = refusePushes(remote);
    repo.commit();
    assertShape(await untilState(daemon, 'backing-off'));
    accept();
    await within(daemon.flush(), 'flush');
    assertShape(daemon.status());
    await within(daemon.stop(), 'stop');
    assertShape(daemon.status());
    for (const { status } of events) assertShape(status);
  });

  test('is up to date inside the listener of each event', async (t) => {
    const pair = makePair(t);
    const { repo, remote, options } = pair;
    const daemon = await startInSync(t, {
      ...options,
      backoff: ENDLESS_BACKOFF,
      onDivergence: 'preserve',
    });
    const { events } = collect(daemon);
    const last = (name) => events.findLast((event) => event.name === name);

    const accept = refusePushes(remote);
    const first = repo.commit({ committedAt: '1700000000 +0100' });
    await once(daemon, 'retry');
    for (const name of ['error', 'retry']) {
      const { status, payload } = last(name);
      assert.equal(status.pendingCommits, 1, name);
      assert.equal(status.localCommit, first, name);
      assert.equal(status.lastError.kind, 'rejected', name);
      assert.equal(status.lastError.attempt, payload.attempt, name);
      assert.equal(status.consecutiveFailures, 1, name);
      assert.equal(status.oldestPendingAt, '2023-11-14T22:13:20.000Z', name);
      assert.ok(status.lagMs > 0, name);
      assert.equal(status.totals.failures, 1, name);
    }
    const { status: waiting, payload: retry } = last('retry');
    assert.equal(waiting.state, 'backing-off');
    assert.equal(waiting.currentBackoffMs, retry.nextDelayMs);
    assert.ok(waiting.nextAttemptAt > waiting.startedAt);

    accept();
    await within(daemon.flush(), 'flush');
    assert.deepEqual(
      events.map(({ name }) => name),
      ['error', 'retry', 'push', 'recovered'],
    );
    for (const name of ['push', 'recovered']) {
      const { status } = last(name);
      assert.equal(status.pendingCommits, 0, name);
      assert.equal(status.remoteCommit, first, name);
      assert.equal(status.lastError, null, name);
      assert.equal(status.state, 'in-sync', name);
      assert.equal(status.totals.pushes, 1, name);
      assert.equal(status.totals.commits, 1, name);
      assert.equal(status.totals.bytes, last('push').payload.bytes, name);
      assert.equal(status.lagMs, 0, name);
      assert.equal(status.oldestPendingAt, null, name);
      assert.notEqual(status.lastPushAt, null, name);
    }
    assert.equal(last('recovered').payload.failedAttempts, 1);

    const preserved = once(daemon, 'preserved');
    const ours = diverge(pair);
    const { commit, ref } = await preserved;
    assert.equal(commit, ours);
    assert.match(ref, /^refs\/heads\/conflicts\//);
    assert.equal(remote.git('rev-parse', ref), ours);
    for (const name of ['error', 'preserved']) {
      assert.equal(last(name).status.state, 'diverged', name);
      assert.equal(last(name).status.pendingCommits, 1, name);
      assert.equal(last(name).status.remoteCommit, remote.tip(), name);
    }

    await within(daemon.stop(), 'stop');
    const { status: ended, payload } = last('stopped');
    assert.deepEqual(payload, { drained: false, pendingCommits: 1 });
    assert.equal(ended.running, false);
    assert.equal(ended.state, 'stopped');
    assert.equal(ended.pendingCommits, 1);
  });
});

describe('stop', () => {
  test('returns one promise from all calls and emits stopped once, before it resolves', async (t) => {
    const { options } = makePair(t);
    const daemon = start(t, options);
    const order = [];
    daemon.on('stopped', (event) => order.push(event));
    const first = daemon.stop();
    const { running, state } = daemon.status();
    assert.deepEqual([running, state], [false, 'stopping']);
    assert.equal(daemon.stop(), first);
    assert.equal(daemon.stop({ timeoutMs: 60_000 }), first);
    const result = await within(first, 'stop');
    order.push('resolved');
    assert.equal(daemon.stop(), first);
    await within(daemon.stop(), 'stop');
    assert.deepEqual(order, [result, 'resolved']);
    assert.deepEqual(result, { drained: true, pendingCommits: 0 });
  });

  test('with 0 ms cancels the attempt in flight without waiting for it', async (t) => {
    const { repo, remote, options } = makePair(t);
    gateHook(t, remote);
    const daemon = await startInSync(t, options);
    repo.commit();
    await untilState(daemon, 'pushing');
    const result = await within(daemon.stop({ timeoutMs: 0 }), 'stop');
    assert.deepEqual(result, { drained: false, pendingCommits: 1 });
    assert.deepEqual(remote.locks(), []);
  });

  test('works right after the start', async (t) => {
    const { repo, remote, options } = makePair(t);
    const commit = repo.commit();
    const daemon = startPushDaemon(options);
    assert.deepEqual(await within(daemon.stop(), 'stop'), { drained: true, pendingCommits: 0 });
    assert.equal(remote.tip(), commit);
  });

  test('rejects wrong arguments, and the daemon continues', async (t) => {
    const { options } = makePair(t);
    const daemon = start(t, options);
    for (const wrong of WRONG_DEADLINES) {
      await assert.rejects(daemon.stop(wrong), { code: 'ERR_PUSH_DAEMON_INVALID_OPTION' });
    }
    assert.equal(daemon.status().running, true);
    await within(daemon.stop({ timeoutMs: Infinity }), 'stop');
  });

  test('is the effect of Symbol.asyncDispose', async (t) => {
    const { repo, remote, options } = makePair(t);
    const commit = repo.commit();
    const daemon = start(t, options);
    const dispose = daemon[Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')]();
    assert.equal(await within(dispose, 'dispose'), undefined);
    assert.equal(daemon.status().state, 'stopped');
    assert.equal(remote.tip(), commit);
  });
});

/** What flush and waitForPush have in common. */
for (const [name, call] of [
  ['flush', (daemon, _commit, options) => daemon.flush(options)],
  ['waitForPush', (daemon, commit, options) => daemon.waitForPush(commit, options)],
]) {
  describe(name, () => {
    test('resolves at once if the remote has the commit', async (t) => {
      const { repo, options } = makePair(t);
      const daemon = await startInSync(t, options);
      const { commit } = await within(call(daemon, repo.tip()), name);
      assert.equal(commit, repo.tip());
      assert.equal(daemon.status().totals.pushes, 0);
    });

    test('resolves when the remote has confirmed the commit', async (t) => {
      const { repo, remote, options } = makePair(t);
      const daemon = start(t, options);
      for (let round = 0; round < 5; round += 1) {
        const commit = repo.commit();
        const result = await within(call(daemon, commit), name);
        assert.equal(remote.tip(), commit);
        assert.equal(result.commit, commit);
      }
    });

    test('resolves after the push event, and not before the remote has the commit', async (t) => {
      const { repo, remote, options } = makePair(t);
      const gate = gateHook(t, remote);
      const daemon = await startInSync(t, options);
      const order = [];
      daemon.on('push', () => order.push('push'));
      const commit = repo.commit();
      const waited = call(daemon, commit).then(() => order.push('resolved'));
      await untilState(daemon, 'pushing');
      assert.deepEqual(order, []);
      gate.open();
      await within(waited, name);
      assert.deepEqual(order, ['push', 'resolved']);
    });

    test('rejects at its deadline with the kind of the last failure, and the daemon continues', async (t) => {
      const { repo, remote, options } = makePair(t);
      const gate = gateHook(t, remote);
      const daemon = await startInSync(t, options);
      const commit = repo.commit();
      const error = await within(
        call(daemon, commit, { timeoutMs: 0 }).catch((e) => e),
        name,
      );
      assert.ok(error instanceof PushError, String(error));
      assert.equal(error.code, 'ERR_PUSH_DAEMON_WAIT_TIMEOUT');
      assert.equal(error.kind, 'unknown');
      assert.match(error.message, /0 ms/);
      const pushed = once(daemon, 'push');
      gate.open();
      assert.equal((await pushed).commit, commit);
    });

    test('rejects when its signal aborts, before or later, with the reason as cause', async (t) => {
      const { repo, remote, options } = makePair(t);
      const gate = gateHook(t, remote);
      const daemon = await startInSync(t, options);
      const commit = repo.commit();
      const reason = new Error('the client is gone');
      const later = new AbortController();
      const waiting = call(daemon, commit, { signal: later.signal });
      const expected = { name: 'AbortError', code: 'ABORT_ERR', cause: reason };
      await assert.rejects(call(daemon, commit, { signal: AbortSignal.abort(reason) }), expected);
      await untilState(daemon, 'pushing');
      later.abort(reason);
      await assert.rejects(within(waiting, name), expected);
      const pushed = once(daemon, 'push');
      gate.open();
      await pushed;
    });

    test('rejects when the daemon stops first, and after it stopped', async (t) => {
      const { repo, remote, options } = makePair(t);
      gateHook(t, remote);
      const daemon = await startInSync(t, options);
      const commit = repo.commit();
      const waiting = assert.rejects(call(daemon, commit), { code: 'ERR_PUSH_DAEMON_STOPPED' });
      await untilState(daemon, 'pushing');
      await within(daemon.stop({ timeoutMs: 0 }), 'stop');
      await within(waiting, name);
      await assert.rejects(call(daemon, commit), (error) => {
        assert.ok(error instanceof PushError);
        assert.equal(error.code, 'ERR_PUSH_DAEMON_STOPPED');
        return true;
      });
    });

    test('rejects wrong options and never throws', async (t) => {
      const { repo, options } = makePair(t);
      const daemon = start(t, options);
      const commit = repo.tip();
      const wrongSignals = [{}, null, 'abort'].map((signal) => ({ signal }));
      for (const wrong of [...WRONG_DEADLINES, ...wrongSignals]) {
        await assert.rejects(call(daemon, commit, wrong), {
          code: 'ERR_PUSH_DAEMON_INVALID_OPTION',
        });
      }
      await within(call(daemon, commit, { timeoutMs: Infinity }), name);
      await within(call(daemon, commit, { timeoutMs: undefined, signal: undefined }), name);
    });

    test('rejects with non-fast-forward if the branches have diverged', async (t) => {
      const pair = makePair(t);
      const daemon = await startInSync(t, pair.options);
      daemon.on('error', () => {});
      const commit = diverge(pair);
      const error = await within(
        call(daemon, commit).catch((e) => e),
        name,
      );
      assert.equal(error.kind, 'non-fast-forward');
      assert.equal(error.reason, 'non-fast-forward');
      assert.equal(error.retryable, false);
    });
  });
}

test('flush attempts at once, despite a debounce or a backoff', async (t) => {
  const { repo, remote, options } = makePair(t);
  const debounced = await startInSync(t, { ...options, debounceMs: 3_600_000 });
  const first = repo.commit();
  await untilState(debounced, 'debouncing');
  assert.deepEqual(await within(debounced.flush(), 'flush'), { commit: first });
  await within(debounced.stop(), 'stop');

  const accept = refusePushes(remote);
  const backing = start(t, { ...options, backoff: ENDLESS_BACKOFF });
  backing.on('error', () => {});
  const second = repo.commit();
  await untilState(backing, 'backing-off');
  await assert.rejects(within(backing.flush(), 'flush'), {
    code: 'ERR_PUSH_DAEMON_PUSH_FAILED',
    kind: 'rejected',
  });
  accept();
  assert.deepEqual(await within(backing.flush(), 'flush'), { commit: second });
  assert.equal(remote.tip(), second);
});

test('flush of a branch without a commit resolves with null', async (t) => {
  const { options } = makePair(t, { commits: 0 });
  const daemon = start(t, options);
  assert.deepEqual(await within(daemon.flush(), 'flush'), { commit: null });
});

test('waitForPush outlasts failures, and its receipt names the push that brought the commit', async (t) => {
  const { repo, remote, options } = makePair(t);
  const accept = refusePushes(remote);
  const daemon = await startInSync(t, { ...options, backoff: FAST_BACKOFF });
  const first = repo.commit();
  const waiting = daemon.waitForPush(first.toUpperCase());
  await once(daemon, 'retry', ({ attempt }) => attempt === 2);
  const second = repo.commit();
  accept();
  const receipt = await within(waiting, 'waitForPush');
  assert.equal(receipt.commit, first);
  assert.ok([first, second].includes(receipt.remoteCommit));
  assert.equal(new Date(receipt.pushedAt).toISOString(), receipt.pushedAt);
  const older = await within(daemon.waitForPush(repo.git('rev-parse', `${first}^`)), 'waitForPush');
  assert.equal(older.commit, repo.git('rev-parse', `${first}^`));
});

test('waitForPush rejects an invalid commit, and waits for an unknown one until its deadline', async (t) => {
  const { options } = makePair(t);
  const daemon = await startInSync(t, options);
  const { length } = daemon.status().localCommit;
  const texts = [
    '',
    'main',
    'HEAD',
    'abc',
    'g'.repeat(length),
    '1'.repeat(length + 1),
    '1'.repeat(104 - length),
  ];
  for (const wrong of [...texts, undefined, null, 1, {}]) {
    await assert.rejects(daemon.waitForPush(wrong), {
      code: 'ERR_PUSH_DAEMON_INVALID_OPTION',
      message: new RegExp(`${length} hexadecimal digits`),
    });
  }
  await assert.rejects(daemon.waitForPush('1'.repeat(length), { timeoutMs: 1 }), {
    code: 'ERR_PUSH_DAEMON_WAIT_TIMEOUT',
  });
});

test('every request settles when the daemon stops at the same moment', async (t) => {
  const { repo, remote, options } = makePair(t);
  gateHook(t, remote);
  const daemon = await startInSync(t, options);
  const commit = repo.commit();
  const requests = Array.from({ length: 20 }, () => [
    daemon.flush(),
    daemon.waitForPush(commit),
  ]).flat();
  daemon.stop({ timeoutMs: 0 });
  const answers = await within(Promise.allSettled(requests), 'the answers');
  for (const { status, reason } of answers) {
    assert.equal(status, 'rejected');
    assert.equal(reason.code, 'ERR_PUSH_DAEMON_STOPPED');
  }
});

describe('notifyCommit', () => {
  test('never throws, for any argument and at any time', async (t) => {
    const { options } = makePair(t);
    const daemon = start(t, options);
    const notify = () => {
      for (const value of [undefined, null, 'abc', 1, {}, Symbol('s'), '0'.repeat(40), () => {}]) {
        assert.equal(daemon.notifyCommit(value), undefined);
      }
    };
    notify();
    const stopped = daemon.stop();
    notify();
    await within(stopped, 'stop');
    notify();
  });

  test('drives pushes without watch', async (t) => {
    const { repo, remote, options } = makePair(t);
    const daemon = await startInSync(t, { ...options, watch: false });
    for (let round = 0; round < 3; round += 1) {
      const commit = repo.commit();
      const pushed = once(daemon, 'push');
      daemon.notifyCommit(commit);
      assert.equal((await pushed).commit, commit);
      assert.equal(remote.tip(), commit);
    }
  });
});

describe('the logger', () => {
  test('receives lines with fields and a message at its own levels', async (t) => {
    const { repo, options } = makePair(t);
    const { lines, logger } = recordingLogger();
    const daemon = start(t, { ...options, logger });
    repo.commit();
    await once(daemon, 'push');
    await within(daemon.stop(), 'stop');
    assert.ok(lines.some(({ level }) => level === 'info'));
    for (const { fields, message } of lines) {
      assert.equal(typeof fields, 'object');
      assert.equal(typeof message, 'string');
      assert.notEqual(message, '');
    }
  });

  test('keeps its `this`', async (t) => {
    class Logger {
      lines = 0;
      info() {
        this.lines += 1;
      }
    }
    for (const level of ['debug', 'warn', 'error']) Logger.prototype[level] = Logger.prototype.info;
    const { options } = makePair(t);
    const logger = new Logger();
    start(t, { ...options, logger });
    await until('a line', () => logger.lines > 0);
  });

  test('that throws is an uncaught exception and does not affect the daemon', async (t) => {
    const { repo, options } = makePair(t);
    repo.commit();
    const { code, told, stderr } = await runScript(
      `process.on('uncaughtException', (error) => tell({ uncaught: error.message }));
       const fail = () => { throw new Error('log broken'); };
       const daemon = startPushDaemon({ ...input, logger: { debug: fail, info: fail, warn: fail, error: fail } });
       daemon.on('push', ({ commit }) => tell({ commit }));`,
      { input: options },
    );
    assert.equal(code, 0, stderr);
    assert.ok(told.some(({ uncaught }) => uncaught === 'log broken'));
    assert.ok(told.some(({ commit }) => commit === repo.tip()));
  });
});
