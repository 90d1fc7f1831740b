/**
 * Pushes every commit that lands on a branch to its remote, in the background, from a native thread.
 *
 * ```ts
 * import { startPushDaemon } from 'git-push-daemon';
 *
 * const daemon = startPushDaemon({ remote: 'origin', branch: 'main', backoff: 'exponential' });
 * daemon.on('push', ({ commit, durationMs }) => log.info({ commit, durationMs }, 'pushed'));
 * daemon.on('error', ({ err, kind, hint }) => log.warn({ err, kind }, hint));
 * ```
 *
 * Pushes are fast-forward only: the daemon never forces, deletes, merges, rebases or moves a local branch.
 * Durations are in milliseconds and named `…Ms`; points in time are ISO 8601 strings in UTC and named
 * `…At`; commits are full object ids in lower-case hex. No secret appears in a message, an event or a status.
 */

import type { EventEmitter } from 'node:events';

/**
 * Starts pushing a branch, and returns the handle synchronously. Awaiting the result is harmless.
 *
 * The first event comes at the earliest in the next macrotask, so there is time to attach listeners. An
 * unreachable remote does not throw: the daemon emits an `error` event and retries. The daemon uses
 * `process.env` as it is at the call; in a worker, the worker's own.
 *
 * @throws {Error} on misuse, with one of {@link PushDaemonMisuseCode} as `code`. The message says what was
 * given, what was expected and what to do.
 */
export function startPushDaemon(options: PushDaemonOptions): PushDaemon;

/** The options of {@link startPushDaemon}. An unknown option throws. */
export interface PushDaemonOptions {
  /** The name of a configured remote, or a URL or path, as `git push` takes it. */
  readonly remote: string;

  /**
   * The branch to push, as a short name (`main`) or in full (`refs/heads/main`). It has the same name on
   * the remote. A refspec such as `+main` or `a:b` throws.
   *
   * @default the branch of HEAD
   */
  readonly branch?: string | undefined;

  /**
   * The path of the local repository: a bare repository, a working tree, a linked worktree or a `.git`
   * directory.
   *
   * @default the environment variable `CFP_DATA_REPO_PATH`; without it git's own discovery: `GIT_DIR` (of the
   * process, even in a worker), then upwards from the current directory
   */
  readonly repoPath?: string | undefined;

  /**
   * The delays between a failed attempt and the next. `'exponential'` starts at 1 s, doubles up to one hour,
   * and shortens each delay at random by up to 20 %.
   *
   * @default 'exponential'
   */
  readonly backoff?: 'exponential' | BackoffConfig | undefined;

  /**
   * The number of retries of one tip after its first failed attempt. After the last one, the state is
   * `gave-up`: the daemon keeps running, and starts again with the next commit.
   *
   * @default Infinity
   */
  readonly maxRetries?: number | undefined;

  /**
   * How long the first unpushed commit waits for others before a push, in milliseconds. Commits made while a
   * push is in flight always go out together in the next one.
   *
   * @default 0
   */
  readonly debounceMs?: number | undefined;

  /**
   * The limit for connecting in one attempt, until the remote has listed its refs, in milliseconds; 0 for no
   * limit. It includes the login and credential helpers.
   *
   * @default 15000
   */
  readonly connectTimeoutMs?: number | undefined;

  /**
   * The limit for silence within one attempt, in which no byte moves in either direction, in milliseconds; 0
   * for no limit. A server that is working sends a keep-alive every 5 seconds, so a longer silence means that
   * it hangs.
   *
   * Over http(s), a proxy may hold keep-alives back. There this limit applies only until everything is sent,
   * and `reportTimeoutMs` from then on. For `git push` it applies while git's progress shows that it sends. At
   * any other time, hooks on both sides included, git may print nothing for the longer of this limit and
   * `reportTimeoutMs`.
   *
   * @default 60000
   */
  readonly idleTimeoutMs?: number | undefined;

  /**
   * The limit from the last byte sent to the remote's report on the push, in milliseconds; 0 for no limit. The
   * remote's hooks run in that time. For `git push` it limits how long git prints nothing, except while it sends.
   *
   * @default 900000
   */
  readonly reportTimeoutMs?: number | undefined;

