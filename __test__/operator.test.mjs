// The example API as an operator sees it, in a separate process: every route with its codes and headers, every line of its
// log, and its health and metrics in each state.
//
// Other files test what needs a clock or a handle: the summary of repeated failures and a flush whose client or daemon is
// gone (fastify.test.mjs), and the sentences of the page (page.test.mjs).

import assert from 'node:assert/strict';
import fs from 'node:fs';
import { after, before, describe, test } from 'node:test';

import { Api, environmentOf, LEVEL, TOKEN } from './support/api.mjs';
import { makeScope } from './support/cleanup.mjs';
import { until } from './support/daemon.mjs';
import { makeGate } from './support/gate.mjs';
import { makePair } from './support/git.mjs';
import { exchange } from './support/raw.mjs';
import { comeBack, goAway } from './support/remote.mjs';

const bearer = (token) => ({ authorization: `Bearer ${token}` });
const basic = (password, user = 'operator') => ({
  authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`,
});
const HTML = { accept: 'text/html' };
const ENDLESS = JSON.stringify({ base: 3_600_000, multiplier: 1, cap: 3_600_000 });

const STATUS = '/admin/push-daemon';
const FLUSH = '/admin/push-daemon/flush';
const HEALTH = '/healthz/push';
const METRICS = '/metrics';
const OPENAPI = '/openapi.json';

const JSON_TYPE = 'application/json; charset=utf-8';
const NOT_STORED = { 'cache-control': 'no-store', 'content-type': JSON_TYPE };
const STATUS_HEADERS = { ...NOT_STORED, vary: 'accept' };
const UNAUTHORIZED = { ...NOT_STORED, 'www-authenticate': 'Bearer realm="push-daemon"' };
const PAGE_HEADERS = {
  ...STATUS_HEADERS,
  'content-type': 'text/html; charset=utf-8',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
};

/** Headers that Node's server adds to every answer. */
const OF_NODE = ['connection', 'content-length', 'date', 'keep-alive'];

/** The example with a repository and its remote. */
class Running {
  #scope = makeScope();

  /** @param {object} env variables that are added or replaced @param {() => void} prepare runs before the start */
  async start(env, prepare) {
    Object.assign(this, makePair(this.#scope));
    prepare();
    const own = { CFP_DATA_BACKOFF: ENDLESS, CFP_DATA_STOP_TIMEOUT_MS: '100', ...env };
    this.api = await Api.start(this.#scope, environmentOf(this, own));
  }

  end() {
    return this.#scope.end();
  }

  gate() {
    return makeGate(this.#scope);
  }

  takeRemoteAway() {
    goAway(this.remote);
  }

  bringRemoteBack() {
    comeBack(this.remote);
  }

  /** An answer: its code, the headers that the application chose, and its text. */
  async ask(method, route, headers = {}, body = undefined) {
    const answer = await this.api.fetch(route, { method, headers, body });
    const own = [...answer.headers].filter(([name]) => !OF_NODE.includes(name));
    const text = await answer.text();
    return { code: answer.status, headers: Object.fromEntries(own), text };
  }

  /** The same where the text is JSON. */
  async askJson(method, route, headers, body) {
    const { text, ...answer } = await this.ask(method, route, headers, body);
    return { ...answer, json: JSON.parse(text) };
  }

  flush() {
    return this.askJson('POST', FLUSH, bearer(TOKEN));
  }

  async status() {
    return (await this.askJson('GET', STATUS, bearer(TOKEN))).json;
  }

  inState(state) {
    return until(`the API's daemon is '${state}'`, async () => {
      const status = await this.status();
      return status.state === state && status;
    });
  }

  /** The readable text of the page. */
  async page() {
    const { text } = await this.ask('GET', STATUS, { ...HTML, ...bearer(TOKEN) });
    return text
      .replace(/<(style|title)>.*?<\/\1>/gs, '')
      .replace(/<[^>]+>/g, ' ')
      .replaceAll('&#39;', "'")
      .replaceAll('&quot;', '"')
      .replace(/\s+/g, ' ');
  }

  /** The samples of a metric that are not 0, by their labels. */
  async samples(name) {
    const { text } = await this.ask('GET', METRICS);
    const found = [...text.matchAll(/^(\w+)\{(.*)\} (.+)$/gm)].filter(([, own]) => own === name);
    return Object.fromEntries(
      found
        .map(([, , labels, value]) => [
          labels.replace(/remote="origin",branch="main",?/, ''),
          Number(value),
        ])
        .filter(([, value]) => value !== 0),
    );
  }

  async health() {
    const { code, headers, json } = await this.askJson('GET', HEALTH);
    assert.deepEqual(headers, NOT_STORED);
    assert.deepEqual(Object.keys(json), [
      'status',
      'state',
      'lagMs',
      'maxLagMs',
      'pendingCommits',
      'verifiedAt',
      'maxUnverifiedMs',
    ]);
    return [code, json.status];
  }

  /** Ends it as a platform does; resolves to its last line, which says what is left. */
  async stop() {
    this.api.signal('SIGTERM');
    assert.deepEqual(await this.api.exited, { code: 0, signal: null });
    const lines = this.api.lines('push daemon stopped');
    assert.equal(lines.length, 1);
    return lines[0];
  }
}

