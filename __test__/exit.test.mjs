// The end of a process or a worker without stop(): its last commits reach the remote within `exitDrainMs`, the exit code
// stays, and standard error reports commits that are left behind.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { describe, test } from 'node:test';

import { Api, environmentOf } from './support/api.mjs';
import { ROOT, runScript, startScript } from './support/child.mjs';
import { atEnd } from './support/cleanup.mjs';
import { ENDLESS_BACKOFF, start, until } from './support/daemon.mjs';
import { ended, gateHook } from './support/gate.mjs';
import { makeDirectory, makePair } from './support/git.mjs';
import { children, processesOf } from './support/proc.mjs';
import { assertArrived, comeBack, commitByAnother, goAway } from './support/remote.mjs';

const require = createRequire(import.meta.url);

/** Longer than any test: a drain of this length would exceed the script's limit. */
const FOREVER_MS = 600_000;

/** A commit that no branch has yet; the script under test moves the branch to it in its last moments. */
function prepareCommit(repo) {
  const tree = repo.git('rev-parse', 'main^{tree}');
  return repo.git('commit-tree', tree, '-p', 'main', '-m', 'the last one');
}

/** Starts a daemon, waits until it is in sync, and defines `commit()`. */
const IN_SYNC = `
  const { execFileSync } = require('node:child_process');
  const daemon = startPushDaemon(input.options);
  daemon.on('error', () => {});
  const commit = () =>
    execFileSync('git', ['update-ref', 'refs/heads/main', input.commit], { cwd: input.options.repoPath });
  await daemon.flush();
`;

/** How a thread ends by itself, each with its exit code without a daemon. */
const ENDINGS = [
  ['by itself', '', 0],
  ['with an exit code of its own', 'process.exitCode = 5;', 5],
  ['by process.exit() in the same turn', 'process.exit(7);', 7],
  ['by process.exit() three milliseconds later', 'setTimeout(() => process.exit(7), 3);', 7],
  [
    'by process.exit() in a microtask while a request waits',
    'daemon.waitForPush(input.commit); queueMicrotask(() => process.exit(7));',
    7,
  ],
  ['by an uncaught exception', 'setImmediate(() => { throw new Error("the end"); });', 1],
  ['by an unhandled rejection', 'Promise.reject(new Error("the end"));', 1],
  [
    'by an exit listener that exits again',
    'process.prependListener("exit", () => process.exit(7)); process.exit(5);',
    7,
  ],
  [
    'by an exit listener that throws',
    'process.prependListener("exit", () => { throw new Error("the end"); }); process.exit(7);',
    7,
  ],
  ['with every exit listener removed', 'process.removeAllListeners("exit"); process.exit(7);', 7],
  ['by process.reallyExit()', 'process.reallyExit(7);', 7],
];

