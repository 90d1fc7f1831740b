/** The daemon and its host process: what keeps it alive, what ends with it, and what is left behind. */

import assert from 'node:assert/strict';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';

import { ROOT, runScript, startScript } from './support/child.mjs';
import { once, start, startInSync, until, within } from './support/daemon.mjs';
import { makeDirectory, makePair, makeRemote } from './support/git.mjs';
import {
  children,
  daemonThreads,
  descriptors,
  filesOf,
  inotifyDescriptors,
  processesOf,
} from './support/proc.mjs';
import { overSsh } from './support/ssh-program.mjs';

/** A remote whose pushes say that they have begun, and then wait for `release()`. */
function slowRemote(t, remote) {
  const directory = makeDirectory(t);
  const begun = path.join(directory, 'begun');
  const held = path.join(directory, 'held');
  writeFileSync(held, '');
  // The files go with their directory at the latest, so that no hook outlives its test.
  remote.hook('pre-receive', `touch '${begun}'`, `while [ -e '${held}' ]; do sleep 0.02; done`);
  return {
    begun: () => until('a push has begun', () => existsSync(begun)),
    release: () => rmSync(held),
    file: begun,
  };
}

/** Nothing of a push at this remote runs any more, and none of its files is locked. */
async function assertNothingLeft(remote) {
  await until('no process is at the remote', () => processesOf(remote.path).length === 0);
  assert.deepEqual(remote.locks(), []);
  remote.fsck();
}

/** Waits, in a script, until the daemon has had its first look. */
const IN_SYNC = `
const inSync = (daemon) => new Promise((resolve) => {
  const timer = setInterval(() => {
    if (daemon.status().state !== 'in-sync') return;
    clearInterval(timer);
    resolve();
  }, 2);
});
`;

