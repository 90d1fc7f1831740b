/**
 * Pushes every new commit of a branch to a remote, in the background, from a native thread.
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
 * Starts pushing a branch, and returns its handle synchronously. (`await` works too, as with gitsheets.)
 *
 * No event is emitted before the next macrotask, so you can attach listeners first. An unreachable remote does
 * not throw: the daemon emits an `error` event and retries. The daemon uses a copy of `process.env` taken at the
 * call (in a worker, the worker's).
 *
 * @throws {Error} if the daemon cannot start; its `code` is one of {@link PushDaemonMisuseCode}. The message says
 * what was given, what was expected and what to do.
 */
export function startPushDaemon(options: PushDaemonOptions): PushDaemon;

/** The options of {@link startPushDaemon}. An unknown option throws. */
export interface PushDaemonOptions {
  /** The name of a configured remote, or a URL or path, as `git push` takes it. */
  readonly remote: string;

  /**
   * The branch to push, by its short name (`main`) or full name (`refs/heads/main`). The remote branch has the
   * same name. A refspec such as `+main` or `a:b` throws.
   *
   * @default the branch of HEAD
   */
  readonly branch?: string | undefined;

  /**
   * The path of the local repository: a bare repository, a working tree, a linked worktree or a `.git`
   * directory.
   *
   * @default the environment variable `CFP_DATA_REPO_PATH`; if unset, git's own discovery: `GIT_DIR`, then the
   * current directory and its parents
   */
  readonly repoPath?: string | undefined;

  /**
   * The delay between a failed attempt and the next one. `'exponential'` starts at 1 s, doubles up to one hour,
   * and shortens each delay at random by up to 20 %.
   *
   * @default 'exponential'
   */
  readonly backoff?: 'exponential' | BackoffConfig | undefined;

  /**
   * The number of retries of one tip after its first failed attempt. When they are used up, the state is
   * `gave-up`; the daemon keeps running and starts again with the next commit or {@link PushDaemon.flush}.
   *
   * @default Infinity
   */
  readonly maxRetries?: number | undefined;

  /**
   * How long to wait after the first unpushed commit for more commits, in milliseconds. Commits made while a push
   * is in flight always go out together in the next one.
   *
   * @default 0
   */
  readonly debounceMs?: number | undefined;

  /**
   * The time limit for connecting, in milliseconds: from the start of the connection until the remote has listed
   * its refs, including the login and credential helpers. 0 disables the limit.
   *
   * @default 15000
   */
  readonly connectTimeoutMs?: number | undefined;

  /**
   * How long an attempt may go without a byte in either direction, in milliseconds. 0 disables the limit. A server
   * that is working sends a keep-alive every 5 seconds, so a longer silence means that it hangs. After the last byte
   * was sent, the limit is longer by the time that the buffers on the way may need to drain over a slow link: up to
   * 512 seconds for a push of 4 MiB or more.
   *
   * Over http(s), a proxy may hold back keep-alives, so this limit applies only until everything is sent; after
   * that, `reportTimeoutMs` applies. With `git push`, it applies only while git's progress shows that data is being
   * sent; at other times, such as while a hook runs, the command may be silent for `idleTimeoutMs` or
   * `reportTimeoutMs`, whichever is longer.
   *
   * @default 60000
   */
  readonly idleTimeoutMs?: number | undefined;

  /**
   * How long to wait for the remote's report after the last byte was sent, in milliseconds. The remote's hooks run
   * in this time. 0 disables the limit. For the command `git push`, see `idleTimeoutMs`.
   *
   * @default 900000
   */
  readonly reportTimeoutMs?: number | undefined;

  /**
   * The time limit for a whole attempt, in milliseconds. 0 disables the limit: a large push over a slow line may
   * take hours without hanging.
   *
   * @default 0
   */
  readonly attemptTimeoutMs?: number | undefined;

  /**
   * How long to keep a connection ready for the next commit after a push, in milliseconds. 0 keeps none. Over ssh,
   * a kept connection is an idle `ssh` process here and a waiting `git-receive-pack` on the server; over https, an
   * open connection.
   *
   * @default 30000
   */
  readonly keepConnectionMs?: number | undefined;

