'use strict';

// An EventEmitter over the native binding: error codes, listener rules, and what keeps the process alive.
// index.d.ts is the public contract; src/ does the work.

// Loaded first: in a bundle that can require nothing, it explains what is wrong.
const native = require('./addon.js');
const { errorMonitor, EventEmitter } = require('node:events');

const DEFAULT_TIMEOUT_MS = 30_000;

/** The longest delay that `setTimeout` accepts. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** The hexadecimal digits of a commit, by the repository's object format. */
const DIGITS = { sha1: 40, sha256: 64 };

const LOGGER_METHODS = ['debug', 'info', 'warn', 'error'];

/** Bun and Deno do not run the handlers of C's `exit`, on which the addon relies. */
const ENDS_WITH_PROCESS =
  native.NativeDaemon.endsWithProcess() && !process.versions.bun && !process.versions.deno;

/** Keeps running daemons from garbage collection: a daemon works until it is stopped, even without its handle. */
const running = runningInThread();

/**
 * The daemons of this thread, whichever copy of this module started them. A process may hold many copies: one for each
 * version among its dependencies, and one more for each module reset of a test runner. Node warns of more than ten
 * listeners, so all copies share one set and one listener for each event. Entries have the two methods called here;
 * other versions of this package rely on them.
 */
function runningInThread() {
  const key = Symbol.for('git-push-daemon.running');
  if (process[key] === undefined) {
    const entries = new Set();
    const beforeExit = () => {
      for (const entry of entries) {
        entry.beforeExit();
      }
    };
    // Used where the addon cannot do this itself: blocks, for a bounded time, until every daemon has pushed what is pending
    // and ended its child processes. All daemons end at the same time.
    const exit = () => {
      const begun = [...entries].map((entry) => entry.exit());
      for (const finish of begun) {
        finish();
      }
    };
    const add = (entry) => {
      if (entries.size === 0) {
        process.on('beforeExit', beforeExit);
        if (!ENDS_WITH_PROCESS) {
          process.on('exit', exit);
        }
      }
      entries.add(entry);
    };
    const remove = (entry) => {
      entries.delete(entry);
      if (entries.size === 0) {
        process.removeListener('beforeExit', beforeExit);
        process.removeListener('exit', exit);
      }
    };
    Object.defineProperty(process, key, { value: { add, remove } });
  }
  return process[key];
}

class PushError extends Error {
  constructor(message, { code, kind, reason, hint, retryable, attempt, name, cause }) {
    super(message, cause === undefined ? undefined : { cause });
    if (name !== undefined) {
      this.name = name;
    }
    this.code = code;
    this.kind = kind;
    this.reason = reason;
    this.hint = hint;
    this.retryable = retryable;
    if (attempt !== undefined) {
      this.attempt = attempt;
    }
  }
}

Object.defineProperty(PushError.prototype, 'name', {
  value: 'PushError',
  writable: true,
  configurable: true,
});

class RestoreError extends Error {
  constructor(message, { code, kind, hint, retryable, name, cause }) {
    super(message, cause === undefined ? undefined : { cause });
    if (name !== undefined) {
      this.name = name;
    }
    this.code = code;
    this.kind = kind;
    this.hint = hint;
    this.retryable = retryable;
  }
}

Object.defineProperty(RestoreError.prototype, 'name', {
  value: 'RestoreError',
  writable: true,
  configurable: true,
});

function invalid(message) {
  return Object.assign(new TypeError(message), { code: 'ERR_PUSH_DAEMON_INVALID_OPTION' });
}

/** A value as a message shows it: in full if it is short and cannot contain a secret. */
function describe(value) {
  if (typeof value === 'string') {
    return value.includes('://') ? 'a URL' : `'${value}'`;
  }
  if (typeof value === 'function') {
    return 'a function';
  }
  return typeof value === 'object' && value !== null ? 'an object' : String(value);
}

function checkLogger(logger) {
  if (logger === undefined) {
    return null;
  }
  const missing = LOGGER_METHODS.filter((method) => typeof logger?.[method] !== 'function');
  if (missing.length > 0) {
    throw invalid(
      `option 'logger' is ${describe(logger)} without the method ${missing.join(', ')}; expected a logger such as pino's, with debug, info, warn and error`,
    );
  }
  return logger;
}

function checkTimeout(options, name) {
  if (options !== undefined && (typeof options !== 'object' || options === null)) {
    throw invalid(`${name} was given ${describe(options)}; expected an object of options`);
  }
  const timeoutMs = options?.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  if (typeof timeoutMs !== 'number' || !(timeoutMs >= 0)) {
    throw invalid(
      `option 'timeoutMs' of ${name} is ${describe(timeoutMs)}; expected a number of milliseconds, 0 or more`,
    );
  }
  return timeoutMs;
}

