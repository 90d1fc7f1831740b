// Every transport in every phase in which a remote, a proxy or a helper can hang: its limit ends it, and `stop()` ends it at
// once. The programs are real; servers that must stay silent are sockets of the test.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once as emitted } from 'node:events';
import { existsSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import { describe, test } from 'node:test';

import { atEnd } from './support/cleanup.mjs';
import {
  collect,
  ENDLESS_BACKOFF,
  once,
  start,
  startInSync,
  until,
  within,
} from './support/daemon.mjs';
import { makeGate, makeScript, wrapReceivePack } from './support/gate.mjs';
import { makePair } from './support/git.mjs';
import { children, daemonThreads, descriptors, isRunning } from './support/proc.mjs';

/** The limit that a test reaches: more than a busy machine needs for anything that does not hang. */
const HANG_MS = 3_000;

/** The deadline of `stop()`. */
const STOP_MS = 300;

/** How late `stop()` may be on a busy machine. The test prints how late it was. */
const PROMPT_MS = 10_000;

const BEFORE = 'before an advertisement';
const WITHIN = 'in a push';

const OPTIONS = { backoff: ENDLESS_BACKOFF, watch: false };
const LIMITS = {
  [BEFORE]: { connectTimeoutMs: HANG_MS, idleTimeoutMs: 0 },
  [WITHIN]: { connectTimeoutMs: 0, idleTimeoutMs: HANG_MS, reportTimeoutMs: HANG_MS },
};

/** A server that accepts connections and passes them to `serve`, which by default stays silent. */
async function listen(t, serve = (socket) => socket.resume(), options = {}) {
  const sockets = new Set();
  const server = net.createServer(options, (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    serve(socket);
  });
  atEnd(t, () => {
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => server.close(resolve));
  });
  server.listen(0, '127.0.0.1');
  await emitted(server, 'listening');
  return {
    port: server.address().port,
    sockets,
    /** Resolves once a client has connected. */
    entered: () => until('a connection', () => sockets.size > 0),
  };
}

/** Sends a byte now and then, without ever completing anything. */
function dribble(socket) {
  socket.resume();
  const timer = setInterval(() => socket.write('0'), 100);
  socket.on('close', () => clearInterval(timer));
}

