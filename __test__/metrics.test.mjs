/** `git-push-daemon/metrics`: scrapes of a daemon, and the alerts and the dashboard on top of them. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { errorMonitor } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';

import { collectPushDaemonMetrics } from 'git-push-daemon/metrics';
import prom from 'prom-client';

import { ROOT, runScript } from './support/child.mjs';
import { atEnd } from './support/cleanup.mjs';
import { KINDS, STATES } from './support/contract.mjs';
import {
  ENDLESS_BACKOFF,
  once,
  start,
  startInSync,
  thrownBy,
  until,
  untilState,
  within,
} from './support/daemon.mjs';
import { gateHook } from './support/gate.mjs';
import { makeDirectory, makePair, makeRemote } from './support/git.mjs';

const LABELS = { remote: 'origin', branch: 'main' };

/** Collects a daemon in its own registry. */
function collectAlone(daemon, options = {}) {
  const registry = new prom.Registry();
  const remove = collectPushDaemonMetrics(daemon, { registry, ...options });
  return { registry, remove };
}

/** The samples of a scrape: name, labels, value. */
async function scrape(registry) {
  const metrics = await registry.getMetricsAsJSON();
  return metrics.flatMap(({ name, values }) =>
    values.map(({ metricName = name, labels, value }) => ({ name: metricName, labels, value })),
  );
}

/** The one sample with this name and at least these labels. */
async function sample(registry, shortName, labels = {}) {
  const name = `git_push_daemon_${shortName}`;
  const found = (await scrape(registry)).filter(
    (one) =>
      one.name === name &&
      Object.entries(labels).every(([label, value]) => one.labels[label] === value),
  );
  assert.equal(found.length, 1, `${found.length} samples of ${name} ${JSON.stringify(labels)}`);
  return found[0].value;
}

/** The values of the label of a state set whose sample is 1. */
async function current(registry, shortName, label) {
  return (await scrape(registry))
    .filter((one) => one.name === `git_push_daemon_${shortName}` && one.value === 1)
    .map((one) => one.labels[label]);
}

/** A daemon whose remote refuses every push. */
async function startFailing(t, options = {}) {
  const { repo, remote, options: pair } = makePair(t);
  remote.hook('pre-receive', 'echo no thanks >&2', 'exit 1');
  const daemon = await startInSync(t, { ...pair, backoff: ENDLESS_BACKOFF, ...options });
  return { daemon, repo, remote };
}

