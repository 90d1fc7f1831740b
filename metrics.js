'use strict';

// The metrics of daemons, for prom-client. A scrape reads only `status()`; the counts of attempts by kind and their
// durations come from events. metrics.d.ts is the contract.

const { errorMonitor } = require('node:events');
const { Counter, Gauge, Histogram, register } = require('prom-client');

const STATES = [
  'starting',
  'in-sync',
  'debouncing',
  'pushing',
  'backing-off',
  'diverged',
  'gave-up',
  'regressed',
  'stopping',
  'stopped',
];

const KINDS = [
  'non-fast-forward',
  'rejected',
  'auth',
  'host-key',
  'network',
  'timeout',
  'remote-lock',
  'remote-error',
  'local',
  'unknown',
];

/** The kind of an attempt that succeeded: Prometheus treats an empty label as absent. */
const NO_KIND = 'none';

/** In seconds: from a push over a kept connection on one machine to the default limit of an attempt. */
const BUCKETS = [
  0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 900,
];

/** Each reads a status. A missing time is 0, so that the series exists from the start. */
const GAUGES = {
  pending_commits: {
    help: 'Commits of the branch that the remote does not have.',
    read: (status) => status.pendingCommits,
  },
  lag_seconds: {
    help: 'How long the oldest commit that the remote does not have has been waiting; 0 where there is none.',
    read: (status) => status.lagMs / 1000,
  },
  oldest_pending_timestamp_seconds: {
    help: "The committer's time of the oldest commit that the remote does not have, as Unix time; 0 where there is none.",
    read: (status) => unixSeconds(status.oldestPendingAt),
  },
  last_success_timestamp_seconds: {
    help: 'When the remote last confirmed a push, as Unix time; 0 before the first.',
    read: (status) => unixSeconds(status.lastPushAt),
  },
  last_verified_timestamp_seconds: {
    help: "When the remote's tip was last read or confirmed, as Unix time; 0 before the first time.",
    read: (status) => unixSeconds(status.verifiedAt),
  },
  consecutive_failures: {
    help: 'Attempts that failed since the last success.',
    read: (status) => status.consecutiveFailures,
  },
  progress_bytes: {
    help: 'Bytes of its pack that the push under way has handed over to be sent; 0 where there is none.',
    read: (status) => status.progress?.bytes ?? 0,
  },
  progress_objects: {
    help: 'Objects that the present phase of the push under way is through with; 0 where there is none.',
    read: (status) => status.progress?.objects ?? 0,
  },
  progress_total_objects: {
    help: 'Objects of the present phase of the push under way; 0 while unknown, and where there is none.',
    read: (status) => status.progress?.totalObjects ?? 0,
  },
  progress_step: {
    help: 'Which step of the backlog the push under way is, from 1; 0 where there is none.',
    read: (status) => status.progress?.step ?? 0,
  },
  progress_steps: {
    help: 'The number of steps of the backlog, estimated; 0 where no push is under way.',
    read: (status) => status.progress?.steps ?? 0,
  },
};

/** For each, at most one value of its label is 1, and the others are 0. */
const STATE_SETS = {
  state: {
    help: 'What the daemon is doing: 1 for the state that it is in, 0 for the others.',
    label: 'state',
    values: STATES,
    read: (status) => status.state,
  },
  failing: {
    help: 'Whether the last attempt failed, by the kind of the failure: 1 for that kind until the next success, 0 for the others.',
    label: 'kind',
    values: KINDS,
    read: (status) => status.lastError?.kind,
  },
};

const COUNTERS = {
  pushed_commits_total: {
    help: 'Commits that confirmed pushes brought to the remote.',
    read: (status) => status.totals.commits,
  },
  pushed_bytes_total: {
    help: 'Bytes of the packs of confirmed pushes.',
    read: (status) => status.totals.bytes,
  },
  regressions_total: {
    help: 'How often the remote was found to lack commits that it had confirmed.',
    read: (status) => status.totals.regressions,
  },
};

const ATTEMPTS = {
  name: 'attempts_total',
  help: 'Attempts that pushed or failed, by result and by the kind of the failure.',
};

const DURATION = {
  name: 'attempt_duration_seconds',
  help: 'How long attempts that pushed or failed took, by result.',
};

/** Labels that distinguish the series of one daemon. */
const OWN_LABELS = ['state', 'kind', 'result', 'le'];

function unixSeconds(at) {
  return at === null ? 0 : Date.parse(at) / 1000;
}