  /**
   * How often, in milliseconds, to check whether the remote was reconciled while the branches have diverged. 0
   * disables the check. It only reads, except that it retries a failed push of `onDivergence: 'preserve'`.
   *
   * @default 60000
   */
  readonly divergedProbeMs?: number | undefined;

  /**
   * How often to read the remote branch's tip while in sync, in milliseconds, shortened at random by up to a fifth. 0
   * disables it. It downloads no objects, and is not done while a push is due. So the daemon learns that the remote was
   * set back, emptied or replaced, cannot be reached, or refuses the credentials, without waiting for the next commit.
   * See `status().verifiedAt` and the event `regressed`.
   *
   * @default 300000
   */
  readonly verifyMs?: number | undefined;

  /**
   * What to do when the remote lacks commits that it had confirmed. `'push'` brings it forward again at once.
   * `'report'` leaves it as it is until the next commit or {@link PushDaemon.flush}, for people who remove commits from
   * the remote on purpose: the state is `regressed`. Both emit `regressed`. If a remote loses commits again and again,
   * `'push'` waits between the pushes, with the delays of `backoff`.
   *
   * @default 'push'
   */
  readonly onRegression?: 'push' | 'report' | undefined;

  /**
   * The most bytes that one pack should have. A larger backlog is pushed in several steps: fast-forwards along the
   * first parents of the branch, each with a `push` event of its own. A single commit is never divided. The size is
   * estimated from the objects before the pack is made, and a pack is hardly ever larger. `Infinity` sets no limit.
   * The default is half of what GitHub accepts in one push.
   *
   * Whatever the value, steps become smaller after a connection has broken while a pack was sent, and after the
   * server has refused a pack as too large.
   *
   * @default 1073741824
   */
  readonly maxPackBytes?: number | undefined;

  /**
   * What to do when the branches have diverged. `'report'` emits an `error`. `'preserve'` also pushes the local
   * tip to a new branch `refs/heads/conflicts/<UTC timestamp>` on the remote, once for each local tip, so that a
   * second copy of the commits exists until a person resolves the divergence. If that push fails, the daemon emits
   * an `error` and retries until it succeeds, with the delays of `backoff` but at the latest at the next check
   * (`divergedProbeMs`).
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
   * Which program talks to the remote. `'native'` is this package, `'git-cli'` is the command `git push`. `'auto'`
   * uses this package, and `git push` only where it is required: for remote helpers, a `pre-push` hook, git-lfs, or
   * a server whose certificate or TLS version only git accepts. `'git'` is the former name of `'git-cli'`, and
   * deprecated.
   *
   * @default 'auto'
   */
  readonly transport?: 'auto' | 'native' | 'git-cli' | 'git' | undefined;

  /**
   * How long the exiting process may block to push pending commits if {@link PushDaemon.stop} was not called, in
   * milliseconds. 0 means that it does not push. It applies to `process.exit()`, an uncaught exception and
   * `worker.terminate()`, but not to a signal that kills the process. The daemon reads the branch once more, and all
   * daemons of the thread push at the same time. Cleaning up may take up to a second longer. The exit code does not
   * change. If commits remain unpushed, one line on standard error says so. If a `stop()` is already running with an
   * earlier deadline, that deadline applies.
   *
   * @default 5000
   */
  readonly exitDrainMs?: number | undefined;

  /**
   * Receives the daemon's own log lines. pino and Fastify loggers work as is.
   *
   * @default none
   */
  readonly logger?: PushDaemonLogger | undefined;
}

/**
 * Delays between attempts. The delay before retry `n` (from 1) is `base * multiplier ** (n - 1)`, capped at
 * `cap`, then shortened by a random share of up to `jitter`.
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
 * Without an `error` listener, errors do not throw: they go to the logger, or become process warnings if there is
 * none. A listener that throws causes an uncaught exception and does not affect the daemon. An idle daemon does not
 * keep the process alive. A debounce, a push in flight, or a pending {@link flush}, {@link waitForPush} or
 * {@link stop} does.
 */
