/** The daemon and its host process: when the process may end, and that nothing is left behind. */

import assert from 'node:assert/strict';
import { renameSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';

import { runScript, startScript } from './support/child.mjs';
import { once, start, startInSync, until, within } from './support/daemon.mjs';
import { ended, gateHook, makeGate, makeScript } from './support/gate.mjs';
import { gitWith, makePair } from './support/git.mjs';
import {
  children,
  daemonThreads,
  descriptors,
  filesOf,
  inotifyDescriptors,
  processesOf,
} from './support/proc.mjs';
import { overSsh } from './support/ssh-program.mjs';

/** No process of a push runs at this remote, and none of its files is locked. */
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

/** A backlog for fast-import, which git packs. */
function manyCommits(tip) {
  const commit = (index) => [
    'commit refs/heads/main',
    'committer Committer <committer@example.invalid> 1700000000 +0000',
    'data 0',
    ...(index === 0 ? [`from ${tip}`] : []),
    `M 100644 inline file\ndata <<END\n${index}\nEND`,
    '',
  ];
  return Array.from({ length: 200 }, (_, index) => commit(index).join('\n')).join('');
}

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

  test('is not kept alive by a daemon whose remote is away, after its error event', async (t) => {
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
    const gate = gateHook(t, remote);
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
    await gate.entered();
    script.kill('SIGUSR2');
    await script.untilTold(({ idle }) => idle);
    gate.open();
    const { code, told } = await script.ended;
    assert.equal(code, 0);
    assert.deepEqual(told.at(-1), { commit });
    assert.equal(remote.tip(), commit);
    await assertNothingLeft(remote);
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

  test('awaits flush() and waitForPush() in the same way', async (t) => {
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

  test('that survives an unrelated uncaught exception keeps pushing', async (t) => {
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

  test('keeps pushing after the handle is garbage', async (t) => {
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

describe('the git that makes a pack', () => {
  test('ends when the process is killed', async (t) => {
    const { repo, remote, options } = makePair(t);
    gitWith({ input: `${manyCommits(repo.tip())}done\n` }, repo.path, 'fast-import', '--done');
    const gate = makeGate(t);
    const { PATH } = process.env;
    const git = makeScript(
      t,
      `PATH='${PATH}'; export PATH`,
      '[ "$1" = pack-objects ] || exec git "$@"',
      ...gate.lines,
    );
    renameSync(git, path.join(path.dirname(git), 'git'));
    const script = startScript('const daemon = startPushDaemon(input); daemon.ref();', {
      input: options,
      env: { PATH: `${path.dirname(git)}${path.delimiter}${PATH}` },
    });
    const pids = await gate.entered();
    script.kill('SIGKILL');
    await script.ended;
    await ended(pids);
    await assertNothingLeft(remote);
  });
});

describe('a garbage collection', () => {
  test('frees the space of deleted packs that the daemon has read', async (t) => {
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
    // The first daemon opens things for the whole process, such as the runtime's signal pipe.
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

  test('nothing is written to the repository, and a new commit is not pushed', async (t) => {
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