describe('a process', () => {
  test('is not kept alive by an idle daemon', async (t) => {
    const { options } = makePair(t);
    const { code, told, stderr } = await runScript(
      `const daemon = startPushDaemon(input);
       process.on('beforeExit', () => tell(daemon.status().state));`,
      { input: options },
    );
    assert.equal(code, 0, stderr);
    assert.equal(told.at(-1), 'in-sync', 'its first look was finished');
    assert.equal(stderr, '');
  });

  test('is not kept alive by a daemon whose remote is away, once it has said so', async (t) => {
    const { repo, options } = makePair(t);
    repo.git('remote', 'set-url', 'origin', path.join(repo.path, 'gone.git'));
    const { code, told, stderr } = await runScript(
      `startPushDaemon(input).on('error', ({ attempt }) => tell({ attempt }));`,
      { input: options },
    );
    assert.equal(code, 0, stderr);
    assert.equal(told[0].attempt, 0);
  });

  test('does not exit before a started push has ended', async (t) => {
    const { repo, remote, options } = makePair(t);
    const slow = slowRemote(t, remote);
    const script = startScript(
      `${IN_SYNC}
       const daemon = startPushDaemon(input);
       daemon.on('push', ({ commit }) => tell({ commit }));
       daemon.ref();
       await inSync(daemon);
       tell({ ready: true });
       process.once('SIGUSR2', () => { daemon.unref(); tell({ idle: true }); });`,
      { input: options },
    );
    await script.untilTold(({ ready }) => ready);
    const commit = repo.commit();
    await slow.begun();
    script.kill('SIGUSR2');
    await script.untilTold(({ idle }) => idle);
    slow.release();
    const { code, told } = await script.ended;
    assert.equal(code, 0);
    assert.deepEqual(told.at(-1), { commit });
    assert.equal(remote.tip(), commit);
    await assertNothingLeft(remote);
  });

  test('pushes a commit that was the last thing it did', async (t) => {
    const { repo, remote, options } = makePair(t);
    const { code, told, stderr } = await runScript(
      `${IN_SYNC}
       import { execFileSync } from 'node:child_process';
       const daemon = startPushDaemon(input);
       daemon.on('push', ({ commit }) => tell({ commit }));
       await inSync(daemon);
       const tree = execFileSync('git', ['rev-parse', 'main^{tree}'], { cwd: input.repoPath, encoding: 'utf8' }).trim();
       const commit = execFileSync('git', ['commit-tree', '-p', 'main', '-m', 'last', tree], { cwd: input.repoPath, encoding: 'utf8' }).trim();
       execFileSync('git', ['update-ref', 'refs/heads/main', commit], { cwd: input.repoPath });`,
      { input: options },
    );
    assert.equal(code, 0, stderr);
    assert.deepEqual(told, [{ commit: repo.tip() }]);
    assert.equal(remote.tip(), repo.tip());
    assert.equal(remote.count(), 2);
  });

  test('awaits stop() at its top level with nothing else to do', async (t) => {
    const { repo, remote, options } = makePair(t);
    const commit = repo.commit();
    const { code, told, stderr } = await runScript(
      `const daemon = startPushDaemon(input);
       tell(await daemon.stop());
       tell(daemon.status().state);`,
      { input: options },
    );
    assert.equal(code, 0, stderr);
    assert.deepEqual(told, [{ drained: true, pendingCommits: 0 }, 'stopped']);
    assert.equal(remote.tip(), commit);
  });

  test('awaits flush() and waitForPush() likewise', async (t) => {
    const { repo, options } = makePair(t);
    const commit = repo.commit();
    const { code, told, stderr } = await runScript(
      `const daemon = startPushDaemon({ ...input.options, debounceMs: 1 });
       tell((await daemon.waitForPush(input.commit)).commit);
       tell((await daemon.flush()).commit);`,
      { input: { options, commit } },
    );
    assert.equal(code, 0, stderr);
    assert.deepEqual(told, [commit, commit]);
  });

  test('is kept alive by ref() until unref()', async (t) => {
    const { repo, options } = makePair(t);
    const script = startScript(
      `const daemon = startPushDaemon(input);
       if (daemon.ref() !== daemon) throw new Error('ref() is not chainable');
       daemon.on('push', ({ commit }) => { tell({ commit }); if (commit !== input.first) daemon.unref(); });
       tell({ ready: true });`,
      { input: options },
    );
    await script.untilTold(({ ready }) => ready);
    const commit = repo.commit();
    await script.untilTold((told) => told.commit === commit);
    assert.equal((await script.ended).code, 0);
  });

  test('that exits with a push in flight leaves no child and no lock', async (t) => {
    const { repo, remote, options } = makePair(t);
    const slow = slowRemote(t, remote);
    const before = remote.tip();
    repo.commit();
    const { code, stderr } = await runScript(
      `import { existsSync } from 'node:fs';
       startPushDaemon(input.options);
       setInterval(() => { if (existsSync(input.file)) process.exit(7); }, 2);`,
      { input: { options, file: slow.file } },
    );
    assert.equal(code, 7, stderr);
    await assertNothingLeft(remote);
    assert.equal(remote.tip(), before);
    await start(t, options).stop({ timeoutMs: 0 });
  });

  test('that dies of an uncaught exception with a push in flight leaves no child and no lock', async (t) => {
    const { repo, remote, options } = makePair(t);
    const slow = slowRemote(t, remote);
    repo.commit();
    const { code, stderr } = await runScript(
      `import { existsSync } from 'node:fs';
       startPushDaemon(input.options);
       setInterval(() => { if (existsSync(input.file)) throw new Error('elsewhere'); }, 2);`,
      { input: { options, file: slow.file } },
    );
    assert.equal(code, 1);
    assert.match(stderr, /elsewhere/);
    await assertNothingLeft(remote);
  });

  test('that survives an uncaught exception elsewhere goes on pushing', async (t) => {
    const { repo, remote, options } = makePair(t);
    const script = startScript(
      `process.on('uncaughtException', (error) => tell({ uncaught: error.message }));
       const daemon = startPushDaemon(input).ref();
       daemon.on('push', ({ commit }) => { tell({ commit }); daemon.unref(); });
       setImmediate(() => { throw new Error('elsewhere'); });`,
      { input: options },
    );
    await script.untilTold(({ uncaught }) => uncaught === 'elsewhere');
    const commit = repo.commit();
    await script.untilTold((told) => told.commit === commit);
    assert.equal((await script.ended).code, 0);
    assert.equal(remote.tip(), commit);
  });

  test('goes on pushing though nobody keeps the handle', async (t) => {
    const { repo, options } = makePair(t);
    const script = startScript(
      `let collected = false;
       const registry = new FinalizationRegistry(() => { collected = true; });
       (() => { startPushDaemon(input).on('push', ({ commit }) => tell({ commit })); })();
       (() => { registry.register({ bystander: true }); })();
       const hold = setInterval(() => {
         gc();
         if (collected) { collected = false; tell({ collected: true }); }
       }, 2);
       process.once('SIGUSR2', () => clearInterval(hold));`,
      { input: options, nodeArguments: ['--expose-gc'] },
    );
    await script.untilTold(({ collected }) => collected);
    for (let round = 0; round < 3; round += 1) {
      const commit = repo.commit();
      await script.untilTold((told) => told.commit === commit);
    }
    script.kill('SIGUSR2');
    assert.equal((await script.ended).code, 0);
  });

  test('pushes two branches with two daemons', async (t) => {
    const { repo, remote, options } = makePair(t);
    repo.commit({ branch: 'side' });
    const main = await startInSync(t, options);
    const side = start(t, { ...options, branch: 'side' });
    for (let round = 0; round < 5; round += 1) {
      const commits = [repo.commit(), repo.commit({ branch: 'side' })];
      await within(
        Promise.all([main.waitForPush(commits[0]), side.waitForPush(commits[1])]),
        'both',
      );
      assert.deepEqual([remote.tip(), remote.tip('side')], commits);
    }
    assert.equal(main.status().totals.commits, 5);
    assert.equal(side.status().branch, 'side');
  });

  test('that another daemon of it holds alive reaches both remotes', async (t) => {
    const { repo, options } = makePair(t);
    const other = makeRemote(t);
    repo.git('remote', 'add', 'other', other.path);
    const commit = repo.commit();
    const { code, stderr } = await runScript(
      `startPushDaemon(input); startPushDaemon({ ...input, remote: 'other' });`,
      { input: options },
    );
    assert.equal(code, 0, stderr);
    assert.equal(other.tip(), commit);
  });
});

