// A link that is slow, but moves: no limit ends a push over it, however long the push takes.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';

import { isMissing, startServers } from './faults/servers.mjs';
import { Site } from './faults/site.mjs';
import { makeScope } from './support/cleanup.mjs';
import { collect, ENDLESS_BACKOFF, startInSync, until } from './support/daemon.mjs';

/** The size of the pack: larger than the buffers of sockets and of ssh. */
const PACK_BYTES = 6 * 1024 * 1024;

/** Half a MiB per second at most: the pack takes several times as long as the limit. */
const SLOW = { is: 'dribble', bytes: 8 * 1024, everyMs: 15 };

/** Shorter than the buffers take to drain; longer than until a socket of loopback takes more, a third of its buffer. */
const IDLE_MS = 4_000;

/** How long a slow push may take on a busy machine. */
const LIMIT_MS = 120_000;

const scope = makeScope();
let servers;

/** A daemon in sync, behind a link that becomes slow. */
async function startBehindSlowLink(t, transport) {
  const site = await Site.make(t, servers, transport);
  const daemon = await startInSync(t, {
    repoPath: site.repo.path,
    remote: 'origin',
    branch: 'main',
    transport: 'native',
    backoff: ENDLESS_BACKOFF,
    idleTimeoutMs: IDLE_MS,
    keepConnectionMs: 0,
  });
  const log = collect(daemon);
  await site.proxy.set(SLOW);
  return { site, daemon, log };
}

const commitLarge = ({ repo }) =>
  repo.commit({ files: { large: randomBytes(PACK_BYTES).toString('base64') } });

/** Waits until a part of the pack has passed. */
const hasBegun = ({ proxy }) =>
  until('a part of the pack has passed', () => proxy.bytes.client > 100_000);

describe('a push over a slow link', () => {
  before(async () => {
    servers = await startServers(scope);
  });
  after(() => scope.end());

  for (const transport of ['git', 'ssh', 'https']) {
    test(`takes one attempt over ${transport}`, { skip: isMissing(transport) }, async (t) => {
      const { site, daemon, log } = await startBehindSlowLink(t, transport);
      const tip = commitLarge(site);
      const outcomes = ['push', 'error'];
      await until('an outcome', () => outcomes.some((name) => log.of(name).length > 0), LIMIT_MS);
      assert.deepEqual(
        log.of('error').map(({ err }) => err.message),
        [],
      );
      const [push] = log.of('push');
      assert.equal(push.commit, tip);
      assert.equal(push.attempt, 1);
      assert.ok(push.durationMs > 1.5 * IDLE_MS, `it took ${push.durationMs} ms`);
      assert.equal(site.remote.tip(), tip);
      assert.equal(daemon.status().state, 'in-sync');
    });
  }

  test('is finished by stop() if the deadline allows', async (t) => {
    const { site, daemon } = await startBehindSlowLink(t, 'git');
    const tip = commitLarge(site);
    await hasBegun(site);
    const result = await daemon.stop({ timeoutMs: LIMIT_MS });
    assert.deepEqual(result, { drained: true, pendingCommits: 0 });
    assert.equal(site.remote.tip(), tip);
  });

  test('is pending in the result of stop() if the deadline is too short', async (t) => {
    const { site, daemon } = await startBehindSlowLink(t, 'git');
    const before = site.remote.tip();
    commitLarge(site);
    await hasBegun(site);
    const result = await daemon.stop({ timeoutMs: 100 });
    assert.deepEqual(result, { drained: false, pendingCommits: 1 });
    assert.equal(site.remote.tip(), before);
  });
});
