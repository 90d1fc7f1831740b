// How a daemon ends: in each of its states, and by each end of its process. It pushes all it can, leaves nothing behind,
// and the next daemon pushes the rest.

import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, test } from 'node:test';

import { ROOT, startScript } from './support/child.mjs';
import { atEnd } from './support/cleanup.mjs';
import {
  collect,
  ENDLESS_BACKOFF,
  start,
  startInSync,
  until,
  untilState,
} from './support/daemon.mjs';
import { ended, makeGate, startAtGate, wrapReceivePack } from './support/gate.mjs';
import { makePair } from './support/git.mjs';
import { children, processesOf } from './support/proc.mjs';
import { assertArrived, comeBack, commitByAnother, goAway } from './support/remote.mjs';

const NOTHING = async () => {};
const HOUR_MS = 3_600_000;

/**
 * The states in which a daemon ends. `prepare` runs before its start and `disturb` once it is in sync; `reached` waits for
 * facts that the status lacks; `heal` prepares the next daemon. `drains` tells whether stop() can push the commit.
 */
const STATES = {
  'in-sync': { commits: false, drains: true },
  // The server does not answer.
  starting: {
    isAtStart: true,
    prepare: ({ t, repo, gate }) => wrapReceivePack(t, repo, ...gate.lines),
    reached: ({ gate }) => gate.entered(),
    heal: ({ gate }) => gate.open(),
  },
  debouncing: { options: { debounceMs: HOUR_MS }, drains: true },
  // A hook of the server hangs.
  pushing: {
    disturb: ({ remote, gate }) => remote.hook('pre-receive', ...gate.lines),
    reached: ({ gate }) => gate.entered(),
    heal: ({ gate }) => gate.open(),
  },
  'backing-off': {
    disturb: ({ remote }) => goAway(remote),
    heal: ({ remote }) => comeBack(remote),
  },
  diverged: {
    disturb: ({ remote }) => commitByAnother(remote),
    heal: ({ remote }) => remote.git('update-ref', 'refs/heads/main', 'refs/heads/main~1'),
  },
  'gave-up': {
    options: { maxRetries: 0 },
    disturb: ({ remote }) => goAway(remote),
    heal: ({ remote }) => comeBack(remote),
  },
};

/** A daemon that reports its states and stops at SIGTERM or SIGINT. */
const DAEMON = `
  const daemon = startPushDaemon(input.options).ref();
  daemon.on('error', () => {});
  let state;
  const timer = setInterval(() => {
    if (state === daemon.status().state) return;
    state = daemon.status().state;
    tell({ state });
  }, 2);
`;

const HOST = `
  ${DAEMON}
  for (const signal of ['SIGTERM', 'SIGINT']) {
    process.once(signal, async () => {
      clearInterval(timer);
      tell({ result: await daemon.stop({ timeoutMs: input.timeoutMs }) });
    });
  }
  process.once('SIGUSR2', () => process.exit(3));
`;

const HOST_OF_WORKER = `
  import { Worker } from 'node:worker_threads';
  const worker = new Worker(
    \`const { parentPort, workerData: input } = require('node:worker_threads');
      const { startPushDaemon } = require(input.index);
      const tell = (value) => parentPort.postMessage(value);
      ${DAEMON}\`,
    { eval: true, workerData: input },
  );
  worker.on('message', tell);
  process.once('SIGUSR2', async () => tell({ terminated: await worker.terminate() }));
`;

/** How the process ends: the signal, and the exit code that it must have. */
const ENDINGS = [
  ['stop() at SIGTERM', { source: HOST, signal: 'SIGTERM', code: 0, stops: true }],
  ['stop() at SIGINT', { source: HOST, signal: 'SIGINT', code: 0, stops: true }],
  ['an exit of the process without stop()', { source: HOST, signal: 'SIGUSR2', code: 3 }],
  ['worker.terminate()', { source: HOST_OF_WORKER, signal: 'SIGUSR2', code: 0 }],
];