  /**
   * The limit for a whole attempt, in milliseconds; 0 for no limit. A large push over a slow line may take
   * hours without hanging.
   *
   * @default 0
   */
  readonly attemptTimeoutMs?: number | undefined;

  /**
   * How long a connection is kept ready for the next commit after a push, in milliseconds; 0 for never. Over
   * ssh, this is an idle `ssh` here and a waiting `git-receive-pack` on the server; over https, an open
   * connection.
   *
   * @default 30000
   */
  readonly keepConnectionMs?: number | undefined;

  /**
   * While the branches have diverged, the interval at which the remote's tip is read to see whether it was
   * reconciled, in milliseconds; 0 for never. This only reads.
   *
   * @default 60000
   */
  readonly divergedProbeMs?: number | undefined;

  /**
   * What to do when the branches have diverged. `'report'` emits an `error`. `'preserve'` also pushes the local
   * tip to a new branch `refs/heads/conflicts/<UTC timestamp>` on the remote, once for each local tip, so that
   * the commits exist twice while they wait for a person. If that push fails, the daemon emits an `error` and
   * retries after the delays of `backoff`, or at the next check of the remote if that is sooner, until it
   * succeeds.
   *
   * @default 'report'
   */
  readonly onDivergence?: 'report' | 'preserve' | undefined;

  /**
   * Whether to follow the branch, so that commits by any writer are pushed: by this process, by another one, or
   * by `git commit`. If false, the daemon learns of new commits only from {@link PushDaemon.notifyCommit} and
   * {@link PushDaemon.flush}.
   *
   * @default true
   */
  readonly watch?: boolean | undefined;

  /**
   * What speaks to the remote. `'native'` is this package, `'git-cli'` is the command `git push`. `'auto'` is
   * this package, and the command only where nothing else can do the same: remote helpers, a `pre-push` hook,
   * git-lfs, a server whose certificate or TLS version only git accepts. `'git'` is the former name of
   * `'git-cli'`, and deprecated.
   *
   * @default 'auto'
   */
  readonly transport?: 'auto' | 'native' | 'git-cli' | 'git' | undefined;

  /**
   * How long the end of the process may block to push what is pending if {@link PushDaemon.stop} was not called,
   * in milliseconds; 0 for not at all. It applies to `process.exit()`, an uncaught exception and
   * `worker.terminate()`, but not to a signal that kills the process. The daemon reads the branch once more,
   * and all daemons of the thread push at the same time. The exit code does not change. One line on standard
   * error says what was left behind. The deadline of a running `stop()` applies if it is earlier.
   *
   * @default 5000
   */
  readonly exitDrainMs?: number | undefined;

  /**
   * Receives the daemon's own log lines. The loggers of pino and Fastify fit as they are.
   *
   * @default none
   */
  readonly logger?: PushDaemonLogger | undefined;
}

/**
 * Delays between attempts. The delay before retry `n` (from 1) is `base * multiplier ** (n - 1)`, at most
 * `cap`, and then shortened at random by up to the share `jitter`.
 */
export interface BackoffConfig {
  /** The first delay, in milliseconds. */
  readonly base: number;
  /** The factor from one delay to the next; at least 1. */
  readonly multiplier: number;
  /** The longest delay, in milliseconds. */
  readonly cap: number;
  /**
   * The share of a delay, from 0 to 1, by which it may be shortened at random.
   *
   * @default 0
   */
  readonly jitter?: number | undefined;
}

/** Receives the daemon's own log lines: structured `fields`, and a message for people. */
export interface PushDaemonLogger {
  debug(fields: object, msg: string): void;
  info(fields: object, msg: string): void;
  warn(fields: object, msg: string): void;
  error(fields: object, msg: string): void;
}

/**
 * A running daemon: an event emitter with a status.
 *
 * An `error` event without a listener does not throw; it goes to the logger, or becomes a process warning. A
 * listener that throws causes an uncaught exception and does not affect the daemon. An idle daemon does not
 * keep the process alive; a push in flight or a pending {@link flush}, {@link waitForPush} or {@link stop} does.
 */
export interface PushDaemon extends EventEmitter, AsyncDisposable {
  /**
   * Returns the daemon's current state. It does no I/O and is cheap enough for every request. When an event
   * arrives, the status already reflects it. It stays available after {@link stop}.
   */
  status(): PushDaemonStatus;