describe('a worker thread', () => {
  /** A script whose worker runs a daemon, and which terminates the worker when told to by SIGUSR2. */
  const HOST = `
    import { Worker } from 'node:worker_threads';
    const worker = new Worker(
      \`const { parentPort, workerData } = require('node:worker_threads');
       const daemon = require(workerData.index).startPushDaemon(workerData.options);
       daemon.ref();
       daemon.on('push', ({ commit }) => parentPort.postMessage({ commit }));
       parentPort.on('message', () => daemon.stop().then(() => { parentPort.close(); }));
       parentPort.postMessage({ started: true });\`,
      { eval: true, workerData: { index: input.index, options: input.options } },
    );
    worker.on('message', tell);
    worker.on('exit', (exitCode) => tell({ exitCode }));
    process.on('SIGUSR2', () => worker.terminate());
    process.on('SIGUSR1', () => {});
    const hold = setInterval(() => {}, 1000);
    process.once('SIGTERM', () => clearInterval(hold));
    process.on('SIGWINCH', () => worker.postMessage('stop'));
  `;
  const input = (options) => ({ index: path.join(ROOT, 'index.js'), options });

  test('runs a daemon and stops it', async (t) => {
    const { repo, remote, options } = makePair(t);
    const script = startScript(HOST, { input: input(options) });
    await script.untilTold(({ started }) => started);
    const commit = repo.commit();
    await script.untilTold((told) => told.commit === commit);
    assert.notDeepEqual(daemonThreads(script.pid), []);
    script.kill('SIGWINCH');
    await script.untilTold(({ exitCode }) => exitCode === 0);
    await until('no thread is left', () => daemonThreads(script.pid).length === 0);
    script.kill('SIGTERM');
    assert.equal((await script.ended).code, 0);
    assert.equal(remote.tip(), commit);
  });

  test('that is terminated during a push leaves nothing, and the main thread goes on', async (t) => {
    const { repo, remote, options } = makePair(t);
    const slow = slowRemote(t, remote);
    const script = startScript(HOST, { input: input(options) });
    await script.untilTold(({ started }) => started);
    repo.commit();
    await slow.begun();
    assert.notDeepEqual(children(script.pid), []);
    script.kill('SIGUSR2');
    await script.untilTold(({ exitCode }) => exitCode === 1);
    await until('no thread is left', () => daemonThreads(script.pid).length === 0);
    await until('no child is left', () => children(script.pid).length === 0);
    assert.deepEqual(inotifyDescriptors(script.pid), []);
    await assertNothingLeft(remote);
    script.kill('SIGTERM');
    assert.equal((await script.ended).code, 0);
  });

  test('that is terminated lets the same target start again in the process', async (t) => {
    const { repo, remote, options } = makePair(t);
    const { code, told, stderr } = await runScript(
      `import { Worker } from 'node:worker_threads';
       for (let round = 0; round < 20; round += 1) {
         const worker = new Worker(
           \`const { parentPort, workerData } = require('node:worker_threads');
            require(workerData.index).startPushDaemon(workerData.options).ref();
            parentPort.postMessage({ started: true });\`,
           { eval: true, workerData: { index: input.index, options: input.options } },
         );
         await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
         await worker.terminate();
       }
       const daemon = startPushDaemon(input.options);
       tell(await daemon.flush());`,
      { input: input(options) },
    );
    assert.equal(code, 0, stderr);
    assert.deepEqual(told, [{ commit: repo.tip() }]);
    await assertNothingLeft(remote);
  });
});

