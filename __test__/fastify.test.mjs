// The Fastify plugin in applications of this process: tests that need its options, its handle or a clock. operator.test.mjs
// tests it in a service, over HTTP and by its log.

import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { createRequire } from 'node:module';
import { describe, test } from 'node:test';

import fastifyPlugin from 'fastify-plugin';

import { Log, makeApp, pushDaemon } from './support/app.mjs';
import { atEnd } from './support/cleanup.mjs';
import { start, untilState } from './support/daemon.mjs';
import { makeGate } from './support/gate.mjs';
import { makePair } from './support/git.mjs';

const require = createRequire(import.meta.url);
const { logEvents } = require('../fastify/log.js');
const { verdictOf } = require('../fastify/health.js');

const LEVEL = { info: 30, warn: 40, error: 50 };
const TOKEN = 'the-token-of-the-tests';
const BEARER = { authorization: `Bearer ${TOKEN}` };
const ROUTES = { status: '/push', health: '/push/health', flush: '/push/flush', token: TOKEN };

const basic = (password) => ({
  authorization: `Basic ${Buffer.from(`operator:${password}`).toString('base64')}`,
});

describe('the plugin', () => {
  for (const [what, remote] of [
    ['missing', {}],
    ['null', { remote: null }],
    ['empty', { remote: '' }],
  ]) {
    test(`decorates null and logs it once at info if the remote is ${what}`, async (t) => {
      const { app, log } = await makeApp(t, { ...remote, repoPath: '/nowhere' });
      assert.equal(app.pushDaemon, null);
      assert.deepEqual(
        log.lines.map(({ level, msg }) => [level, msg.startsWith('no remote is set')]),
        [[LEVEL.info, true]],
      );
    });
  }

  test('is visible to sibling plugins, which can depend on it by name', async (t) => {
    const { options } = makePair(t);
    const { app } = await makeApp(t, options);
    let seen;
    await app.register(
      fastifyPlugin(
        async (instance) => {
          seen = instance.pushDaemon;
        },
        { dependencies: ['git-push-daemon'], decorators: { fastify: ['pushDaemon'] } },
      ),
    );
    assert.equal(seen, app.pushDaemon);
  });

  test('is the same by require, by default import and by name', async () => {
    const imported = await import('../fastify.js');
    assert.equal(imported.default, pushDaemon);
    assert.equal(pushDaemon.default, pushDaemon);
    assert.equal(pushDaemon.pushDaemon, pushDaemon);
  });

  test('runs several daemons under names of their own', async (t) => {
    const [one, other] = [makePair(t), makePair(t)];
    const { app, log } = await makeApp(t, one.options);
    await app.register(pushDaemon, { ...other.options, name: 'audit', stopTimeoutMs: 0 });
    const commit = other.repo.commit();
    const line = await log.next('pushed', (entry) => entry.commit === commit);
    assert.equal(line.component, 'audit');
    assert.deepEqual(
      [app.audit.status().url, app.pushDaemon.status().url],
      [other.remote.path, one.remote.path],
    );
  });

  test('refuses a name that is taken, and leaves no daemon behind', async (t) => {
    const { options } = makePair(t);
    await assert.rejects(
      makeApp(t, { ...options, name: 'taken' }, async (app) => app.decorate('taken', 1)),
      { code: 'FST_ERR_DEC_ALREADY_PRESENT' },
    );
    start(t, options);
  });

  test('refuses to start before its dependencies', async (t) => {
    const { options } = makePair(t);
    const dependencies = ['repository'];
    await assert.rejects(makeApp(t, { ...options, dependencies }), {
      code: 'ERR_PUSH_DAEMON_INVALID_OPTION',
      message: /depends on the plugin repository, which is not registered/,
    });
    const repository = fastifyPlugin(async () => {}, { name: 'repository' });
    const { app } = await makeApp(t, { ...options, dependencies }, (it) => it.register(repository));
    assert.notEqual(app.pushDaemon, null);
  });

  for (const [what, wrong, code] of [
    ['an unknown option', { colour: 'red' }, 'ERR_PUSH_DAEMON_INVALID_OPTION'],
    ['an unknown remote', { remote: 'nobody' }, 'ERR_PUSH_DAEMON_REMOTE_NOT_FOUND'],
    ['an unknown route', { routes: { page: '/x' } }, 'ERR_PUSH_DAEMON_INVALID_OPTION'],
    ['a route without a slash', { routes: { status: 'x' } }, 'ERR_PUSH_DAEMON_INVALID_OPTION'],
    ['a lag below 0', { routes: { maxLagMs: -1 } }, 'ERR_PUSH_DAEMON_INVALID_OPTION'],
    ['a token of bytes', { routes: { token: 1 } }, 'ERR_PUSH_DAEMON_INVALID_OPTION'],
  ]) {
    test(`fails the registration for ${what}`, async (t) => {
      const { options } = makePair(t);
      await assert.rejects(makeApp(t, { ...options, ...wrong }), { code });
    });
  }
});

