// Large pushes: in steps where the whole would be too large for the link or the limit, and with progress.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';

import { isMissing, startServers } from './faults/servers.mjs';
import { Site } from './faults/site.mjs';
import { makeScope } from './support/cleanup.mjs';
import { members, union } from './support/contract.mjs';
import { collect, start, startInSync, until, within } from './support/daemon.mjs';
import { makePair } from './support/git.mjs';

const MB = 1_000_000;

/** Retries at once. */
const BACKOFF = { base: 20, multiplier: 1, cap: 20 };

/** How long a large push may take on a busy machine. */
const LIMIT_MS = 240_000;

const scope = makeScope();
let servers;

before(async () => {
  servers = await startServers(scope);
});
after(() => scope.end());

/** Commits a file that cannot be compressed. */
const commitOf = (repo, bytes, name = 'large') =>
  repo.commit({ files: { [name]: randomBytes((bytes * 3) / 4).toString('base64url') } });

const optionsFor = (site) => ({
  repoPath: site.repo.path,
  remote: 'origin',
  branch: 'main',
  transport: site.isCli ? 'git-cli' : 'native',
  backoff: BACKOFF,
});

/** A daemon in sync with a remote behind a proxy. */
async function startBehindProxy(t, transport, options = {}) {
  const site = await Site.make(t, servers, transport);
  const daemon = await startInSync(t, { ...optionsFor(site), ...options });
  return { site, daemon, log: collect(daemon) };
}

/** Checks that the pushes follow each other without a gap, and that none sent again what had arrived. */
function assertContiguous(pushes, from, tip, commits) {
  let at = from;
  for (const { previous, commit } of pushes) {
    assert.equal(previous, at);
    at = commit;
  }
  assert.equal(at, tip);
  assert.equal(
    pushes.reduce((sum, push) => sum + push.commits, 0),
    commits,
  );
}

describe('a link that breaks every few megabytes', () => {
  const COMMITS = 40;
  const BYTES = 0.3 * MB;
  const LIFE = 3 * MB;

  for (const transport of ['git', 'ssh', 'https', 'git-cli https']) {
    test(`lets a backlog of many through over ${transport}`, {
      skip: isMissing(transport.split(' ').at(-1)),
    }, async (t) => {
      const site = await Site.make(t, servers, transport);
      const from = site.repo.tip();
      let tip;
      for (let made = 0; made < COMMITS; made += 1) tip = commitOf(site.repo, BYTES);
      await site.proxy.set({ is: 'reset', from: 'client', after: LIFE });
      const daemon = start(t, optionsFor(site));
      const log = collect(daemon);
      await until(
        'everything has arrived',
        () => daemon.status().state === 'in-sync' && log.of('push').at(-1)?.commit === tip,
        LIMIT_MS,
      );
      assert.equal(site.remote.tip(), tip);
      site.remote.fsck();
      assertContiguous(log.of('push'), from, tip, COMMITS);
      assert.ok(site.proxy.strikes > 0, 'the link has broken');
      assert.ok(log.of('push').length >= (COMMITS * BYTES) / LIFE / 2, 'in several steps');
      assert.deepEqual(
        log.of('error').filter(({ retryable }) => !retryable),
        [],
      );
    });
  }
});

describe('maxPackBytes', () => {
  test('makes several pushes of a backlog, and early waits end early', async (t) => {
    const { repo, remote, options } = makePair(t);
    const from = repo.tip();
    const tips = Array.from({ length: 12 }, () => commitOf(repo, 0.1 * MB));
    const daemon = start(t, { ...options, maxPackBytes: 0.25 * MB });
    const log = collect(daemon);
    const pendings = [];
    daemon.on('push', () => pendings.push(daemon.status().pendingCommits));
    const early = await within(daemon.waitForPush(tips[1]), 'the first step');
    assert.notEqual(early.remoteCommit, tips.at(-1));
    await within(daemon.waitForPush(tips.at(-1)), 'the last step');
    await until('its event', () => log.of('push').at(-1)?.commit === tips.at(-1));
    assert.equal(remote.tip(), tips.at(-1));
    assertContiguous(log.of('push'), from, tips.at(-1), tips.length);
    // Deflated, each commit has 75 kB.
    assert.deepEqual(
      log.of('push').map((push) => push.commits),
      [3, 3, 3, 3],
    );
    // The status may be ahead of the events.
    assert.ok(pendings.every((pending, at) => pending <= 9 - 3 * at));
    assert.ok(log.of('push').every(({ bytes }) => bytes <= 0.25 * MB));
    assert.deepEqual(log.of('error'), []);
  });

  test('divides no single commit', async (t) => {
    const { repo, options } = makePair(t);
    const tip = commitOf(repo, 0.2 * MB);
    const daemon = start(t, { ...options, maxPackBytes: 1 });
    await within(daemon.waitForPush(tip), 'the push');
  });
});

