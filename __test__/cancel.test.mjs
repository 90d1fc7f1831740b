// Every transport in every phase in which a remote, a proxy or a helper can hang: it ends by its limit, and `stop()` ends it at
// once. What hangs is real but for servers that have to say too little: those are sockets of the test.

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

/** More than a busy machine needs for what does not hang, but for the limits that are to be reached. */
const HANG_MS = 3_000;

/** How long `stop()` is given. */
const STOP_MS = 300;

/** What a `stop()` beyond its deadline would have to be, for a busy machine. What it takes is printed. */
const PROMPT_MS = 10_000;

const OPTIONS = { backoff: ENDLESS_BACKOFF, watch: false };
const LIMITS = {
  'before an advertisement': { connectTimeoutMs: HANG_MS, idleTimeoutMs: 0 },
  'in a push': { connectTimeoutMs: 0, idleTimeoutMs: HANG_MS, reportTimeoutMs: HANG_MS },
};

/** A server that takes connections and does with them as it is told; by default, nothing. */
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
    /** Resolves once somebody has connected. */
    entered: () => until('a connection', () => sockets.size > 0),
  };
}

/** A byte now and then, none of which ever ends anything. */
function dribble(socket) {
  socket.resume();
  const timer = setInterval(() => socket.write('0'), 100);
  socket.on('close', () => clearInterval(timer));
}

/** A web server in front of a repository, which hangs where it is told to. */
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

/**
 * Where a push can hang: its limit, and what makes it hang. That resolves to the daemon's further options, and to
 * what tells that it is there.
 */
const PHASES = [
  [
    'local',
    'before an advertisement',
    async (t, { repo }) => {
      const gate = makeGate(t);
      wrapReceivePack(t, repo, ...gate.lines);
      return { entered: gate.entered };
    },
  ],
  [
    'local',
    'in a push',
    async (t, { remote }) => {
      const gate = makeGate(t);
      remote.hook('pre-receive', ...gate.lines);
      return { entered: gate.entered };
    },
  ],
  [
    'git://',
    'before an advertisement',
    async (t) => {
      const { port, entered } = await listen(t);
      return { options: { remote: `git://127.0.0.1:${port}/r` }, entered };
    },
  ],
  [
    'git:// that dribbles,',
    'before an advertisement',
    async (t) => {
      const { port, entered } = await listen(t, (socket) => {
        // A packet of 32 KiB.
        socket.write('8000');
        dribble(socket);
      });
      return { options: { remote: `git://127.0.0.1:${port}/r` }, entered };
    },
  ],
  [
    'ssh, in its handshake,',
    'before an advertisement',
    async (t) => {
      const { port, entered } = await listen(t);
      return { options: { remote: `ssh://127.0.0.1:${port}/r` }, entered };
    },
  ],
  [
    'ssh, by a proxy command,',
    'before an advertisement',
    async (t) => {
      const gate = makeGate(t);
      const proxy = makeScript(t, ...gate.lines);
      process.env.GIT_SSH_COMMAND = `ssh -F /dev/null -o ProxyCommand=${proxy}`;
      atEnd(t, () => delete process.env.GIT_SSH_COMMAND);
      return { options: { remote: 'ssh://h.invalid/r' }, entered: gate.entered };
    },
  ],
  [
    'https, in its handshake,',
    'before an advertisement',
    async (t) => {
      const { port, entered } = await listen(t);
      return { options: { remote: `https://127.0.0.1:${port}/r` }, entered };
    },
  ],
  [
    'http',
    'before an advertisement',
    async (t) => {
      const { port, entered } = await listen(t);
      return { options: { remote: `http://127.0.0.1:${port}/r` }, entered };
    },
  ],
  [
    'https, by a proxy,',
    'before an advertisement',
    async (t, { repo }) => {
      const { port, entered } = await listen(t);
      repo.git('config', 'http.proxy', `http://127.0.0.1:${port}`);
      return { options: { remote: 'https://h.invalid/r' }, entered };
    },
  ],
  [
    'http, inside of it,',
    'before an advertisement',
    async (t, { remote }) => {
      const { url, entered } = await serveHttp(t, remote, 'inside the advertisement');
      return { options: { remote: url }, entered };
    },
  ],
  [
    'http, by a credential helper,',
    'before an advertisement',
    async (t, { repo, remote }) => {
      const gate = makeGate(t);
      repo.git('config', 'credential.helper', `!${makeScript(t, ...gate.lines)}`);
      const { url } = await serveHttp(t, remote, 'asking for credentials');
      return { options: { remote: url }, entered: gate.entered };
    },
  ],
  [
    'http, by an askpass program,',
    'before an advertisement',
    async (t, { repo, remote }) => {
      const gate = makeGate(t);
      repo.git('config', 'core.askPass', makeScript(t, ...gate.lines));
      const { url } = await serveHttp(t, remote, 'asking for credentials');
      return { options: { remote: url }, entered: gate.entered };
    },
  ],
  ...['before it takes the pack', 'before the report', 'inside the report'].map((where) => [
    `http, ${where},`,
    'in a push',
    async (t, { remote }) => {
      const { url, entered } = await serveHttp(t, remote, where);
      return { options: { remote: url }, entered };
    },
  ]),
  [
    'git push',
    'before an advertisement',
    async (t) => {
      const { port, entered } = await listen(t);
      return { options: { remote: `git://127.0.0.1:${port}/r`, transport: 'git-cli' }, entered };
    },
  ],
  [
    'git push, in its hook,',
    'in a push',
    async (t, { repo }) => {
      const gate = makeGate(t);
      // Unlike the gate's own, this one does nothing while it waits.
      const stuck = [...gate.lines.slice(0, 2), 'exec sleep 100'];
      repo.hook('pre-push', ...stuck);
      return { entered: gate.entered };
    },
  ],
  [
    "git push, in the remote's hook,",
    'in a push',
    async (t, { remote }) => {
      const gate = makeGate(t);
      remote.git('config', 'receive.keepAlive', '0');
      remote.hook('pre-receive', ...gate.lines.slice(0, 2), 'exec sleep 100');
      return { options: { transport: 'git-cli' }, entered: gate.entered };
    },
  ],
];