describe('the log', () => {
  /** A fake daemon that fails on demand, with a controlled clock. */
  function scripted() {
    const log = new Log();
    const write = (level) => (fields, msg) =>
      log.lines.push({ level, ...(msg === undefined ? { msg: fields } : { ...fields, msg }) });
    const daemon = new EventEmitter();
    const status = { state: 'backing-off', pendingCommits: 2, oldestPendingAt: null, lagMs: 1 };
    daemon.status = () => status;
    const clock = { ms: 0 };
    const logger = { info: write('info'), warn: write('warn'), error: write('error') };
    logEvents(daemon, logger, () => clock.ms);
    const fail = (kind) => {
      const reason = kind === 'non-fast-forward' ? kind : 'unknown';
      daemon.emit('error', { kind, reason, err: new Error('x'), attempt: 1, hint: 'Look.' });
      if (reason === 'unknown') daemon.emit('retry', { kind, attempt: 1, nextDelayMs: 1 });
    };
    return { log, daemon, clock, status, fail };
  }

  test('summarises failures of one kind once a minute, and starts anew after a recovery', () => {
    const { log, daemon, clock, fail } = scripted();
    for (clock.ms = 0; clock.ms < 180_000; clock.ms += 1_000) fail('network');
    assert.deepEqual(
      log.of('push failed').map(({ unlogged = 0 }) => unlogged),
      [0, 59, 59],
    );
    assert.match(log.of('push failed')[1].msg, /, as 59 more attempts since the last such line: /);
    assert.equal(log.of('push retry').length, 3);
    daemon.emit('recovered', { commit: 'c', failedAttempts: 180, downMs: 180_000 });
    fail('network');
    assert.equal(log.of('push failed').length, 4);
    assert.equal('unlogged' in log.lines.at(-2), false);
  });

  test('logs another kind of failure at once', () => {
    const { log, fail } = scripted();
    for (const kind of ['network', 'auth', 'network', 'auth', 'non-fast-forward', 'timeout']) {
      fail(kind);
    }
    assert.deepEqual(
      log.lines.filter(({ hint }) => hint).map(({ level, kind }) => `${level} ${kind}`),
      ['warn network', 'warn auth', 'error non-fast-forward', 'warn timeout'],
    );
  });

  test('logs at once that pushing was given up', () => {
    const { log, status, fail } = scripted();
    fail('network');
    status.state = 'gave-up';
    fail('network');
    assert.equal(log.of('push given up').length, 1);
  });
});

describe('the routes', () => {
  test('do not exist unless their paths are given', async (t) => {
    const { options } = makePair(t);
    const { app } = await makeApp(t, { ...options, routes: { token: TOKEN, health: '/health' } });
    assert.equal((await app.inject('/health')).statusCode, 200);
    assert.deepEqual(app.printRoutes({ commonPrefix: false }).match(/\/\S*/g), ['/health']);
  });

  test('accept a token with spaces and letters beyond ASCII', async (t) => {
    const { options } = makePair(t);
    const token = 'ein schönes Wort';
    const { app } = await makeApp(t, { ...options, routes: { ...ROUTES, token } });
    const authorization = Buffer.from(`Bearer ${token}`).toString('latin1');
    assert.equal((await app.inject({ url: '/push', headers: { authorization } })).statusCode, 200);
    assert.equal((await app.inject({ url: '/push', headers: basic(token) })).statusCode, 200);
  });

  test("accept the application's own hook instead of a token, or both", async (t) => {
    const { options } = makePair(t);
    const onRequest = async (request, reply) => {
      if (request.headers.session !== 'ours') return reply.code(403).send({});
    };
    const own = { status: '/own', onRequest };
    const { app } = await makeApp(t, { ...options, routes: own });
    const both = { status: '/both', onRequest: [onRequest], token: TOKEN };
    await app.register(pushDaemon, { name: 'none', routes: both });
    assert.equal((await app.inject('/own')).statusCode, 403);
    const session = { session: 'ours' };
    assert.equal((await app.inject({ url: '/own', headers: session })).statusCode, 200);
    const codes = [];
    for (const headers of [session, BEARER, { ...session, ...BEARER }]) {
      codes.push((await app.inject({ url: '/both', headers })).statusCode);
    }
    assert.deepEqual(codes, [401, 403, 503]);
  });

  for (const [accept, type] of [
    [undefined, 'application/json'],
    ['*/*', 'application/json'],
    ['application/json', 'application/json'],
    ['application/json, text/html', 'application/json'],
    ['text/html;q=0.4, application/json;q=0.5', 'application/json'],
    ['text/html;q=0', 'application/json'],
    ['text/*;q=0.5, */*;q=0.6', 'application/json'],
    ['image/png', 'application/json'],
    [';;,q=', 'application/json'],
    ['text/html', 'text/html'],
    ['TEXT/HTML, */*;q=0.8', 'text/html'],
    ['text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8', 'text/html'],
    ['text/*', 'text/html'],
  ]) {
    test(`answer ${type} to Accept: ${accept ?? 'nothing'}`, async (t) => {
      const { app } = await makeApp(t, { routes: ROUTES });
      const headers = accept === undefined ? BEARER : { ...BEARER, accept };
      const answer = await app.inject({ url: '/push', headers });
      assert.equal(answer.headers['content-type'].split(';')[0], type);
    });
  }
});

