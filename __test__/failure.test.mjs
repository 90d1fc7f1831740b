// What goes wrong with a remote, and what the daemon makes of it. Remotes that need ssh or https have tests of their own.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once as emitted } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { describe, test } from 'node:test';

import { startScript } from './support/child.mjs';
import { atEnd } from './support/cleanup.mjs';
import {
  collect,
  ENDLESS_BACKOFF,
  FAST_BACKOFF,
  once,
  start,
  startInSync,
  until,
} from './support/daemon.mjs';
import { ended, makeGate, makeScript, startAtGate, wrapReceivePack } from './support/gate.mjs';
import { git, makeDirectory, makePair, makeRepo } from './support/git.mjs';
import { children, daemonThreads, isRunning } from './support/proc.mjs';
import { assertArrived, comeBack, goAway } from './support/remote.mjs';

/** What counts as a hang in these tests: less than git's keep-alive of 5 s, more than a busy machine needs. */
const HANG_MS = 2_000;

/** How long a `stop()` waits for what will not come. */
const STOP_MS = 300;

describe('a remote that hangs', () => {
  for (const [limit, options] of [
    ['connectTimeoutMs', { connectTimeoutMs: HANG_MS, idleTimeoutMs: 0, attemptTimeoutMs: 0 }],
    ['idleTimeoutMs', { connectTimeoutMs: 0, idleTimeoutMs: HANG_MS, attemptTimeoutMs: 0 }],
    ['attemptTimeoutMs', { connectTimeoutMs: 0, idleTimeoutMs: 0, attemptTimeoutMs: HANG_MS }],
  ]) {
    test(`before it says anything ends by ${limit}, and what was started for it`, async (t) => {
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
    test(`in the middle of a push ends by ${limit}, and what was started for it`, async (t) => {
      const { repo, remote, options: pair } = makePair(t);
      const gate = makeGate(t);
      remote.hook('pre-receive', ...gate.lines);
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

  test('does not hold stop() beyond its deadline, nor is anything left running', async (t) => {
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

  test('and is stopped tells of no push afterwards', async (t) => {
    const { repo, remote, options } = makePair(t);
    const gate = makeGate(t);
    remote.hook('pre-receive', ...gate.lines);
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

describe('what the remote says', () => {
  test('more than 1 MB of it is no failure', async (t) => {
    const { repo, remote, options } = makePair(t);
    const flood = 'head -c 1500000 /dev/zero | tr "\\0" "x" >&2; echo >&2';
    remote.hook('pre-receive', flood);
    remote.hook('update', flood);
    remote.hook('post-receive', flood);
    const daemon = await startInSync(t, options);
    const seen = collect(daemon);
    const tip = repo.commit();
    await once(daemon, 'push', ({ commit }) => commit === tip);
    assertArrived(remote, repo);
    assert.deepEqual(seen.names(), ['push']);
  });

  test('more than 1 MB of it before a refusal leaves a message of bearable length, with its end', async (t) => {
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
    test(`the refusal of its ${hook} hook, in its words, is retried until it is gone`, async (t) => {
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

  test('a branch that is checked out there is refused, and its files stay as they are', async (t) => {
    const { repo, options } = makePair(t, { commits: 0 });
    const remote = makeRepo(t, { bare: false });
    remote.commit({ files: { kept: 'as it is\n' } });
    remote.git('reset', '--quiet', '--hard');
    repo.git('fetch', '--quiet', remote.path, 'main:main');
    const daemon = start(t, { ...options, remote: remote.path, backoff: ENDLESS_BACKOFF });
    const before = remote.tip();
    repo.commit();
    const { kind, err } = await once(daemon, 'error');
    assert.equal(kind, 'rejected');
    assert.match(err.message, /checked out/);
    assert.equal(remote.tip(), before);
    assert.equal(remote.git('status', '--porcelain'), '');
  });

  test('a post-receive hook that takes its time does not delay the push event, nor the next push', async (t) => {
    const { repo, remote, options } = makePair(t);
    const gate = makeGate(t);
    remote.hook('post-receive', ...gate.lines);
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

describe('a connection that breaks', () => {
  /** Runs receive-pack behind a script that may cut either direction, once. */
  function interposeOnce(t, repo, source) {
    const file = path.join(makeDirectory(t), 'interposed.mjs');
    fs.writeFileSync(
      file,
      `import { spawn } from 'node:child_process';
      const { stdin, stdout, stderr } = process;
      const child = spawn('git', ['receive-pack', ...process.argv.slice(2)], { timeout: 30_000 });
      child.stderr.pipe(stderr);
      child.stdin.on('error', () => {});
      ${source}`,
    );
    const used = path.join(makeDirectory(t), 'used');
    const script = makeScript(
      t,
      `[ -e '${used}' ] && exec git receive-pack "$@"`,
      `: >'${used}'`,
      `exec '${process.execPath}' '${file}' "$@"`,
    );
    return () => repo.git('config', 'remote.origin.receivepack', script);
  }

  test('after the remote took the commit: it is found there, and reported as pushed', async (t) => {
    const { repo, remote, options } = makePair(t);
    const breakOnce = interposeOnce(
      t,
      repo,
      `stdin.pipe(child.stdin);
      let advertised = '';
      child.stdout.on('data', (bytes) => {
        if (advertised.endsWith('0000')) return;
        advertised += bytes.toString('latin1');
        stdout.write(bytes);
      });
      child.on('close', () => process.exit());`,
    );
    const daemon = await startInSync(t, { ...options, backoff: FAST_BACKOFF });
    const seen = collect(daemon);
    breakOnce();
    const tip = repo.commit();
    await once(daemon, 'recovered');
    assert.deepEqual(seen.names(), ['error', 'retry', 'push', 'recovered']);
    assert.equal(seen.of('error')[0].kind, 'network');
    assert.deepEqual(
      seen.of('push').map(({ commit, commits }) => [commit, commits]),
      [[tip, 1]],
    );
    assert.equal(daemon.status().totals.pushes, 1);
    assertArrived(remote, repo);
  });

  test('in the middle of the pack: it is sent again', async (t) => {
    const { repo, remote, options } = makePair(t);
    const breakOnce = interposeOnce(
      t,
      repo,
      `child.stdout.pipe(stdout);
      let passed = 0;
      stdin.on('data', (bytes) => {
        const rest = Math.max(0, 100_000 - passed);
        passed += bytes.length;
        child.stdin.write(bytes.subarray(0, rest));
        if (passed > 100_000) process.exit();
      });`,
    );
    const daemon = await startInSync(t, { ...options, backoff: FAST_BACKOFF });
    const seen = collect(daemon);
    breakOnce();
    const large = Array.from({ length: 40_000 }, () => Math.random()).join('\n');
    const tip = repo.commit({ files: { large } });
    const { kind } = await once(daemon, 'error');
    assert.equal(kind, 'network');
    await once(daemon, 'recovered');
    assert.deepEqual(seen.names(), ['error', 'retry', 'push', 'recovered']);
    assert.equal(seen.of('push')[0].commit, tip);
    assertArrived(remote, repo);
  });
});

describe('retries', () => {
  test('each error is followed by its retry, with attempts from 1 and the delays that were asked for', async (t) => {
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

  test('a status says in a retry what the retry says', async (t) => {
    const { repo, remote, options } = makePair(t);
    const daemon = await startInSync(t, { ...options, backoff: ENDLESS_BACKOFF });
    const seen = collect(daemon);
    goAway(remote);
    repo.commit();
    const { attempt, nextDelayMs } = await once(daemon, 'retry');
    const { status } = seen.events.at(-1);
    assert.deepEqual(
      [status.state, status.currentAttempt, status.currentBackoffMs, status.pendingCommits],
      ['backing-off', attempt, nextDelayMs, 1],
    );
    assert.equal(status.lastError.kind, 'remote-error');
    assert.ok(Date.parse(status.nextAttemptAt) > Date.now());
  });

  test('the first look at the remote is attempt 0, of no commit', async (t) => {
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
    ['a remote that is not there', goAway, comeBack],
    [
      'a hook that refuses',
      (remote) => remote.hook('pre-receive', 'exit 1'),
      (remote) => remote.removeHook('pre-receive'),
    ],
  ]) {
    for (const maxRetries of [0, 1, 2]) {
      test(`${what} is given up after ${maxRetries} retries, and tried afresh for a new tip`, async (t) => {
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

describe('a host that is killed in the middle of a push', () => {
  const HOST = `
    const daemon = startPushDaemon(input);
    daemon.on('push', ({ commit }) => tell({ commit }));
    daemon.on('error', ({ kind }) => tell({ kind }));
    daemon.ref();
  `;

  for (const [when, isOpenFirst] of [
    ['after what it had started has ended', true],
    ['while what it had started still runs', false],
  ]) {
    for (const hook of ['pre-receive', 'update', 'post-receive']) {
      test(`at the ${hook} hook loses nothing when it starts again ${when}`, async (t) => {
        const { repo, remote, options } = makePair(t);
        const gate = makeGate(t);
        remote.hook(hook, ...gate.lines);
        const host = startScript(HOST, { input: options });
        atEnd(t, () => host.kill());
        repo.commit();
        const hooks = await gate.entered();
        host.kill('SIGKILL');
        const { signal } = await host.ended;
        assert.equal(signal, 'SIGKILL');
        repo.commit();

        if (isOpenFirst) {
          gate.open();
          await ended(hooks);
        }
        const again = start(t, { ...options, backoff: FAST_BACKOFF });
        const seen = collect(again);
        if (!isOpenFirst) {
          const both = await gate.entered(2);
          gate.open();
          await again.waitForPush(repo.tip());
          await ended(both);
        }
        await again.waitForPush(repo.tip());
        assert.deepEqual(seen.of('error'), []);
        await again.stop();
        await until('receive-pack has cleaned up', () => remote.locks().length === 0);
        assertArrived(remote, repo);
      });
    }
  }
});

describe('a git:// remote', () => {
  async function freePort() {
    const server = net.createServer().listen(0, '127.0.0.1');
    await emitted(server, 'listening');
    const { port } = server.address();
    server.close();
    await emitted(server, 'close');
    return port;
  }

  /** A real `git daemon` on a loopback port; `stop` and `start` restart it at the same one. */
  async function serve(t, directory, ...settings) {
    const port = await freePort();
    // Not through `git`, which would stay between us and the server.
    const program = path.join(git('/', '--exec-path'), 'git-daemon');
    let child = null;
    const server = {
      url: `git://127.0.0.1:${port}`,
      async start() {
        child = spawn(
          program,
          [
            '--reuseaddr',
            '--export-all',
            '--listen=127.0.0.1',
            `--port=${port}`,
            `--base-path=${directory}`,
            ...settings,
            directory,
          ],
          { stdio: 'ignore', timeout: 120_000, killSignal: 'SIGKILL' },
        );
        await until('git daemon listens', async () => {
          assert.equal(child.exitCode, null, 'git daemon has ended');
          const socket = net.connect(port, '127.0.0.1');
          const [listens] = await Promise.race([
            emitted(socket, 'connect').then(() => [true]),
            emitted(socket, 'error').catch(() => [false]),
          ]).catch(() => [false]);
          socket.destroy();
          return listens;
        });
      },
      async stop() {
        if (child === null) return;
        const closed =
          child.exitCode === null && child.signalCode === null && emitted(child, 'close');
        child.kill('SIGTERM');
        await closed;
        child = null;
      },
    };
    atEnd(t, () => server.stop());
    await server.start();
    return server;
  }

  test('gets commits, and those made while its server was down once it is up again', async (t) => {
    const { repo, remote, options } = makePair(t);
    const server = await serve(t, path.dirname(remote.path), '--enable=receive-pack');
    repo.git('remote', 'set-url', 'origin', `${server.url}/${path.basename(remote.path)}`);
    const daemon = await startInSync(t, { ...options, backoff: FAST_BACKOFF });
    const first = repo.commit();
    await once(daemon, 'push', ({ commit }) => commit === first);
    assertArrived(remote, repo);

    await server.stop();
    repo.commit();
    const { kind } = await once(daemon, 'error');
    assert.equal(kind, 'network');
    await server.start();
    const { commit } = await once(daemon, 'recovered');
    assert.equal(commit, repo.tip());
    assertArrived(remote, repo);
    assert.equal(daemon.status().transport, 'git');
  });

  for (const [words, setting, expected] of [
    // There are no credentials in this protocol: it is the repository that is not served.
    ['in no more words than it must', '--no-informative-errors', 'remote-error'],
    ['in its words', '--informative-errors', 'rejected'],
  ]) {
    test(`whose server does not take pushes says so ${words}`, async (t) => {
      const { repo, remote, options } = makePair(t);
      const server = await serve(t, path.dirname(remote.path), setting);
      repo.git('remote', 'set-url', 'origin', `${server.url}/${path.basename(remote.path)}`);
      repo.commit();
      const daemon = start(t, { ...options, backoff: ENDLESS_BACKOFF });
      const { kind, err } = await once(daemon, 'error');
      assert.equal(kind, expected);
      assert.match(err.message, /access denied|service not enabled/);
    });
  }

  test('whose server accepts and never answers ends by a timeout', async (t) => {
    const { repo, remote, options } = makePair(t);
    const sockets = new Set();
    const server = net.createServer((socket) => sockets.add(socket)).listen(0, '127.0.0.1');
    atEnd(t, () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    await emitted(server, 'listening');
    const { port } = server.address();
    repo.git('remote', 'set-url', 'origin', `git://127.0.0.1:${port}/repository.git`);
    repo.commit();
    const daemon = start(t, {
      ...options,
      connectTimeoutMs: HANG_MS,
      backoff: ENDLESS_BACKOFF,
    });
    const { kind } = await once(daemon, 'error');
    assert.equal(kind, 'timeout');
    // A second attempt hangs as the first did; stop() does not wait for it.
    const flushing = assert.rejects(daemon.flush());
    await until('it is connected to again', () => sockets.size === 2);
    assert.equal((await daemon.stop({ timeoutMs: 0 })).drained, false);
    await flushing;
    assert.notEqual(remote.tip(), repo.tip());
  });

  test('whose server is not there is a failure of the network', async (t) => {
    const { repo, options } = makePair(t);
    repo.git('remote', 'set-url', 'origin', `git://127.0.0.1:${await freePort()}/repository.git`);
    repo.commit();
    const { kind, err } = await once(start(t, { ...options, backoff: ENDLESS_BACKOFF }), 'error');
    assert.equal(kind, 'network');
    assert.match(err.message, /refused/i);
  });
});