function invalid(message) {
  return Object.assign(new TypeError(message), { code: 'ERR_PUSH_DAEMON_INVALID_OPTION' });
}

function taken(message) {
  return Object.assign(new Error(message), { code: 'ERR_PUSH_DAEMON_METRICS_REGISTERED' });
}

/** One daemon: its labels, and the counts from its events since it was added. */
class Source {
  constructor(daemon, labels) {
    this.daemon = daemon;
    this.labels = labels;
    this.key = JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)));
    this.succeeded = 0;
    this.failed = new Map(KINDS.map((kind) => [kind, 0]));
  }
}

/** The metrics of one name prefix in one registry, over any number of daemons. */
class Family {
  #registry;
  #prefix;
  #labelNames;
  #metrics = new Map();
  #duration;
  #sources = new Map();
  /** The statuses of one scrape: prom-client collects all metrics of a registry together. */
  #scrape = null;

  constructor(registry, prefix, labelNames) {
    this.#registry = registry;
    this.#prefix = prefix;
    this.#labelNames = labelNames;
    for (const [name, { help, read }] of Object.entries(GAUGES)) {
      this.#define(Gauge, name, help, [], (gauge, { source, status }) => {
        gauge.set(source.labels, read(status));
      });
    }
    for (const [name, { help, label, values, read }] of Object.entries(STATE_SETS)) {
      this.#define(Gauge, name, help, [label], (gauge, { source, status }) => {
        const current = read(status);
        for (const value of values) {
          gauge.set({ ...source.labels, [label]: value }, value === current ? 1 : 0);
        }
      });
    }
    for (const [name, { help, read }] of Object.entries(COUNTERS)) {
      this.#define(Counter, name, help, [], (counter, { source, status }) => {
        counter.inc(source.labels, read(status));
      });
    }
    this.#define(
      Counter,
      ATTEMPTS.name,
      ATTEMPTS.help,
      ['result', 'kind'],
      (counter, { source }) => {
        counter.inc({ ...source.labels, result: 'success', kind: NO_KIND }, source.succeeded);
        for (const [kind, count] of source.failed) {
          counter.inc({ ...source.labels, result: 'failure', kind }, count);
        }
      },
    );
    this.#duration = new Histogram({
      name: `${prefix}${DURATION.name}`,
      help: DURATION.help,
      labelNames: [...labelNames, 'result'],
      buckets: BUCKETS,
      registers: [],
    });
    this.#metrics.set(`${prefix}${DURATION.name}`, this.#duration);
    this.#register();
  }

  /** A metric that each scrape sets anew from the status of every daemon. */
  #define(Metric, shortName, help, ownLabels, write) {
    const family = this;
    const name = `${this.#prefix}${shortName}`;
    const metric = new Metric({
      name,
      help,
      labelNames: [...this.#labelNames, ...ownLabels],
      registers: [],
      collect() {
        this.reset();
        for (const read of family.#read()) {
          write(this, read);
        }
      },
    });
    this.#metrics.set(name, metric);
  }

  /** Registers all metrics or none: a name that is already taken must leave nothing behind. */
  #register() {
    for (const name of this.#metrics.keys()) {
      if (this.#registry.getSingleMetric(name) !== undefined) {
        throw taken(
          `the registry already has a metric '${name}' that is not a push daemon's; choose another 'prefix' or 'registry'`,
        );
      }
    }
    for (const metric of this.#metrics.values()) {
      this.#registry.registerMetric(metric);
    }
  }

  /** False once the registry was cleared. */
  get isRegistered() {
    return [...this.#metrics].every(
      ([name, metric]) => this.#registry.getSingleMetric(name) === metric,
    );
  }

  #read() {
    if (this.#scrape === null) {
      this.#scrape = [...this.#sources.values()].map((source) => ({
        source,
        status: source.daemon.status(),
      }));
      Promise.resolve().then(() => {
        this.#scrape = null;
      });
    }
    return this.#scrape;
  }

  add(daemon, labels) {
    const names = Object.keys(labels);
    if (names.length !== this.#labelNames.length) {
      throw taken(
        `the daemons of one registry need the same label names: it has ${this.#labelNames.join(', ')}; this one has ${names.join(', ')}`,
      );
    }
    const odd = names.find((name) => !this.#labelNames.includes(name));
    if (odd !== undefined) {
      throw taken(
        `the daemons of one registry need the same label names: it has ${this.#labelNames.join(', ')}, but not '${odd}'`,
      );
    }
    const source = new Source(daemon, labels);
    if (this.#sources.has(source.key)) {
      throw taken(
        `a daemon with the labels ${source.key} is already collected; give each daemon 'labels' of its own, such as { repository: '…' }`,
      );
    }

    const observe = (result, durationMs) => {
      this.#duration.observe({ ...labels, result }, durationMs / 1000);
    };
    const onPush = ({ durationMs }) => {
      source.succeeded += 1;
      observe('success', durationMs);
    };
    const onError = ({ kind, durationMs }) => {
      // An error without a duration is not the end of an attempt.
      if (durationMs !== undefined) {
        source.failed.set(kind, (source.failed.get(kind) ?? 0) + 1);
        observe('failure', durationMs);
      }
    };
    const remove = () => {
      daemon.off('push', onPush);
      daemon.off(errorMonitor, onError);
      daemon.off('stopped', remove);
      if (this.#sources.get(source.key) === source) {
        this.#remove(source);
      }
    };

    this.#sources.set(source.key, source);
    this.#scrape = null;
    for (const result of ['success', 'failure']) {
      this.#duration.zero({ ...labels, result });
    }
    daemon.on('push', onPush);
    // A listener of `error` itself would keep an otherwise unheard failure from being logged.
    daemon.on(errorMonitor, onError);
    // Before the caller's listener, which may start and collect the next daemon.
    daemon.prependListener('stopped', remove);
    return remove;
  }

  #remove(source) {
    this.#sources.delete(source.key);
    this.#scrape = null;
    for (const result of ['success', 'failure']) {
      this.#duration.remove({ ...source.labels, result });
    }
    if (this.#sources.size > 0) {
      return;
    }
    for (const [name, metric] of this.#metrics) {
      if (this.#registry.getSingleMetric(name) === metric) {
        this.#registry.removeSingleMetric(name);
      }
    }
  }
}

