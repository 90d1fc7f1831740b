// nginx, with its defaults, gathers a server's answer before it passes it on, and so holds back the keep-alives of one
// that works. Its silence is no hang.

import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';

import { collect, ENDLESS_BACKOFF, once, startInSync, until, within } from './support/daemon.mjs';
import { makePair } from './support/git.mjs';
import { missing, startApache, startNginx } from './support/servers.mjs';

/** More than a busy machine needs for anything but the hook. */
const IDLE_MS = 5_000;

/** How long a hook works: twice the limit of silence. */
const HOOK_S = 10;

/** What becomes of a push that nobody answers is known after this. */
const REPORT_MS = 2_000;

/** A hook that notes each of its runs; then these lines. */
async function makeSite(t, options, ...lines) {
  const pair = makePair(t);
  const { repo, remote } = pair;
  remote.hook('pre-receive', 'echo run >>runs', ...lines);
  const apache = await startApache(t, path.dirname(remote.path));
  const nginx = await startNginx(t, `https://127.0.0.1:${apache.port}`);
  apache.admit(remote.path);
  repo.git('remote', 'set-url', 'origin', nginx.url(path.basename(remote.path)));
  const all = { ...pair.options, ...options, backoff: ENDLESS_BACKOFF };
  const daemon = await startInSync(t, all);
  const runs = () => {
    const file = path.join(remote.path, 'runs');
    return existsSync(file) ? readFileSync(file, 'utf8').split('\n').filter(Boolean).length : 0;
  };
  return { ...pair, daemon, seen: collect(daemon), runs };
}

/** A hook that works until it is let go, or for a minute. */
const UNTIL_OPEN = 'n=0; while [ ! -e open ] && [ $n -lt 600 ]; do sleep 0.1; n=$((n+1)); done';

const skip = missing.https || missing.nginx;

describe('behind a proxy that gathers answers', { skip, concurrency: true }, () => {
  for (const transport of ['native', 'git-cli']) {
    test(`a hook that works for longer than idleTimeoutMs is one push (${transport})`, async (t) => {
      const options = { transport, idleTimeoutMs: IDLE_MS };
      const { repo, remote, daemon, seen, runs } = await makeSite(t, options, `sleep ${HOOK_S}`);
      const tip = repo.commit();
      await daemon.waitForPush(tip, { timeoutMs: 60_000 });
      assert.equal(remote.tip(), tip);
      assert.deepEqual([seen.names(), runs()], [['push'], 1]);
    });
  }

  test('a hook that works for longer than reportTimeoutMs is a timeout', async (t) => {
    const options = { idleTimeoutMs: 0, reportTimeoutMs: REPORT_MS };
    const { repo, remote, daemon } = await makeSite(t, options, UNTIL_OPEN);
    const tip = repo.commit();
    const { kind, commit, err } = await once(daemon, 'error');
    assert.deepEqual([kind, commit], ['timeout', tip]);
    assert.match(err.message, /reportTimeoutMs/);
    writeFileSync(path.join(remote.path, 'open'), '');
  });

  test('stop() is prompt while the report is awaited', async (t) => {
    const { repo, remote, daemon, runs } = await makeSite(t, {}, UNTIL_OPEN);
    repo.commit();
    await until('the hook runs', () => runs() === 1);
    const stopped = await within(daemon.stop({ timeoutMs: 300 }), 'stop()');
    assert.deepEqual(stopped, { drained: false, pendingCommits: 1 });
    writeFileSync(path.join(remote.path, 'open'), '');
  });
});
