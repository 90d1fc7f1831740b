// Misleading time: commits with other dates, and a process that was stopped for a while. That a wall
// clock that jumps changes no delay is a test of the state machine (crates/push-engine/src/state/tests.rs).

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { startScript } from './support/child.mjs';
import { atEnd } from './support/cleanup.mjs';
import { collect, ENDLESS_BACKOFF, once, startInSync, until } from './support/daemon.mjs';
import { makeGate } from './support/gate.mjs';
import { gitWith, makePair } from './support/git.mjs';
import { comeBack, goAway } from './support/remote.mjs';

describe('a commit', () => {
  for (const [when, time, oldestPendingAt] of [
    ['in the future', '4102444800 +0000', '2100-01-01T00:00:00.000Z'],
    ['at the beginning of the epoch', '0 +0000', '1970-01-01T00:00:00.000Z'],
    ['before 1970', '-86400 +0000', '1969-12-31T00:00:00.000Z'],
    ['beyond what a Date can hold', '99999999999999999 +0000', '+275760-09-13T00:00:00.000Z'],
  ]) {
    test(`dated ${when} has a lag that is not negative and grows, and is pushed like any other`, async (t) => {
      const { repo, remote, options } = makePair(t);
      remote.git('config', 'receive.fsckObjects', 'false');
      const daemon = await startInSync(t, { ...options, backoff: ENDLESS_BACKOFF });
      collect(daemon);
      goAway(remote);
      const [tree, parent] = ['main^{tree}', 'main'].map((name) => repo.git('rev-parse', name));
      const person = `Somebody <somebody@example.invalid> ${time}`;
      const text = `tree ${tree}\nparent ${parent}\nauthor ${person}\ncommitter ${person}\n\ndated\n`;
      const commit = gitWith(
        { input: text },
        repo.path,
        ...['hash-object', '-t', 'commit', '-w', '--stdin', '--literally'],
      );
      repo.git('update-ref', 'refs/heads/main', commit);
      await once(daemon, 'retry');
      const status = daemon.status();
      assert.equal(status.pendingCommits, 1);
      await until('its lag grows', () => daemon.status().lagMs > Math.max(status.lagMs, 0));
      assert.equal(status.oldestPendingAt, oldestPendingAt);
      assert.ok(JSON.stringify(status));
      comeBack(remote);
      await daemon.flush();
      assert.equal(remote.tip(), commit);
      assert.deepEqual([daemon.status().lagMs, daemon.status().oldestPendingAt], [0, null]);
    });
  }
});

describe('a process that is stopped and continued', () => {
  const LIMITS = { connectTimeoutMs: 1000, idleTimeoutMs: 1000, attemptTimeoutMs: 1000 };
  const HOST = `
    const daemon = startPushDaemon(input).ref();
    daemon.on('push', ({ commit }) => tell({ commit }));
    daemon.on('error', ({ kind }) => tell({ kind }));
    const timer = setInterval(() => {
      if (daemon.status().state !== 'in-sync') return;
      clearInterval(timer);
      tell({ ready: true });
    }, 2);
    process.once('SIGTERM', async () => tell({ stopped: await daemon.stop() }));
  `;

  async function startHost(t, options) {
    const backoff = { base: 50, multiplier: 1, cap: 50 };
    const host = startScript(HOST, { input: { ...options, ...LIMITS, backoff } });
    atEnd(t, () => host.kill());
    await host.untilTold(({ ready }) => ready);
    return host;
  }

  /** Stops it until every limit of an attempt is over. */
  async function stopForLong(host, meanwhile) {
    host.kill('SIGSTOP');
    const stoppedAt = performance.now();
    await meanwhile();
    await until('the limits are over', () => performance.now() - stoppedAt > 2000);
    host.kill('SIGCONT');
  }

  async function end(host) {
    host.kill('SIGTERM');
    const { code, told } = await host.ended;
    assert.equal(code, 0);
    assert.deepEqual(told.at(-1), { stopped: { drained: true, pendingCommits: 0 } });
    return told.filter(({ kind }) => kind).map(({ kind }) => kind);
  }

  test('while it was idle pushes the commits made meanwhile, without an error', async (t) => {
    const { repo, remote, options } = makePair(t);
    const host = await startHost(t, options);
    let tip;
    await stopForLong(host, () => {
      tip = repo.commit();
    });
    await host.untilTold(({ commit }) => commit === tip);
    assert.equal(remote.tip(), tip);
    assert.deepEqual(await end(host), []);
  });

  test('in the middle of a push goes on, with one timeout at most', async (t) => {
    const { repo, remote, options } = makePair(t);
    const gate = makeGate(t);
    const host = await startHost(t, options);
    remote.hook('pre-receive', ...gate.lines);
    const first = repo.commit();
    await gate.entered();
    let last;
    await stopForLong(host, async () => {
      gate.open();
      // The other side was not stopped.
      await until('the remote took it', () => remote.tip() === first);
      last = repo.commit();
    });
    await host.untilTold(({ commit }) => commit === last);
    assert.equal(remote.tip(), last);
    const kinds = await end(host);
    assert.ok(kinds.length <= 1 && kinds.every((kind) => kind === 'timeout'), kinds.join());
    remote.fsck();
  });
});