export interface PushDaemon extends EventEmitter, AsyncDisposable {
  /**
   * Returns the daemon's current state. It does no I/O; you can call it on every request. When an event arrives, the
   * status already reflects it. It stays available after {@link stop}.
   */
  status(): PushDaemonStatus;

  /**
   * Tells the daemon to read the branch now; needed only if `watch` is off. The daemon reads the tip itself and
   * ignores `commit`. Never throws; does nothing after {@link stop}.
   */
  notifyCommit(commit?: string | null): void;

  /**
   * If the branch has unpushed commits, starts an attempt now, without waiting for a debounce or backoff. Resolves
   * once the remote has confirmed the branch's tip at the time of the call.
   *
   * Rejects with a {@link PushError} if the attempt failed, `timeoutMs` passed, the daemon stopped, `signal` was
   * aborted, or an argument is invalid; see {@link PushErrorCode}. The commits stay pending, and the daemon
   * continues.
   */
  flush(options?: WaitOptions): Promise<FlushResult>;

  /**
   * Waits until the remote branch contains a commit; resolves immediately if it already does. Use it to answer a
   * request only after its commit is safe. The wait survives failed attempts that are retried. It ends if the daemon
   * stops retrying, because the branches have diverged or `maxRetries` is used up.
   *
   * Rejects with a {@link PushError} if the daemon gave up, `timeoutMs` passed, the daemon stopped, `signal` was
   * aborted, or an argument is invalid; see {@link PushErrorCode}. The commit exists locally in any case, and the
   * daemon still pushes it after a wait that timed out or was aborted.
   *
   * @param commit full object id of a commit on the branch
   */
  waitForPush(commit: string, options?: WaitOptions): Promise<PushReceipt>;

  /**
   * Stops the daemon for good. It ends any backoff, pushes the pending commits and retries failures until
   * `timeoutMs` has passed, then cancels the push in flight. It never rejects because of a failed push. Further calls
   * return the same promise. Afterwards the daemon has no thread, child process, socket or file watch left, except
   * the thread of a name lookup that hangs.
   *
   * After it has confirmed a push, a remote may still run its `post-receive` hook. If the remote is on this machine,
   * `stop()` waits for the hook until the deadline, because the hook is a child of the daemon and would be killed
   * with it. Otherwise it waits at most 2 seconds, because the server carries on without it.
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
  /** The remote confirmed a push. */
  push: [event: PushEvent];
  /** An attempt failed. */
  error: [event: PushErrorEvent];
  /** Another attempt follows after a wait. Emitted after the `error` of the failed attempt, before the wait. */
  retry: [event: RetryEvent];
  /** The first success after failures. Emitted after the `push` event, if there is one. */
  recovered: [event: RecoveredEvent];
  /** With `onDivergence: 'preserve'`: the local tip was pushed to a new branch. */
  preserved: [event: PreservedEvent];
  /** The remote was found to lack commits that it had confirmed; see `onRegression`. */
  regressed: [event: RegressedEvent];
  /** The progress of a push that takes longer than a second, once a second. The steps of a backlog count as one push. */
  progress: [event: PushProgress];
  /**
   * Emitted before `error`, with the same argument. Listening here does not count as handling the error; it is meant
   * for monitoring. See `errorMonitor` in `node:events`.
   */
  [EventEmitter.errorMonitor]: [event: PushErrorEvent];
  /** The daemon ended. Emitted once, before {@link PushDaemon.stop} resolves. No event follows. */
  stopped: [event: StoppedEvent];
}

/** The remote confirmed a push. */
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
  /** The size of the pack that was sent, in bytes; 0 if it is unknown, as with the transport `git-cli`. */
  readonly bytes: number;
}