describe('a connection that is kept ready', () => {
  test('does not keep the process alive, and ends with it', async (t) => {
    const pair = makePair(t);
    overSsh(t, pair);
    const commit = pair.repo.commit();
    const { code, told, stderr } = await runScript(
      `import { readdirSync, readFileSync } from 'node:fs';
       const daemon = startPushDaemon(input);
       daemon.on('push', ({ commit }) => tell({ commit }));
       process.once('beforeExit', () => {
         const tasks = readdirSync('/proc/self/task');
         tell({ children: tasks.map((id) => readFileSync(\`/proc/self/task/\${id}/children\`, 'utf8')).join('') });
       });`,
      { input: pair.options },
    );
    assert.equal(code, 0, stderr);
    assert.equal(stderr, '');
    assert.deepEqual(told[0], { commit });
    assert.match(told[1].children, /\d/, 'it was there');
    await assertNothingLeft(pair.remote);
  });

  test('ends with stop() and with process.exit()', async (t) => {
    for (const end of ['await daemon.stop()', 'process.exit(0)']) {
      const pair = makePair(t);
      overSsh(t, pair);
      pair.repo.commit();
      const { code, stderr } = await runScript(
        `const daemon = startPushDaemon(input);
         daemon.ref();
         await new Promise((resolve) => daemon.once('push', resolve));
         ${end};`,
        { input: { ...pair.options, keepConnectionMs: 600_000 } },
      );
      assert.equal(code, 0, stderr);
      await assertNothingLeft(pair.remote);
    }
  });

  test('ends when the process is killed', async (t) => {
    const pair = makePair(t);
    overSsh(t, pair);
    pair.repo.commit();
    const script = startScript(
      `const daemon = startPushDaemon(input);
       daemon.ref();
       daemon.once('push', () => tell({ pushed: true }));`,
      { input: { ...pair.options, keepConnectionMs: 600_000 } },
    );
    await script.untilTold(({ pushed }) => pushed);
    await until('it is ready', () => processesOf(pair.remote.path).length > 0);
    script.kill('SIGKILL');
    await script.ended;
    await assertNothingLeft(pair.remote);
  });
});

