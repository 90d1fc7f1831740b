/**
 * A server that is never reached: each attempt ends by its limit, `stop()` does not wait for it, and nothing stays. What
 * hangs once a server was reached is in `cancel.test.mjs`.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { inOwnNetwork, makeBlackHole, noNamespaces, unanswered } from './support/black-hole.mjs';
import { startScript } from './support/child.mjs';
import { collect, ENDLESS_BACKOFF, once, start, until, within } from './support/daemon.mjs';
import { makePair } from './support/git.mjs';
import { children, daemonThreads } from './support/proc.mjs';

/** Less than the system's own limits for a connection and for a name. */
const CONNECT_MS = 2_000;
const OPTIONS = { backoff: ENDLESS_BACKOFF, watch: false };
const UNLIMITED = { connectTimeoutMs: 0, idleTimeoutMs: 0 };

const TRANSPORTS = [
  ['ssh', (server) => ({ remote: `ssh://git@${server}/r` })],
  ['https', (server) => ({ remote: `https://${server}/r` })],
  ['git://', (server) => ({ remote: `git://${server}/r` })],
  ['git push', (server) => ({ remote: `git://${server}/r`, transport: 'git-cli' })],
];

describe('an address that never answers', () => {
  for (const [transport, to] of TRANSPORTS) {
    test(`over ${transport}: the attempt ends by its limit, and stop() ends it at once`, async (t) => {
      const port = await makeBlackHole(t);
      const others = children();
      const { repo, options } = makePair(t);
      repo.commit();
      const given = { ...options, ...OPTIONS, ...to(`127.0.0.1:${port}`) };

      const limited = start(t, { ...given, connectTimeoutMs: CONNECT_MS });
      const { kind, retryable, err } = await once(limited, 'error');
      assert.deepEqual([kind, retryable], ['timeout', true], err.message);
      await until('its connection is given up', () => unanswered(port) === 0);
      await within(limited.stop({ timeoutMs: 0 }), 'stop()');

      const unlimited = start(t, { ...given, ...UNLIMITED });
      const seen = collect(unlimited);
      await until('it connects', () => unanswered(port) > 0);
      const { drained } = await within(unlimited.stop({ timeoutMs: 100 }), 'stop()');
      assert.equal(drained, false);
      assert.deepEqual(seen.names(), ['stopped']);
      await until('its connection is given up', () => unanswered(port) === 0);
      await until('no thread is left', () => daemonThreads().length === 0);
      assert.deepEqual(
        children().filter((pid) => !others.includes(pid)),
        [],
      );
    });
  }
});

/** Each is a process in a network of its own, so that they may wait at the same time. */
const APART = { skip: process.env.CI !== 'true' && noNamespaces, concurrency: true };

describe('a name that nobody resolves', APART, () => {
  /** A name server that is asked, and never answers; it holds the process. */
  const HOST = `
    import dgram from 'node:dgram';
    const server = dgram.createSocket('udp4').on('message', () => tell({ asked: true }));
    await new Promise((resolve) => server.bind(53, '127.0.0.1', resolve));
    const daemon = startPushDaemon(input).ref();
    daemon.on('error', ({ kind, retryable, err }) => tell({ kind, retryable, message: err.message }));
    process.once('SIGUSR2', async () => tell({ stopped: await daemon.stop({ timeoutMs: 100 }) }));
    process.once('SIGWINCH', () => server.close());
  `;

  for (const [transport, to] of TRANSPORTS) {
    for (const [what, limits] of [
      ['the attempt ends by its limit', { connectTimeoutMs: CONNECT_MS }],
      ['stop() ends it at once', UNLIMITED],
    ]) {
      test(`over ${transport}: ${what}, and nothing stays`, async (t) => {
        const { repo, options } = makePair(t);
        repo.commit();
        const script = startScript(HOST, {
          input: { ...options, ...OPTIONS, ...to('git.example.com'), ...limits },
          under: inOwnNetwork(t),
        });
        await script.untilTold(({ asked }) => asked);
        if (limits !== UNLIMITED) {
          const { kind, retryable, message } = await script.untilTold((told) => told.kind);
          assert.deepEqual([kind, retryable], ['timeout', true], message);
        }
        script.kill('SIGUSR2');
        const { stopped } = await script.untilTold((told) => told.stopped);
        assert.equal(stopped.drained, false);
        await until('no child is left', () => children(script.pid).length === 0);
        // The system's look-up cannot be interrupted: its thread ends with it.
        await until('no thread is left', () => daemonThreads(script.pid).length === 0);
        script.kill('SIGWINCH');
        const { code, stderr } = await script.ended;
        assert.deepEqual([code, stderr], [0, '']);
      });
    }
  }
});
