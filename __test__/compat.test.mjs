/**
 * The documented contract of gitsheets' own daemon, clause by clause, and what docs/migrating.md says of it. Its code is
 * compiled and run by `documents.test.mjs`.
 */

import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';

import prom from 'prom-client';

import { ROOT } from './support/child.mjs';
import { atEnd } from './support/cleanup.mjs';
import {
  collect,
  ENDLESS_BACKOFF,
  FAST_BACKOFF,
  LIMIT_MS,
  macrotask,
  once,
  start,
  startInSync,
  startPushDaemon,
  thrownBy,
  until,
  untilState,
} from './support/daemon.mjs';
import { git, makeDirectory, makePair, makeRemote, makeRepo } from './support/git.mjs';

const FORMER_KEYS = [
  'running',
  'lastPushAt',
  'lastError',
  'pendingCommits',
  'currentBackoffMs',
  'currentAttempt',
];

const ISO_8601 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

/** A remote whose directory does not exist yet. */
function makeUnreachable(t, { commits = 1 } = {}) {
  const repo = makeRepo(t);
  const directory = path.join(makeDirectory(t), 'remote.git');
  repo.git('remote', 'add', 'origin', directory);
  for (let made = 0; made < commits; made += 1) repo.commit();
  const options = { remote: 'origin', branch: 'main', repoPath: repo.path };
  return { repo, options, appear: () => makeRepo(t, { directory }) };
}

/** Keeps the event loop from turning until `look` returns something true. */
function blockUntil(look) {
  const nobody = new Int32Array(new SharedArrayBuffer(4));
  for (let waited = 0; !look(); waited += 5) {
    assert.ok(waited < LIMIT_MS, 'not so in time');
    Atomics.wait(nobody, 0, 0, 5);
  }
}

/** The six keys that gitsheets' status has. */
function former(daemon) {
  const status = daemon.status();
  return Object.fromEntries(FORMER_KEYS.map((key) => [key, status[key]]));
}

describe('the handle', () => {
  test('is returned at once, and awaiting it gives the same handle', async (t) => {
    const daemon = start(t, makePair(t).options);
    assert.ok(daemon instanceof EventEmitter);
    assert.equal(daemon.then, undefined);
    assert.equal(await daemon, daemon);
  });

  test('comes before any event, so that listeners may be attached after an await', async (t) => {
    const { options } = makeUnreachable(t);
    const daemon = await startPushDaemon({ ...options, backoff: ENDLESS_BACKOFF });
    atEnd(t, () => daemon.stop({ timeoutMs: 0 }));
    // The daemon's thread fails and sends its events, none of which may be emitted yet.
    blockUntil(() => daemon.status().lastError !== null);
    await null;
    await new Promise((resolve) => process.nextTick(resolve));
    const { names } = collect(daemon);
    assert.deepEqual(names(), []);
    await once(daemon, 'retry');
    assert.deepEqual(names(), ['error', 'retry']);
  });

  test('is for the branch of HEAD unless told otherwise', async (t) => {
    const { repo, remote, options } = makePair(t);
    const { branch: _, ...rest } = options;
    const daemon = await startInSync(t, rest);
    repo.commit({ branch: 'other' });
    const commit = repo.commit({ branch: 'main' });
    assert.equal((await once(daemon, 'push')).commit, commit);
    assert.equal(remote.tip('other'), null);
  });

  test('cannot be had twice at a time, but again after stop()', async (t) => {
    const { options } = makePair(t);
    const daemon = await startInSync(t, options);
    const error = thrownBy(() => startPushDaemon(options));
    assert.equal(error.code, 'ERR_PUSH_DAEMON_ALREADY_RUNNING');
    await daemon.stop();
    await startInSync(t, options);
  });
});

describe('a commit', () => {
  test('is pushed and told with its hash and the duration', async (t) => {
    const { repo, remote, options } = makePair(t);
    const daemon = await startInSync(t, options);
    const commit = repo.commit();
    const event = await once(daemon, 'push');
    assert.equal(event.commit, commit);
    assert.ok(event.durationMs > 0);
    assert.equal(remote.tip(), commit);
  });

  test('that the remote has already is no error', async (t) => {
    const { repo, options } = makePair(t);
    const daemon = await startInSync(t, { ...options, watch: false });
    const { names } = collect(daemon);
    const commit = repo.commit();
    repo.git('push', '--quiet', 'origin', 'main');
    daemon.notifyCommit(commit);
    assert.deepEqual(await daemon.flush(), { commit });
    assert.deepEqual(names(), []);
    assert.equal(daemon.status().pendingCommits, 0);
  });
});

