/**
 * Several copies of the package in one process: in folders of their own, as npm installs two versions; after a reset of
 * the modules, and in realms of their own, as test runners make them. Each works, none disturbs another.
 * Worker threads are in `workers.test.mjs`.
 */

import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, test } from 'node:test';

import { ROOT, runScript, startScript } from './support/child.mjs';
import { makeCopy } from './support/copy.mjs';
import { until } from './support/daemon.mjs';
import { gateHook } from './support/gate.mjs';
import { makePair } from './support/git.mjs';
import { daemonThreads, filesOf, processesOf } from './support/proc.mjs';

const INDEX = path.join(ROOT, 'index.js');

/** What a script needs to start daemons from copies; each tells its events under its name. */
const FOLLOW = `
  const follow = (name, daemon) => {
    for (const event of ['push', 'error', 'retry']) {
      daemon.on(event, ({ commit, err }) => tell({ name, event, commit, message: err?.message }));
    }
    return daemon.ref();
  };
`;

/** The addons that a process has loaded. */
const addons = (pid) => filesOf(pid).filter((file) => file.endsWith('.node'));

const untilPushed = (script, name, commit) =>
  script.untilTold((told) => told.name === name && told.event === 'push' && told.commit === commit);

describe('two copies of the package in one process', () => {
  test('of different versions push at the same time and stop one by one', async (t) => {
    const copies = [INDEX, makeCopy(t, { version: '9.9.9' })];
    const pairs = [makePair(t), makePair(t)];
    const script = startScript(
      `${FOLLOW}
       const before = process.listenerCount('beforeExit');
       const [one, other] = input.copies.map((copy, at) =>
         follow(at, require(copy).startPushDaemon(input.options[at])));
       if (one.constructor === other.constructor) throw new Error('one copy');
       tell({ listeners: process.listenerCount('beforeExit') - before });
       process.once('SIGUSR2', async () => tell({ stopped: 0, ...(await one.stop()) }));
       process.once('SIGWINCH', async () => tell({ stopped: 1, ...(await other.stop()) }));`,
      { input: { copies, options: pairs.map(({ options }) => options) } },
    );
    assert.deepEqual(await script.untilTold(({ listeners }) => listeners), { listeners: 1 });
    assert.equal(addons(script.pid).length, 2);

    const pushed = [[], []];
    for (let round = 0; round < 10; round += 1) {
      for (const [at, { repo }] of pairs.entries()) pushed[at].push(repo.commit());
      await Promise.all(pairs.map((_, at) => untilPushed(script, at, pushed[at].at(-1))));
    }
    script.kill('SIGUSR2');
    const { drained } = await script.untilTold(({ stopped }) => stopped === 0);
    assert.equal(drained, true);
    const [before] = pairs.map(({ remote }) => remote.tip());
    pairs[0].repo.commit();
    pushed[1].push(pairs[1].repo.commit());
    await untilPushed(script, 1, pushed[1].at(-1));
    assert.equal(pairs[0].remote.tip(), before);
    script.kill('SIGWINCH');

    const { code, told, stderr } = await script.ended;
    assert.deepEqual([code, stderr], [0, '']);
    // Nobody was told of the other's.
    for (const { name, event, commit } of told.filter((line) => line.event)) {
      assert.equal(event, 'push');
      assert.ok(pushed[name].includes(commit), `${commit} is a commit of ${name}`);
    }
    for (const { remote } of pairs) remote.fsck();
  });

  test('that follow the same branch share the work as two processes do, without an error', async (t) => {
    const { repo, remote, options } = makePair(t);
    const script = startScript(
      `${FOLLOW}
       const daemons = input.copies.map((copy, at) =>
         follow(at, require(copy).startPushDaemon(input.options)));
       tell({ started: true });
       process.once('SIGUSR2', async () => {
         tell({ stopped: await Promise.all(daemons.map((daemon) => daemon.stop())) });
       });`,
      { input: { copies: [INDEX, makeCopy(t)], options } },
    );
    await script.untilTold(({ started }) => started);
    for (let made = 0; made < 40; made += 1) {
      const commit = repo.commit();
      if (made % 4 === 3) await until('it is there', () => remote.tip() === commit);
    }
    const last = repo.tip();
    script.kill('SIGUSR2');
    const { code, told, stderr } = await script.ended;
    assert.deepEqual([code, stderr], [0, '']);
    const drained = { drained: true, pendingCommits: 0 };
    assert.deepEqual(told.at(-1), { stopped: [drained, drained] });
    assert.deepEqual(
      told.filter(({ event }) => event && event !== 'push'),
      [],
    );
    assert.equal(remote.tip(), last);
    assert.deepEqual([...remote.locks(), ...repo.locks()], []);
    remote.fsck();
    repo.fsck();
  });

  test('push the last commits before the process ends', async (t) => {
    const pairs = [makePair(t), makePair(t)];
    const { code, told, stderr } = await runScript(
      `import { execFileSync } from 'node:child_process';
       const daemons = input.copies.map((copy, at) => {
         const daemon = require(copy).startPushDaemon(input.options[at]);
         daemon.on('push', ({ commit }) => tell({ at, commit }));
         return daemon;
       });
       const isReady = () => daemons.every((daemon) => daemon.status().state === 'in-sync');
       while (!isReady()) await new Promise((resolve) => setTimeout(resolve, 2));
       for (const { repoPath } of input.options) {
         const git = (...args) => execFileSync('git', args, { cwd: repoPath, encoding: 'utf8' }).trim();
         git('update-ref', 'refs/heads/main', git('commit-tree', '-p', 'main', '-m', 'last', 'main^{tree}'));
       }`,
      {
        input: { copies: [INDEX, makeCopy(t)], options: pairs.map(({ options }) => options) },
      },
    );
    assert.deepEqual([code, stderr], [0, '']);
    const commits = pairs.map(({ repo }, at) => ({ at, commit: repo.tip() }));
    assert.deepEqual(
      told.sort((one, other) => one.at - other.at),
      commits,
    );
    for (const { repo, remote } of pairs) assert.equal(remote.tip(), repo.tip());
  });

  test('leave nothing behind when the process exits during a push of each', async (t) => {
    const pairs = [makePair(t), makePair(t)];
    const gates = pairs.map(({ remote }) => {
      const gate = gateHook(t, remote);
      return gate;
    });
    const script = startScript(
      `for (const [at, copy] of input.copies.entries()) {
         require(copy).startPushDaemon(input.options[at]).ref();
       }
       process.once('SIGUSR2', () => process.exit(7));
       tell({ started: true });`,
      {
        input: { copies: [INDEX, makeCopy(t)], options: pairs.map(({ options }) => options) },
      },
    );
    await script.untilTold(({ started }) => started);
    for (const { repo } of pairs) repo.commit();
    await Promise.all(gates.map((gate) => gate.entered()));
    script.kill('SIGUSR2');
    assert.equal((await script.ended).code, 7);
    for (const { remote } of pairs) {
      await until('nobody is at the remote', () => processesOf(remote.path).length === 0);
      assert.deepEqual(remote.locks(), []);
    }
  });

  test("that share the addon's file count as one: the second start is refused", async (t) => {
    const { repo, remote, options } = makePair(t);
    const { code, told, stderr } = await runScript(
      `import { readFileSync } from 'node:fs';
       const [one, other] = input.copies.map((copy) => require(copy));
       if (one.PushDaemon === other.PushDaemon) throw new Error('one copy');
       const daemon = one.startPushDaemon(input.options);
       try { other.startPushDaemon(input.options); } catch ({ code }) { tell({ code }); }
       await daemon.stop();
       tell(await other.startPushDaemon(input.options).flush());
       process.exit();`,
      {
        input: { copies: [INDEX, makeCopy(t, { isLinked: true })], options },
        nodeArguments: ['--preserve-symlinks'],
      },
    );
    assert.deepEqual([code, stderr], [0, '']);
    assert.deepEqual(told, [{ code: 'ERR_PUSH_DAEMON_ALREADY_RUNNING' }, { commit: repo.tip() }]);
    assert.equal(remote.tip(), repo.tip());
  });
});