describe('a commit in the last moment', () => {
  for (const [how, end, code] of ENDINGS) {
    test(`of a process that ends ${how} is pushed`, async (t) => {
      const { repo, remote, options } = makePair(t);
      const commit = prepareCommit(repo);
      const host = await runScript(`${IN_SYNC} commit(); ${end}`, { input: { options, commit } });
      assert.equal(host.code, code, host.stderr);
      assert.doesNotMatch(host.stderr, /git-push-daemon:/);
      assert.equal(remote.tip(), commit);
      assertArrived(remote, repo);
    });
  }

  test('in an exit listener is pushed', async (t) => {
    const { repo, remote, options } = makePair(t);
    const commit = prepareCommit(repo);
    const host = await runScript(`${IN_SYNC} process.on('exit', commit); process.exit(7);`, {
      input: { options, commit },
    });
    assert.deepEqual([host.code, host.stderr], [7, '']);
    assert.equal(remote.tip(), commit);
  });

  test('after an exit event that ended nothing is pushed, and the daemon continues', async (t) => {
    const { repo, remote, options } = makePair(t);
    const commit = prepareCommit(repo);
    const host = await runScript(
      `${IN_SYNC} process.emit('exit', 0);
       // Node takes the module that waits for one that never ends.
       process.exitCode = 0;
       commit();
       tell(await daemon.flush()); tell(await daemon.stop());`,
      { input: { options, commit } },
    );
    assert.deepEqual([host.code, host.stderr], [0, '']);
    assert.deepEqual(host.told, [{ commit }, { drained: true, pendingCommits: 0 }]);
    assert.equal(remote.tip(), commit);
  });

  test('before process.exit() right after the start is pushed', async (t) => {
    const { repo, remote, options } = makePair(t);
    repo.commit();
    const source = 'startPushDaemon(input.options); process.exit(4);';
    const host = await runScript(source, { input: { options } });
    assert.deepEqual([host.code, host.stderr], [4, '']);
    assertArrived(remote, repo);
  });

  const IN_WORKER = `
    import { Worker } from 'node:worker_threads';
    const worker = new Worker(
      \`const { parentPort, workerData: input } = require('node:worker_threads');
        const { startPushDaemon } = require(input.index);
        (async () => { ${IN_SYNC.replaceAll('`', '\\`')} commit(); \${input.end} })();\`,
      { eval: true, workerData: input },
    );
    worker.on('error', () => {});
    worker.on('exit', (code) => tell({ code }));
    worker.on('message', () => MAIN);
  `;
  for (const [how, end, main, codes] of [
    ['by process.exit() there', 'process.exit(7);', '0', { worker: 7, process: 0 }],
    ['by an uncaught exception', 'throw new Error("x");', '0', { worker: 1, process: 0 }],
    [
      'by worker.terminate()',
      'parentPort.postMessage(0); setInterval(() => {}, 1000);',
      'worker.terminate()',
      { worker: 1, process: 0 },
    ],
    [
      'with the main thread',
      'parentPort.postMessage(0); setInterval(() => {}, 1000);',
      'process.exit(7)',
      { process: 7 },
    ],
  ]) {
    test(`of a worker that ends ${how} is pushed`, async (t) => {
      const { repo, remote, options } = makePair(t);
      const commit = prepareCommit(repo);
      const host = await runScript(IN_WORKER.replace('MAIN', main), {
        input: { options, commit, end, index: path.join(ROOT, 'index.js') },
      });
      assert.equal(host.code, codes.process, host.stderr);
      assert.deepEqual(host.told, codes.worker === undefined ? [] : [{ code: codes.worker }]);
      assert.doesNotMatch(host.stderr, /git-push-daemon:/);
      assert.equal(remote.tip(), commit);
      assertArrived(remote, repo);
    });
  }

  for (const [where, source] of [
    ['a process', 'for (const options of input.all) startPushDaemon(options); process.exit();'],
    [
      'a worker that is terminated',
      `import { Worker } from 'node:worker_threads';
       const worker = new Worker(
         \`const { parentPort, workerData } = require('node:worker_threads');
           for (const options of workerData.all) require(workerData.index).startPushDaemon(options).ref();
           parentPort.postMessage(0);\`,
         { eval: true, workerData: input },
       );
       worker.on('message', () => worker.terminate());`,
    ],
  ]) {
    test(`in each of several repositories of ${where} is pushed at the same time`, async (t) => {
      const directory = makeDirectory(t);
      const pairs = [1, 2, 3].map(() => makePair(t));
      pairs.forEach(({ repo, remote }, index) => {
        // Each push waits for the others.
        const others = pairs.map((_, other) => `[ -e ${directory}/${other} ]`).join(' && ');
        remote.hook(
          'pre-receive',
          `touch ${directory}/${index}`,
          `until ${others}; do sleep 0.02; done`,
        );
        repo.commit();
      });
      const all = pairs.map(({ options }) => ({ ...options, exitDrainMs: FOREVER_MS }));
      const host = await runScript(source, { input: { all, index: path.join(ROOT, 'index.js') } });
      assert.deepEqual([host.code, host.stderr], [0, '']);
      for (const { repo, remote } of pairs) assertArrived(remote, repo);
    });
  }
});