describe('a failed attempt', () => {
  test('is an error, then a retry with the next delay, counted from 1', async (t) => {
    const { repo, remote, options } = makePair(t);
    const daemon = await startInSync(t, {
      ...options,
      backoff: { base: 4, multiplier: 2, cap: 10 },
      maxRetries: 4,
    });
    const { events, names, of } = collect(daemon);
    remote.hook('pre-receive', 'exit 1');
    const commit = repo.commit();
    await untilState(daemon, 'gave-up');
    assert.deepEqual(names(), [
      ...['error', 'retry', 'error', 'retry', 'error', 'retry', 'error', 'retry'],
      'error',
    ]);
    assert.deepEqual(
      of('retry').map(({ attempt, nextDelayMs }) => [attempt, nextDelayMs]),
      [
        [1, 4],
        [2, 8],
        [3, 10],
        [4, 10],
      ],
    );
    assert.deepEqual(
      of('error').map(({ attempt }) => attempt),
      [1, 2, 3, 4, 5],
    );
    for (const { name, payload, status } of events) {
      assert.equal(payload.commit, commit);
      assert.equal(payload.reason, 'unknown');
      assert.equal(status.lastError.attempt, payload.attempt);
      if (name === 'error') {
        assert.ok(payload.err instanceof Error);
        assert.equal(status.lastError.message, payload.err.message);
      } else {
        assert.equal(status.currentBackoffMs, payload.nextDelayMs);
        assert.equal(status.currentAttempt, payload.attempt);
      }
    }
  });

  test('is retried after about a second by default', async (t) => {
    const { repo, remote, options } = makePair(t);
    for (const backoff of ['exponential', undefined]) {
      const daemon = await startInSync(t, { ...options, backoff });
      remote.hook('pre-receive', 'exit 1');
      repo.commit();
      const { nextDelayMs } = await once(daemon, 'retry');
      assert.ok(nextDelayMs >= 800 && nextDelayMs <= 1000, `${nextDelayMs} ms`);
      remote.removeHook('pre-receive');
      await daemon.stop();
    }
  });

  test('is retried until it succeeds', async (t) => {
    const { repo, remote, options } = makePair(t);
    const daemon = await startInSync(t, { ...options, backoff: FAST_BACKOFF });
    remote.hook('pre-receive', 'exit 1');
    const commit = repo.commit();
    await once(daemon, 'retry', ({ attempt }) => attempt === 3);
    const pushed = once(daemon, 'push');
    remote.removeHook('pre-receive');
    assert.equal((await pushed).commit, commit);
    assert.ok((await pushed).attempt > 3);
  });

  test('is the last once maxRetries is used up; the next commit starts afresh', async (t) => {
    const { repo, remote, options } = makePair(t);
    const daemon = await startInSync(t, { ...options, backoff: FAST_BACKOFF, maxRetries: 1 });
    const { of } = collect(daemon);
    remote.hook('pre-receive', 'exit 1');
    repo.commit();
    await untilState(daemon, 'gave-up');
    assert.equal(daemon.status().running, true);
    repo.commit();
    await until('four errors', () => of('error').length === 4);
    assert.deepEqual(
      of('error').map(({ attempt }) => attempt),
      [1, 2, 1, 2],
    );
    await untilState(daemon, 'gave-up');
    remote.removeHook('pre-receive');
    const commit = repo.commit();
    assert.equal((await once(daemon, 'push')).commit, commit);
  });
});

describe('a non-fast-forward', () => {
  test('is one error for each new commit, without a retry and without force', async (t) => {
    const { repo, remote, options } = makePair(t);
    const daemon = await startInSync(t, { ...options, backoff: FAST_BACKOFF });
    const { names, of } = collect(daemon);
    const theirs = remote.commit({ message: 'theirs' });
    for (const count of [1, 2, 3]) {
      const commit = repo.commit();
      await until(`error ${count}`, () => of('error').length === count);
      const { reason, attempt, commit: told } = of('error').at(-1);
      assert.deepEqual([reason, attempt, told], ['non-fast-forward', 1, commit]);
      assert.equal(daemon.status().lastError.reason, 'non-fast-forward');
      assert.equal(daemon.status().currentBackoffMs, null);
    }
    // Who asks about the same commit again is told, but there is nothing new to say to the listeners.
    await assert.rejects(daemon.flush(), { reason: 'non-fast-forward' });
    assert.equal(daemon.status().running, true);
    await daemon.stop();
    assert.deepEqual(names(), ['error', 'error', 'error', 'stopped']);
    assert.equal(remote.tip(), theirs);
  });
});