function checkSignal(options, name) {
  const signal = options?.signal;
  // Not by its class: the environment of a test runner may have a class of its own.
  const isSignal =
    typeof signal?.aborted === 'boolean' && typeof signal.addEventListener === 'function';
  if (signal !== undefined && !isSignal) {
    throw invalid(`option 'signal' of ${name} is ${describe(signal)}; expected an AbortSignal`);
  }
  return signal;
}

const iso = (ms) => (ms === undefined ? null : new Date(ms).toISOString());

function pushError(failure, attempt) {
  return new PushError(failure.message, {
    ...failure,
    code: 'ERR_PUSH_DAEMON_PUSH_FAILED',
    attempt,
  });
}

/**
 * The environment variables as this thread sees them: a worker may have its own, and so has code under test in Jest.
 * Only such copies hold values that are not strings.
 */
function environment() {
  const variables = { __proto__: null };
  for (const [name, value] of Object.entries(process.env)) {
    if (value !== undefined) variables[name] = String(value);
  }
  return variables;
}

/**
 * Rethrows the binding's errors as errors of the caller's realm. In Jest and `node:vm` the addon belongs to another
 * realm, so `instanceof Error` would be false.
 */
function startNative(start) {
  try {
    return start();
  } catch ({ message, code }) {
    throw Object.assign(new Error(message), { code });
  }
}

/** What a push under way has come to, or `null`. */
function progressOf(progress) {
  if (progress === undefined) return null;
  const { totalObjects, totalBytes, bytesPerSecond, serverMessage, remainingMs } = progress;
  return {
    commit: progress.commit,
    phase: progress.phase,
    objects: progress.objects,
    totalObjects: totalObjects ?? null,
    bytes: progress.bytes,
    totalBytes: totalBytes ?? null,
    bytesPerSecond: bytesPerSecond ?? null,
    step: progress.step,
    steps: progress.steps,
    serverMessage: serverMessage ?? null,
    elapsedMs: progress.elapsedMs,
    remainingMs: remainingMs ?? null,
  };
}

/** What only one side of a diverged branch has, or `null`. */
function divergenceOf(divergence) {
  if (divergence === undefined) return null;
  const { mergeBase, ahead, behind, commits: texts, commands } = divergence;
  const commits = [];
  for (let at = 0; at < texts.length; at += 4) {
    const [commit, author, committedAt, subject] = texts.slice(at, at + 4);
    commits.push({ commit, author, committedAt: iso(Number(committedAt)), subject });
  }
  return { mergeBase: mergeBase ?? null, ahead, behind, commits, commands };
}

/** Makes the public event of what the binding sends. */
const EVENTS = {
  push: ({ commit, durationMs, previous = null, commits, attempt, bytes }) => ({
    commit,
    durationMs,
    previous,
    commits,
    attempt,
    bytes,
  }),
  error: ({ commit = null, attempt, durationMs, failure, divergence }) => {
    const { reason, kind, hint, retryable, remoteCommit } = failure;
    return {
      commit,
      err: pushError(failure, attempt),
      attempt,
      reason,
      kind,
      hint,
      retryable,
      ...(durationMs === undefined ? {} : { durationMs }),
      ...(remoteCommit === undefined ? {} : { remoteCommit }),
      ...(divergence === undefined ? {} : { divergence: divergenceOf(divergence) }),
    };
  },
  retry: ({ commit = null, attempt, nextDelayMs, reason, kind }) => ({
    commit,
    attempt,
    nextDelayMs,
    reason,
    kind,
  }),
  recovered: ({ commit, failedAttempts, downMs }) => ({ commit, failedAttempts, downMs }),
  preserved: ({ commit, reference }) => ({ commit, ref: reference }),
  regressed: ({ from, to = null, commits, nextDelayMs = null }) => ({
    from,
    to,
    commits,
    nextDelayMs,
  }),
  progress: ({ progress }) => progressOf(progress),
};