describe('the module, required again after the registry was emptied', () => {
  /** As a test runner resets its modules. */
  const RESET = `
    const again = () => {
      for (const file of Object.keys(require.cache)) delete require.cache[file];
      return require('./index.js');
    };
  `;

  test('has new classes, while earlier daemons continue without further listeners', async (t) => {
    const pairs = Array.from({ length: 13 }, () => makePair(t));
    const commits = pairs.map(({ repo }) => repo.commit());
    const { code, told, stderr } = await runScript(
      `${RESET}
       const listeners = () => process.listenerCount('beforeExit');
       tell(listeners());
       let before = null;
       const daemons = input.options.map((options) => {
         const fresh = again();
         if (fresh.PushDaemon === before || fresh.PushError === PushError) throw new Error('not fresh');
         before = fresh.PushDaemon;
         return fresh.startPushDaemon(options).ref();
       });
       await Promise.all(daemons.map((daemon, at) => daemon.waitForPush(input.commits[at])));
       tell(listeners());
       const stopped = await Promise.all(daemons.map((daemon) => daemon.stop()));
       tell(stopped.map(({ drained }) => drained));
       tell(listeners());`,
      { input: { options: pairs.map(({ options }) => options), commits } },
    );
    // No warning of too many listeners either.
    assert.deepEqual([code, stderr], [0, '']);
    assert.deepEqual(told, [0, 1, pairs.map(() => true), 0]);
    for (const [at, { remote }] of pairs.entries()) assert.equal(remote.tip(), commits[at]);
  });

  test('refuses a second daemon beside an earlier one until that has stopped', async (t) => {
    const { repo, options } = makePair(t);
    const { code, told, stderr } = await runScript(
      `${RESET}
       const daemon = startPushDaemon(input);
       const fresh = again();
       try { fresh.startPushDaemon(input); } catch ({ code }) { tell({ code }); }
       await daemon.stop();
       const next = fresh.startPushDaemon(input);
       tell({ isOld: next instanceof PushDaemon, isNew: next instanceof fresh.PushDaemon });
       tell(await next.flush());`,
      { input: options },
    );
    assert.deepEqual([code, stderr], [0, '']);
    assert.deepEqual(told, [
      { code: 'ERR_PUSH_DAEMON_ALREADY_RUNNING' },
      { isOld: false, isNew: true },
      { commit: repo.tip() },
    ]);
  });

  test('imported under another query, also refuses it', async (t) => {
    const { repo, options } = makePair(t);
    const { code, told, stderr } = await runScript(
      `const { href } = (await import('node:url')).pathToFileURL(input.index);
       const [one, other] = await Promise.all([import(href), import(href + '?again')]);
       if (one === other) throw new Error('one module');
       const daemon = one.startPushDaemon(input.options);
       try { other.startPushDaemon(input.options); } catch ({ code }) { tell({ code }); }
       tell(await daemon.flush());`,
      { input: { index: INDEX, options } },
    );
    assert.deepEqual([code, stderr], [0, '']);
    assert.deepEqual(told, [{ code: 'ERR_PUSH_DAEMON_ALREADY_RUNNING' }, { commit: repo.tip() }]);
  });
});