describe('the start', () => {
  test('pushes what was committed before it', async (t) => {
    const { repo, remote, options } = makePair(t, { commits: 1 });
    repo.commit();
    const commit = repo.commit();
    const daemon = start(t, options);
    assert.equal((await once(daemon, 'push')).commit, commit);
    assert.equal(remote.count(), 3);
  });

  test('emits nothing where the remote has everything', async (t) => {
    const daemon = start(t, makePair(t).options);
    const { names } = collect(daemon);
    await daemon.flush();
    assert.deepEqual(names(), []);
    assert.deepEqual(former(daemon), {
      running: true,
      lastPushAt: null,
      lastError: null,
      pendingCommits: 0,
      currentBackoffMs: null,
      currentAttempt: null,
    });
  });

  test('does not throw where the remote is unreachable: an error of attempt 0, and it goes on', async (t) => {
    const { repo, options, appear } = makeUnreachable(t);
    const daemon = start(t, { ...options, backoff: FAST_BACKOFF });
    const first = await once(daemon, 'error');
    assert.deepEqual([first.commit, first.attempt, first.reason], [null, 0, 'unknown']);
    assert.equal(daemon.status().running, true);
    const commit = repo.commit();
    const pushed = once(daemon, 'push');
    const remote = appear();
    assert.equal((await pushed).commit, commit);
    assert.equal(remote.tip(), commit);
  });

  test('with maxRetries 0 still tells of an unreachable remote, and runs on', async (t) => {
    const { options } = makeUnreachable(t);
    const daemon = start(t, { ...options, backoff: FAST_BACKOFF, maxRetries: 0 });
    const { names } = collect(daemon);
    await once(daemon, 'error');
    await untilState(daemon, 'gave-up');
    assert.deepEqual(names(), ['error']);
    assert.equal(daemon.status().running, true);
  });
});

describe('status()', () => {
  test("has gitsheets' six keys with their meaning, through a failure and a success", async (t) => {
    const { repo, remote, options } = makePair(t);
    const daemon = await startInSync(t, { ...options, backoff: ENDLESS_BACKOFF });
    remote.hook('pre-receive', 'exit 1');
    repo.commit();
    const { err } = await once(daemon, 'error');
    await untilState(daemon, 'backing-off');
    const { lastError, ...failing } = former(daemon);
    assert.deepEqual(failing, {
      running: true,
      lastPushAt: null,
      pendingCommits: 1,
      currentBackoffMs: 3_600_000,
      currentAttempt: 1,
    });
    const { message, at, attempt, reason } = lastError;
    assert.deepEqual([message, attempt, reason], [err.message, 1, 'unknown']);
    assert.match(at, ISO_8601);

    remote.removeHook('pre-receive');
    await daemon.flush();
    const { lastPushAt, ...pushed } = former(daemon);
    assert.match(lastPushAt, ISO_8601);
    assert.deepEqual(pushed, {
      running: true,
      lastError: null,
      pendingCommits: 0,
      currentBackoffMs: null,
      currentAttempt: null,
    });
    assert.deepEqual(JSON.parse(JSON.stringify(daemon.status())), daemon.status());
  });
});

describe('stop()', () => {
  test('pushes what is pending, emits stopped once, and may be repeated', async (t) => {
    const { repo, remote, options } = makePair(t);
    const daemon = await startInSync(t, { ...options, debounceMs: 3_600_000 });
    const { of, names } = collect(daemon);
    const commit = repo.commit();
    await untilState(daemon, 'debouncing');
    const stopping = daemon.stop({ timeoutMs: 30_000 });
    assert.equal(daemon.status().running, false);
    await Promise.all([stopping, daemon.stop()]);
    await daemon.stop();
    assert.equal(of('stopped').length, 1);
    assert.equal(names().at(-1), 'stopped');
    assert.equal(remote.tip(), commit);
    assert.equal(daemon.status().pendingCommits, 0);
  });

  test('takes no further commits; the next start pushes them', async (t) => {
    const { repo, remote, options } = makePair(t);
    const first = await startInSync(t, options);
    await first.stop();
    const before = remote.tip();
    const commit = repo.commit();
    first.notifyCommit(commit);
    await macrotask();
    assert.equal(remote.tip(), before);
    const second = start(t, options);
    assert.equal((await once(second, 'push')).commit, commit);
  });

  test('abandons at its deadline what it could not push, which stays in the repository', async (t) => {
    const { repo, options } = makeUnreachable(t);
    const daemon = start(t, { ...options, backoff: ENDLESS_BACKOFF });
    const { of } = collect(daemon);
    await once(daemon, 'error');
    await daemon.stop({ timeoutMs: 20 });
    assert.equal(of('stopped').length, 1);
    assert.equal(daemon.status().pendingCommits, 1);
    assert.equal(repo.count(), 1);
  });
});