/** An attempt failed. */
export interface PushErrorEvent {
  /** The commit to push; `null` for a check of the remote, at the start or while in sync. */
  readonly commit: string | null;
  /** The failure, as an `Error` to log or to throw. */
  readonly err: PushError;
  /** The number of the attempt, from 1; 0 for a check of the remote, at the start or while in sync. */
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
   * How long the attempt took, in milliseconds; absent if the failed push was the one that preserves a diverged tip,
   * or if the daemon itself broke down.
   */
  readonly durationMs?: number;
  /** The remote branch's tip, if the failure is that the branches have diverged. */
  readonly remoteCommit?: string;
  /**
   * What only one side has, if the failure is that the branches have diverged; absent if it could not be found out (see
   * {@link PushDaemonStatus.divergence}).
   */
  readonly divergence?: PushDivergence;
}

/** Another attempt follows. */
export interface RetryEvent {
  /** The commit to push; `null` for a check of the remote, at the start or while in sync. */
  readonly commit: string | null;
  /** The number of the attempt that failed, as in the preceding `error`. */
  readonly attempt: number;
  /** The wait before the next attempt, in milliseconds. */
  readonly nextDelayMs: number;
  /** The reason for the failure. */
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

/** The local tip of a diverged branch was pushed to a new branch. */
export interface PreservedEvent {
  /** The local tip. */
  readonly commit: string;
  /** The full name of the branch on the remote. */
  readonly ref: string;
}

/** The remote lacks commits that it had confirmed. */
export interface RegressedEvent {
  /** The tip that the remote branch had before. */
  readonly from: string;
  /** The tip that it has now; `null` if the remote has no such branch any more. */
  readonly to: string | null;
  /** The number of commits that the remote branch has lost. */
  readonly commits: number;
  /**
   * The wait before the daemon brings the remote forward again, in milliseconds: 0 except for a remote that loses
   * commits again and again. `null` if the remote is left as it is (`onRegression: 'report'`).
   */
  readonly nextDelayMs: number | null;
}

/** How far the push under way has come. */
export interface PushProgress {
  /** The commit to which this push moves the remote branch; with several steps, that of the present one. */
  readonly commit: string;
  /** What the push is doing. */
  readonly phase: PushProgressPhase;
  /** The number of objects that this phase is through with. */
  readonly objects: number;
  /** The number of objects of this phase; `null` if unknown. */
  readonly totalObjects: number | null;
  /**
   * The bytes of the pack that were handed over to be sent. On the way, buffers may hold some megabytes of them. With
   * the transport `git-cli`, as git tells it.
   */
  readonly bytes: number;
  /** The size of the pack in bytes; `null` until all of it is made. */
  readonly totalBytes: number | null;
  /** The bytes handed over per second, since the last event; `null` unless the phase is `sending`. */
  readonly bytesPerSecond: number | null;
  /** Which step of the backlog this push is, from 1; see `maxPackBytes`. */
  readonly step: number;
  /** The number of steps, estimated; 1 if the backlog is not divided. */
  readonly steps: number;
  /** The last line that the server or its hooks have told, such as `Resolving deltas:  45% (123/271)`; or `null`. */
  readonly serverMessage: string | null;
  /** How long the push has been running, with all steps of its backlog, in milliseconds. */
  readonly elapsedMs: number;
  /** How much longer the phase will take, in milliseconds, estimated by its objects; `null` if unknown. */
  readonly remainingMs: number | null;
}

/** What a push is doing. */
export type PushProgressPhase =
  /** Listing the objects to send. */
  | 'counting'
  /** git looks for deltas between the objects, as it does for large backlogs. */
  | 'compressing'
  /** The pack is being sent. */
  | 'sending'
  /** The pack is handed over; the server stores and checks it, and runs its hooks. */
  | 'server';

/** The daemon ended. */
export interface StoppedEvent {
  /** Whether the remote has every commit of the branch. */
  readonly drained: boolean;
  /** The number of commits of the branch that the remote does not have. */
  readonly pendingCommits: number;
}

/** The daemon's state. */
export type PushDaemonState =
  /** Checking the remote for the first time. */
  | 'starting'
  /** The remote has every commit of the branch. */
  | 'in-sync'
  /** Waiting `debounceMs` for more commits. */
  | 'debouncing'
  /** An attempt is in flight. */
  | 'pushing'
  /** Waiting after a failure; see `currentBackoffMs` and `nextAttemptAt`. */
  | 'backing-off'
  /** Each branch, local and remote, has commits that the other lacks: a person must act. */
  | 'diverged'
  /** `maxRetries` is used up for this tip; the daemon starts again with the next commit or `flush()`. */
  | 'gave-up'
  /** The remote has lost commits, and is left as it is until the next commit or `flush()`; see `onRegression`. */
  | 'regressed'
  /** {@link PushDaemon.stop} was called; the daemon pushes the pending commits. */
  | 'stopping'
  /** The daemon has ended. */
  | 'stopped';

/** The state of a daemon at one moment; a plain object that `JSON.stringify` takes. */
export interface PushDaemonStatus {
  /** Whether the daemon runs: `true` until {@link PushDaemon.stop} is called. */
  readonly running: boolean;
  /** When the last push was confirmed; `null` before the first. */
  readonly lastPushAt: string | null;
  /**
   * When the remote branch's tip was last read from the remote, or confirmed by a push; `null` before the first time.
   * See `verifyMs`.
   */
  readonly verifiedAt: string | null;
  /** The last failure; `null` before the first, and again after the next success. */
  readonly lastError: PushDaemonLastError | null;
  /**
   * The number of commits of the branch that the remote does not have, computed from the history. It is therefore
   * correct after a restart, and stays above zero while the branches have diverged.
   */
  readonly pendingCommits: number;
  /** The full length of the current wait, in milliseconds; `null` unless the daemon is backing off. */
  readonly currentBackoffMs: number | null;
  /** The number of the attempt in flight, or of the failed attempt while backing off, from 1; else `null`. */
  readonly currentAttempt: number | null;
  /** The daemon's state. */
  readonly state: PushDaemonState;
  /** The remote as it was given, without secrets. */
  readonly remote: string;
  /** The URL or path of the remote when the daemon started, without secrets. */
  readonly url: string;
  /**
   * What talks to the remote: `local` (a path), `ssh`, `http`, `https`, `git` (for `git://`) or `git-cli` (the
   * command `git push`); `null` before the first attempt.
   */
  readonly transport: string | null;
  /** Why `transport` is `git-cli`; `null` for other transports. */
  readonly transportReason: string | null;
  /** The branch, as a short name. */
  readonly branch: string;
  /** The hash of the local repository's object ids. A SHA-1 id has 40 hexadecimal digits, a SHA-256 id has 64. */
  readonly objectFormat: 'sha1' | 'sha256';
  /** How the local repository stores its refs. It changes if `git refs migrate` converts them. */
  readonly refFormat: 'files' | 'reftable';
  /** The tip of the local branch; `null` while it has none. */
  readonly localCommit: string | null;
  /**
   * The remote branch's tip, as last known (until the first check, from an earlier run); `null` if the remote has no
   * such branch or nothing is known.
   */
  readonly remoteCommit: string | null;
  /**
   * The number of commits of the remote branch that the local one does not have; `null` if unknown. To count commits that
   * are not in the local repository, the daemon fetches them as for `divergence`.
   */
  readonly behindCommits: number | null;
  /** The committer time of the oldest commit that the remote does not have; `null` if nothing is pending. */
  readonly oldestPendingAt: string | null;
  /**
   * How long that commit has been waiting, in milliseconds; 0 if nothing is pending. Never negative, and never less
   * than the time for which the daemon has known of pending commits, so a commit dated in the future cannot hide an
   * outage.
   */
  readonly lagMs: number;
  /** The number of attempts that have failed since the last success. */
  readonly consecutiveFailures: number;
  /** When the next retry is due; `null` unless the daemon is backing off. */
  readonly nextAttemptAt: string | null;
  /** When the daemon started. */
  readonly startedAt: string;
  /** Counts since the start. */
  readonly totals: PushDaemonTotals;
  /**
   * What only one side has while `state` is `'diverged'`; `null` in other states. Commits of the remote that are not in the
   * local repository are fetched for this into a temporary directory in the git directory, which the daemon removes once it
   * resumes or stops; the repository itself is not changed. Also `null` if that fails: there is no git command, the remote
   * refuses it, it takes longer than 30 seconds, or it is more than 64 MiB.
   */
  readonly divergence: PushDivergence | null;
  /** How far the push under way has come; `null` in the first second of a push, and while nothing is pushed. */
  readonly progress: PushProgress | null;
}

/** What only one side of a diverged branch has. */
export interface PushDivergence {
  /**
   * The last commit that both branches have; `null` if their histories are unrelated, or part beyond the boundary of a
   * shallow clone.
   */
  readonly mergeBase: string | null;
  /** The number of commits that only the local branch has. */
  readonly ahead: number;
  /** The number of commits that only the remote branch has. */
  readonly behind: number;
  /** The newest of the commits that only the remote branch has, at most 20, the newest first. */
  readonly commits: readonly PushDivergentCommit[];
  /**
   * The commands that merge both sides, for a shell on this machine. They force nothing. The runbook has other ways to
   * reconcile the branches.
   */
  readonly commands: readonly string[];
}

/**
 * A commit that only the remote branch has. Anybody who can push may have written its texts: they have no control
 * characters, but escape them for HTML.
 */
export interface PushDivergentCommit {
  /** The full id. */
  readonly commit: string;
  /** The author as `Name <mail>`, cut after 100 characters. */
  readonly author: string;
  /** The committer's time, in ISO 8601. */
  readonly committedAt: string;
  /** The subject of the message, in one line, cut after 200 characters. */
  readonly subject: string;
}

/** The last failure, as the status shows it. */
export interface PushDaemonLastError {
  /** The message, without secrets. */
  readonly message: string;
  /** When it happened. */
  readonly at: string;
  /** The number of the attempt, from 1; 0 for a check of the remote, at the start or while in sync. */
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
  /** Bytes of the packs of these pushes, as far as they are known. */
  readonly bytes: number;
  /** How often the remote was found to lack commits that it had confirmed. */
  readonly regressions: number;
}

/** `'non-fast-forward'` if the branches have diverged, which is never retried; else `'unknown'`. */
export type PushFailureReason = 'non-fast-forward' | 'unknown';

/** The kind of a failure. All but `non-fast-forward` are retried. */
export type PushFailureKind =
  /** The remote branch has commits that the local one lacks: a person must reconcile them. */
  | 'non-fast-forward'
  /** The server declined the push: a hook, a protected or checked-out branch, an archived repository, a quota. */
  | 'rejected'
  /** The server or proxy did not accept the credentials, or the account has no write access. */
  | 'auth'
  /** The server's ssh host key is unknown or has changed. */
  | 'host-key'
  /** The server could not be reached, the connection broke, or the server's certificate was refused. */
  | 'network'
  /** A time limit passed: connecting, silence, the report, or the whole attempt. */
  | 'timeout'
  /** Another process on the server holds the lock of the branch. */
  | 'remote-lock'
  /** The server failed: no such repository, disk full, corrupt repository, maintenance, a rate limit. */
  | 'remote-error'
  /** A fault on this machine: the repository, its disk, ssh, or a program that cannot be started. */
  | 'local'
  /** The cause is unknown: there was no message, or it was not recognized. */
  | 'unknown';

/** A failed push, or a wait that ended before the push. */
export class PushError extends Error {
  /** A stable code to compare with. */
  readonly code: PushErrorCode;
  /** The kind of failure. If a wait ended early, that of the last failure before; `'unknown'` if there was none. */
  readonly kind: PushFailureKind;
  /** `'non-fast-forward'` if the branches have diverged, else `'unknown'`. */
  readonly reason: PushFailureReason;
  /** One line that tells the operator what to do. */
  readonly hint: string;
  /** Whether waiting can help. */
  readonly retryable: boolean;
  /**
   * The number of the attempt that failed, from 1; 0 for a check of the remote. Set in the `err` of an
   * `error` event; absent if `flush()` or `waitForPush()` rejects.
   */
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
  /** The signal was aborted. As usual in Node, `name` is `AbortError` and `cause` is the signal's reason. */
  | 'ABORT_ERR'
  /** A method got an invalid argument. */
  | 'ERR_PUSH_DAEMON_INVALID_OPTION';

/** The `code` of an `Error` that {@link startPushDaemon} throws. */
export type PushDaemonMisuseCode =
  /** An option is missing, unknown, of the wrong type or out of range. */
  | 'ERR_PUSH_DAEMON_INVALID_OPTION'
  /** There is no git repository at `repoPath`. */
  | 'ERR_PUSH_DAEMON_REPOSITORY_NOT_FOUND'
  /** The repository has a format version or an extension that git 2.47 does not know either. */
  | 'ERR_PUSH_DAEMON_UNSUPPORTED_REPOSITORY'
  /** The repository belongs to another user and is not listed in git's `safe.directory`. */
  | 'ERR_PUSH_DAEMON_REPOSITORY_NOT_OWNED'
  /** No remote with that name is configured. */
  | 'ERR_PUSH_DAEMON_REMOTE_NOT_FOUND'
  /** `branch` was left out and HEAD is detached or has no commit yet. */
  | 'ERR_PUSH_DAEMON_NO_BRANCH'
  /**
   * A daemon for the same repository, remote and branch already runs in this process, in this or another thread.
   * Daemons of another copy of the package are not detected; they cooperate like daemons of different processes.
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
   * How long to keep pushing pending commits, in milliseconds; 0 cancels at once.
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
   * When this daemon last had a push confirmed; `null` if it has pushed nothing. If another process delivered the
   * commit, this may be the time of an earlier push.
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

/**
 * Makes sure that a repository is there, before a service opens it and starts its daemon: makes a bare clone of the
 * remote if there is none, as after the loss of a volume.
 *
 * ```ts
 * import { restoreRepository, startPushDaemon } from 'git-push-daemon';
 *
 * await restoreRepository({ repoPath, url: 'git@git.example.com:team/data.git', branch: 'main' });
 * const daemon = startPushDaemon({ repoPath, remote: 'origin', branch: 'main' });
 * ```
 *
 * - Nothing at `repoPath`, or an empty directory (a new volume, with or without `lost+found`): it clones. The clone
 *   appears in one step, when it is whole and on the disk. After a crash, the next call removes or completes what was
 *   begun. If two processes restore the same path, one waits for the other.
 * - A repository of that remote: it is checked and left alone, also if it is ahead, behind or diverged, without a
 *   connection. It must open, have the branch with its commit, and have a remote with that URL; credentials, a slash
 *   and `.git` at the end do not count. Only an empty repository is compared with the remote, which must be empty too.
 * - Anything else rejects, and nothing is changed.
 *
 * The clone has all branches and tags, as `git clone --bare` makes it, HEAD on the followed branch, the remote
 * `origin`, and remote-tracking refs, in which the daemon remembers the remote's tip. Of an empty remote it is an empty
 * repository. `git` itself clones, with the credentials, ssh settings and environment that pushes use; it must be
 * installed.
 *
 * Misuse throws synchronously, with the `code` `ERR_PUSH_DAEMON_INVALID_OPTION` or `ERR_PUSH_DAEMON_SYSTEM`. Everything
 * else rejects with a {@link RestoreError}. It is not retried: let the service fail to start, and start again.
 */
export function restoreRepository(options: RestoreOptions): Promise<RestoreResult>;

/** The options of {@link restoreRepository}. An unknown option throws. */
export interface RestoreOptions {
  /**
   * Where the repository is to be. Missing parent directories are made.
   *
   * @default the environment variable `CFP_DATA_REPO_PATH`; if unset, it is required
   */
  readonly repoPath?: string | undefined;