class PushDaemon extends EventEmitter {
  #native;
  #logger;
  /** Messages that came before the caller could attach listeners; `null` afterwards. */
  #early = [];
  #requests = new Map();
  #nextId = 1;
  /** A timer that never fires: the event loop runs while it exists. */
  #hold = null;
  #busy = true;
  #referenced = false;
  #lastStatusError = null;
  #stop = null;
  #stopped = null;
  /** The tip that the check before an exit found, so that each tip is checked once. */
  #exitingWith;
  /** What the end of the thread calls. */
  #entry = {
    beforeExit: () => this.#checkBeforeExit(),
    exit: () => {
      this.#native.beginExit();
      return () => this.#native.finishExit();
    },
  };

  constructor(options) {
    super();
    let logger = null;
    let rest = options;
    if (typeof options === 'object' && options !== null && !Array.isArray(options)) {
      const { logger: given, ...others } = options;
      logger = checkLogger(given);
      rest = others;
    }
    this.#logger = logger;
    this.#native = startNative(() =>
      native.NativeDaemon.start(rest, environment(), logger !== null, (message) =>
        this.#receive(message),
      ),
    );
    running.add(this.#entry);
    // Keeps the process alive, too, until the daemon has told whether it is busy.
    setImmediate(() => {
      this.#updateHold();
      const early = this.#early;
      this.#early = null;
      for (const message of early) {
        this.#handle(message);
      }
    });
  }

  status() {
    const now = this.#native.status();
    const { lastError, pushes, commits, failures, bytes, regressions } = now;
    return {
      running: now.running && this.#stop === null,
      lastPushAt: iso(now.lastPushAt),
      verifiedAt: iso(now.verifiedAt),
      lastError:
        lastError === undefined
          ? null
          : {
              message: lastError.failure.message,
              at: iso(lastError.at),
              attempt: lastError.attempt,
              reason: lastError.failure.reason,
              kind: lastError.failure.kind,
              hint: lastError.failure.hint,
            },
      pendingCommits: now.pendingCommits,
      currentBackoffMs: now.currentBackoffMs ?? null,
      currentAttempt: now.currentAttempt ?? null,
      state: this.#stop !== null && this.#stopped === null ? 'stopping' : now.state,
      remote: now.remote,
      url: now.url,
      transport: now.transport ?? null,
      transportReason: now.transportReason ?? null,
      branch: now.branch,
      objectFormat: now.objectFormat,
      refFormat: now.refFormat,
      localCommit: now.localCommit ?? null,
      remoteCommit: now.remoteCommit ?? null,
      behindCommits: now.behindCommits ?? null,
      oldestPendingAt: iso(now.oldestPendingAt),
      lagMs: now.lagMs,
      consecutiveFailures: now.consecutiveFailures,
      nextAttemptAt: iso(now.nextAttemptAt),
      startedAt: iso(now.startedAt),
      totals: { pushes, commits, failures, bytes, regressions },
      divergence: divergenceOf(now.divergence),
      progress: progressOf(now.progress),
    };
  }

  notifyCommit(_commit) {
    this.#native.wake();
  }

  async flush(options) {
    const timeoutMs = checkTimeout(options, 'flush');
    const signal = checkSignal(options, 'flush');
    const { commit = null } = await this.#request('flush', timeoutMs, signal, (id) =>
      this.#native.flush(id),
    );
    return { commit };
  }

  async waitForPush(commit, options) {
    const timeoutMs = checkTimeout(options, 'waitForPush');
    const signal = checkSignal(options, 'waitForPush');
    const digits = DIGITS[this.status().objectFormat];
    if (typeof commit !== 'string' || commit.length !== digits || /[^0-9a-f]/i.test(commit)) {
      throw invalid(
        `waitForPush was given ${describe(commit)}; expected a commit as ${digits} hexadecimal digits`,
      );
    }
    const receipt = await this.#request(`waitForPush of ${commit}`, timeoutMs, signal, (id) =>
      this.#native.waitForPush(id, commit),
    );
    return {
      commit: receipt.commit,
      remoteCommit: receipt.remoteCommit ?? receipt.commit,
      pushedAt: iso(receipt.pushedAt),
    };
  }

  stop(options) {
    let timeoutMs;
    try {
      timeoutMs = checkTimeout(options, 'stop');
    } catch (error) {
      return Promise.reject(error);
    }
    if (this.#stop === null) {
      this.#stop = {};
      this.#stop.promise = new Promise((resolve) => {
        this.#stop.resolve = resolve;
      });
      this.#updateHold();
    }
    if (this.#stopped === null) {
      // A later call can only shorten the drain.
      this.#native.stop(Math.min(timeoutMs, MAX_TIMER_MS));
    }
    return this.#stop.promise;
  }

  ref() {
    this.#referenced = true;
    this.#updateHold();
    return this;
  }

  unref() {
    this.#referenced = false;
    this.#updateHold();
    return this;
  }

  async [Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')]() {
    await this.stop();
  }

  #request(what, timeoutMs, signal, send) {
    if (this.#stop !== null) {
      return Promise.reject(this.#ended(what));
    }
    if (signal?.aborted) {
      return Promise.reject(this.#aborted(what, signal));
    }
    return new Promise((resolve, reject) => {
      const id = this.#nextId;
      this.#nextId = (this.#nextId % 0xffff_ffff) + 1;
      const settle = (outcome, value) => {
        this.#requests.delete(id);
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        this.#updateHold();
        outcome(value);
      };
      const giveUp = (error) => {
        this.#native.abandon(id);
        settle(reject, error);
      };
      const onAbort = () => giveUp(this.#aborted(what, signal));
      const timer =
        timeoutMs > MAX_TIMER_MS
          ? undefined
          : setTimeout(() => giveUp(this.#timedOut(what, timeoutMs)), timeoutMs);
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#requests.set(id, (reply) => {
        if (reply.failure !== undefined) {
          settle(reject, pushError(reply.failure));
        } else if (reply.stopped) {
          settle(reject, this.#ended(what));
        } else {
          settle(resolve, reply);
        }
      });
      this.#updateHold();
      send(id);
    });
  }

  /** An error about a wait, with the kind of the last failed attempt, if there is one. */
  #waitError(message, extra) {
    const { lastError } = this.status();
    const {
      kind = 'unknown',
      reason = 'unknown',
      hint = 'Read status() for what the daemon is doing.',
    } = lastError ?? {};
    const because = lastError === null ? '' : `; the last attempt failed: ${lastError.message}`;
    return new PushError(`${message}${because}`, {
      kind,
      reason,
      hint,
      retryable: kind !== 'non-fast-forward',
      ...extra,
    });
  }

  #ended(what) {
    return this.#waitError(`${what} cannot be answered: the daemon was stopped`, {
      code: 'ERR_PUSH_DAEMON_STOPPED',
    });
  }

  #timedOut(what, timeoutMs) {
    return this.#waitError(
      `${what} was not answered within ${timeoutMs} ms; the commits stay pending and the daemon keeps trying`,
      { code: 'ERR_PUSH_DAEMON_WAIT_TIMEOUT' },
    );
  }

  #aborted(what, signal) {
    return this.#waitError(`${what} was aborted`, {
      code: 'ABORT_ERR',
      name: 'AbortError',
      cause: signal.reason,
    });
  }

  #receive(message) {
    if (this.#early === null) {
      this.#handle(message);
    } else {
      this.#early.push(message);
    }
  }

  #handle({ event, reply, busy, log, ended }) {
    if (event !== undefined) {
      this.#emit(event.name, EVENTS[event.name](event));
    } else if (reply !== undefined) {
      this.#requests.get(reply.id)?.(reply);
    } else if (busy !== undefined) {
      this.#busy = busy;
      this.#updateHold();
    } else if (log !== undefined) {
      this.#log(log.level, log.fields, log.message);
    } else {
      this.#end(ended);
    }
  }

  #end({ drained, pendingCommits }) {
    this.#native.join();
    running.remove(this.#entry);
    this.#stopped = { drained, pendingCommits };
    if (this.#stop === null) {
      // It ended by itself, after an `error` event that says why.
      this.#stop = { promise: Promise.resolve(this.#stopped), resolve() {} };
    }
    this.#busy = false;
    // These requests came after the daemon had read its last one.
    for (const answer of [...this.#requests.values()]) {
      answer({ stopped: true });
    }
    this.#emit('stopped', { ...this.#stopped });
    this.#stop.resolve(this.#stopped);
    this.#updateHold();
  }

  /** Emits an event. A listener that throws is the caller's bug: it becomes an uncaught exception and changes nothing else. */
  #emit(name, payload) {
    let heardAs = name;
    if (name === 'error' && this.listenerCount('error') === 0) {
      this.#unheard(payload);
      // Listeners of errorMonitor hear it all the same.
      heardAs = errorMonitor;
    }
    try {
      this.emit(heardAs, payload);
    } catch (error) {
      process.nextTick(() => {
        throw error;
      });
    }
  }

  /** Reports an `error` without a listener, which must neither end the process nor go unnoticed. */
  #unheard({ commit, attempt, kind, reason, hint, err, divergence }) {
    if (this.#logger !== null) {
      const level = reason === 'non-fast-forward' ? 'error' : 'warn';
      const fields = { commit, attempt, kind, reason, hint, err };
      if (divergence !== undefined) {
        const { mergeBase, ahead, behind, commits } = divergence;
        fields.divergence = { mergeBase, ahead, behind, commits: commits.slice(0, 3) };
      }
      this.#log(level, fields, `push failed: ${err.message}`);
    } else if (this.#lastStatusError !== kind) {
      this.#lastStatusError = kind;
      process.emitWarning(`push failed (${kind}): ${err.message}`, {
        type: 'PushDaemonWarning',
        code: 'PUSH_DAEMON_UNHANDLED_ERROR',
        detail: `${hint} Listen to the daemon's 'error' event, or pass a logger, to hear of each failure.`,
      });
    }
  }

  #log(level, fields, message) {
    try {
      this.#logger[level](fields, message);
    } catch (error) {
      process.nextTick(() => {
        throw error;
      });
    }
  }

  /** Keeps the process alive during a push, while a request waits, and after `ref()`. */
  #updateHold() {
    const isStopping = this.#stop !== null && this.#stopped === null;
    const isHeld =
      this.#stopped === null &&
      (this.#busy || this.#referenced || isStopping || this.#requests.size > 0);
    if (isHeld && this.#hold === null) {
      this.#hold = setInterval(() => {}, MAX_TIMER_MS);
    } else if (!isHeld && this.#hold !== null) {
      clearInterval(this.#hold);
      this.#hold = null;
    }
  }

  /**
   * Reads the branch once more when the event loop is empty. If a commit has just landed, its push starts and keeps the
   * process alive.
   */
  #checkBeforeExit() {
    if (this.#stop !== null || this.#exitingWith === (this.#native.status().localCommit ?? null)) {
      return;
    }
    const look = (id) => this.#native.check(id);
    this.#request('the check before exit', DEFAULT_TIMEOUT_MS, undefined, look).then(
      ({ commit = null }) => {
        this.#exitingWith = commit;
      },
      () => {},
    );
  }
}