describe('a commit that does not reach the remote before the process ends', () => {
  const EXIT = 'startPushDaemon(input.options).on("error", () => {}); process.exit(3);';

  for (const [why, disturb, says, heal] of [
    [
      'because the remote is away',
      ({ remote }) => goAway(remote),
      /^git-push-daemon: origin lacks 2 commits of main \(remote-error: .+\); they stay in the local repository, and the next start pushes them\n$/,
      ({ remote }) => comeBack(remote),
    ],
    [
      'because the branches have diverged',
      ({ remote }) => commitByAnother(remote),
      /^git-push-daemon: origin lacks 2 commits of main \(non-fast-forward: .+\); .+ until the branches are reconciled\n$/,
      ({ remote }) => remote.git('update-ref', 'refs/heads/main', 'refs/heads/main~1'),
    ],
  ]) {
    test(`${why} is reported in one line and pushed by the next start`, async (t) => {
      const { repo, remote, options } = makePair(t);
      repo.commit();
      repo.commit();
      await disturb({ remote });
      const input = { options: { ...options, exitDrainMs: 1000 } };
      const host = await runScript(EXIT, { input });
      assert.equal(host.code, 3);
      assert.match(host.stderr, says);
      await heal({ remote });
      const next = start(t, options);
      await next.waitForPush(repo.tip());
      assertArrived(remote, repo);
    });
  }

  test('because the remote hangs is reported after exitDrainMs, and nothing is left behind', async (t) => {
    const { repo, remote, options } = makePair(t);
    gateHook(t, remote);
    repo.commit();
    const input = { options: { ...options, exitDrainMs: 500 } };
    const host = await runScript(EXIT, { input });
    assert.equal(host.code, 3);
    assert.match(host.stderr, /^git-push-daemon: origin lacks 1 commit of main \(.+\); .+\n$/);
    await until('no process is at the remote', () => processesOf(remote.path).length === 0);
    assert.deepEqual(repo.locks(), []);
  });

  test('does not hold up a process whose standard error is full and unread', async (t) => {
    const { repo, remote, options } = makePair(t);
    goAway(remote);
    repo.commit();
    const host = await runScript(
      `writeSync(2, Buffer.alloc(65_536)); startPushDaemon(input.options); process.exit(9);`,
      {
        input: { options: { ...options, exitDrainMs: 200 } },
        under: ['bash', '-c', '"$@" 2> >(exec sleep 20 >/dev/null 2>&1)', 'bash'],
      },
    );
    assert.equal(host.code, 9);
    comeBack(remote);
  });

  test('does not hold up the process with exitDrainMs 0', async (t) => {
    const { repo, remote, options } = makePair(t);
    gateHook(t, remote);
    const commit = repo.commit();
    const input = { options: { ...options, exitDrainMs: 0 } };
    const host = await runScript(EXIT, { input });
    assert.deepEqual([host.code, host.stderr], [3, '']);
    assert.notEqual(remote.tip(), commit);
  });

  for (const [which, timeoutMs, exitDrainMs] of [
    ['exitDrainMs if that is shorter', FOREVER_MS, 300],
    ['the deadline of stop() if that is shorter', 300, FOREVER_MS],
  ]) {
    test(`during a stop() obeys ${which}`, async (t) => {
      const { repo, remote, options } = makePair(t);
      const gate = gateHook(t, remote);
      repo.commit();
      const host = startScript(
        `const daemon = startPushDaemon(input.options);
         process.once('SIGUSR2', () => {
           daemon.stop({ timeoutMs: input.timeoutMs }).then(() => tell('stopped'));
           process.exit(3);
         });`,
        { input: { options: { ...options, exitDrainMs }, timeoutMs } },
      );
      atEnd(t, () => host.kill());
      const held = await gate.entered();
      host.kill('SIGUSR2');
      const end = await host.ended;
      assert.deepEqual([end.code, end.told], [3, []]);
      assert.match(end.stderr, /^git-push-daemon: origin lacks 1 commit of main /);
      await ended(held);
    });
  }
});

test('a process whose commits are all pushed ends at once', async (t) => {
  const { options } = makePair(t);
  const input = { options: { ...options, exitDrainMs: FOREVER_MS } };
  const host = await runScript(`${IN_SYNC} process.exit(2);`, { input });
  assert.deepEqual([host.code, host.stderr], [2, '']);
});

// Libraries that end the process at a signal, beside the graceful shutdown of the example API.
describe('a library that calls process.exit() at SIGTERM', () => {
  const EXIT_HOOK = `require(${JSON.stringify(require.resolve('async-exit-hook'))})`;
  /** As hologit has it by way of gitsheets: registered before everything else, or after. */
  const PRELOADS = {
    'before close-with-grace': `${EXIT_HOOK}(() => {});`,
    'after close-with-grace': `
      process.on('newListener', function register(event) {
        if (event !== 'SIGTERM') return;
        process.removeListener('newListener', register);
        setImmediate(() => ${EXIT_HOOK}(() => {}));
      });`,
  };
  for (const [order, preload] of Object.entries(PRELOADS)) {
    test(`loses no write that was answered just before (registered ${order})`, async (t) => {
      const { repo, remote } = makePair(t);
      remote.hook('pre-receive', 'sleep 2');
      const preloaded = path.join(makeDirectory(t), 'preload.cjs');
      writeFileSync(preloaded, preload);
      const more = {
        CFP_DATA_BACKOFF: JSON.stringify(ENDLESS_BACKOFF),
        NODE_OPTIONS: `--require ${preloaded}`,
      };
      const api = await Api.start(t, environmentOf({ repo, remote }, more));
      const commit = await api.put('the-last-talk');
      api.signal('SIGTERM');
      // 128 + 15: it was the library that ended the process.
      assert.deepEqual(await api.exited, { code: 143, signal: null });
      assert.equal(remote.tip(), commit);
      assertArrived(remote, repo);
      assert.deepEqual(children(api.pid), []);
    });
  }

  for (const order of ['before', 'after']) {
    test(`loses no commit of a process with process.once('SIGTERM') registered ${order} it`, async (t) => {
      const { repo, remote, options } = makePair(t);
      remote.hook('pre-receive', 'sleep 2');
      const commit = prepareCommit(repo);
      const own = `process.once('SIGTERM', () => daemon.stop());`;
      const library = `${EXIT_HOOK}(() => {});`;
      const host = await runScript(
        `${IN_SYNC}
         ${order === 'before' ? own + library : library + own}
         commit();
         process.kill(process.pid, 'SIGTERM');
         setInterval(() => {}, 1000);`,
        { input: { options, commit } },
      );
      assert.deepEqual([host.code, host.stderr], [143, '']);
      assert.equal(remote.tip(), commit);
    });
  }
});