describe('the module in a realm of its own, as in Jest', () => {
  /**
   * Loads `index.js` and `native.js` in a fresh context; the addon, the core modules and the event loop are the
   * process's own. Its environment is a copy, as Jest's, and `process` is the only thing of Node's that it has besides.
   */
  const REALM = `
    import { readFileSync } from 'node:fs';
    import path from 'node:path';
    import vm from 'node:vm';
    const makeRealm = () => {
      const env = { ...process.env };
      const own = Object.create(process, { env: { value: env } });
      const timers = { setInterval, clearInterval, setTimeout, clearTimeout, setImmediate };
      const context = vm.createContext({ process: own, ...timers });
      const load = (file) => {
        const module = { exports: {} };
        const requireFrom = (name) =>
          name.startsWith('./') && name.endsWith('.js')
            ? load(path.join(path.dirname(file), name))
            : require(name.startsWith('.') ? path.join(path.dirname(file), name) : name);
        const wrapper = '(function (module, exports, require, __filename, __dirname) {' + readFileSync(file, 'utf8') + '})';
        vm.runInContext(wrapper, context, { filename: file })(module, module.exports, requireFrom, file, path.dirname(file));
        return module.exports;
      };
      const evaluate = (source) => vm.runInContext('(' + source + ')', context);
      return { env, evaluate, ...load(path.resolve('index.js')) };
    };
  `;

  test('throws errors of that realm, and emits and answers with them', async (t) => {
    const { repo, remote, options } = makePair(t);
    remote.hook('pre-receive', 'exit 1');
    repo.commit();
    const { code, told, stderr } = await runScript(
      `${REALM}
       const realm = makeRealm();
       const { Error: Foreign, TypeError: ForeignType, Object: ForeignObject } = realm.evaluate('{ Error, TypeError, Object }');
       if (Foreign === Error) throw new Error('one realm');
       const thrown = (given) => { try { realm.startPushDaemon(given); } catch (error) { return error; } };
       for (const given of [{}, [], { remote: 'nowhere', repoPath: input.repoPath }, { remote: 'origin', logger: {} }]) {
         const error = thrown(given);
         tell({ isOfRealm: error instanceof Foreign, code: error.code });
       }
       const daemon = realm.startPushDaemon({ ...input, maxRetries: 0 });
       const event = await new Promise((resolve) => daemon.on('error', resolve));
       tell({ isOfRealm: event instanceof ForeignObject && event.err instanceof realm.PushError && event.err instanceof Foreign });
       const status = daemon.status();
       tell({ isOfRealm: [status, status.totals, status.lastError].every((part) => part instanceof ForeignObject) });
       const rejected = await daemon.flush().catch((error) => error);
       tell({ isOfRealm: rejected instanceof realm.PushError });
       const wrong = await daemon.flush({ timeoutMs: -1 }).catch((error) => error);
       tell({ isOfRealm: wrong instanceof ForeignType });
       await daemon.stop({ timeoutMs: 0 });`,
      { input: options },
    );
    assert.deepEqual([code, stderr], [0, '']);
    const codes = ['INVALID_OPTION', 'INVALID_OPTION', 'REMOTE_NOT_FOUND', 'INVALID_OPTION'];
    assert.deepEqual(told, [
      ...codes.map((name) => ({ isOfRealm: true, code: `ERR_PUSH_DAEMON_${name}` })),
      ...Array.from({ length: 4 }, () => ({ isOfRealm: true })),
    ]);
  });

  test('accepts options, arrays and signals of any realm', async (t) => {
    const { repo, options } = makePair(t);
    const commit = repo.commit();
    const { code, told, stderr } = await runScript(
      `${REALM}
       const realm = makeRealm();
       const foreign = (value) => realm.evaluate(JSON.stringify(value));
       const code = (start, given) => { try { start(given); } catch (error) { return error.code; } };
       for (const start of [startPushDaemon, realm.startPushDaemon]) {
         tell(['[]', "{ remote: 'origin', backoff: [] }"].map((source) => code(start, realm.evaluate(source))));
         const daemon = start(foreign({ ...input.options, backoff: { base: 1, multiplier: 1, cap: 1 } }));
         tell((await daemon.waitForPush(input.commit, { signal: new AbortController().signal })).commit);
         // A class of another realm has another AbortSignal too.
         const signal = realm.evaluate('{ aborted: false, reason: undefined, addEventListener(_, abort) { this.abort = abort; }, removeEventListener() {} }');
         const waiting = daemon.waitForPush('f'.repeat(40), { signal });
         signal.aborted = true;
         signal.abort();
         tell(await waiting.catch((error) => error.code));
         await daemon.stop();
       }`,
      { input: { options, commit } },
    );
    assert.deepEqual([code, stderr], [0, '']);
    const invalid = 'ERR_PUSH_DAEMON_INVALID_OPTION';
    const once = [[invalid, invalid], commit, 'ABORT_ERR'];
    assert.deepEqual(told, [...once, ...once]);
  });

  test('uses the environment of that realm', async (t) => {
    const { repo, remote, options } = makePair(t);
    const commit = repo.commit();
    const { code, told, stderr } = await runScript(
      `${REALM}
       const realm = makeRealm();
       realm.env.CFP_DATA_REPO_PATH = input.repoPath;
       realm.env.NOT_A_STRING = 1;
       realm.env.NOT_SET = undefined;
       tell(await realm.startPushDaemon({ remote: 'origin', branch: 'main' }).flush());
       tell(process.env.CFP_DATA_REPO_PATH ?? null);`,
      { input: options },
    );
    assert.deepEqual([code, stderr], [0, '']);
    assert.deepEqual(told, [{ commit }, null]);
    assert.equal(remote.tip(), commit);
  });

  test('may be discarded while its daemon runs, and the next realm works', async (t) => {
    const pairs = Array.from({ length: 5 }, () => makePair(t));
    const script = startScript(
      `${REALM}
       for (const [at, options] of input.entries()) {
         const realm = makeRealm();
         const daemon = realm.startPushDaemon(options).ref();
         daemon.on('push', ({ commit }) => tell({ at, commit }));
         globalThis.gc();
       }
       process.once('SIGUSR2', () => process.exit());
       tell({ started: true });`,
      { input: pairs.map(({ options }) => options), nodeArguments: ['--expose-gc'] },
    );
    await script.untilTold(({ started }) => started);
    for (const [at, { repo }] of pairs.entries()) {
      const commit = repo.commit();
      await script.untilTold((told) => told.at === at && told.commit === commit);
    }
    assert.notDeepEqual(daemonThreads(script.pid), []);
    script.kill('SIGUSR2');
    const { code, stderr } = await script.ended;
    assert.deepEqual([code, stderr], [0, '']);
  });
});