function startPushDaemon(options) {
  return new PushDaemon(options);
}

/** How far a restore has come. */
function restoreProgressOf({ phase, objects, bytes, elapsedMs, ...progress }) {
  return {
    phase,
    objects,
    totalObjects: progress.totalObjects ?? null,
    bytes,
    bytesPerSecond: progress.bytesPerSecond ?? null,
    serverMessage: progress.serverMessage ?? null,
    elapsedMs,
    remainingMs: progress.remainingMs ?? null,
  };
}

/** The codes of the errors, by the name of the binding's last event. */
const RESTORE_CODES = {
  failed: 'ERR_PUSH_DAEMON_RESTORE_FAILED',
  foreign: 'ERR_PUSH_DAEMON_NOT_THE_REPOSITORY',
};

function restoreError({ name, failure }, signal) {
  if (failure !== undefined) {
    return new RestoreError(failure.message, { ...failure, code: RESTORE_CODES[name] });
  }
  return new RestoreError('restoreRepository was aborted', {
    code: 'ABORT_ERR',
    kind: 'unknown',
    hint: 'Nothing was changed. Call it again to restore the repository.',
    retryable: true,
    name: 'AbortError',
    cause: signal?.reason,
  });
}

/** Checks its options synchronously, as `startPushDaemon` does, so it is no async function. */
function restoreRepository(options) {
  let rest = options;
  let onProgress;
  const signal = checkSignal(options ?? undefined, 'restoreRepository');
  if (typeof options === 'object' && options !== null && !Array.isArray(options)) {
    let _signal;
    ({ signal: _signal, onProgress, ...rest } = options);
  }
  if (onProgress !== undefined && typeof onProgress !== 'function') {
    throw invalid(`option 'onProgress' is ${describe(onProgress)}; expected a function`);
  }
  let settle;
  const ended = new Promise((resolve) => {
    settle = resolve;
  });
  const handle = startNative(() =>
    native.NativeRestore.start(rest, environment(), ({ event }) => {
      if (event.name !== 'progress') {
        settle(event);
        return;
      }
      try {
        onProgress?.(restoreProgressOf(event.progress));
      } catch (error) {
        process.nextTick(() => {
          throw error;
        });
      }
    }),
  );
  const abort = () => handle.abort();
  signal?.addEventListener('abort', abort, { once: true });
  if (signal?.aborted) abort();
  // The messages of the addon alone do not keep the process alive.
  const hold = setInterval(() => {}, MAX_TIMER_MS);
  return ended.then((event) => {
    clearInterval(hold);
    signal?.removeEventListener('abort', abort);
    handle.join();
    const { name, commit = null, durationMs } = event;
    if (name !== 'restored' && name !== 'present') throw restoreError(event, signal);
    return { restored: name === 'restored', commit, durationMs };
  });
}

module.exports.startPushDaemon = startPushDaemon;
module.exports.restoreRepository = restoreRepository;
module.exports.RestoreError = RestoreError;
module.exports.PushDaemon = PushDaemon;
module.exports.PushError = PushError;