/** The example in a suite: it starts before the tests, and `arrange` brings it into the state that they look at. */
function running(env, arrange = () => {}, prepare = () => {}) {
  const it = new Running();
  before(async () => {
    await it.start(env, prepare);
    await arrange();
  });
  after(() => it.end());
  return it;
}

/** Fails unless a text has every part. */
function says(text, ...parts) {
  for (const part of parts) {
    const isThere = part instanceof RegExp ? part.test(text) : text.includes(part);
    assert.ok(isThere, `${part} is not in: ${text}`);
  }
}

describe('an API that is in sync', () => {
  let commit;
  const it = running({}, async () => {
    commit = await it.api.put('first');
    await it.api.logged('pushed');
    await it.inState('in-sync');
  });

  test('logs the push at info, with the commit, the duration and nothing pending', () => {
    const [line, ...others] = it.api.lines('pushed');
    assert.equal(others.length, 0);
    assert.deepEqual(
      [line.level, line.component, line.commit, line.commits, line.attempt, line.pendingCommits],
      [LEVEL.info, 'pushDaemon', commit, 1, 1, 0],
    );
    assert.ok(line.durationMs > 0 && line.bytes > 0, JSON.stringify(line));
  });

  test('shows its status as JSON', async () => {
    const { code, headers, json } = await it.askJson('GET', STATUS, bearer(TOKEN));
    assert.deepEqual([code, headers], [200, STATUS_HEADERS]);
    assert.deepEqual(
      [json.running, json.state, json.remote, json.branch, json.localCommit, json.remoteCommit],
      [true, 'in-sync', 'origin', 'main', commit, commit],
    );
    assert.deepEqual([json.pendingCommits, json.lagMs, json.lastError], [0, 0, null]);
  });

  test('shows its status as a page that says the data is safe', async () => {
    for (const authorization of [bearer(TOKEN), basic(TOKEN), basic(TOKEN, '')]) {
      const url = `${STATUS}?refresh=<b>`;
      const { code, headers, text } = await it.ask('GET', url, { ...HTML, ...authorization });
      const { 'content-security-policy': policy, ...others } = headers;
      assert.deepEqual([code, others], [200, PAGE_HEADERS]);
      assert.match(
        policy,
        /^default-src 'none'; style-src 'sha256-[\w+/]{43}='; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'$/,
      );
      assert.doesNotMatch(text, /<b>|<script|style=|\bon\w+=/);
    }
    const { lastPushAt } = await it.status();
    says(await it.page(), 'In sync', 'Every commit is on the remote.', 'Lag none', 'Ahead 0');
    says(await it.page(), `at ${lastPushAt.slice(11, 19)} UTC only`.slice(0, -5));
  });

  test('answers HEAD as GET, without a body', async () => {
    const get = await it.ask('GET', STATUS, bearer(TOKEN));
    const head = await it.ask('HEAD', STATUS, bearer(TOKEN));
    assert.deepEqual(head, { ...get, text: '' });
    assert.equal((await it.ask('HEAD', STATUS)).code, 401);
    assert.equal((await it.ask('HEAD', HEALTH)).code, 200);
  });

  test('reports its health without a token, and names nothing', async () => {
    const { code, headers, json } = await it.askJson('GET', HEALTH);
    assert.deepEqual([code, headers], [200, NOT_STORED]);
    const { verifiedAt, ...others } = json;
    assert.equal(verifiedAt, (await it.status()).verifiedAt);
    assert.deepEqual(others, {
      status: 'ok',
      state: 'in-sync',
      lagMs: 0,
      maxLagMs: 300_000,
      pendingCommits: 0,
      maxUnverifiedMs: 1_200_000,
    });
  });

  test('flushes for the bearer of the token, with or without a body of JSON', async () => {
    const done = { code: 200, headers: NOT_STORED, json: { commit, pending: false } };
    assert.deepEqual(await it.flush(), done);
    const asJson = { ...bearer(TOKEN), 'content-type': 'application/json' };
    assert.deepEqual(await it.askJson('POST', FLUSH, asJson, '{}'), done);
  });

  for (const [code, what, type, body] of [
    [400, 'that is no JSON', 'application/json', '{'],
    [413, 'of more than 1 KiB', 'application/json', JSON.stringify('x'.repeat(1_024))],
    [415, 'of another type', 'text/xml', '<flush/>'],
  ]) {
    test(`answers ${code} to a flush with a body ${what}, and 401 if the token is wrong`, async () => {
      const headers = { ...bearer(TOKEN), 'content-type': type };
      const answer = await it.askJson('POST', FLUSH, headers, body);
      assert.deepEqual([answer.code, answer.headers], [code, NOT_STORED]);
      assert.equal(answer.json.statusCode, code);
      const other = { ...headers, ...bearer('another') };
      assert.equal((await it.ask('POST', FLUSH, other, body)).code, 401);
    });
  }

  test('answers 404 to other methods and paths, with or without the token', async () => {
    for (const [route, ...methods] of [
      [STATUS, 'POST', 'PUT', 'DELETE', 'OPTIONS'],
      [FLUSH, 'GET', 'HEAD', 'OPTIONS'],
      [HEALTH, 'POST'],
      [METRICS, 'POST'],
      [`${STATUS}/`, 'GET'],
      [`${STATUS}/status`, 'GET'],
    ]) {
      for (const method of methods) {
        for (const headers of [{}, bearer(TOKEN)]) {
          assert.equal((await it.ask(method, route, headers)).code, 404, `${method} ${route}`);
        }
      }
    }
  });

  test('shows its metrics to Prometheus', async () => {
    const { code, headers, text } = await it.ask('GET', METRICS);
    assert.deepEqual(
      [code, headers],
      [200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' }],
    );
    says(text, '# TYPE git_push_daemon_attempt_duration_seconds histogram');
    says(text, 'git_push_daemon_pending_commits{remote="origin",branch="main"} 0\n');
    assert.deepEqual(await it.samples('git_push_daemon_state'), { 'state="in-sync"': 1 });
    assert.deepEqual(await it.samples('git_push_daemon_attempts_total'), {
      'result="success",kind="none"': 1,
    });
  });

  test('has none of these routes in its OpenAPI document', async () => {
    const { code, headers, json } = await it.askJson('GET', OPENAPI);
    assert.deepEqual([code, headers], [200, { 'content-type': JSON_TYPE }]);
    assert.deepEqual(Object.keys(json.paths).sort(), [
      '/healthz',
      '/proposals',
      '/proposals/{slug}',
    ]);
  });

  test('logs no requests for its health or its metrics', async () => {
    const isLogged = (url) =>
      it.api.log.some(({ req }) => req?.method === 'GET' && req.url === url);
    for (const route of [HEALTH, METRICS]) await it.ask('GET', route);
    // The later request is logged, so the earlier ones are not.
    await it.ask('GET', '/healthz');
    await until('the request is logged', () => isLogged('/healthz'));
    assert.deepEqual([isLogged(HEALTH), isLogged(METRICS)], [false, false]);
  });

  /** Authorization headers as they are on the wire, none of which grants access. */
  const WRONG = [
    ['none', undefined],
    ['empty', ''],
    ['spaces', '     '],
    ['a scheme alone', 'Bearer'],
    ['a scheme and spaces', 'Bearer    '],
    ['another token', 'Bearer another'],
    ['its beginning', `Bearer ${TOKEN.slice(0, -1)}`],
    ['its end', `Bearer ${TOKEN.slice(1)}`],
    ['it and more', `Bearer ${TOKEN}x`],
    ['it twice', `Bearer ${TOKEN} ${TOKEN}`],
    ['it in quotes', `Bearer "${TOKEN}"`],
    ['another case', `Bearer ${TOKEN.toUpperCase()}`],
    ['no scheme', TOKEN],
    ['no space', `Bearer${TOKEN}`],
    ['a tab for the space', `Bearer\t${TOKEN}`],
    ['a comma', `Bearer ${TOKEN},`],
    ['another scheme', `Digest ${TOKEN}`],
    ['a scheme that begins like it', `Bearers ${TOKEN}`],
    ['two schemes', `Basic Bearer ${TOKEN}`],
    ['bytes beyond ASCII', 'Bearer \u00ff\u00fe\u0080'],
    ['it and a byte', `Bearer ${TOKEN}\u00a0`],
    ['long', `Bearer ${'x'.repeat(15_000)}`],
    ['long, beginning right', `Bearer ${TOKEN}${'x'.repeat(15_000)}`],
    ['a long scheme', `${'x'.repeat(15_000)} ${TOKEN}`],
    ['many words', `Bearer ${'x '.repeat(7_500)}`],
    ['Basic of no base64', 'Basic !!!'],
    ['Basic without a colon', `Basic ${Buffer.from(TOKEN).toString('base64')}`],
    ['Basic of a user alone', basic('', TOKEN).authorization],
    ['Basic of another password', basic('another').authorization],
    ['Basic of no password', basic('').authorization],
    ['Basic of a long password', basic('x'.repeat(10_000)).authorization],
  ];

  const lines = (authorization) =>
    authorization === undefined ? [] : [`Authorization: ${authorization}`];

  for (const [what, request, more, wrong, challenge] of [
    ['its status', `GET ${STATUS}`, [], WRONG, UNAUTHORIZED['www-authenticate']],
    [
      'its page',
      `GET ${STATUS}`,
      ['Accept: text/html'],
      WRONG,
      'Basic realm="push-daemon: the token is the password", charset="UTF-8"',
    ],
    [
      'a flush',
      `POST ${FLUSH}`,
      [],
      [...WRONG, ['Basic, which is not for this', basic(TOKEN).authorization]],
      UNAUTHORIZED['www-authenticate'],
    ],
  ]) {
    test(`refuses ${what} to wrong tokens, with answers that are equal to the byte`, async () => {
      const answers = new Map();
      for (const [name, authorization] of wrong) {
        const answer = await exchange(it.api.address, request, [...more, ...lines(authorization)]);
        answers.set(answer, [...(answers.get(answer) ?? []), name]);
      }
      assert.equal(answers.size, 1, JSON.stringify([...answers], null, 1));
      const [[answer, names]] = answers;
      assert.equal(names.length, wrong.length);
      assert.match(answer, /^HTTP\/1\.1 401 Unauthorized\r\n/);
      says(answer, `\r\nwww-authenticate: ${challenge}\r\n`, '\r\ncache-control: no-store\r\n');
      assert.deepEqual(JSON.parse(answer.split('\r\n\r\n')[1]), {
        statusCode: 401,
        error: 'Unauthorized',
        message: 'Send "Authorization: Bearer <token>".',
      });
      const right = await exchange(it.api.address, request, [...more, ...lines(`Bearer ${TOKEN}`)]);
      assert.match(right, /^HTTP\/1\.1 200 OK\r\n/);
    });
  }

  test('uses the first of two tokens, and accepts a scheme in any case', async () => {
    for (const [code, ...headers] of [
      [200, `authorization: bearer ${TOKEN}`],
      [200, `AUTHORIZATION:BEARER   ${TOKEN}  `],
      [200, ...lines(`Bearer ${TOKEN}`), ...lines('Bearer another')],
      [401, ...lines('Bearer another'), ...lines(`Bearer ${TOKEN}`)],
      [401, 'Proxy-Authorization: Bearer another', `X-Authorization: Bearer ${TOKEN}`],
    ]) {
      const answer = await exchange(it.api.address, `GET ${STATUS}`, headers);
      assert.equal(Number(answer.split(' ')[1]), code, headers.join(', '));
    }
  });

  test('leaves invalid requests to Node: 400, and 431 beyond 16 KiB', async () => {
    for (const [code, value] of [
      [400, `Bearer ${TOKEN}\0`],
      [400, `Bearer ${TOKEN}\u0001`],
      [431, `Bearer ${'x'.repeat(20_000)}`],
      [431, `Bearer ${TOKEN}${' '.repeat(20_000)}x`],
    ]) {
      const answer = await exchange(it.api.address, `GET ${STATUS}`, lines(value));
      assert.equal(Number(answer.split(' ')[1]), code);
    }
    assert.equal((await it.status()).state, 'in-sync');
  });

  test('never logs the token', () => {
    assert.equal(
      it.api.log.some((line) => JSON.stringify(line).includes(TOKEN)),
      false,
    );
  });

  test('logs at info that it stopped with nothing pending', async () => {
    const line = await it.stop();
    assert.equal(line.level, LEVEL.info);
    assert.match(line.msg, /^push daemon stopped: the remote has every commit/);
  });
});

describe('an API whose remote fails', () => {
  const it = running({ CFP_DATA_MAX_LAG_MS: '1' }, async () => {
    await it.inState('in-sync');
  });

  let commit;
  test('logs the failure at warn with all an operator needs, and the retry at info', async () => {
    it.takeRemoteAway();
    commit = await it.api.put('kept');
    const line = await it.api.logged('push failed');
    const { oldestPendingAt, lastError } = await it.status();
    assert.deepEqual(
      [line.level, line.component, line.commit, line.attempt, line.kind, line.reason],
      [LEVEL.warn, 'pushDaemon', commit, 1, 'remote-error', 'unknown'],
    );
    says(line.msg, /^push failed \(remote-error\): 1 commit /, oldestPendingAt, lastError.hint);
    assert.deepEqual(
      [line.pendingCommits, line.oldestPendingAt, line.hint, line.err.message],
      [1, oldestPendingAt, lastError.hint, lastError.message],
    );
    assert.deepEqual([line.consecutiveFailures, line.lagMs > 0], [1, true]);
    const retry = await it.api.logged('push retry');
    assert.deepEqual(
      [retry.level, retry.commit, retry.attempt, retry.kind, retry.nextDelayMs],
      [LEVEL.info, commit, 1, 'remote-error', 3_600_000],
    );
  });

  test('is unhealthy, also by its metrics', async () => {
    assert.deepEqual(await it.health(), [503, 'lagging']);
    assert.deepEqual(await it.samples('git_push_daemon_pending_commits'), { '': 1 });
    assert.deepEqual(await it.samples('git_push_daemon_state'), { 'state="backing-off"': 1 });
    assert.deepEqual(await it.samples('git_push_daemon_failing'), { 'kind="remote-error"': 1 });
  });

  test('answers 502 to a flush, with the reason and a hint', async () => {
    const { code, headers, json } = await it.flush();
    assert.deepEqual([code, headers], [502, NOT_STORED]);
    const { lastError, nextAttemptAt } = await it.inState('backing-off');
    assert.deepEqual(json, {
      statusCode: 502,
      error: 'Bad Gateway',
      message: lastError.message,
      kind: 'remote-error',
      reason: 'unknown',
      hint: lastError.hint,
      pendingCommits: 1,
      nextAttemptAt,
    });
  });

  test('answers 503 to a flush that fails locally', async () => {
    it.bringRemoteBack();
    const tree = it.repo.git('rev-parse', `${commit}^{tree}`).trim();
    const object = `${it.repo.path}/objects/${tree.slice(0, 2)}/${tree.slice(2)}`;
    fs.renameSync(object, `${object}.away`);
    const { code, headers, json } = await it.flush();
    fs.renameSync(`${object}.away`, object);
    assert.deepEqual([code, headers], [503, NOT_STORED]);
    assert.deepEqual([json.error, json.kind], ['Service Unavailable', 'local']);
    assert.match(json.hint, /git fsck/);
    const line = await it.api.logged('push failed (local)');
    assert.equal(line.level, LEVEL.warn);
  });

  test('logs the recovery at info, with its duration', async () => {
    assert.deepEqual((await it.flush()).json, { commit, pending: false });
    const line = await it.api.logged('push recovered');
    assert.deepEqual(
      [line.level, line.commit, line.failedAttempts, line.pendingCommits],
      [LEVEL.info, commit, 3, 0],
    );
    assert.ok(line.downMs > 0);
    assert.deepEqual(await it.health(), [200, 'ok']);
    // Two failures of one kind are one line.
    assert.equal(it.api.lines('push failed (remote-error)').length, 1);
    assert.deepEqual(
      it.api.lines('push retry').map(({ kind }) => kind),
      ['remote-error', 'local'],
    );
  });

  test('logs at error which commits it left behind, since when, why, and a hint', async () => {
    it.takeRemoteAway();
    await it.api.put('left');
    await it.api.put('left-too');
    const { oldestPendingAt, lastError } = await until('two are pending', async () => {
      const status = await it.status();
      return status.pendingCommits === 2 && status.state === 'backing-off' && status;
    });
    const line = await it.stop();
    assert.deepEqual(
      [line.level, line.pendingCommits, line.oldestPendingAt, line.kind, line.hint],
      [LEVEL.error, 2, oldestPendingAt, 'remote-error', lastError.hint],
    );
    assert.equal(line.lastError, lastError.message);
    assert.ok(line.lagMs > 0);
    says(line.msg, /^push daemon stopped with .*: 2 commits /, oldestPendingAt, lastError.hint);
  });
});

describe('an API whose remote is slow', () => {
  let gate;
  const it = running({ CFP_DATA_PUSH_TIMEOUT_MS: '20' }, async () => {
    await it.inState('in-sync');
    gate = it.gate();
    it.remote.hook('pre-receive', 'echo checking everything >&2', ...gate.lines);
  });

  test('answers 202 to a flush while the push continues', async () => {
    const commit = await it.api.put('on-its-way');
    await gate.entered();
    const { code, headers, json } = await it.flush();
    const { message, ...others } = json;
    assert.deepEqual([code, headers], [202, NOT_STORED]);
    assert.deepEqual(others, { pending: true, pendingCommits: 1, state: 'pushing' });
    assert.match(message, /20 ms/);
    assert.deepEqual(await it.health(), [200, 'ok']);
    says(await it.page(), 'Pushing 1 commit is on the way.', 'Next attempt now attempt 1');
    gate.open();
    assert.equal((await it.api.logged('pushed')).commit, commit);
  });

  test('shows how far a push has come that takes longer than a second', async () => {
    gate.shut();
    await it.api.put('takes-long');
    await gate.entered();
    const { progress } = await until('the server has said something', async () => {
      const status = await it.status();
      return status.progress?.serverMessage && status;
    });
    assert.equal(progress.serverMessage, 'checking everything');
    says(await it.page(), 'Push under way', "Server's last message checking everything");
    const gauges = ['bytes', 'objects', 'total_objects', 'step', 'steps'];
    const values = () =>
      Promise.all(gauges.map((name) => it.samples(`git_push_daemon_progress_${name}`)));
    const { bytes, objects, totalObjects } = progress;
    assert.deepEqual(
      await values(),
      [bytes, objects, totalObjects, 1, 1].map((value) => ({ '': value })),
    );
    gate.open();
    await it.inState('in-sync');
    assert.equal((await it.status()).progress, null);
    assert.doesNotMatch(await it.page(), /Push under way/);
    assert.deepEqual(
      await values(),
      gauges.map(() => ({})),
    );
  });

  test('logs at error which commits it left behind without a failed attempt', async () => {
    gate.shut();
    await it.api.put('stuck');
    await gate.entered();
    const line = await it.stop();
    assert.equal(line.level, LEVEL.error);
    says(line.msg, /^push daemon stopped with .*: 1 commit /, 'Keep this repository');
  });
});

describe('an API whose remote has diverged', () => {
  let [ours, theirs] = [];
  const it = running({}, async () => {
    await it.inState('in-sync');
    theirs = it.remote.commit();
    ours = await it.api.put('refused');
    await it.inState('diverged');
  });

  test('logs it once at error with all an operator needs, and no retry', async () => {
    const line = await it.api.logged('push refused');
    const { oldestPendingAt } = await it.status();
    assert.deepEqual(
      [line.level, line.reason, line.commit, line.remoteCommit, line.pendingCommits],
      [LEVEL.error, 'non-fast-forward', ours, theirs, 1],
    );
    assert.equal(line.oldestPendingAt, oldestPendingAt);
    const { ahead, behind, commits } = line.divergence;
    assert.deepEqual([ahead, behind, commits[0].commit], [1, 1, theirs]);
    says(line.msg, /^push refused: .* 1 commit /, oldestPendingAt, theirs.slice(0, 7));
    assert.deepEqual(it.api.lines('push retry'), []);
  });

  test('is unhealthy, also by its metrics', async () => {
    assert.deepEqual(await it.health(), [503, 'diverged']);
    assert.deepEqual(await it.samples('git_push_daemon_state'), { 'state="diverged"': 1 });
    assert.deepEqual(await it.samples('git_push_daemon_failing'), { 'kind="non-fast-forward"': 1 });
  });

  test('answers 502 to a flush, with non-fast-forward', async () => {
    const { code, headers, json } = await it.flush();
    assert.deepEqual([code, headers], [502, NOT_STORED]);
    assert.deepEqual(
      [json.kind, json.reason, json.pendingCommits, json.nextAttemptAt],
      ['non-fast-forward', 'non-fast-forward', 1, null],
    );
    assert.equal(it.remote.tip(), theirs);
  });

  test('logs at error, when it stops, that a person must act before the next start pushes', async () => {
    const line = await it.stop();
    assert.deepEqual([line.level, line.pendingCommits], [LEVEL.error, 1]);
    assert.equal(line.kind, 'non-fast-forward');
    says(line.msg, 'Keep this repository', 'reconcile');
  });
});

describe('an API that has given up', () => {
  const it = running({ CFP_DATA_MAX_RETRIES: '0' }, async () => {
    await it.inState('in-sync');
    it.takeRemoteAway();
    await it.api.put('given-up');
    await it.inState('gave-up');
  });

  test('logs it at error, which answers every question, and no retry', async () => {
    const line = await it.api.logged('push given up');
    const { oldestPendingAt, lastError } = await it.status();
    assert.deepEqual(
      [line.level, line.kind, line.pendingCommits, line.oldestPendingAt],
      [LEVEL.error, 'remote-error', 1, oldestPendingAt],
    );
    says(line.msg, /^push given up \(remote-error\): 1 commit /, oldestPendingAt, lastError.hint);
    assert.deepEqual(it.api.lines('push retry'), []);
  });

  test('is unhealthy, also by its metrics', async () => {
    assert.deepEqual(await it.health(), [503, 'gave-up']);
    assert.deepEqual(await it.samples('git_push_daemon_state'), { 'state="gave-up"': 1 });
  });

  test('resumes by a flush once the remote is back', async () => {
    assert.equal((await it.flush()).code, 502);
    it.bringRemoteBack();
    assert.equal((await it.flush()).code, 200);
    assert.equal((await it.api.logged('push recovered')).level, LEVEL.info);
    assert.equal(it.remote.tip(), it.repo.tip());
  });
});

describe('an API that never reached its remote', () => {
  const it = running(
    { CFP_DATA_MAX_LAG_MS: '1' },
    () => it.inState('backing-off'),
    () => {
      // As after `git clone --bare`, which keeps no remote-tracking ref.
      it.repo.git('update-ref', '-d', 'refs/remotes/origin/main');
      it.takeRemoteAway();
    },
  );

  test('reports that nothing is known, in its log, its page and its health', async () => {
    const line = await it.api.logged('push failed');
    const { oldestPendingAt } = await it.status();
    assert.deepEqual([line.level, line.attempt, line.commit], [LEVEL.warn, 0, null]);
    says(
      line.msg,
      /^push failed \(remote-error\): .*1 commit may exist only here/,
      oldestPendingAt,
    );
    says(await it.page(), '1 commit may exist only here');
    assert.equal((await it.health())[0], 503);
  });

  test('logs this when it stops', async () => {
    const line = await it.stop();
    assert.equal(line.level, LEVEL.error);
    says(line.msg, /^push daemon stopped before .* 1 commit may exist only here/);
  });
});

describe('an API without a remote', () => {
  const it = running({ CFP_DATA_REMOTE: '' });

  test('logs once at info that nothing is pushed', () => {
    const [line, ...others] = it.api.lines('no remote is set');
    assert.deepEqual([line.level, others.length], [LEVEL.info, 0]);
    assert.match(line.msg, /commits stay in this repository, and nothing is pushed$/);
  });

  test('answers 503 on each route, and has no metrics', async () => {
    const off = {
      statusCode: 503,
      error: 'Service Unavailable',
      message: 'No remote is set, so nothing is pushed.',
    };
    const status = await it.askJson('GET', STATUS, bearer(TOKEN));
    assert.deepEqual(status, { code: 503, headers: STATUS_HEADERS, json: off });
    assert.deepEqual(await it.flush(), { code: 503, headers: NOT_STORED, json: off });
    const health = await it.askJson('GET', HEALTH);
    assert.deepEqual(health, { code: 503, headers: NOT_STORED, json: { status: 'off' } });
    const page = await it.ask('GET', STATUS, { ...HTML, ...basic(TOKEN) });
    const { 'content-security-policy': policy, ...headers } = page.headers;
    assert.deepEqual([page.code, headers], [503, PAGE_HEADERS]);
    assert.match(policy, /^default-src 'none'; /);
    says(page.text, 'Nothing is pushed: no remote is set.');
    assert.doesNotMatch((await it.ask('GET', METRICS)).text, /^git_push_daemon/m);
  });

  test('still requires the token, in the header', async () => {
    assert.equal((await it.ask('GET', `${STATUS}?token=${TOKEN}&access_token=${TOKEN}`)).code, 401);
    assert.deepEqual((await it.ask('GET', STATUS)).headers, UNAUTHORIZED);
    assert.equal((await it.ask('POST', FLUSH, basic(TOKEN))).code, 401);
  });
});

for (const [what, env] of [
  ['without a token', { ADMIN_TOKEN: undefined }],
  ['whose token is empty', { ADMIN_TOKEN: '' }],
]) {
  describe(`an API ${what}`, () => {
    const it = running(env);

    test('warns that its routes are closed', () => {
      const [line, ...others] = it.api.lines('the routes of the push daemon are closed');
      assert.deepEqual([line.level, others.length], [LEVEL.warn, 0]);
      assert.match(line.msg, /set routes\.token or routes\.onRequest$/);
    });

    test('answers 503 to every request, and still reports its health', async () => {
      const answers = new Set();
      for (const authorization of [
        ...[undefined, '', 'Bearer', 'Bearer  ', 'Bearer undefined', `Bearer ${TOKEN}`],
        ...['', 'undefined'].map((password) => basic(password).authorization),
      ]) {
        for (const request of [`GET ${STATUS}`, `POST ${FLUSH}`]) {
          for (const accept of ['*/*', 'text/html']) {
            const headers = authorization === undefined ? [] : [`authorization: ${authorization}`];
            headers.push(`accept: ${accept}`);
            answers.add(await exchange(it.api.address, request, headers));
          }
        }
      }
      assert.equal(answers.size, 1, [...answers].join('\n'));
      const [answer] = answers;
      assert.match(answer, /^HTTP\/1\.1 503 /);
      assert.deepEqual(JSON.parse(answer.split('\r\n\r\n')[1]), {
        statusCode: 503,
        error: 'Service Unavailable',
        message: 'No token is set for this route, so it is closed.',
      });
      await until('it is healthy', async () => (await it.health())[0] === 200);
    });
  });
}