describe('health', () => {
  const NOW = Date.parse('2026-03-01T12:00:00Z');
  const ago = (ms) => new Date(NOW - ms).toISOString();
  const HEALTHY = {
    running: true,
    state: 'in-sync',
    lagMs: 0,
    localCommit: 'c',
    remoteCommit: 'c',
    startedAt: ago(3_600_000),
    verifiedAt: ago(60_000),
  };
  const LIMITS = { maxLagMs: 60_000, maxUnverifiedMs: 240_000 };

  for (const [what, status, verdict] of [
    ['in sync', {}, 'ok'],
    ['pushing', { state: 'pushing', lagMs: 1_000 }, 'ok'],
    ['backing off for a while', { state: 'backing-off', lagMs: 60_000 }, 'ok'],
    ['behind for too long', { state: 'backing-off', lagMs: 60_001 }, 'lagging'],
    ['behind for too long while pushing', { state: 'pushing', lagMs: 60_001 }, 'lagging'],
    ['diverged', { state: 'diverged' }, 'diverged'],
    ['given up', { state: 'gave-up' }, 'gave-up'],
    ['regressed', { state: 'regressed' }, 'regressed'],
    ['not verified for a while', { verifiedAt: ago(240_000) }, 'ok'],
    ['not verified for too long', { verifiedAt: ago(240_001) }, 'unverified'],
    ['not verified, but without a branch', { verifiedAt: null, localCommit: null }, 'ok'],
    ['stopping', { running: false, state: 'stopping' }, 'stopped'],
    ['starting', { state: 'starting', verifiedAt: null, startedAt: ago(1_000) }, 'starting'],
    ['starting for too long', { state: 'starting', verifiedAt: null }, 'unconfirmed'],
    ['never reached', { state: 'backing-off', verifiedAt: null }, 'unconfirmed'],
    ['not reached yet', { state: 'backing-off', verifiedAt: null, startedAt: ago(1_000) }, 'ok'],
    ['pushing for long', { state: 'pushing', verifiedAt: ago(3_600_000), progress: {} }, 'ok'],
    ['back to an empty remote', { state: 'pushing', remoteCommit: null }, 'ok'],
    ['in sync with an empty remote', { remoteCommit: null }, 'ok'],
  ]) {
    test(`calls a daemon that is ${what} ${verdict}`, () => {
      assert.equal(verdictOf({ ...HEALTHY, ...status }, LIMITS, NOW), verdict);
    });
  }

  test('sets no limit on verification where that is 0', () => {
    const status = { ...HEALTHY, verifiedAt: ago(86_400_000) };
    assert.equal(verdictOf(status, { ...LIMITS, maxUnverifiedMs: 0 }, NOW), 'ok');
  });

  for (const [verifyMs, expected] of [
    [undefined, 1_200_000],
    [60_000, 240_000],
    [0, 0],
  ]) {
    test(`allows ${expected} ms without verification where verifyMs is ${verifyMs}`, async (t) => {
      const { options } = makePair(t);
      const { app } = await makeApp(t, { ...options, verifyMs, routes: ROUTES });
      assert.equal((await app.inject('/push/health')).json().maxUnverifiedMs, expected);
    });
  }
});

describe('flush', () => {
  test('answers 503 once the daemon is stopped, and so does health', async (t) => {
    const { options } = makePair(t);
    const { app } = await makeApp(t, { ...options, routes: ROUTES });
    await app.pushDaemon.stop({ timeoutMs: 0 });
    const flush = await app.inject({ method: 'POST', url: '/push/flush', headers: BEARER });
    assert.equal(flush.statusCode, 503);
    const health = await app.inject('/push/health');
    assert.deepEqual([health.statusCode, health.json().status], [503, 'stopped']);
  });

  test('stops waiting when the client disconnects', async (t) => {
    const { repo, remote, options } = makePair(t);
    const gate = makeGate(t);
    atEnd(t, () => gate.open());
    const { app } = await makeApp(t, { ...options, routes: ROUTES });
    await untilState(app.pushDaemon, 'in-sync');
    remote.hook('pre-receive', ...gate.lines);
    repo.commit();
    await gate.entered();
    const address = await app.listen({ host: '127.0.0.1', port: 0 });
    let aborted;
    const { flush } = app.pushDaemon;
    const called = new Promise((resolve) => {
      app.pushDaemon.flush = (flushOptions) => {
        aborted = new Promise((done) => {
          flushOptions.signal.addEventListener('abort', done, { once: true });
        });
        resolve();
        return flush.call(app.pushDaemon, flushOptions);
      };
    });
    const client = new AbortController();
    const answer = fetch(`${address}/push/flush`, {
      method: 'POST',
      headers: BEARER,
      signal: client.signal,
    });
    await called;
    client.abort();
    await assert.rejects(answer, { name: 'AbortError' });
    await aborted;
  });
});