for (const [ending, { source, signal, code, stops = false }] of ENDINGS) {
  describe(`${ending} ends a daemon`, () => {
    for (const [state, spec] of Object.entries(STATES)) {
      test(`that is ${state} and leaves nothing behind`, async (t) => {
        const { commits = true, isAtStart = false, drains = false } = spec;
        const { prepare = NOTHING, disturb = NOTHING, reached = NOTHING, heal = NOTHING } = spec;
        const { repo, remote, options } = makePair(t);
        const gate = makeGate(t);
        const scene = { t, repo, remote, gate };
        await prepare(scene);
        if (isAtStart) repo.commit();
        const host = startScript(source, {
          input: {
            index: path.join(ROOT, 'index.js'),
            options: {
              ...options,
              backoff: ENDLESS_BACKOFF,
              exitDrainMs: drains ? 30_000 : 200,
              ...spec.options,
            },
            timeoutMs: drains ? 30_000 : 200,
          },
        });
        atEnd(t, () => host.kill());
        if (!isAtStart) {
          await host.untilTold((told) => told.state === 'in-sync');
          await disturb(scene);
          if (commits) repo.commit();
        }
        await host.untilTold((told) => told.state === state);
        const held = (await reached(scene)) ?? [];

        host.kill(signal);
        const end = await host.ended;
        assert.equal(end.code, code, end.stderr);
        assert.match(
          end.stderr,
          stops || drains ? /^$/ : /^git-push-daemon: origin (lacks|may lack) .+\n$/,
        );
        if (stops) {
          const result = drains
            ? { drained: true, pendingCommits: 0 }
            : { drained: false, pendingCommits: 1 };
          assert.deepEqual(end.told.at(-1), { result });
        }
        if (drains) assert.equal(remote.tip(), repo.tip());
        await ended(held);
        await until('no process is at the remote', () => processesOf(remote.path).length === 0);
        assert.deepEqual(repo.locks(), []);

        // The next daemon pushes the rest.
        await heal(scene);
        const next = start(t, options);
        await next.waitForPush(repo.tip());
        assertArrived(remote, repo);
      });
    }
  });
}

describe('stop()', () => {
  test('during a backoff pushes the pending commits', async (t) => {
    const { repo, remote, options } = makePair(t);
    const daemon = await startInSync(t, { ...options, backoff: ENDLESS_BACKOFF });
    const seen = collect(daemon);
    goAway(remote);
    repo.commit();
    await untilState(daemon, 'backing-off');
    comeBack(remote);
    assert.deepEqual(await daemon.stop(), { drained: true, pendingCommits: 0 });
    assert.deepEqual(seen.names(), ['error', 'retry', 'push', 'recovered', 'stopped']);
    assertArrived(remote, repo);
  });

  test('after giving up makes one last attempt', async (t) => {
    const { repo, remote, options } = makePair(t);
    const daemon = await startInSync(t, { ...options, maxRetries: 0 });
    const seen = collect(daemon);
    goAway(remote);
    repo.commit();
    await untilState(daemon, 'gave-up');
    comeBack(remote);
    assert.equal((await daemon.stop()).drained, true);
    assert.deepEqual(seen.names(), ['error', 'push', 'recovered', 'stopped']);
    assertArrived(remote, repo);
  });

  test('with a remote that stays away retries until its deadline and counts the pending commits', async (t) => {
    const { repo, remote, options } = makePair(t);
    const daemon = await startInSync(t, { ...options, backoff: ENDLESS_BACKOFF });
    const seen = collect(daemon);
    goAway(remote);
    repo.commit();
    repo.commit();
    await untilState(daemon, 'backing-off');
    const before = seen.of('error').length;
    const result = await daemon.stop({ timeoutMs: 3000 });
    assert.deepEqual(result, { drained: false, pendingCommits: 2 });
    assert.ok(seen.of('error').length > before);
    assert.deepEqual(seen.of('stopped'), [result]);
    assert.equal(seen.names().at(-1), 'stopped');
    comeBack(remote);
  });

  test('during a push drains it and the commits made since', async (t) => {
    const { repo, remote, gate, daemon, seen } = await startAtGate(t);
    const first = repo.commit();
    await gate.entered();
    repo.commit();
    const last = repo.commit();
    const stopping = daemon.stop();
    gate.open();
    assert.deepEqual(await stopping, { drained: true, pendingCommits: 0 });
    assert.deepEqual(
      seen.of('push').map(({ commit }) => commit),
      [first, last],
    );
    assert.equal(seen.names().at(-1), 'stopped');
    assertArrived(remote, repo);
  });

  test('in the tick of a commit drains it', async (t) => {
    const { repo, remote, options } = makePair(t);
    for (let round = 0; round < 10; round += 1) {
      const daemon = await startInSync(t, options);
      repo.commit();
      assert.equal((await daemon.stop()).drained, true);
      assertArrived(remote, repo);
    }
  });

  test('ends at the last deadline given when that is the earliest', async (t) => {
    const { repo, gate, daemon } = await startAtGate(t);
    repo.commit();
    await gate.entered();
    const stopping = daemon.stop({ timeoutMs: 600_000 });
    daemon.stop({ timeoutMs: 0 });
    assert.deepEqual(await stopping, { drained: false, pendingCommits: 1 });
    assert.deepEqual(children(), []);
  });
});
