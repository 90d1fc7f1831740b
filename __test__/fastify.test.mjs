// The Fastify plugin: what it starts, logs and stops, and its routes.

import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import { describe, test } from 'node:test';

import fastifyPlugin from 'fastify-plugin';

import { Api } from './support/api.mjs';
import { Log, makeApp, pushDaemon } from './support/app.mjs';
import { atEnd } from './support/cleanup.mjs';
import {
  ENDLESS_BACKOFF,
  FAST_BACKOFF,
  once,
  start,
  until,
  untilState,
} from './support/daemon.mjs';
import { makeGate } from './support/gate.mjs';
import { GIT_ENV, makePair } from './support/git.mjs';

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

/** Takes the remote away; the function that is returned brings it back. */
function takeAway(remote) {
  fs.renameSync(remote.path, `${remote.path}.away`);
  return () => fs.renameSync(`${remote.path}.away`, remote.path);
}

describe('the plugin', () => {
  for (const [what, remote] of [
    ['missing', {}],
    ['null', { remote: null }],
    ['empty', { remote: '' }],
  ]) {
    test(`decorates null and says so once at info where the remote is ${what}`, async (t) => {
      const { app, log } = await makeApp(t, { ...remote, repoPath: '/nowhere' });
      assert.equal(app.pushDaemon, null);
      assert.deepEqual(
        log.lines.map(({ level, msg }) => [level, msg.startsWith('no remote is set')]),
        [[LEVEL.info, true]],
      );
    });
  }

  test('starts the daemon, decorates its handle and logs each push at info', async (t) => {
    const { repo, remote, options } = makePair(t);
    const { app, log } = await makeApp(t, options);
    const commit = repo.commit();
    const line = await log.next('pushed', (entry) => entry.commit === commit);
    assert.equal(line.level, LEVEL.info);
    assert.equal(line.component, 'pushDaemon');
    assert.deepEqual([line.commits, line.attempt, typeof line.durationMs], [1, 1, 'number']);
    assert.equal(remote.tip(), commit);
    assert.equal(app.pushDaemon.status().lastPushAt !== null, true);
  });

  test('is visible to plugins registered beside it, and can be depended on by its name', async (t) => {
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

  test('refuses to start before the plugins it was told to depend on', async (t) => {
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

  test('pushes what is pending when the application closes', async (t) => {
    const { repo, remote, options } = makePair(t);
    const gate = makeGate(t);
    const { app, log } = await makeApp(t, { ...options, stopTimeoutMs: 30_000 });
    await untilState(app.pushDaemon, 'in-sync');
    remote.hook('pre-receive', ...gate.lines);
    repo.commit();
    await gate.entered();
    const last = repo.commit();
    const closed = app.close();
    gate.open();
    await closed;
    assert.equal(remote.tip(), last);
    const [line] = log.of('push daemon stopped');
    assert.deepEqual([line.level, app.pushDaemon.status().state], [LEVEL.info, 'stopped']);
  });

  test('closes after stopTimeoutMs at most, and says at error level what is not pushed', async (t) => {
    const { repo, remote, options } = makePair(t);
    const gate = makeGate(t);
    const { app, log } = await makeApp(t, { ...options, stopTimeoutMs: 50 });
    await untilState(app.pushDaemon, 'in-sync');
    remote.hook('pre-receive', ...gate.lines);
    repo.commit();
    await gate.entered();
    await app.close();
    const [line] = log.of('push daemon stopped');
    assert.deepEqual([line.level, line.pendingCommits], [LEVEL.error, 1]);
  });
});

describe('the log', () => {
  test('has a failure at warn, its retry and the recovery at info, and tells what to do', async (t) => {
    const { repo, remote, options } = makePair(t);
    const { app, log } = await makeApp(t, { ...options, backoff: FAST_BACKOFF });
    await untilState(app.pushDaemon, 'in-sync');
    const bringBack = takeAway(remote);
    const commit = repo.commit({ committedAt: '1700000000 +0000' });
    const failed = await log.next('push failed');
    assert.deepEqual(
      [failed.level, failed.commit, failed.kind, failed.reason, failed.attempt],
      [LEVEL.warn, commit, 'remote-error', 'unknown', 1],
    );
    assert.equal(failed.pendingCommits, 1);
    assert.equal(failed.oldestPendingAt, '2023-11-14T22:13:20.000Z');
    assert.ok(failed.lagMs > 0);
    assert.match(
      failed.msg,
      /^push failed \(remote-error\): 1 commit is not there, made at 2023-11-14T22:13:20\.000Z; it is tried again\. \S/,
    );
    assert.ok(failed.msg.endsWith(failed.hint));
    const retry = await log.next('push retry');
    assert.deepEqual([retry.level, retry.attempt, retry.nextDelayMs], [LEVEL.info, 1, 5]);
    bringBack();
    const recovered = await log.next('push recovered');
    assert.equal(recovered.level, LEVEL.info);
    assert.ok(recovered.failedAttempts >= 1);
  });

  test('has a divergence at error, which says that an operator must reconcile', async (t) => {
    const { repo, remote, options } = makePair(t);
    const { app, log } = await makeApp(t, options);
    await untilState(app.pushDaemon, 'in-sync');
    const theirs = remote.commit();
    const ours = repo.commit();
    const line = await log.next('push refused');
    assert.deepEqual(
      [line.level, line.reason, line.commit, line.remoteCommit, line.pendingCommits],
      [LEVEL.error, 'non-fast-forward', ours, theirs, 1],
    );
    assert.match(line.msg, /An operator must reconcile them/);
    assert.deepEqual(log.of('push retry'), []);
  });

  test('has giving up at error', async (t) => {
    const { repo, remote, options } = makePair(t);
    const { app, log } = await makeApp(t, { ...options, maxRetries: 0 });
    await untilState(app.pushDaemon, 'in-sync');
    takeAway(remote);
    repo.commit();
    const line = await log.next('push given up');
    assert.deepEqual([line.level, line.kind], [LEVEL.error, 'remote-error']);
  });

  test('is not flooded by an outage: one failure, one retry, one recovery', async (t) => {
    const { repo, remote, options } = makePair(t);
    const { app, log } = await makeApp(t, { ...options, backoff: FAST_BACKOFF });
    await untilState(app.pushDaemon, 'in-sync');
    const bringBack = takeAway(remote);
    repo.commit();
    await until('10 failures', () => app.pushDaemon.status().totals.failures >= 10);
    bringBack();
    const recovered = await log.next('push recovered');
    assert.ok(recovered.failedAttempts >= 10);
    assert.equal(log.of('push failed').length, 1);
    assert.equal(log.of('push retry').length, 1);
  });

  /** A daemon that fails at will, under a clock that is set. */
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

  test('sums up failures of one kind at most once a minute, and starts anew after a recovery', () => {
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

  test('tells of another kind of failure at once', () => {
    const { log, fail } = scripted();
    for (const kind of ['network', 'auth', 'network', 'auth', 'non-fast-forward', 'timeout']) {
      fail(kind);
    }
    assert.deepEqual(
      log.lines.filter(({ hint }) => hint).map(({ level, kind }) => `${level} ${kind}`),
      ['warn network', 'warn auth', 'error non-fast-forward', 'warn timeout'],
    );
  });

  test('tells at once that pushing was given up, whatever failed before', () => {
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

  test('show the status to the bearer of the token', async (t) => {
    const { options } = makePair(t);
    const { app } = await makeApp(t, { ...options, routes: ROUTES });
    await untilState(app.pushDaemon, 'in-sync');
    const { statusCode, headers, body } = await app.inject({ url: '/push', headers: BEARER });
    assert.equal(statusCode, 200);
    assert.equal(headers['cache-control'], 'no-store');
    assert.equal(headers.vary, 'accept');
    assert.match(headers['content-type'], /^application\/json/);
    assert.equal(body, JSON.stringify(app.pushDaemon.status()));
  });

  const WRONG = [
    ['none', undefined],
    ['empty', ''],
    ['no token', 'Bearer'],
    ['a blank token', 'Bearer  '],
    ['another token', 'Bearer another'],
    ['its beginning', `Bearer ${TOKEN.slice(0, -1)}`],
    ['it and more', `Bearer ${TOKEN}x`],
    ['another case', `Bearer ${TOKEN.toUpperCase()}`],
    ['no scheme', TOKEN],
    ['no space', `Bearer${TOKEN}`],
    ['another scheme', `Digest ${TOKEN}`],
    ['two schemes', `Basic Bearer ${TOKEN}`],
    ['bytes', 'Bearer \u00ff\u00fe'],
    ['long', `Bearer ${'x'.repeat(12_000)}`],
    ['long, beginning right', `Bearer ${TOKEN}${'x'.repeat(12_000)}`],
    ['malformed Basic', 'Basic !!!'],
    ['Basic without a colon', `Basic ${Buffer.from(TOKEN).toString('base64')}`],
    ['the token as the user', `Basic ${Buffer.from(`${TOKEN}:`).toString('base64')}`],
    ['another password', basic('another').authorization],
  ];

  test('answer every wrong token alike', async (t) => {
    const { options } = makePair(t);
    const { app } = await makeApp(t, { ...options, routes: ROUTES });
    const answers = new Map();
    for (const [method, url] of [
      ['GET', '/push'],
      ['POST', '/push/flush'],
    ]) {
      for (const [what, authorization] of WRONG) {
        const headers = authorization === undefined ? {} : { authorization };
        const { statusCode, headers: answered, body } = await app.inject({ method, url, headers });
        assert.equal(statusCode, 401, `${method}: ${what}`);
        const { date: _, ...rest } = answered;
        answers.set(JSON.stringify([rest, body]), what);
      }
    }
    assert.equal(answers.size, 1, [...answers.keys()].join('\n'));
    const [answer] = answers.keys();
    assert.match(answer, /"www-authenticate":"Bearer realm=/);
    assert.match(answer, /"cache-control":"no-store"/);
    assert.equal((await app.inject({ method: 'HEAD', url: '/push' })).statusCode, 401);
  });

  test('take a token with spaces and letters beyond ASCII', async (t) => {
    const { options } = makePair(t);
    const token = 'ein schönes Wort';
    const { app } = await makeApp(t, { ...options, routes: { ...ROUTES, token } });
    const authorization = Buffer.from(`Bearer ${token}`).toString('latin1');
    assert.equal((await app.inject({ url: '/push', headers: { authorization } })).statusCode, 200);
    assert.equal((await app.inject({ url: '/push', headers: basic(token) })).statusCode, 200);
  });

  test('let a browser send the token as a password, but not to flush', async (t) => {
    const { options } = makePair(t);
    const { app } = await makeApp(t, { ...options, routes: ROUTES });
    const headers = { accept: 'text/html', ...basic(TOKEN) };
    assert.equal((await app.inject({ url: '/push', headers })).statusCode, 200);
    const asked = await app.inject({ url: '/push', headers: { accept: 'text/html' } });
    assert.equal(asked.statusCode, 401);
    assert.match(asked.headers['www-authenticate'], /^Basic realm=/);
    const flush = await app.inject({ method: 'POST', url: '/push/flush', headers });
    assert.equal(flush.statusCode, 401);
    assert.match(flush.headers['www-authenticate'], /^Bearer realm=/);
  });

  test("take the application's own hook instead of a token, or both", async (t) => {
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

  for (const [what, token] of [
    ['missing', undefined],
    ['empty', ''],
  ]) {
    test(`are closed, with a warning, where the token is ${what}`, async (t) => {
      const { options } = makePair(t);
      const { app, log } = await makeApp(t, { ...options, routes: { ...ROUTES, token } });
      assert.equal(log.of('the routes of the push daemon are closed')[0].level, LEVEL.warn);
      for (const headers of [{}, BEARER, { authorization: 'Bearer ' }, basic('')]) {
        assert.equal((await app.inject({ url: '/push', headers })).statusCode, 503);
        const flush = await app.inject({ method: 'POST', url: '/push/flush', headers });
        assert.equal(flush.statusCode, 503);
      }
      assert.equal((await app.inject('/push/health')).statusCode, 200);
    });
  }

  test('answer 503 where no remote is set', async (t) => {
    const { app } = await makeApp(t, { routes: ROUTES });
    assert.equal((await app.inject({ url: '/push', headers: BEARER })).statusCode, 503);
    const page = await app.inject({ url: '/push', headers: { accept: 'text/html', ...BEARER } });
    assert.equal(page.statusCode, 503);
    assert.match(page.body, /Nothing is pushed: no remote is set/);
    const health = await app.inject('/push/health');
    assert.deepEqual([health.statusCode, health.json()], [503, { status: 'off' }]);
    const flush = await app.inject({ method: 'POST', url: '/push/flush', headers: BEARER });
    assert.equal(flush.statusCode, 503);
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
    remoteCommit: 'c',
    startedAt: ago(3_600_000),
  };

  for (const [what, status, verdict] of [
    ['in sync', {}, 'ok'],
    ['pushing', { state: 'pushing', lagMs: 1_000 }, 'ok'],
    ['backing off for a while', { state: 'backing-off', lagMs: 60_000 }, 'ok'],
    ['behind for too long', { state: 'backing-off', lagMs: 60_001 }, 'lagging'],
    ['behind for too long while pushing', { state: 'pushing', lagMs: 60_001 }, 'lagging'],
    ['diverged', { state: 'diverged' }, 'diverged'],
    ['given up', { state: 'gave-up' }, 'gave-up'],
    ['stopping', { running: false, state: 'stopping' }, 'stopped'],
    ['starting', { state: 'starting', remoteCommit: null, startedAt: ago(1_000) }, 'starting'],
    ['starting for too long', { state: 'starting', remoteCommit: null }, 'unconfirmed'],
    ['never reached', { state: 'backing-off', remoteCommit: null }, 'unconfirmed'],
    ['not reached yet', { state: 'backing-off', remoteCommit: null, startedAt: ago(1_000) }, 'ok'],
    ['in sync with an empty remote', { remoteCommit: null }, 'ok'],
  ]) {
    test(`calls a daemon that is ${what} ${verdict}`, () => {
      assert.equal(verdictOf({ ...HEALTHY, ...status }, 60_000, NOW), verdict);
    });
  }

  async function healthOf(app) {
    const { statusCode, headers, ...answer } = await app.inject('/push/health');
    assert.equal(headers['cache-control'], 'no-store');
    return [statusCode, answer.json()];
  }

  test('is 200 in sync, without a token and without names', async (t) => {
    const { options } = makePair(t);
    const { app, log } = await makeApp(t, { ...options, routes: ROUTES });
    await untilState(app.pushDaemon, 'in-sync');
    assert.deepEqual(await healthOf(app), [
      200,
      { status: 'ok', state: 'in-sync', lagMs: 0, maxLagMs: 300_000, pendingCommits: 0 },
    ]);
    assert.deepEqual(log.of('incoming request'), []);
  });

  test('is 503 once a commit has waited for longer than maxLagMs', async (t) => {
    const { repo, remote, options } = makePair(t);
    const routes = { ...ROUTES, maxLagMs: 3_600_000 };
    const { app } = await makeApp(t, { ...options, backoff: ENDLESS_BACKOFF, routes });
    await untilState(app.pushDaemon, 'in-sync');
    const bringBack = takeAway(remote);
    repo.commit();
    await untilState(app.pushDaemon, 'backing-off');
    assert.equal((await healthOf(app))[0], 200);
    bringBack();
    await app.pushDaemon.flush();
    takeAway(remote);
    repo.commit({ committedAt: '1700000000 +0000' });
    await untilState(app.pushDaemon, 'backing-off');
    const [code, { status, pendingCommits }] = await healthOf(app);
    assert.deepEqual([code, status, pendingCommits], [503, 'lagging', 1]);
  });

  test('is 503 at once where the branches have diverged', async (t) => {
    const { repo, remote, options } = makePair(t);
    const { app } = await makeApp(t, { ...options, routes: ROUTES });
    await untilState(app.pushDaemon, 'in-sync');
    remote.commit();
    repo.commit();
    await untilState(app.pushDaemon, 'diverged');
    const [code, { status }] = await healthOf(app);
    assert.deepEqual([code, status], [503, 'diverged']);
  });

  test('is 503 at once where pushing was given up, and after the daemon stopped', async (t) => {
    const { repo, remote, options } = makePair(t);
    const { app } = await makeApp(t, { ...options, maxRetries: 0, routes: ROUTES });
    await untilState(app.pushDaemon, 'in-sync');
    takeAway(remote);
    repo.commit();
    await untilState(app.pushDaemon, 'gave-up');
    const [code, { status }] = await healthOf(app);
    assert.deepEqual([code, status], [503, 'gave-up']);
    await app.pushDaemon.stop({ timeoutMs: 0 });
    assert.equal((await healthOf(app))[1].status, 'stopped');
  });
});

describe('flush', () => {
  const post = (app) => app.inject({ method: 'POST', url: '/push/flush', headers: BEARER });

  test('answers 200 once the remote has the tip', async (t) => {
    const { repo, remote, options } = makePair(t);
    const { app } = await makeApp(t, { ...options, watch: false, routes: ROUTES });
    const commit = repo.commit();
    const answer = await post(app);
    assert.deepEqual([answer.statusCode, answer.json()], [200, { commit, pending: false }]);
    assert.equal(remote.tip(), commit);
    assert.equal(answer.headers['cache-control'], 'no-store');
  });

  test('ends a backoff', async (t) => {
    const { repo, remote, options } = makePair(t);
    const { app } = await makeApp(t, { ...options, backoff: ENDLESS_BACKOFF, routes: ROUTES });
    await untilState(app.pushDaemon, 'in-sync');
    const bringBack = takeAway(remote);
    const commit = repo.commit();
    await untilState(app.pushDaemon, 'backing-off');
    bringBack();
    assert.equal((await post(app)).statusCode, 200);
    assert.equal(remote.tip(), commit);
  });

  test('answers 202 when the push takes longer than flushTimeoutMs, and the push goes on', async (t) => {
    const { repo, remote, options } = makePair(t);
    const gate = makeGate(t);
    const routes = { ...ROUTES, flushTimeoutMs: 20 };
    const { app } = await makeApp(t, { ...options, routes });
    await untilState(app.pushDaemon, 'in-sync');
    remote.hook('pre-receive', ...gate.lines);
    const commit = repo.commit();
    await gate.entered();
    const answer = await post(app);
    const { pending, pendingCommits, state } = answer.json();
    assert.deepEqual(
      [answer.statusCode, pending, pendingCommits, state],
      [202, true, 1, 'pushing'],
    );
    const pushed = once(app.pushDaemon, 'push');
    gate.open();
    assert.equal((await pushed).commit, commit);
  });

  test('answers 502 with the kind and the hint when the attempt fails', async (t) => {
    const { repo, remote, options } = makePair(t);
    const { app } = await makeApp(t, { ...options, backoff: ENDLESS_BACKOFF, routes: ROUTES });
    await untilState(app.pushDaemon, 'in-sync');
    takeAway(remote);
    repo.commit();
    await untilState(app.pushDaemon, 'backing-off');
    const answer = await post(app);
    const { kind, reason, hint, pendingCommits } = answer.json();
    assert.deepEqual(
      [answer.statusCode, kind, reason, pendingCommits],
      [502, 'remote-error', 'unknown', 1],
    );
    assert.match(hint, /\S/);
  });

  test('answers 502 with non-fast-forward when the branches have diverged', async (t) => {
    const { repo, remote, options } = makePair(t);
    const { app } = await makeApp(t, { ...options, routes: ROUTES });
    await untilState(app.pushDaemon, 'in-sync');
    remote.commit();
    repo.commit();
    await untilState(app.pushDaemon, 'diverged');
    const answer = await post(app);
    assert.deepEqual([answer.statusCode, answer.json().kind], [502, 'non-fast-forward']);
  });

  test('answers 503 once the daemon is stopped', async (t) => {
    const { options } = makePair(t);
    const { app } = await makeApp(t, { ...options, routes: ROUTES });
    await app.pushDaemon.stop({ timeoutMs: 0 });
    assert.equal((await post(app)).statusCode, 503);
  });

  test('does not wait on when the client has gone', async (t) => {
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

describe('the example API', () => {
  test('serves the routes, and its OpenAPI document has none of them', async (t) => {
    const { repo, remote } = makePair(t);
    const api = await Api.start(t, {
      ...GIT_ENV,
      PATH: process.env.PATH,
      CFP_DATA_REPO_PATH: repo.path,
      CFP_DATA_REMOTE: remote.path,
      ADMIN_TOKEN: TOKEN,
    });
    const commit = await api.put('first');
    const flushed = await api.fetch('/admin/push-daemon/flush', {
      method: 'POST',
      headers: BEARER,
    });
    assert.deepEqual([flushed.status, await flushed.json()], [200, { commit, pending: false }]);
    assert.equal(remote.tip(), commit);
    assert.equal((await api.fetch('/healthz/push')).status, 200);
    const status = await api.fetch('/admin/push-daemon', { headers: BEARER });
    assert.equal((await status.json()).remoteCommit, commit);
    for (const authorization of [undefined, 'Bearer', 'Bearer another', TOKEN]) {
      assert.equal((await api.admin(authorization)).status, 401);
    }
    const headers = { accept: 'text/html', ...basic(TOKEN) };
    const page = await api.fetch('/admin/push-daemon', { headers });
    assert.match(page.headers.get('content-type'), /^text\/html/);
    assert.match(await page.text(), /Every commit is on the remote/);

    const { paths } = await (await api.fetch('/openapi.json')).json();
    assert.deepEqual(Object.keys(paths).sort(), ['/healthz', '/proposals', '/proposals/{slug}']);
  });
});