/** Registry, to prefix, to family. */
const families = new WeakMap();

function familyOf(registry, prefix, labelNames) {
  let ofRegistry = families.get(registry);
  if (ofRegistry === undefined) {
    ofRegistry = new Map();
    families.set(registry, ofRegistry);
  }
  let family = ofRegistry.get(prefix);
  if (family === undefined || !family.isRegistered) {
    family = new Family(registry, prefix, labelNames);
    ofRegistry.set(prefix, family);
  }
  return family;
}

function check(daemon, options) {
  if (typeof daemon?.status !== 'function' || typeof daemon?.on !== 'function') {
    throw invalid(
      `collectPushDaemonMetrics was given ${daemon === null ? 'null' : typeof daemon}; expected what startPushDaemon returned`,
    );
  }
  const {
    registry = register,
    prefix = 'git_push_daemon_',
    labels = {},
    ...others
  } = options ?? {};
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) {
    throw invalid(`unknown option '${unknown}'; expected registry, prefix or labels`);
  }
  if (typeof registry?.registerMetric !== 'function') {
    throw invalid("option 'registry' is not a Registry of prom-client");
  }
  if (typeof prefix !== 'string' || !/^[a-zA-Z_:][a-zA-Z0-9_:]*$/.test(prefix)) {
    throw invalid(
      `option 'prefix' is ${JSON.stringify(prefix)}; expected letters, digits and underscores, such as 'git_push_daemon_'`,
    );
  }
  for (const [name, value] of Object.entries(labels)) {
    if (!/^(?!__)[a-zA-Z_][a-zA-Z0-9_]*$/.test(name) || OWN_LABELS.includes(name)) {
      throw invalid(
        `option 'labels' has the name '${name}'; expected letters, digits and underscores, and none of ${OWN_LABELS.join(', ')}`,
      );
    }
    if (typeof value !== 'string') {
      throw invalid(`label '${name}' is ${typeof value}; expected a string`);
    }
  }
  return { registry, prefix, labels };
}

function collectPushDaemonMetrics(daemon, options) {
  const { registry, prefix, labels } = check(daemon, options);
  const status = daemon.status();
  if (status.state === 'stopped') {
    throw Object.assign(new Error('the daemon has stopped: there is nothing to collect'), {
      code: 'ERR_PUSH_DAEMON_STOPPED',
    });
  }
  const all = { remote: status.remote, branch: status.branch, ...labels };
  return familyOf(registry, prefix, Object.keys(all)).add(daemon, all);
}

module.exports.collectPushDaemonMetrics = collectPushDaemonMetrics;
