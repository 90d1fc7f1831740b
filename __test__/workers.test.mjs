/**
 * Daemons in worker threads: a worker that ends leaves nothing of its daemon behind, and the process continues.
 * `process.test.mjs` tests daemons in the main thread.
 */

import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, test } from 'node:test';

import { ROOT, runScript, startScript } from './support/child.mjs';
import { ENDLESS_BACKOFF, until } from './support/daemon.mjs';
import { gateHook, makeGate, wrapReceivePack } from './support/gate.mjs';
import { makePair } from './support/git.mjs';
import {
  children,
  daemonThreads,
  descriptors,
  inotifyDescriptors,
  processesOf,
  residentBytes,
  threads,
} from './support/proc.mjs';
import { overSsh } from './support/ssh-program.mjs';

const INDEX = path.join(ROOT, 'index.js');

/** Ends at once; exit.test.mjs tests the commits that are still pushed. */
const CUT_OFF = { exitDrainMs: 0 };

/** How much memory, freed but not returned to the system, fifty workers may leave. */
const MEGABYTES = 32;

/** In a script: a worker that has `startPushDaemon`, `options`, `post` and `wait`, and the main thread's side of it. */
const WORKER = `
  import { Worker } from 'node:worker_threads';
  const startWorker = (source, options, more = {}) => {
    const prelude =
      "const { parentPort, workerData } = require('node:worker_threads');" +
      'const { options } = workerData;' +
      'const { startPushDaemon } = require(workerData.index);' +
      'const post = (message) => parentPort.postMessage(message);';
    const worker = new Worker(prelude + source, {
      eval: true,
      workerData: { index: ${JSON.stringify(INDEX)}, options },
      ...more,
    });
    worker.on('error', ({ message }) => tell({ uncaught: message }));
    worker.on('exit', (exitCode) => tell({ exitCode }));
    return worker;
  };
  const posted = (worker, accepts) => new Promise((resolve) => {
    worker.on('message', (message) => { if (accepts(message)) resolve(message); });
  });
`;

/** In a script: SIGWINCH pushes the same target from the main thread, and ends the process. */
const GO_ON = `
  const hold = setInterval(() => {}, 60_000);
  process.once('SIGWINCH', async () => {
    const daemon = startPushDaemon(input.options);
    tell(await daemon.flush());
    await daemon.stop();
    clearInterval(hold);
  });
`;

/** A worker with a daemon, which SIGUSR2 terminates. */
const HOST = `
  ${WORKER}
  ${GO_ON}
  const worker = startWorker(input.source, input.options);
  worker.on('message', tell);
  process.once('SIGUSR2', () => worker.terminate());
`;

/** Asserts that nothing of a worker's daemon is left in the process or on its remote. */
async function assertGone(script, remote) {
  await until('no thread is left', () => daemonThreads(script.pid).length === 0);
  await until('no child is left', () => children(script.pid).length === 0);
  assert.deepEqual(inotifyDescriptors(script.pid), []);
  await until('nobody is at the remote', () => processesOf(remote.path).length === 0);
  assert.deepEqual(remote.locks(), []);
  remote.fsck();
}

/** Asserts that the main thread continues and can push the same target. */
async function assertGoesOn(script, { repo, remote }) {
  script.kill('SIGWINCH');
  const commit = repo.tip();
  await script.untilTold((told) => told.commit === commit && Object.keys(told).length === 1);
  const { code, stderr } = await script.ended;
  assert.deepEqual([code, stderr], [0, '']);
  assert.equal(remote.tip(), commit);
}

const RUN = `startPushDaemon(options).ref(); post({ started: true });`;

