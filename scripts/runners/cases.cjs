/**
 * What a user's tests may do with the package, whatever the runner. Both give `load`, which loads the package again
 * after a reset of the modules.
 */

const { rmSync } = require('node:fs');

const { makePlace } = require('./place.cjs');

exports.define = ({ test, expect, afterAll, load }) => {
  const folders = [];
  const daemons = [];
  const place = () => makePlace((folder) => folders.push(folder));
  const start = ({ startPushDaemon }, options) => {
    const daemon = startPushDaemon(options);
    daemons.push(daemon);
    return daemon;
  };

  afterAll(async () => {
    await Promise.all(daemons.map((daemon) => daemon.stop({ timeoutMs: 0 })));
    for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  });

  test('a commit is pushed, and what is resolved and shown compares as plain objects', async () => {
    const { options, commit, tip } = place();
    const daemon = start(await load(), options);
    const made = commit();
    const signal = AbortSignal.timeout(30_000);
    expect((await daemon.waitForPush(made, { signal })).commit).toBe(made);
    expect(tip()).toBe(made);
    expect(await daemon.stop()).toStrictEqual({ drained: true, pendingCommits: 0 });
    const { totals, lastError } = daemon.status();
    expect(totals).toStrictEqual({ ...totals, commits: 2, failures: 0 });
    expect(lastError).toBeNull();
  });

  test('what is thrown is an error to the test', async () => {
    const { startPushDaemon } = await load();
    for (const options of [
      {},
      [],
      { remote: 'origin', backoff: [] },
      { remote: 'origin', no: 1 },
    ]) {
      expect(() => startPushDaemon(options)).toThrow(/option/);
      let thrown;
      try {
        startPushDaemon(options);
      } catch (error) {
        thrown = error;
      }
      expect(thrown).toBeInstanceOf(Error);
      expect(thrown.code).toBe('ERR_PUSH_DAEMON_INVALID_OPTION');
    }
  });

  test('what an event brings is an error to the test', async () => {
    const { options, commit, away } = place();
    away();
    commit();
    const loaded = await load();
    const daemon = start(loaded, options);
    const { err } = await new Promise((resolve) => {
      daemon.on('error', resolve);
    });
    expect(err).toBeInstanceOf(loaded.PushError);
    expect(err).toBeInstanceOf(Error);
    const { message, at, attempt, reason, kind, hint } = daemon.status().lastError;
    expect(daemon.status().lastError).toStrictEqual({ message, at, attempt, reason, kind, hint });
  });

  test('a variable that the test sets is heeded', async () => {
    const { options, commit, tip } = place();
    process.env.CFP_DATA_REPO_PATH = options.repoPath;
    const daemon = start(await load(), { remote: 'origin', branch: 'main' });
    delete process.env.CFP_DATA_REPO_PATH;
    const made = commit();
    await daemon.waitForPush(made);
    expect(tip()).toBe(made);
  });

  test('more resets than Node allows listeners leave the daemons of before working', async () => {
    const { options } = place();
    const places = [];
    start(await load(), options);
    for (let reset = 0; reset < 12; reset += 1) {
      const fresh = await load();
      expect(() => fresh.startPushDaemon(options)).toThrow(/already runs/);
      const next = place();
      places.push({ ...next, daemon: start(fresh, next.options) });
    }
    for (const { daemon, commit, tip } of places) {
      const made = commit();
      await daemon.waitForPush(made);
      expect(tip()).toBe(made);
    }
  });

  test('a daemon that nobody stops disturbs neither this file nor the next', async () => {
    const { options, commit } = place();
    const { startPushDaemon } = await load();
    await startPushDaemon({ ...options, keepConnectionMs: 0 }).waitForPush(commit());
  });
};