/** A web server for a repository that hangs at the given point. */
async function serveHttp(t, remote, hang) {
  let hasEntered = false;
  const enter = () => {
    hasEntered = true;
  };
  const server = http.createServer((request, response) => {
    request.on('error', () => {});
    response.on('error', () => {});
    if (hang === 'asking for credentials') {
      response.writeHead(401, { 'WWW-Authenticate': 'Basic realm="x"' }).end();
      return;
    }
    const type = request.method === 'GET' ? 'advertisement' : 'result';
    const head = { 'Content-Type': `application/x-git-receive-pack-${type}` };
    if (request.method === 'GET') {
      response.writeHead(200, head);
      if (hang === 'inside the advertisement') return enter(response.write('001f# service='));
      response.write('001f# service=git-receive-pack\n0000');
      const git = spawn('git', [
        'receive-pack',
        '--stateless-rpc',
        '--advertise-refs',
        remote.path,
      ]);
      git.stdout.pipe(response);
      return;
    }
    if (hang === 'before it takes the pack') return enter();
    request.resume();
    if (hang === 'before the report') {
      enter();
      return;
    }
    response.writeHead(200, head);
    response.write('0006\x01');
    enter();
  });
  atEnd(t, () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  server.listen(0, '127.0.0.1');
  await emitted(server, 'listening');
  return {
    url: `http://127.0.0.1:${server.address().port}/r.git`,
    entered: () => until('the request', () => hasEntered),
  };
}

/** A server that accepts a connection and stays silent, or lets `serve` answer. */
const silent =
  (url, { serve, repo: configure, ...options } = {}) =>
  async (t, { repo }) => {
    const { port, entered } = await listen(t, serve);
    configure?.(repo, port);
    return { options: { remote: url(port), ...options }, entered };
  };

/** A hook or a helper that waits at a gate; `arm` installs it and returns further options of the daemon. */
const gated = (arm) => async (t, pair) => {
  const gate = makeGate(t);
  const options = await arm(gate.lines, { t, ...pair });
  return { options, entered: gate.entered };
};

/** A shell that does nothing while it waits, unlike the gate's own. */
const stuck = (lines) => [...lines.slice(0, 2), 'exec sleep 100'];

/**
 * Where a push can hang, the limit that ends it, and what makes it hang. The last resolves to further options of the
 * daemon and to `entered`, which waits until the push hangs.
 */
const PHASES = [
  ['local', BEFORE, gated((lines, { t, repo }) => wrapReceivePack(t, repo, ...lines))],
  ['local', WITHIN, gated((lines, { remote }) => void remote.hook('pre-receive', ...lines))],
  ['git://', BEFORE, silent((port) => `git://127.0.0.1:${port}/r`)],
  [
    'git:// that dribbles,',
    BEFORE,
    silent((port) => `git://127.0.0.1:${port}/r`, {
      serve: (socket) => {
        // The length of a packet of 32 KiB.
        socket.write('8000');
        dribble(socket);
      },
    }),
  ],
  ['ssh, in its handshake,', BEFORE, silent((port) => `ssh://127.0.0.1:${port}/r`)],
  [
    'ssh, by a proxy command,',
    BEFORE,
    gated((lines, { t }) => {
      process.env.GIT_SSH_COMMAND = `ssh -F /dev/null -o ProxyCommand=${makeScript(t, ...lines)}`;
      atEnd(t, () => delete process.env.GIT_SSH_COMMAND);
      return { remote: 'ssh://h.invalid/r' };
    }),
  ],
  ['https, in its handshake,', BEFORE, silent((port) => `https://127.0.0.1:${port}/r`)],
  ['http', BEFORE, silent((port) => `http://127.0.0.1:${port}/r`)],
  [
    'https, by a proxy,',
    BEFORE,
    silent(() => 'https://h.invalid/r', {
      repo: (repo, port) => repo.git('config', 'http.proxy', `http://127.0.0.1:${port}`),
    }),
  ],
  ...[
    ['credential helper', 'credential.helper', '!'],
    ['askpass program', 'core.askPass', ''],
  ].map(([what, setting, prefix]) => [
    `http, by its ${what},`,
    BEFORE,
    gated(async (lines, { t, repo, remote }) => {
      repo.git('config', setting, `${prefix}${makeScript(t, ...lines)}`);
      return { remote: (await serveHttp(t, remote, 'asking for credentials')).url };
    }),
  ]),
  ...[
    ['inside the advertisement', BEFORE],
    ['before it takes the pack', WITHIN],
    ['before the report', WITHIN],
    ['inside the report', WITHIN],
  ].map(([where, phase]) => [
    `http, ${where},`,
    phase,
    async (t, { remote }) => {
      const { url, entered } = await serveHttp(t, remote, where);
      return { options: { remote: url }, entered };
    },
  ]),
  ['git push', BEFORE, silent((port) => `git://127.0.0.1:${port}/r`, { transport: 'git-cli' })],
  [
    'git push, in its hook,',
    WITHIN,
    gated((lines, { repo }) => void repo.hook('pre-push', ...stuck(lines))),
  ],
  [
    "git push, in the remote's hook,",
    WITHIN,
    gated((lines, { remote }) => {
      remote.git('config', 'receive.keepAlive', '0');
      remote.hook('pre-receive', ...stuck(lines));
      return { transport: 'git-cli' };
    }),
  ],
];

/** The number of open sockets of this process. */
const sockets = () => descriptors().filter((target) => target.startsWith('socket:')).length;

for (const [transport, phase, hang] of PHASES) {
  describe(`${transport} ${phase} that hangs`, () => {
    /** Starts a daemon, and waits until it hangs. */
    async function hanging(t, limits) {
      const pair = makePair(t);
      const { options = {}, entered } = await hang(t, pair);
      pair.repo.commit();
      const seen = {};
      const daemon = start(t, { ...pair.options, ...OPTIONS, ...limits, ...options });
      seen.events = collect(daemon);
      seen.failed = once(daemon, 'error');
      seen.failed.catch(() => {});
      const pids = await entered();
      return { daemon, pids: Array.isArray(pids) ? pids : [], ...seen };
    }

    test('ends at its limit, together with all processes started for it', async (t) => {
      const { failed, pids } = await hanging(t, LIMITS[phase]);
      const { kind, retryable, err } = await failed;
      assert.deepEqual([kind, retryable], ['timeout', true], err.message);
      await until('the processes have ended', () => !pids.some(isRunning));
    });

    test('ends at the deadline of stop() and leaves nothing behind', async (t) => {
      const unlimited = { connectTimeoutMs: 0, idleTimeoutMs: 0, reportTimeoutMs: 0 };
      const before = sockets();
      const { daemon, pids, events } = await hanging(t, unlimited);
      const begun = performance.now();
      const { drained } = await within(daemon.stop({ timeoutMs: STOP_MS }), 'stop()');
      const late = performance.now() - begun - STOP_MS;
      t.diagnostic(`${late.toFixed(0)} ms after the deadline`);
      assert.equal(drained, false);
      assert.ok(late < PROMPT_MS, `${late} ms`);
      assert.deepEqual(events.names(), ['stopped']);
      assert.deepEqual(
        children().filter((pid) => pids.includes(pid)),
        [],
      );
      await until('the processes have ended', () => !pids.some(isRunning));
      await until('no thread is left', () => daemonThreads().length === 0);
      // The sockets of the test's server close with the daemon's.
      await until('no socket is left', () => sockets() <= before + 1);
    });
  });
}

describe('git push', () => {
  test('may run a hook that computes for longer than the idle limit', async (t) => {
    const { repo, remote, options } = makePair(t);
    const end = `$(($(date +%s) + ${(3 * HANG_MS) / 1000}))`;
    repo.hook('pre-push', `end=${end}`, 'while [ $(date +%s) -lt $end ]; do :; done');
    const daemon = start(t, { ...options, backoff: ENDLESS_BACKOFF, idleTimeoutMs: HANG_MS });
    const tip = repo.commit();
    const seen = collect(daemon);
    await daemon.waitForPush(tip, { timeoutMs: 60_000 });
    assert.equal(remote.tip(), tip);
    assert.deepEqual(seen.of('error'), []);
  });
});

describe('stop() after a confirmed push', () => {
  test('waits for a hook of a remote on this machine', async (t) => {
    const { repo, remote, options } = makePair(t);
    const gate = makeGate(t);
    remote.hook('post-receive', ...gate.lines, 'touch finished');
    const daemon = await startInSync(t, options);
    const pushed = once(daemon, 'push');
    repo.commit();
    await pushed;
    await gate.entered();
    const stopped = daemon.stop({ timeoutMs: 60_000 });
    // Longer than the daemon would wait for a server.
    setTimeout(gate.open, 3_000);
    assert.deepEqual(await within(stopped, 'stop()'), { drained: true, pendingCommits: 0 });
    assert.ok(existsSync(path.join(remote.path, 'finished')));
  });

  test('disconnects from a server that is still busy', async (t) => {
    const { remote, repo, options } = makePair(t);
    // Behaves like a server whose hook still runs: it stays silent and keeps the connection.
    const serve = (socket) => {
      socket.once('data', () => {
        const git = spawn('git', ['receive-pack', remote.path]);
        atEnd(t, () => git.kill());
        git.stdout.on('data', (data) => socket.write(data));
        socket.on('data', (data) => git.stdin.write(data));
      });
    };
    const { port } = await listen(t, serve, { allowHalfOpen: true });
    const daemon = start(t, { ...options, remote: `git://127.0.0.1:${port}/r` });
    const tip = repo.commit();
    await daemon.waitForPush(tip);
    const begun = performance.now();
    const stopped = await within(daemon.stop({ timeoutMs: 600_000 }), 'stop()');
    t.diagnostic(`${(performance.now() - begun).toFixed(0)} ms`);
    assert.deepEqual(stopped, { drained: true, pendingCommits: 0 });
  });
});