test("the recipe's way of keeping metrics works as it is", async (t) => {
  const { repo, remote, options } = makePair(t);
  const registers = [new prom.Registry()];
  const daemon = await startPushDaemon({ ...options, backoff: FAST_BACKOFF });
  atEnd(t, () => daemon.stop({ timeoutMs: 0 }));
  const { Gauge, Counter } = prom;
  const pending = new Gauge({ name: 'gitsheets_push_pending', help: 'waiting', registers });
  const pushed = new Counter({ name: 'gitsheets_push_total', help: 'pushed', registers });
  const failed = new Counter({ name: 'gitsheets_push_errors_total', help: 'failed', registers });
  daemon.on('push', () => pushed.inc());
  daemon.on('error', () => failed.inc());
  const sample = () => pending.set(daemon.status().pendingCommits);
  const value = async (metric) => (await metric.get()).values[0].value;

  remote.hook('pre-receive', 'exit 1');
  repo.commit();
  await once(daemon, 'retry');
  sample();
  assert.equal(await value(pending), 1);
  assert.ok((await value(failed)) >= 1);
  remote.removeHook('pre-receive');
  await once(daemon, 'push');
  sample();
  assert.equal(await value(pending), 0);
  assert.equal(await value(pushed), 1);
});

describe('docs/migrating.md', () => {
  const text = readFileSync(path.join(ROOT, 'docs/migrating.md'), 'utf8');

  test('names every option of gitsheets, every event and every key of the status', async (t) => {
    const daemon = await startInSync(t, makePair(t).options);
    for (const key of FORMER_KEYS) {
      assert.match(text, new RegExp(`^\\| \`${key}\` \\|`, 'm'));
      assert.ok(key in daemon.status());
    }
    for (const event of ['push', 'error', 'retry', 'stopped']) {
      assert.match(text, new RegExp(`^\\| \`${event}\` \\|`, 'm'));
    }
    for (const option of ['remote', 'branch', 'backoff', 'maxRetries']) {
      assert.match(text, new RegExp(`^\\| \`${option}\` \\|`, 'm'));
    }
  });

  test('says of maxRetries what is so: one attempt more than gitsheets makes', async (t) => {
    const { repo, remote, options } = makePair(t);
    remote.hook('pre-receive', 'exit 1');
    const daemon = await startInSync(t, { ...options, backoff: FAST_BACKOFF, maxRetries: 3 });
    const { of } = collect(daemon);
    repo.commit();
    // The status is ahead of its events.
    await until('four errors', () => of('error').length >= 4);
    await untilState(daemon, 'gave-up');
    assert.equal(of('error').length, 4);
  });

  test('says of the start what is so: it creates the branch and downloads nothing', async (t) => {
    const { repo, options } = makePair(t);
    const backup = makeRemote(t);
    const theirs = backup.commit({ branch: 'theirs', message: 'theirs' });
    repo.git('remote', 'add', 'backup', backup.path);
    const daemon = start(t, { ...options, remote: 'backup' });
    assert.equal((await once(daemon, 'push')).previous, null);
    assert.equal(backup.tip(), repo.tip());
    assert.throws(() => git(repo.path, 'cat-file', '-e', theirs));
  });

  test('says of a divergence what is so: pushing resumes once it is reconciled', async (t) => {
    const { repo, remote, options } = makePair(t);
    const daemon = await startInSync(t, options);
    remote.commit();
    repo.commit();
    await once(daemon, 'error');
    repo.git('fetch', '--quiet', 'origin', 'main');
    const tree = repo.git('rev-parse', 'main^{tree}');
    const merge = repo.git(
      ...['commit-tree', '-p', 'main', '-p', 'FETCH_HEAD', '-m', 'reconcile', tree],
    );
    const pushed = once(daemon, 'push');
    repo.git('update-ref', 'refs/heads/main', merge);
    assert.equal((await pushed).commit, merge);
    assert.equal(remote.tip(), merge);
  });
});