describe('a scrape', () => {
  test('shows a daemon in sync, with each series from the start', async (t) => {
    const { options } = makePair(t);
    const daemon = await startInSync(t, options);
    const { verifiedAt } = daemon.status();
    const { registry } = collectAlone(daemon);
    const samples = (await scrape(registry)).filter(({ name }) => !name.endsWith('_bucket'));
    const series = (shortName, labels = {}, value = 0) => ({
      name: `git_push_daemon_${shortName}`,
      labels: { ...LABELS, ...labels },
      value,
    });
    const gauges = ['pending_commits', 'lag_seconds', 'oldest_pending_timestamp_seconds'];
    const expected = [
      ...gauges.map((name) => series(name)),
      series('last_success_timestamp_seconds'),
      series('last_verified_timestamp_seconds', {}, Date.parse(verifiedAt) / 1000),
      series('consecutive_failures'),
      ...['bytes', 'objects', 'total_objects', 'step', 'steps'].map((name) =>
        series(`progress_${name}`),
      ),
      ...STATES.map((state) => series('state', { state }, state === 'in-sync' ? 1 : 0)),
      ...KINDS.map((kind) => series('failing', { kind })),
      series('pushed_commits_total'),
      series('pushed_bytes_total'),
      series('regressions_total'),
      series('attempts_total', { result: 'success', kind: 'none' }),
      ...KINDS.map((kind) => series('attempts_total', { result: 'failure', kind })),
      ...['success', 'failure'].flatMap((result) => [
        series('attempt_duration_seconds_sum', { result }),
        series('attempt_duration_seconds_count', { result }),
      ]),
    ];
    assert.deepEqual(samples, expected);
  });

  test('counts a push, its commits, its bytes and its duration', async (t) => {
    const { repo, options } = makePair(t, { inSync: false, commits: 2 });
    const daemon = start(t, options);
    const { registry } = collectAlone(daemon);
    const first = await once(daemon, 'push');
    repo.commit();
    const second = await once(daemon, 'push');

    assert.equal(await sample(registry, 'pushed_commits_total'), 3);
    assert.equal(await sample(registry, 'pushed_bytes_total'), first.bytes + second.bytes);
    assert.equal(await sample(registry, 'attempts_total', { result: 'success' }), 2);
    assert.equal(
      await sample(registry, 'attempt_duration_seconds_count', { result: 'success' }),
      2,
    );
    assert.equal(
      await sample(registry, 'attempt_duration_seconds_sum', { result: 'success' }),
      first.durationMs / 1000 + second.durationMs / 1000,
    );
    assert.equal(
      await sample(registry, 'last_success_timestamp_seconds'),
      Date.parse(daemon.status().lastPushAt) / 1000,
    );
  });

  test('counts failures by kind, and shows the kind until the next success', async (t) => {
    const { daemon, repo, remote } = await startFailing(t);
    const { registry } = collectAlone(daemon);
    repo.commit();
    const { durationMs } = await once(daemon, 'error');
    assert.ok(durationMs > 0, `${durationMs} is a duration`);
    assert.equal(await sample(registry, 'attempts_total', { kind: 'rejected' }), 1);
    assert.equal(
      await sample(registry, 'attempt_duration_seconds_sum', { result: 'failure' }),
      durationMs / 1000,
    );
    assert.equal(await sample(registry, 'consecutive_failures'), 1);
    assert.equal(await sample(registry, 'pending_commits'), 1);
    assert.deepEqual(await current(registry, 'failing', 'kind'), ['rejected']);
    assert.deepEqual(await current(registry, 'state', 'state'), ['backing-off']);

    remote.removeHook('pre-receive');
    await daemon.flush();
    assert.deepEqual(await current(registry, 'failing', 'kind'), []);
    assert.deepEqual(await current(registry, 'state', 'state'), ['in-sync']);
    assert.equal(await sample(registry, 'consecutive_failures'), 0);
    assert.equal(await sample(registry, 'attempts_total', { kind: 'rejected' }), 1);
    assert.equal(await sample(registry, 'attempts_total', { result: 'success' }), 1);
  });

  test('shows since when the oldest pending commit has been waiting', async (t) => {
    const { daemon, repo } = await startFailing(t);
    const { registry } = collectAlone(daemon);
    const committedAt = Math.floor(Date.now() / 1000) - 7200;
    repo.commit({ committedAt: `${committedAt} +0200` });
    repo.commit();
    await once(daemon, 'error');
    assert.equal(await sample(registry, 'oldest_pending_timestamp_seconds'), committedAt);
    assert.ok((await sample(registry, 'lag_seconds')) >= 7200);
  });

  test('shows how far the push under way has come', async (t) => {
    const { repo, remote, options } = makePair(t);
    const gate = gateHook(t, remote);
    atEnd(t, () => gate.open());
    repo.commit();
    repo.commit();
    const daemon = start(t, { ...options, maxPackBytes: 1 });
    const { registry } = collectAlone(daemon);
    const values = (...names) =>
      Promise.all(names.map((name) => sample(registry, `progress_${name}`)));
    const { progress } = await until('the push has progress', () => {
      const status = daemon.status();
      return status.progress?.phase === 'server' && status;
    });
    assert.deepEqual([progress.step, progress.steps], [1, 2]);
    const { bytes, objects, totalObjects } = daemon.status().progress;
    assert.ok(bytes > 0 && objects > 0, JSON.stringify(progress));
    assert.deepEqual(await values('bytes', 'objects', 'total_objects', 'step', 'steps'), [
      bytes,
      objects,
      totalObjects,
      1,
      2,
    ]);
    gate.open();
    await untilState(daemon, 'in-sync');
    assert.deepEqual(
      await values('bytes', 'objects', 'total_objects', 'step', 'steps'),
      [0, 0, 0, 0, 0],
    );
  });

  test('shows 0 for a total that is unknown', async (t) => {
    const { options } = makePair(t);
    const daemon = await startInSync(t, options);
    const progress = { bytes: 0, objects: 7, totalObjects: null, step: 1, steps: 1 };
    const counting = new Proxy(daemon, {
      get(target, name) {
        if (name === 'status') return () => ({ ...target.status(), progress });
        const value = Reflect.get(target, name, target);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
    const { registry } = collectAlone(counting);
    assert.equal(await sample(registry, 'progress_objects'), 7);
    assert.equal(await sample(registry, 'progress_total_objects'), 0);
  });

  test('shows a diverged branch', async (t) => {
    const { repo, remote, options } = makePair(t);
    const daemon = await startInSync(t, { ...options, divergedProbeMs: 0 });
    const { registry } = collectAlone(daemon);
    remote.commit();
    repo.commit();
    await once(daemon, 'error');
    assert.deepEqual(await current(registry, 'state', 'state'), ['diverged']);
    assert.deepEqual(await current(registry, 'failing', 'kind'), ['non-fast-forward']);
    assert.equal(await sample(registry, 'attempts_total', { kind: 'non-fast-forward' }), 1);
  });

  test('does not count a failure after an attempt as an attempt', async (t) => {
    const { repo, remote, options } = makePair(t);
    remote.hook('pre-receive', 'exit 1');
    const daemon = await startInSync(t, {
      ...options,
      divergedProbeMs: 0,
      onDivergence: 'preserve',
    });
    const { registry } = collectAlone(daemon);
    remote.commit();
    repo.commit();
    const unpreserved = await once(daemon, 'error', ({ kind }) => kind === 'rejected');
    assert.equal('durationMs' in unpreserved, false);
    assert.equal(await sample(registry, 'attempts_total', { kind: 'non-fast-forward' }), 1);
    assert.equal(await sample(registry, 'attempts_total', { kind: 'rejected' }), 0);
    assert.equal(
      await sample(registry, 'attempt_duration_seconds_count', { result: 'failure' }),
      1,
    );
  });

  test('reads the status once for all metrics, and anew for the next scrape', async (t) => {
    const { options } = makePair(t);
    const daemon = await startInSync(t, options);
    let reads = 0;
    const counted = new Proxy(daemon, {
      get(target, name) {
        if (name === 'status') reads += 1;
        const value = Reflect.get(target, name, target);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
    const { registry } = collectAlone(counted);
    reads = 0;
    await registry.metrics();
    assert.equal(reads, 1);
    await registry.metrics();
    assert.equal(reads, 2);
  });

  test('survives resetMetrics of its registry', async (t) => {
    const { options } = makePair(t, { inSync: false });
    const daemon = start(t, options);
    const { registry } = collectAlone(daemon);
    await once(daemon, 'push');
    registry.resetMetrics();
    assert.equal(await sample(registry, 'pushed_commits_total'), 1);
    assert.equal(await sample(registry, 'attempts_total', { result: 'success' }), 1);
  });

  test('follows OpenMetrics in a registry of that type', async (t) => {
    const { options } = makePair(t, { inSync: false });
    const daemon = start(t, options);
    const registry = new prom.Registry(prom.Registry.OPENMETRICS_CONTENT_TYPE);
    const remove = collectPushDaemonMetrics(daemon, { registry });
    await once(daemon, 'push');
    const text = await registry.metrics();
    assert.match(text, /^# TYPE git_push_daemon_pushed_commits counter$/m);
    assert.match(
      text,
      /^git_push_daemon_pushed_commits_total\{remote="origin",branch="main"\} 1$/m,
    );
    remove();
    assert.deepEqual(registry.getMetricsAsArray(), []);
  });

  test('uses the global registry and the default prefix by default', async (t) => {
    const { options } = makePair(t);
    const daemon = await startInSync(t, options);
    const remove = collectPushDaemonMetrics(daemon);
    atEnd(t, remove);
    assert.ok(prom.register.getSingleMetric('git_push_daemon_pending_commits'));

    const { registry } = collectAlone(daemon, { prefix: 'cfp_push_' });
    const names = registry.getMetricsAsArray().map(({ name }) => name);
    assert.ok(names.every((name) => name.startsWith('cfp_push_')));
    assert.ok(names.includes('cfp_push_pending_commits'));
  });
});

describe('a failure that only the metrics listen to', () => {
  test('is counted and still reaches the logger', async (t) => {
    const lines = [];
    let logged;
    const isLogged = new Promise((resolve) => {
      logged = resolve;
    });
    const log = (fields, message) => {
      lines.push({ fields, message });
      if (message.startsWith('push failed')) logged();
    };
    const logger = { debug() {}, info() {}, warn: log, error: log };
    const { daemon, repo } = await startFailing(t, { logger });
    const { registry } = collectAlone(daemon);
    repo.commit();
    await within(isLogged, 'a line of the logger');
    assert.equal(daemon.listenerCount('error'), 0);
    assert.equal(lines.length, 1);
    assert.equal(await sample(registry, 'attempts_total', { kind: 'rejected' }), 1);
  });

  test('reaches an errorMonitor listener before those of error, once', async (t) => {
    const { daemon, repo } = await startFailing(t);
    const heard = [];
    daemon.on('error', ({ kind }) => heard.push(['error', kind]));
    daemon.on(errorMonitor, ({ kind }) => heard.push(['errorMonitor', kind]));
    repo.commit();
    await once(daemon, 'error');
    assert.deepEqual(heard, [
      ['errorMonitor', 'rejected'],
      ['error', 'rejected'],
    ]);
  });
});

describe('several daemons', () => {
  test('share the metrics of a registry and differ by label', async (t) => {
    const { repo, options } = makePair(t);
    const backup = makeRemote(t);
    repo.git('remote', 'add', 'backup', backup.path);
    const registry = new prom.Registry();
    const toOrigin = await startInSync(t, options);
    const toBackup = start(t, { ...options, remote: 'backup' });
    collectPushDaemonMetrics(toOrigin, { registry });
    const removeBackup = collectPushDaemonMetrics(toBackup, { registry });
    await once(toBackup, 'push');

    const pushed = (remote) => sample(registry, 'pushed_commits_total', { remote });
    const succeeded = (remote) => sample(registry, 'attempts_total', { remote, result: 'success' });
    assert.deepEqual([await pushed('origin'), await pushed('backup')], [0, 1]);
    assert.deepEqual([await succeeded('origin'), await succeeded('backup')], [0, 1]);

    removeBackup();
    const left = await scrape(registry);
    assert.ok(left.length > 0);
    assert.ok(left.every(({ labels }) => labels.remote === 'origin'));
  });

  test('of two repositories need their own label and may rename the remote', async (t) => {
    const registry = new prom.Registry();
    const first = await startInSync(t, makePair(t).options);
    const second = await startInSync(t, makePair(t).options);
    const labels = (repository) => ({ registry, labels: { repository, remote: 'github' } });
    collectPushDaemonMetrics(first, labels('talks'));
    collectPushDaemonMetrics(second, labels('speakers'));
    assert.equal(
      await sample(registry, 'pending_commits', { repository: 'talks', remote: 'github' }),
      0,
    );
    assert.equal(await sample(registry, 'pending_commits', { repository: 'speakers' }), 0);
  });
});

describe('the end of the collection', () => {
  test('comes with the daemon, and the next one can be collected', async (t) => {
    const { repo, options } = makePair(t);
    const first = await startInSync(t, options);
    const registry = new prom.Registry();
    let second;
    first.on('stopped', () => {
      assert.deepEqual(registry.getMetricsAsArray(), []);
      second = start(t, options);
      collectPushDaemonMetrics(second, { registry });
    });
    collectPushDaemonMetrics(first, { registry });
    await first.stop();
    repo.commit();
    await once(second, 'push');
    assert.equal(await sample(registry, 'pushed_commits_total'), 1);
  });

  test('leaves nothing in the registry and no listener on the daemon', async (t) => {
    const { options } = makePair(t);
    const daemon = await startInSync(t, options);
    const { registry, remove } = collectAlone(daemon);
    assert.ok(daemon.eventNames().length > 0);
    remove();
    remove();
    assert.deepEqual(registry.getMetricsAsArray(), []);
    assert.deepEqual(daemon.eventNames(), []);
    const again = collectPushDaemonMetrics(daemon, { registry });
    remove();
    assert.equal(await sample(registry, 'pending_commits'), 0);
    again();
  });

  test('may come from clearing the registry, which can be used again', async (t) => {
    const { options } = makePair(t);
    const daemon = await startInSync(t, options);
    const { registry, remove } = collectAlone(daemon);
    registry.clear();
    collectPushDaemonMetrics(daemon, { registry });
    remove();
    assert.equal(await sample(registry, 'pending_commits'), 0);
  });
});

describe('misuse', () => {
  const collectFails = (daemon, options) =>
    thrownBy(() => collectPushDaemonMetrics(daemon, options));

  test('collecting a daemon twice is an error that names the labels', async (t) => {
    const { options } = makePair(t);
    const daemon = await startInSync(t, options);
    const { registry } = collectAlone(daemon);
    const error = collectFails(daemon, { registry });
    assert.equal(error.code, 'ERR_PUSH_DAEMON_METRICS_REGISTERED');
    assert.match(error.message, /"remote","origin".*labels/);
    assert.equal(await sample(registry, 'pending_commits'), 0);
  });

  test('daemons with other label names in one registry are an error', async (t) => {
    const daemon = await startInSync(t, makePair(t).options);
    const { registry } = collectAlone(daemon, { labels: { repository: 'talks' } });
    for (const labels of [{}, { service: 'api' }, { repository: 'a', service: 'api' }]) {
      const error = collectFails(daemon, { registry, labels });
      assert.equal(error.code, 'ERR_PUSH_DAEMON_METRICS_REGISTERED');
      assert.match(error.message, /need the same label names: it has remote, branch, repository/);
    }
  });

  test('a taken name is an error and leaves the registry unchanged', async (t) => {
    const daemon = await startInSync(t, makePair(t).options);
    const registry = new prom.Registry();
    const name = 'git_push_daemon_attempts_total';
    new prom.Counter({ name, help: 'somebody else', registers: [registry] });
    const error = collectFails(daemon, { registry });
    assert.equal(error.code, 'ERR_PUSH_DAEMON_METRICS_REGISTERED');
    assert.match(error.message, /already has a metric 'git_push_daemon_attempts_total'.*prefix/);
    assert.deepEqual(
      registry.getMetricsAsArray().map((metric) => metric.name),
      [name],
    );
    assert.deepEqual(daemon.eventNames(), []);
  });

  test('a stopped daemon is an error', async (t) => {
    const daemon = await startInSync(t, makePair(t).options);
    await daemon.stop();
    assert.equal(collectFails(daemon).code, 'ERR_PUSH_DAEMON_STOPPED');
  });

  test('a wrong argument is an error that names the expected value', async (t) => {
    const daemon = await startInSync(t, makePair(t).options);
    const cases = [
      [[null], /given null; expected what startPushDaemon returned/],
      [[undefined], /given undefined/],
      [[{}], /given object/],
      [[daemon, { regsitry: prom.register }], /unknown option 'regsitry'/],
      [[daemon, { registry: {} }], /not a Registry of prom-client/],
      [[daemon, { prefix: '' }], /option 'prefix' is ""/],
      [[daemon, { prefix: 'push-' }], /option 'prefix' is "push-"/],
      [[daemon, { prefix: 1 }], /option 'prefix' is 1/],
      [[daemon, { labels: { kind: 'x' } }], /the name 'kind'/],
      [[daemon, { labels: { le: 'x' } }], /the name 'le'/],
      [[daemon, { labels: { 'a-b': 'x' } }], /the name 'a-b'/],
      [[daemon, { labels: { __name__: 'x' } }], /the name '__name__'/],
      [[daemon, { labels: { pod: 1 } }], /label 'pod' is number; expected a string/],
    ];
    for (const [given, message] of cases) {
      const error = collectFails(...given);
      assert.ok(error instanceof TypeError, String(error));
      assert.equal(error.code, 'ERR_PUSH_DAEMON_INVALID_OPTION');
      assert.match(error.message, message);
    }
    assert.deepEqual(daemon.eventNames(), []);
  });
});

test('only the metrics load prom-client', async () => {
  const { code, told, stderr } = await runScript(`
    const isLoaded = () => Object.keys(require.cache).some((file) => file.includes('prom-client'));
    tell(isLoaded());
    require('git-push-daemon/metrics');
    tell(isLoaded());
  `);
  assert.equal(code, 0, stderr);
  assert.deepEqual(told, [false, true]);
});

describe('examples/prometheus', () => {
  const EXAMPLES = path.join(ROOT, 'examples', 'prometheus');
  const rulesFile = path.join(EXAMPLES, 'alerts.yml');
  const testsFile = path.join(EXAMPLES, 'alerts.test.yml');
  const read = (name) => readFileSync(path.join(EXAMPLES, name), 'utf8');
  const dashboard = JSON.parse(read('grafana-dashboard.json'));
  const queries = dashboard.panels.flatMap((panel) => panel.targets.map(({ expr }) => expr));
  const variableQueries = dashboard.templating.list
    .filter(({ type }) => type === 'query')
    .map(({ query }) => query.query);
  const alerts = [...read('alerts.yml').matchAll(/^ +- alert: (\w+)$/gm)].map(([, name]) => name);
  const expressions = [...read('alerts.yml').matchAll(/^ +expr: (.+)$/gm)].map(([, expr]) => expr);

  /** A scrape as text, with its names and the values of its labels. */
  async function realScrape(t) {
    const daemon = await startInSync(t, makePair(t).options);
    const { registry } = collectAlone(daemon);
    const samples = await scrape(registry);
    return {
      text: await registry.metrics(),
      names: new Set(samples.map(({ name }) => name)),
      values: (label) => new Set(samples.map(({ labels }) => labels[label])),
    };
  }

  /** Runs promtool, which Debian has in its package prometheus. */
  function promtool(args, options = {}) {
    const { error, status, stdout, stderr } = spawnSync('promtool', args, {
      encoding: 'utf8',
      timeout: 60_000,
      killSignal: 'SIGKILL',
      ...options,
    });
    assert.equal(error, undefined);
    assert.equal(status, 0, `promtool ${args.join(' ')}\n${stdout}${stderr}`);
    return `${stdout}${stderr}`;
  }

  const isMissing = spawnSync('promtool', ['--version'], { timeout: 60_000 }).error !== undefined;
  const withPromtool = {
    skip:
      isMissing &&
      process.env.CI !== 'true' &&
      'promtool is missing (Debian, Ubuntu: apt install prometheus)',
  };

  test('every metric and label value in a query is in a real scrape', async (t) => {
    const { names, values } = await realScrape(t);
    const all = [...expressions, ...queries, ...variableQueries];
    assert.equal(expressions.length, alerts.length);
    for (const query of all) {
      const used = query.match(/git_push_daemon_\w+/g) ?? [];
      assert.ok(used.length > 0, `${query} reads a metric of ours`);
      for (const name of used) assert.ok(names.has(name), `${name} in ${query}`);
      for (const [, label, value] of query.matchAll(/(state|kind|result)=~?"([^"$]+)"/g)) {
        for (const one of value.split('|')) {
          assert.ok(values(label).has(one), `${label} "${one}" in ${query}`);
        }
      }
    }
    const read = new Set(all.flatMap((query) => query.match(/git_push_daemon_\w+/g)));
    for (const name of [...names].filter((name) => !/_(sum|count)$/.test(name))) {
      if (name !== 'git_push_daemon_oldest_pending_timestamp_seconds') {
        assert.ok(read.has(name), `${name} is shown or alerted on`);
      }
    }
  });

  test('promtool accepts the units, names and help of the metrics', withPromtool, async (t) => {
    const { text } = await realScrape(t);
    assert.equal(promtool(['check', 'metrics'], { input: text }), '');
  });

  test(
    'the alert rules are valid, and each has a unit test in which it fires',
    withPromtool,
    () => {
      assert.ok(alerts.length >= 6);
      promtool(['check', 'rules', rulesFile]);
      const cases = read('alerts.test.yml').split(/^ {6}- /m);
      for (const alert of alerts) {
        const own = cases.filter((text) => text.includes(`alertname: ${alert}`));
        const fires = own.filter((text) => text.includes('exp_alerts:'));
        assert.ok(fires.length > 0, `${alert} fires in a test`);
        assert.ok(own.length > fires.length, `${alert} does not fire in a test`);
      }
      promtool(['test', 'rules', testsFile]);
    },
  );

  test('every alert has a summary, a description, a runbook and a severity', () => {
    for (const alert of read('alerts.yml').split('- alert: ').slice(1)) {
      for (const annotation of ['summary:', 'description:', 'runbook:', 'severity:']) {
        assert.ok(alert.includes(annotation), `${alert.split('\n')[0]} has a ${annotation}`);
      }
    }
  });

  test('the queries of the dashboard are PromQL', withPromtool, (t) => {
    const rules = queries.map((query, index) => ({
      record: `query:${index}`,
      expr: query.replaceAll('$__rate_interval', '5m'),
    }));
    const file = path.join(makeDirectory(t), 'queries.yml');
    writeFileSync(file, JSON.stringify({ groups: [{ name: 'dashboard', rules }] }));
    promtool(['check', 'rules', file]);
  });

  test('the panels of the dashboard have ids of their own and do not overlap', () => {
    const { panels } = dashboard;
    assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length);
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, cell) => `${x + (cell % w)} ${y + Math.floor(cell / w)}`),
    );
    assert.equal(new Set(cells).size, cells.length);
    assert.ok(panels.every(({ gridPos }) => gridPos.x + gridPos.w <= 24));
  });
});