  /**
   * Makes the daemon read the branch now, for callers that turn `watch` off. The daemon reads the tip itself;
   * `commit` only appears in its log. This never throws, and does nothing after {@link stop}.
   */
  notifyCommit(commit?: string | null): void;

  /**
   * Makes an attempt now, without waiting for a debounce or a backoff. Resolves once the remote has confirmed
   * the tip that the branch had at the call; immediately if the remote already has it.
   *
   * @throws {PushError} by rejection: the attempt failed, `timeoutMs` passed, the daemon stopped, or
   * `signal` aborted; see {@link PushErrorCode}. The commits stay pending, and the daemon continues.
   */
  flush(options?: WaitOptions): Promise<FlushResult>;

  /**
   * Waits until the remote branch contains a commit; resolves immediately if it already does. With it, a
   * request can answer only once its commit is safe. A failed attempt that is retried does not end the wait.
   * A failed attempt that is not retried does: the branches have diverged, or `maxRetries` is used up.
   *
   * @param commit full object id of a commit on the branch
   * @throws {PushError} by rejection: pushing was given up, `timeoutMs` passed, the daemon stopped, or
   * `signal` aborted; see {@link PushErrorCode}. The commit exists locally in any case, and the daemon still
   * pushes it after a wait that timed out or was aborted.
   */
  waitForPush(commit: string, options?: WaitOptions): Promise<PushReceipt>;

  /**
   * Stops for good: leaves any backoff, pushes what is pending, and retries failures until `timeoutMs` has
   * passed; then it cancels what is in flight. It never rejects because of a failed push. Further calls
   * return the same promise. Afterwards no thread, child process, socket or file access of the daemon is left.
   *
   * After it has confirmed a push, a remote may still run its `post-receive` hook. If the remote is on this
   * machine, `stop()` waits for the hook until the deadline, because the hook would end with the daemon.
   * Otherwise it waits for 2 seconds, because a server continues by itself.
   */
  stop(options?: StopOptions): Promise<StopResult>;

  /** Keeps the process alive while the daemon runs, like `ref()` of a timer. */
  ref(): this;

  /** Lets the process exit while the daemon is idle. This is the initial setting. */
  unref(): this;