  /** The URL or path of the remote, as `git clone` takes it. It becomes the URL of the clone's `origin`. */
  readonly url: string;

  /**
   * The branch that the service writes, by its short name (`main`) or full name (`refs/heads/main`). A remote that has
   * other branches but not this one is an error.
   *
   * @default the branch of the remote's HEAD, or of the repository's if it is there
   */
  readonly branch?: string | undefined;

  /**
   * The time limit for connecting, in milliseconds: until the remote begins to send, including the login and
   * credential helpers. 0 disables the limit. A path has no connection.
   *
   * @default 15000
   */
  readonly connectTimeoutMs?: number | undefined;

  /**
   * How long git may make no progress, in milliseconds. 0 disables the limit. A path is copied without limits. There
   * is no limit for the whole: pass `AbortSignal.timeout()` for one.
   *
   * @default 60000
   */
  readonly idleTimeoutMs?: number | undefined;

  /** Ends the restore: git is ended, and what it has made is removed, before the promise rejects. */
  readonly signal?: AbortSignal | undefined;

  /**
   * Is called when a phase begins, and then once a second. A phase that is over at once may be skipped. If a repository is
   * there, it is not called. If it throws, that is an uncaught exception, and the restore goes on.
   */
  readonly onProgress?: ((progress: RestoreProgress) => void) | undefined;
}

/** How far a restore has come. */
export interface RestoreProgress {
  /** What it is doing. */
  readonly phase: RestorePhase;
  /** The number of objects that this phase is through with; while `resolving`, the number of deltas. */
  readonly objects: number;
  /** The number of objects of this phase; `null` if unknown. */
  readonly totalObjects: number | null;
  /** The bytes of the pack that were received, as git tells them. */
  readonly bytes: number;
  /** The bytes received per second, since the last call; `null` unless the phase is `receiving`. */
  readonly bytesPerSecond: number | null;
  /** The last line that the server has told besides its progress; or `null`. */
  readonly serverMessage: string | null;
  /** How long the restore has been running, in milliseconds. */
  readonly elapsedMs: number;
  /** How much longer the phase will take, in milliseconds, estimated by its objects; `null` if unknown. */
  readonly remainingMs: number | null;
}

/** What a restore is doing. */
export type RestorePhase =
  /** Another process restores the same path. */
  | 'waiting'
  /** The remote has not sent anything yet. */
  | 'connecting'
  /** The remote lists the objects to send. */
  | 'counting'
  /** The remote looks for deltas between them. */
  | 'compressing'
  /** The pack is being received. */
  | 'receiving'
  /** The deltas of the pack are resolved, and its objects checked. */
  | 'resolving'
  /** The clone is written through to the disk and put in place. */
  | 'storing';

/** The result of {@link restoreRepository}. */
export interface RestoreResult {
  /** Whether a clone was made; `false` if the repository was there. */
  readonly restored: boolean;
  /** The tip of the branch; `null` if the remote is empty. */
  readonly commit: string | null;
  /** How long it took, in milliseconds. */
  readonly durationMs: number;
}

/** Why {@link restoreRepository} rejects. Nothing was changed. */
export class RestoreError extends Error {
  /** A stable code to compare with. */
  readonly code: RestoreErrorCode;
  /** The kind of failure, as of a push; `'local'` for everything about `repoPath`, `'unknown'` if it was aborted. */
  readonly kind: PushFailureKind;
  /** One line that tells the operator what to do. */
  readonly hint: string;
  /** Whether waiting can help. */
  readonly retryable: boolean;
}

/** The `code` of a {@link RestoreError}. */
export type RestoreErrorCode =
  /** The clone could not be made, or `repoPath` cannot be read; `kind` and `message` say why. */
  | 'ERR_PUSH_DAEMON_RESTORE_FAILED'
  /**
   * Something else is at `repoPath`: a file, other files, a part of a repository, a repository without the branch, or one
   * of another remote.
   */
  | 'ERR_PUSH_DAEMON_NOT_THE_REPOSITORY'
  /** The signal was aborted. As usual in Node, `name` is `AbortError` and `cause` is the signal's reason. */
  | 'ABORT_ERR';