/** Sockets of this process to servers elsewhere, as against those of the test. */
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

    test('ends by its limit, with what was started for it', async (t) => {
      const { failed, pids } = await hanging(t, LIMITS[phase]);
      const { kind, retryable, err } = await failed;
      assert.deepEqual([kind, retryable], ['timeout', true], err.message);
      await until('the processes have ended', () => !pids.some(isRunning));
    });

    test('is ended by stop() at its deadline, and leaves nothing', async (t) => {
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
      // Those of the test's own server go with the daemon's.
      await until('no socket is left', () => sockets() <= before + 1);
    });
  });
}

describe('git push', () => {
  test('whose hook computes for longer than the idle limit is no hang', async (t) => {
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
  test('waits for the hook of a remote on this machine', async (t) => {
    const { repo, remote, options } = makePair(t);
    const gate = makeGate(t);
    remote.hook('post-receive', ...gate.lines, 'touch finished');
    const daemon = await startInSync(t, options);
    const pushed = once(daemon, 'push');
    repo.commit();
    await pushed;
    await gate.entered();
    const stopped = daemon.stop({ timeoutMs: 60_000 });
    // Longer than a server would be waited for.
    setTimeout(gate.open, 3_000);
    assert.deepEqual(await within(stopped, 'stop()'), { drained: true, pendingCommits: 0 });
    assert.ok(existsSync(path.join(remote.path, 'finished')));
  });

  test('hangs up on a server that has more to do', async (t) => {
    const { remote, repo, options } = makePair(t);
    // As one whose hook still runs: it says no more, and does not hang up.
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