  /** Stops with the default `timeoutMs`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;

  on<E extends keyof PushDaemonEvents>(
    event: E,
    listener: (...args: PushDaemonEvents[E]) => void,
  ): this;
  once<E extends keyof PushDaemonEvents>(
    event: E,
    listener: (...args: PushDaemonEvents[E]) => void,
  ): this;
  off<E extends keyof PushDaemonEvents>(
    event: E,
    listener: (...args: PushDaemonEvents[E]) => void,
  ): this;
  addListener<E extends keyof PushDaemonEvents>(
    event: E,
    listener: (...args: PushDaemonEvents[E]) => void,
  ): this;
  removeListener<E extends keyof PushDaemonEvents>(
    event: E,
    listener: (...args: PushDaemonEvents[E]) => void,
  ): this;
  prependListener<E extends keyof PushDaemonEvents>(
    event: E,
    listener: (...args: PushDaemonEvents[E]) => void,
  ): this;
  prependOnceListener<E extends keyof PushDaemonEvents>(
    event: E,
    listener: (...args: PushDaemonEvents[E]) => void,
  ): this;
}

/** The events of a {@link PushDaemon} and the arguments of their listeners. */
export interface PushDaemonEvents {
  /** The remote confirmed that its branch is at a commit of this repository. */
  push: [event: PushEvent];
  /** An attempt failed. */
  error: [event: PushErrorEvent];
  /** Another attempt follows after a wait. Comes after the `error` of the failed attempt. */
  retry: [event: RetryEvent];
  /** The first success after failures. Comes after its `push`, if there is one. */
  recovered: [event: RecoveredEvent];
  /** With `onDivergence: 'preserve'`: the local tip was pushed to a branch of its own. */
  preserved: [event: PreservedEvent];
  /**
   * The same as `error`, but before the listeners of `error`, and without counting as one. For monitoring. The
   * name is `errorMonitor` of `node:events`.
   */
  [EventEmitter.errorMonitor]: [event: PushErrorEvent];
  /** The daemon ended. Emitted once, before {@link PushDaemon.stop} resolves. No event follows. */
  stopped: [event: StoppedEvent];
}

/** The remote confirmed the update of its branch. */
export interface PushEvent {
  /** The commit that was sent: the remote branch's tip. */
  readonly commit: string;
  /** How long the attempt took, in milliseconds. */
  readonly durationMs: number;
  /** The remote branch's tip before the push; `null` if the push created the branch. */
  readonly previous: string | null;
  /** The number of commits that the push added to the remote branch. */
  readonly commits: number;
  /** The number of the attempt, from 1. */
  readonly attempt: number;
  /** The size of the pack that was sent, in bytes. */
  readonly bytes: number;
}

/** An attempt failed. */
export interface PushErrorEvent {
  /** The commit to push; `null` for the first check of the remote, at start-up. */
  readonly commit: string | null;
  /** The failure, as an `Error` to log or to throw. */
  readonly err: PushError;
  /** The number of the attempt, from 1; 0 for the first check of the remote, at start-up. */
  readonly attempt: number;
  /** `'non-fast-forward'` if the branches have diverged, which is never retried; else `'unknown'`. */
  readonly reason: PushFailureReason;
  /** The kind of failure. */
  readonly kind: PushFailureKind;
  /** One line that tells the operator what to do. */
  readonly hint: string;
  /** Whether waiting can help. */
  readonly retryable: boolean;
  /**
   * The time until the attempt failed, in milliseconds; absent if the failure is not the result of an attempt,
   * but of pushing a diverged tip to a branch of its own.
   */
  readonly durationMs?: number;
  /** The remote branch's tip, if it is the evidence for the failure. */
  readonly remoteCommit?: string;
}

/** Another attempt follows. */
export interface RetryEvent {
  /** The commit to push; `null` for the first check of the remote, at start-up. */
  readonly commit: string | null;
  /** The number of the attempt that failed, as in the `error` before. */
  readonly attempt: number;
  /** The wait before the next attempt, in milliseconds. */
  readonly nextDelayMs: number;
  /** The reason of the failure. */
  readonly reason: PushFailureReason;
  /** The kind of failure. */
  readonly kind: PushFailureKind;
}

/** The first success after failures. */
export interface RecoveredEvent {
  /** The remote branch's tip. */
  readonly commit: string;
  /** The number of attempts that failed since the last success. */
  readonly failedAttempts: number;
  /** The time from the first failure to the success, in milliseconds. */
  readonly downMs: number;
}

/** The local tip of a diverged branch was pushed to a branch of its own. */
export interface PreservedEvent {
  /** The local tip. */
  readonly commit: string;
  /** The full name of the branch on the remote. */
  readonly ref: string;
}

/** The daemon ended. */
export interface StoppedEvent {
  /** Whether the remote has every commit of the branch. */
  readonly drained: boolean;
  /** The number of commits of the branch that the remote does not have. */
  readonly pendingCommits: number;
}

/** The daemon's state. */
export type PushDaemonState =
  /** Opening the repository and checking the remote for the first time. */
  | 'starting'
  /** The remote has every commit of the branch. */
  | 'in-sync'
  /** Gathering commits for `debounceMs`. */
  | 'debouncing'
  /** An attempt is in flight. */
  | 'pushing'
  /** Waiting after a failure; see `currentBackoffMs` and `nextAttemptAt`. */
  | 'backing-off'
  /** Each branch, local and remote, has commits that the other lacks: a person must act. */
  | 'diverged'
  /** `maxRetries` is used up for this tip; the daemon starts again with the next commit. */
  | 'gave-up'
  /** {@link PushDaemon.stop} was called; the daemon pushes what is pending. */
  | 'stopping'
  /** The daemon has ended. */
  | 'stopped';

/** The state of a daemon at one moment; a plain object that `JSON.stringify` takes. */
export interface PushDaemonStatus {
  /** Whether the daemon runs: `true` until {@link PushDaemon.stop} is called. */
  readonly running: boolean;
  /** When the last push was confirmed; `null` before the first. */
  readonly lastPushAt: string | null;
  /** The last failure; `null` before the first, and again after the next success. */
  readonly lastError: PushDaemonLastError | null;
  /**
   * The number of commits of the branch that the remote does not have, counted by git. So it survives restarts,
   * and stays above zero while the branches are diverged.
   */
  readonly pendingCommits: number;
  /** The whole wait before the next attempt, in milliseconds, while backing off; else `null`. */
  readonly currentBackoffMs: number | null;
  /** The number of the attempt that is in flight or that failed last, from 1; `null` if there is none. */
  readonly currentAttempt: number | null;
  /** The daemon's state. */
  readonly state: PushDaemonState;
  /** The remote as it was given, without secrets. */
  readonly remote: string;
  /** The URL or path that is pushed to, without secrets. */
  readonly url: string;
  /**
   * What speaks to the remote: `local` (a path), `ssh`, `http`, `https`, `git` (for `git://`) or `git-cli` (the
   * command `git push`); `null` before the first attempt.
   */
  readonly transport: string | null;
  /** Why it is `git-cli`; `null` for the other transports. */
  readonly transportReason: string | null;
  /** The branch, as a short name. */
  readonly branch: string;
  /** The tip of the local branch; `null` while it has none. */
  readonly localCommit: string | null;
  /** The remote branch's tip, as last seen; `null` if the remote has no such branch, or was not read yet. */
  readonly remoteCommit: string | null;
  /** The number of commits of the remote branch that the local one does not have; `null` if unknown. */
  readonly behindCommits: number | null;
  /** The committer time of the oldest commit that the remote does not have; `null` if nothing is pending. */
  readonly oldestPendingAt: string | null;
  /**
   * How long that commit has been waiting, in milliseconds; 0 if nothing is pending. It is never negative, and
   * at least the time for which the daemon has known of pending commits, so that a commit dated in the future
   * hides no outage.
   */
  readonly lagMs: number;
  /** The number of attempts that have failed since the last success. */
  readonly consecutiveFailures: number;
  /** When the next attempt is due; `null` if none is planned. */
  readonly nextAttemptAt: string | null;
  /** When the daemon started. */
  readonly startedAt: string;
  /** Counts since the start. */
  readonly totals: PushDaemonTotals;
}

/** The last failure, as the status shows it. */
export interface PushDaemonLastError {
  /** The message, without secrets. */
  readonly message: string;
  /** When it happened. */
  readonly at: string;
  /** The number of the attempt, from 1; 0 for the first check of the remote, at start-up. */
  readonly attempt: number;
  /** `'non-fast-forward'` if the branches have diverged, else `'unknown'`. */
  readonly reason: PushFailureReason;
  /** The kind of failure. */
  readonly kind: PushFailureKind;
  /** One line that tells the operator what to do. */
  readonly hint: string;
}

/** Counts since the daemon started. */
export interface PushDaemonTotals {
  /** Pushes that the remote confirmed. */
  readonly pushes: number;
  /** Commits in these pushes. */
  readonly commits: number;
  /** Attempts that failed. */
  readonly failures: number;
  /** Bytes of the packs of these pushes. */
  readonly bytes: number;
}

/** `'non-fast-forward'` if the branches have diverged, which is never retried; else `'unknown'`. */
export type PushFailureReason = 'non-fast-forward' | 'unknown';

/** The kind of a failure. All but `non-fast-forward` are retried. */
export type PushFailureKind =
  /** The remote branch has commits that the local one lacks: a person must reconcile them. */
  | 'non-fast-forward'
  /** The server declined: a hook, a protected or checked-out branch, an archived repository, a limit or quota. */
  | 'rejected'
  /** The server did not accept the credentials, or they may not write. */
  | 'auth'
  /** The server's ssh host key is unknown or has changed. */
  | 'host-key'
  /** The server could not be reached, or the connection broke. */
  | 'network'
  /** A time limit passed: connecting, silence, the report, or the whole attempt. */
  | 'timeout'
  /** Another process on the server holds the lock of the branch. */
  | 'remote-lock'
  /** The server failed: no such repository, disk full, corrupt repository, maintenance, a rate limit. */
  | 'remote-error'
  /** This side failed: the local repository, its disk, a program that does not start, this machine's ssh. */
  | 'local'
  /** The message was not recognized. */
  | 'unknown';

/** A failed push, or a wait that ended before the push. */
export class PushError extends Error {
  /** A stable code to compare with. */
  readonly code: PushErrorCode;
  /** The kind of failure; for a wait that ended, the kind of the last failure before. */
  readonly kind: PushFailureKind;
  /** `'non-fast-forward'` if the branches have diverged, else `'unknown'`. */
  readonly reason: PushFailureReason;
  /** One line that tells the operator what to do. */
  readonly hint: string;
  /** Whether waiting can help. */
  readonly retryable: boolean;
  /** The number of the attempt, from 1; 0 for the first check of the remote; absent without an attempt. */
  readonly attempt?: number;
}

/** The `code` of a {@link PushError}. */
export type PushErrorCode =
  /** The attempt failed; `kind` and `message` say why. */
  | 'ERR_PUSH_DAEMON_PUSH_FAILED'
  /** `timeoutMs` passed first; the commits stay pending. */
  | 'ERR_PUSH_DAEMON_WAIT_TIMEOUT'
  /** The daemon stopped, or had been stopped. */
  | 'ERR_PUSH_DAEMON_STOPPED'
  /** `signal` aborted. `name` is `AbortError` and `cause` is the signal's reason, as everywhere in Node. */
  | 'ABORT_ERR'
  /** A method got an invalid argument. */
  | 'ERR_PUSH_DAEMON_INVALID_OPTION';

/** The `code` of an `Error` that {@link startPushDaemon} throws. */
export type PushDaemonMisuseCode =
  /** An option is missing, unknown, of the wrong type or out of range. */
  | 'ERR_PUSH_DAEMON_INVALID_OPTION'
  /** There is no git repository at `repoPath`. */
  | 'ERR_PUSH_DAEMON_REPOSITORY_NOT_FOUND'
  /** The repository uses SHA-256 object ids or the reftable format. */
  | 'ERR_PUSH_DAEMON_UNSUPPORTED_REPOSITORY'
  /** The repository belongs to another user and is not listed in git's `safe.directory`. */
  | 'ERR_PUSH_DAEMON_REPOSITORY_NOT_OWNED'
  /** No remote with that name is configured. */
  | 'ERR_PUSH_DAEMON_REMOTE_NOT_FOUND'
  /** `branch` was left out and HEAD is detached or has no commit yet. */
  | 'ERR_PUSH_DAEMON_NO_BRANCH'
  /**
   * This process already runs a daemon for the same repository, remote and branch, in any of its threads. Daemons
   * of another copy of the package do not count; they share the work as daemons of another process do.
   */
  | 'ERR_PUSH_DAEMON_ALREADY_RUNNING'
  /** The system does not provide what a daemon needs: a thread, a readable configuration. */
  | 'ERR_PUSH_DAEMON_SYSTEM';

/** Options of {@link PushDaemon.flush} and {@link PushDaemon.waitForPush}. */
export interface WaitOptions {
  /**
   * How long to wait, in milliseconds.
   *
   * @default 30000
   */
  readonly timeoutMs?: number | undefined;
  /** Ends the wait; the push itself goes on. */
  readonly signal?: AbortSignal | undefined;
}

/** Options of {@link PushDaemon.stop}. */
export interface StopOptions {
  /**
   * How long to keep pushing what is pending, in milliseconds; 0 cancels immediately.
   *
   * @default 30000
   */
  readonly timeoutMs?: number | undefined;
}

/** The result of {@link PushDaemon.flush}. */
export interface FlushResult {
  /** The branch's tip at the call, which the remote now has; `null` if the branch has no commit. */
  readonly commit: string | null;
}

/** The result of {@link PushDaemon.waitForPush}. */
export interface PushReceipt {
  /** The commit that the call waited for. */
  readonly commit: string;
  /** The remote branch's tip, which contains the commit. */
  readonly remoteCommit: string;
  /**
   * When the daemon's last push was confirmed, with this commit or a later one; `null` if the daemon has
   * pushed nothing, because the remote already had the commit.
   */
  readonly pushedAt: string | null;
}

/** The result of {@link PushDaemon.stop}. */
export interface StopResult {
  /** Whether the remote has every commit of the branch. */
  readonly drained: boolean;
  /** The number of commits of the branch that the remote does not have. */
  readonly pendingCommits: number;
}