describe('a garbage collection', () => {
  test('gets the space of the packs that it deletes, though the daemon has read them', async (t) => {
    const { repo, options } = makePair(t, { commits: 3 });
    repo.git('gc', '--quiet');
    const daemon = await startInSync(t, options);
    const pushed = once(daemon, 'push');
    repo.commit();
    await pushed;
    const open = () => filesOf().filter((file) => file.startsWith(repo.path));
    const isPack = (file) => /\.(pack|idx)/.test(file);
    assert.ok(open().some(isPack), 'it has read a pack');
    repo.git('gc', '--quiet');
    const next = once(daemon, 'push');
    repo.commit();
    await next;
    const isGone = (file) => file.endsWith(' (deleted)');
    await until(`closed: ${open().filter(isGone)}`, () => !open().some(isGone));
  });
});

describe('after stop()', () => {
  test('no thread, descriptor, watch or child is left', async (t) => {
    const first = makePair(t);
    // What one daemon leaves in the process for all others, such as the runtime's own signal pipe.
    await within(start(t, first.options).stop(), 'stop');
    const before = descriptors().sort();
    const { repo, options } = makePair(t);
    const daemon = await startInSync(t, options);
    repo.commit();
    await once(daemon, 'push');
    assert.notDeepEqual(daemonThreads(), []);
    assert.equal(inotifyDescriptors().length, 1);
    await within(daemon.stop(), 'stop');
    assert.deepEqual(children(), []);
    // The thread may still be in its last instructions.
    await until('no thread is left', () => daemonThreads().length === 0);
    assert.deepEqual(descriptors().sort(), before);
  });

  test('nothing is written in the repository, and a new commit is not pushed', async (t) => {
    const { repo, remote, options } = makePair(t);
    const daemon = await startInSync(t, options);
    await within(daemon.stop(), 'stop');
    const before = remote.tip();
    repo.commit();
    daemon.notifyCommit();
    await assert.rejects(daemon.flush(), { code: 'ERR_PUSH_DAEMON_STOPPED' });
    // Another daemon's whole life is time enough for one that is not dead.
    const other = makePair(t);
    other.repo.commit();
    await within(start(t, other.options).stop(), 'stop');
    assert.equal(remote.tip(), before);
    assert.equal(repo.git('rev-parse', 'refs/remotes/origin/main'), before);
    assert.equal(daemon.status().state, 'stopped');
  });

  test('1,000 cycles leave no memory, descriptors or threads behind', async (t) => {
    const { options } = makePair(t);
    const { code, told, stderr } = await runScript(
      `import { readdirSync, readFileSync } from 'node:fs';
       const measure = () => {
         gc();
         const [, kilobytes] = readFileSync('/proc/self/status', 'utf8').match(/VmRSS:\\s+(\\d+)/);
         return {
           kilobytes: Number(kilobytes),
           descriptors: readdirSync('/proc/self/fd').length,
           threads: readdirSync('/proc/self/task').length,
         };
       };
       const cycle = async (index) => {
         const daemon = startPushDaemon(input);
         daemon.on('error', ({ err }) => tell({ failed: err.message }));
         // Some are stopped in their first look, some after it.
         if (index % 4 === 0) await daemon.flush();
         await daemon.stop({ timeoutMs: index % 2 === 0 ? 30_000 : 0 });
       };
       for (let index = 0; index < 200; index += 1) await cycle(index);
       const before = measure();
       for (let index = 0; index < 1000; index += 1) await cycle(index);
       tell({ before, after: measure() });`,
      { input: options, nodeArguments: ['--expose-gc'], limitMs: 240_000 },
    );
    assert.equal(code, 0, stderr);
    assert.equal(told.length, 1, JSON.stringify(told[0]));
    const [{ before, after }] = told;
    assert.equal(after.descriptors, before.descriptors);
    assert.equal(after.threads, before.threads);
    const grown = after.kilobytes - before.kilobytes;
    assert.ok(grown < 20_000, `${grown} kB more after 1,000 cycles`);
    assert.equal(stderr, '');
  });
});