describe('progress', () => {
  /** About a MiB a second. */
  const SLOW = { is: 'dribble', bytes: 16 * 1024, everyMs: 15 };

  for (const transport of ['ssh', 'https', 'git-cli https']) {
    test(`is told while a long push runs over ${transport}`, {
      skip: isMissing(transport.split(' ').at(-1)),
    }, async (t) => {
      const { site, daemon, log } = await startBehindProxy(t, transport, { maxPackBytes: 9 * MB });
      await site.proxy.set(SLOW);
      const statuses = [];
      daemon.on('progress', (event) => {
        statuses.push([event, daemon.status().progress]);
      });
      assert.equal(daemon.status().progress, null);
      let tip;
      for (let made = 0; made < 3; made += 1) tip = commitOf(site.repo, 3.5 * MB);
      await until('everything has arrived', () => daemon.status().remoteCommit === tip, LIMIT_MS);
      const told = log.of('progress');
      assert.ok(told.length >= 4, `${told.length} events`);
      for (const event of told) {
        assert.deepEqual(Object.keys(event), members('PushProgress'));
        assert.ok(union('PushProgressPhase').includes(event.phase));
        assert.ok(event.elapsedMs >= 1000 && event.step <= event.steps);
        assert.match(event.commit, /^[0-9a-f]{40,64}$/);
      }
      const sending = told.filter(({ phase, bytes }) => phase === 'sending' && bytes > 0);
      assert.ok(sending.length >= 2, JSON.stringify(told));
      assert.ok(sending.some(({ bytesPerSecond }) => bytesPerSecond > 0));
      assert.ok(sending.every(({ totalObjects, objects }) => objects <= totalObjects));
      for (const [event, status] of statuses) {
        // It may be ahead of the event.
        if (status !== null) assert.ok(status.elapsedMs >= event.elapsedMs);
      }
      assert.equal(daemon.status().progress, null);
    });
  }

  test('has what the server says of its own', async (t) => {
    const { repo, remote, options } = makePair(t);
    remote.hook('pre-receive', 'echo checking everything >&2', 'sleep 2');
    const daemon = start(t, options);
    const log = collect(daemon);
    const tip = repo.commit();
    await within(daemon.waitForPush(tip), 'the push');
    const last = log.of('progress').at(-1);
    assert.equal(last.serverMessage, 'checking everything');
    assert.equal(last.phase, 'server');
    assert.equal(last.totalBytes, last.bytes);
    assert.equal(last.commit, tip);
  });

  test('is silent for short pushes', async (t) => {
    const { repo, options } = makePair(t);
    const daemon = start(t, options);
    const log = collect(daemon);
    for (let made = 0; made < 5; made += 1) {
      await within(daemon.waitForPush(repo.commit()), 'the push');
    }
    const slow = log.of('push').filter(({ durationMs }) => durationMs > 1000);
    if (slow.length === 0) assert.deepEqual(log.of('progress'), []);
  });
});

test('stop() during a long backlog finishes the step, and tells what is left', async (t) => {
  const { repo, remote, options } = makePair(t);
  const tips = Array.from({ length: 10 }, () => commitOf(repo, 0.1 * MB));
  // The second step hangs at the server until the deadline.
  remote.hook('update', `[ "$3" = ${tips[2]} ] || sleep 600`);
  const daemon = start(t, { ...options, maxPackBytes: 0.25 * MB });
  await within(daemon.waitForPush(tips[0]), 'the first step');
  const { drained, pendingCommits } = await within(daemon.stop({ timeoutMs: 500 }), 'stop()');
  assert.deepEqual({ drained, pendingCommits }, { drained: false, pendingCommits: 7 });
  assert.equal(daemon.status().remoteCommit, tips[2]);
});