describe('a worker that is terminated', () => {
  /** Puts a gate in a hook of the remote. */
  const inHook =
    (name) =>
    (t, { remote }) => {
      const gate = makeGate(t);
      remote.hook(name, ...gate.lines);
      return gate;
    };

  for (const [phase, prepare, source = RUN, more = {}] of [
    [
      'while it connects',
      (t, { repo }) => {
        const gate = makeGate(t);
        wrapReceivePack(t, repo, ...gate.lines);
        return gate;
      },
    ],
    ['while it pushes', inHook('pre-receive')],
    ['while the remote finishes after a push', inHook('post-receive')],
    [
      'while stop() drains and requests wait',
      inHook('pre-receive'),
      `const daemon = startPushDaemon(options);
       daemon.flush().catch(() => {});
       daemon.waitForPush(options.commit ?? 'f'.repeat(40)).catch(() => {});
       daemon.stop();
       post({ started: true });`,
    ],
    [
      'while it waits to try again',
      (_, { remote }) => {
        remote.hook('pre-receive', 'exit 1');
        return { open: () => remote.removeHook('pre-receive') };
      },
      `startPushDaemon(options).ref().on('error', () => {}).once('retry', () => post({ ready: true }));`,
      { backoff: ENDLESS_BACKOFF },
    ],
    [
      'with a connection kept ready',
      (t, pair) => {
        overSsh(t, pair);
        return { open() {} };
      },
      `startPushDaemon(options).ref().once('push', () => post({ ready: true }));`,
      { keepConnectionMs: 600_000 },
    ],
  ]) {
    test(`${phase} leaves nothing behind, and the main thread can push the same target`, async (t) => {
      const pair = makePair(t);
      const { repo, remote, options } = pair;
      const gate = prepare(t, pair);
      repo.commit();
      const script = startScript(HOST, {
        input: { source, options: { ...options, ...CUT_OFF, ...more } },
      });
      if (gate.entered) await gate.entered();
      else await script.untilTold(({ ready }) => ready);
      script.kill('SIGUSR2');
      await script.untilTold(({ exitCode }) => exitCode === 1);
      await assertGone(script, remote);
      gate.open();
      await assertGoesOn(script, pair);
    });
  }

  test('at any moment of its start leaves nothing behind', async (t) => {
    const pair = makePair(t);
    const script = startScript(
      `${WORKER}
       for (let round = 0; round < 20; round += 1) {
         const worker = startWorker(${JSON.stringify(RUN)}, input.options);
         for (let turn = 0; turn < round; turn += 1) await new Promise((resolve) => setTimeout(resolve, 2));
         await worker.terminate();
       }
       ${GO_ON}
       tell({ ended: true });`,
      { input: { options: pair.options } },
    );
    await script.untilTold(({ ended }) => ended);
    await assertGone(script, pair.remote);
    await assertGoesOn(script, pair);
  });

  test('again and again leaves no thread, descriptor or memory behind', async (t) => {
    const pair = makePair(t);
    const script = startScript(
      `${WORKER}
       const cycle = async (times) => {
         for (let round = 0; round < times; round += 1) {
           const worker = startWorker(input.source, input.options);
           await posted(worker, ({ ready }) => ready);
           await worker.terminate();
         }
         globalThis.gc();
       };
       const hold = setInterval(() => {}, 60_000);
       process.once('SIGUSR2', async () => { await cycle(50); tell({ done: true }); });
       process.once('SIGWINCH', () => clearInterval(hold));
       await cycle(10);
       tell({ warm: true });`,
      {
        input: {
          options: pair.options,
          source: `startPushDaemon(options).ref().flush().then(() => post({ ready: true }));`,
        },
        nodeArguments: ['--expose-gc'],
      },
    );
    const measure = async () => {
      await until('no thread is left', () => daemonThreads(script.pid).length === 0);
      return {
        threads: threads(script.pid).length,
        descriptors: descriptors(script.pid).length,
        bytes: residentBytes(script.pid),
      };
    };
    await script.untilTold(({ warm }) => warm);
    const before = await measure();
    script.kill('SIGUSR2');
    await script.untilTold(({ done }) => done);
    const after = await measure();
    t.diagnostic(JSON.stringify({ before, after }));
    assert.equal(after.threads, before.threads);
    assert.equal(after.descriptors, before.descriptors);
    // Node's own workers grow at first, by some megabytes; a daemon that stayed would by more than one each.
    assert.ok(after.bytes - before.bytes < MEGABYTES * 1024 * 1024, 'the memory is flat');
    script.kill('SIGWINCH');
    const { code, stderr } = await script.ended;
    assert.deepEqual([code, stderr], [0, '']);
  });
});

describe('a worker that ends by itself', () => {
  for (const [how, end, exitCode] of [
    ['by process.exit()', 'process.exit(3)', 3],
    ['by an uncaught exception', "setImmediate(() => { throw new Error('elsewhere'); })", 1],
  ]) {
    test(`${how} during a push leaves nothing behind, and the process continues`, async (t) => {
      const pair = makePair(t);
      const gate = gateHook(t, pair.remote);
      pair.repo.commit();
      const script = startScript(
        `${HOST}
         process.once('SIGURG', () => worker.postMessage('end'));`,
        {
          input: {
            options: { ...pair.options, ...CUT_OFF },
            source: `${RUN} parentPort.on('message', () => ${end});`,
          },
        },
      );
      await gate.entered();
      script.kill('SIGURG');
      await script.untilTold((told) => told.exitCode === exitCode);
      const uncaught = script.told.flatMap((told) => told.uncaught ?? []);
      assert.deepEqual(uncaught, exitCode === 1 ? ['elsewhere'] : []);
      await assertGone(script, pair.remote);
      gate.open();
      await assertGoesOn(script, pair);
    });
  }

  test('is not kept alive by an idle daemon, and pushes its last commit first', async (t) => {
    const pair = makePair(t);
    const commit = pair.repo.commit();
    const { code, told, stderr } = await runScript(
      `${WORKER}
       startWorker(input.source, input.options).on('message', tell);`,
      {
        input: {
          options: pair.options,
          source: `startPushDaemon(options).on('push', ({ commit }) => post({ commit }));`,
        },
      },
    );
    assert.deepEqual([code, stderr], [0, '']);
    assert.deepEqual(told, [{ commit }, { exitCode: 0 }]);
    assert.equal(pair.remote.tip(), commit);
  });
});

describe('the main thread and workers at the same time', () => {
  test('push their own repositories, and their messages arrive in order', async (t) => {
    const pairs = Array.from({ length: 4 }, () => makePair(t));
    const script = startScript(
      `${WORKER}
       const source = \`
         const daemon = startPushDaemon(options).ref();
         for (const event of ['push', 'error', 'retry']) {
           daemon.on(event, ({ commit }) => post({ event, commit }));
         }
         let next = 0;
         parentPort.on('message', (message) => {
           if (message === 'stop') daemon.stop().then((stopped) => { post({ stopped }); parentPort.close(); });
           else post(message === next ? { echo: next++ } : { wrong: message });
         });\`;
       const stops = [];
       for (const [at, options] of input.entries()) {
         if (at === 0) {
           const daemon = startPushDaemon(options).ref();
           for (const event of ['push', 'error', 'retry']) {
             daemon.on(event, ({ commit }) => tell({ at, event, commit }));
           }
           stops.push(async () => tell({ at, stopped: await daemon.stop() }));
           continue;
         }
         const worker = startWorker(source, options);
         let sent = 0;
         worker.on('message', ({ echo, ...message }) => {
           if (echo === undefined) tell({ at, ...message });
           else if (echo === sent - 1 && sent < 2_000) worker.postMessage(sent++);
           else tell({ at, echoed: echo });
         });
         worker.postMessage(sent++);
         stops.push(() => worker.postMessage('stop'));
       }
       process.once('SIGUSR2', () => { for (const stop of stops) stop(); });
       tell({ started: true });`,
      { input: pairs.map(({ options }) => options) },
    );
    await script.untilTold(({ started }) => started);
    const commits = pairs.map(() => []);
    for (let round = 0; round < 8; round += 1) {
      for (const [at, { repo }] of pairs.entries()) commits[at].push(repo.commit());
      await Promise.all(
        pairs.map((_, at) =>
          script.untilTold((told) => told.at === at && told.commit === commits[at].at(-1)),
        ),
      );
    }
    for (const at of [1, 2, 3])
      await script.untilTold((told) => told.at === at && told.echoed === 1_999);
    script.kill('SIGUSR2');
    const { code, told, stderr } = await script.ended;
    assert.deepEqual([code, stderr], [0, '']);
    for (const [at, { remote }] of pairs.entries()) {
      const mine = told.filter((line) => line.at === at);
      assert.deepEqual(
        mine.filter(({ wrong }) => wrong !== undefined),
        [],
      );
      const events = mine.filter(({ event }) => event);
      assert.ok(
        events.every(({ event, commit }) => event === 'push' && commits[at].includes(commit)),
      );
      const [stopped] = mine.flatMap((line) => line.stopped ?? []);
      assert.deepEqual(stopped, { drained: true, pendingCommits: 0 });
      assert.equal(remote.tip(), commits[at].at(-1));
    }
  });

  test("a worker's daemon continues after the main thread's daemon stops", async (t) => {
    const pairs = [makePair(t), makePair(t)];
    const script = startScript(
      `${WORKER}
       const daemon = startPushDaemon(input[0]);
       const source = \`
         const daemon = startPushDaemon(options).ref();
         daemon.on('push', ({ commit }) => { post({ commit }); if (commit !== options.first) daemon.unref(); });
         daemon.flush().then(() => post({ ready: true }));\`;
       const worker = startWorker(source, input[1]);
       worker.on('message', tell);
       await posted(worker, ({ ready }) => ready);
       tell({ stopped: await daemon.stop() });`,
      { input: pairs.map(({ options }) => options) },
    );
    await script.untilTold(({ stopped }) => stopped);
    const commit = pairs[1].repo.commit();
    await script.untilTold((told) => told.commit === commit);
    const { code, stderr } = await script.ended;
    assert.deepEqual([code, stderr], [0, '']);
    assert.equal(pairs[1].remote.tip(), commit);
  });

  test('the addon outlives the worker that loaded it first', async (t) => {
    const { repo, remote, options } = makePair(t);
    const commit = repo.commit();
    const { code, told, stderr } = await runScript(
      `import { createRequire as late } from 'node:module';
       import { execFileSync } from 'node:child_process';
       import { Worker } from 'node:worker_threads';
       import { pathToFileURL } from 'node:url';
       const worker = new Worker(
         \`const { workerData } = require('node:worker_threads');
          require(workerData.index).startPushDaemon(workerData.options).flush().then(() => process.exit());\`,
         { eval: true, workerData: input },
       );
       await new Promise((resolve) => worker.once('exit', resolve));
       // The end of a child raises a signal, whose handler the addon has installed.
       execFileSync('git', ['--version']);
       const daemon = late(pathToFileURL(input.index))(input.index).startPushDaemon(input.options);
       tell(await daemon.flush());
       tell(await daemon.stop());`,
      { input: { index: INDEX, options }, isBare: true },
    );
    assert.deepEqual([code, stderr], [0, '']);
    assert.deepEqual(told, [{ commit }, { drained: true, pendingCommits: 0 }]);
    assert.equal(remote.tip(), commit);
  });
});

describe('the environment of a worker', () => {
  test('is the one that the worker was given or has changed itself', async (t) => {
    const pairs = [makePair(t), makePair(t)];
    const commits = pairs.map(({ repo }) => repo.commit());
    const { code, told, stderr } = await runScript(
      `${WORKER}
       const start = "startPushDaemon({ remote: 'origin', branch: 'main' }).flush().then(post)";
       for (const [at, { repoPath }] of input.entries()) {
         const env = { ...process.env, CFP_DATA_REPO_PATH: repoPath };
         const worker =
           at === 0
             ? startWorker(start, {}, { env })
             : startWorker('process.env.CFP_DATA_REPO_PATH = options.repoPath;' + start, { repoPath });
         tell(await posted(worker, () => true));
         await new Promise((resolve) => worker.once('exit', resolve));
       }
       tell(process.env.CFP_DATA_REPO_PATH ?? null);`,
      { input: pairs.map(({ options }) => options) },
    );
    assert.deepEqual([code, stderr], [0, '']);
    assert.deepEqual(
      told.filter((line) => !line?.exitCode && line?.exitCode !== 0),
      [...commits.map((commit) => ({ commit })), null],
    );
    for (const [at, { remote }] of pairs.entries()) assert.equal(remote.tip(), commits[at]);
  });
});
