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
 * Starts pushing a branch, and returns its handle synchronously. Awaiting the result is harmless.
 *
 * No event is emitted before the caller has had a macrotask to attach listeners. An unreachable remote is
 * never a reason to throw: it is an `error` event, and the daemon goes on. The environment is that of `process.env` at
 * the call, in a worker the worker's own.
 *
 * @throws {Error} on misuse, with one of {@link PushDaemonMisuseCode} as `code`. The message says what was
 * given, what was expected and what to do.
 */
export function startPushDaemon(options: PushDaemonOptions): PushDaemon;

/** What {@link startPushDaemon} takes. An option that is not listed here is an error. */
export interface PushDaemonOptions {
  /** The name of a configured remote, or a URL or path, as `git push` takes it. */
  readonly remote: string;

  /**
   * The branch to push, as a short name (`main`) or in full (`refs/heads/main`); it has the same name on
   * the remote. A refspec such as `+main` or `a:b` is an error.
   *
   * @default the branch of HEAD
   */
  readonly branch?: string | undefined;

  /**
   * The local repository: a bare one, a working tree, a linked worktree or a `.git` directory.
   *
   * @default the environment variable `CFP_DATA_REPO_PATH`; without it git's own discovery, which is
   * `GIT_DIR` (of the process, also in a worker), then upwards from the current directory
   */
  readonly repoPath?: string | undefined;

  /**
   * How long to wait between a failed attempt and the next. `'exponential'` starts at 1 s, doubles up to
   * one hour, and shortens each delay at random by up to 20 %.
   *
   * @default 'exponential'
   */
  readonly backoff?: 'exponential' | BackoffConfig | undefined;

  /**
   * How often a tip is tried again after its first failed attempt. After the last, the state is
   * `gave-up`: the daemon stays up and starts afresh with the next commit.
   *
   * @default Infinity
   */
  readonly maxRetries?: number | undefined;

  /**
   * How long to gather commits after the first unpushed one before pushing, in milliseconds. Commits made
   * while a push is in flight always go out together in the next one.
   *
   * @default 0
   */
  readonly debounceMs?: number | undefined;

  /**
   * How long connecting may take in one attempt, until the remote has said what it has, login and credential helpers
   * included, in milliseconds; 0 for no limit.
   *
   * @default 15000
   */
  readonly connectTimeoutMs?: number | undefined;

  /**
   * How long the remote may stay silent within one attempt, in milliseconds; 0 for no limit. A server that
   * is working sends a keep-alive every 5 seconds, so that a longer silence is a hang. Over http(s) a proxy may hold
   * these back: there it counts only until everything is sent, and `reportTimeoutMs` from then on. Where `git push` is
   * used it is how long none of its processes, its hooks included, may move a byte or compute, which only Linux
   * shows; over http(s) and remote helpers the longer of the two limits.
   *
   * @default 60000
   */
  readonly idleTimeoutMs?: number | undefined;

  /**
   * How long the remote may take from the last byte sent to its report on the push (its hooks run in that time), in
   * milliseconds; 0 for no limit. Where `git push` is used over ssh, `git://` or a path, `idleTimeoutMs` alone counts.
   *
   * @default 900000
   */
  readonly reportTimeoutMs?: number | undefined;

  /**
   * How long one attempt may take as a whole, in milliseconds; 0 for no limit. A large push over a slow line may take
   * hours, and is no hang while it moves.
   *
   * @default 0
   */
  readonly attemptTimeoutMs?: number | undefined;

  /**
   * How long a connection is kept ready for the next commit after a push, in milliseconds; 0 for never. Over ssh it
   * is an idle `ssh` on this side and a waiting `git-receive-pack` on the other; over https an open connection.
   *
   * @default 30000
   */
  readonly keepConnectionMs?: number | undefined;

  /**
   * While the branches have diverged: how often the remote's tip is read to see whether somebody
   * reconciled them, in milliseconds; 0 for never. It only reads.
   *
   * @default 60000
   */
  readonly divergedProbeMs?: number | undefined;

  /**
   * What to do when the branches have diverged. `'report'` tells of it. `'preserve'` also pushes the local
   * tip to a new branch `refs/heads/conflicts/<UTC timestamp>` on the remote, so that the commits exist
   * twice while they wait for a person. Once for each local tip: where that fails, an `error` says so, and it
   * is tried again after the delays of `backoff`, or at the next look if that is sooner, until it is there.
   *
   * @default 'report'
   */
  readonly onDivergence?: 'report' | 'preserve' | undefined;

  /**
   * Whether to follow the branch itself, so that any writer's commits are pushed: this process, another
   * one, or `git commit` by hand. Without it only {@link PushDaemon.notifyCommit} and
   * {@link PushDaemon.flush} tell of new commits.
   *
   * @default true
   */
  readonly watch?: boolean | undefined;

  /**
   * Who speaks to the remote: `'native'` is this package, `'git'` is the git command, `'auto'` is this
   * package except where only the git command can (remote helpers, a `pre-push` hook, git-lfs, a server whose
   * certificate or version of TLS only git accepts).
   *
   * @default 'auto'
   */
  readonly transport?: 'auto' | 'native' | 'git' | undefined;

  /**
   * How long the end of the process may wait, blocking, for what is pending to reach the remote if {@link PushDaemon.stop} was
   * not called, in milliseconds; 0 for not at all. It applies to `process.exit()` by anybody, an uncaught exception and
   * `worker.terminate()`, but not to a signal that kills the process. The branch is looked at once more, all daemons of the
   * thread push at the same time, and the exit code stays. What is left behind is told in one line on standard error. A
   * `stop()` under way keeps its deadline if that is earlier.
   *
   * @default 5000
   */
  readonly exitDrainMs?: number | undefined;

  /**
   * Receives the daemon's own log lines. Pino's and Fastify's loggers fit as they are.
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

/** Where the daemon's own log lines go. `fields` is what is logged, `msg` says it in words. */
export interface PushDaemonLogger {
  debug(fields: object, msg: string): void;
  info(fields: object, msg: string): void;
  warn(fields: object, msg: string): void;
  error(fields: object, msg: string): void;
}

/**
 * A running daemon: an event emitter with a status.
 *
 * An `error` event that nobody listens to does not throw; it goes to the logger instead. A listener that
 * throws does not disturb the daemon and surfaces as an uncaught exception. An idle daemon does not keep
 * the process alive; a push in flight or a pending {@link flush}, {@link waitForPush} or {@link stop} does.
 */
export interface PushDaemon extends EventEmitter, AsyncDisposable {
  /**
   * Reads the daemon's state of this moment. It does no I/O and is cheap enough for every request. It is
   * already true when the event that tells of it arrives, and stays readable after {@link stop}.
   */
  status(): PushDaemonStatus;

  /**
   * Tells the daemon to look at the branch now, for callers that turn `watch` off. The daemon reads the tip
   * itself, so `commit` is only a note for its log. It never throws, and does nothing once stopped.
   */
  notifyCommit(commit?: string | null): void;

  /**
   * Makes an attempt now, without waiting for a debounce or a backoff. Resolves once the remote has confirmed
   * the branch's tip as it was at the call; at once if it did before.
   *
   * @throws {PushError} by rejection: the attempt failed, `timeoutMs` passed, the daemon stopped, or
   * `signal` aborted; see {@link PushErrorCode}. The commits stay pending and the daemon goes on.
   */
  flush(options?: WaitOptions): Promise<FlushResult>;

  /**
   * Waits until the remote branch contains a commit, and resolves at once if it already does. This is how
   * a request answers only when its commit is safe. A failed attempt that is retried does not end the
   * wait; one after which nothing follows by itself (the branches have diverged, `maxRetries` is used up)
   * does.
   *
   * @param commit full object id of a commit on the branch
   * @throws {PushError} by rejection: pushing was given up, `timeoutMs` passed, the daemon stopped, or
   * `signal` aborted; see {@link PushErrorCode}. The commit exists locally in any case, and a wait that
   * timed out or was aborted does not keep it from being pushed in the background.
   */
  waitForPush(commit: string, options?: WaitOptions): Promise<PushReceipt>;

  /**
   * Stops for good: leaves any backoff, pushes what is pending, and tries again on failure until
   * `timeoutMs` has passed; then it cancels what is in flight. It never rejects because of a failed push.
   * Calls may be repeated and share one promise. Afterwards no thread, child process, socket or file
   * access of the daemon is left.
   *
   * A hook that a remote still runs after it has confirmed a push (`post-receive`) is waited for until the deadline
   * where the remote is on this machine, as the hook ends with the daemon; otherwise for 2 seconds, as a server
   * goes on by itself.
   */
  stop(options?: StopOptions): Promise<StopResult>;

  /** Keeps the process alive while the daemon runs, as `ref()` of a timer does. */
  ref(): this;

  /** Undoes {@link ref}: an idle daemon lets the process exit. This is how a daemon starts. */
  unref(): this;

  /** Stops with the default deadline, for `await using`. */
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
  /** The remote confirmed that its branch now is at a commit of ours. */
  push: [event: PushEvent];
  /** An attempt failed. */
  error: [event: PushErrorEvent];
  /** Another attempt follows after a wait; comes after the `error` that it answers. */
  retry: [event: RetryEvent];
  /** The first success after failures; comes after its `push`, if there is one. */
  recovered: [event: RecoveredEvent];
  /** With `onDivergence: 'preserve'`: the local tip was put on a branch of its own. */
  preserved: [event: PreservedEvent];
  /**
   * The same as `error`, before its listeners, for who only observes: it does not count as a listener of
   * `error`. The name is `errorMonitor` of `node:events`.
   */
  [EventEmitter.errorMonitor]: [event: PushErrorEvent];
  /** The daemon ended. Emitted once, before {@link PushDaemon.stop} resolves; no event follows. */
  stopped: [event: StoppedEvent];
}

/** The remote confirmed the update of its branch. */
export interface PushEvent {
  /** The commit that was sent: the remote branch's tip. */
  readonly commit: string;
  /** How long the attempt took, in milliseconds. */
  readonly durationMs: number;
  /** The remote branch's tip before; `null` where the push created the branch. */
  readonly previous: string | null;
  /** How many commits the push brought to the remote branch. */
  readonly commits: number;
  /** Which attempt at this it was, from 1. */
  readonly attempt: number;
  /** The size of the pack that was sent, in bytes. */
  readonly bytes: number;
}

/** An attempt failed. */
export interface PushErrorEvent {
  /** The commit that was to be pushed; `null` for the first look at the remote, at start-up. */
  readonly commit: string | null;
  /** What went wrong, as an `Error` to log or to throw. */
  readonly err: PushError;
  /** Which attempt at this it was, from 1; 0 for the first look at the remote, at start-up. */
  readonly attempt: number;
  /** Whether the branches have diverged, which is never retried, or anything else. */
  readonly reason: PushFailureReason;
  /** What kind of failure it was. */
  readonly kind: PushFailureKind;
  /** One line that tells the operator what to do. */
  readonly hint: string;
  /** Whether waiting can help. */
  readonly retryable: boolean;
  /**
   * How long the attempt took until it failed, in milliseconds; absent where the failure is not the outcome
   * of an attempt, such as that of putting a diverged tip on a branch of its own.
   */
  readonly durationMs?: number;
  /** The remote branch's tip, where it is the evidence for the failure. */
  readonly remoteCommit?: string;
}

/** Another attempt follows. */
export interface RetryEvent {
  /** The commit that is to be pushed; `null` for the first look at the remote, at start-up. */
  readonly commit: string | null;
  /** The attempt that failed: that of the `error` before it. */
  readonly attempt: number;
  /** The wait before the next attempt, in milliseconds. */
  readonly nextDelayMs: number;
  /** Why the attempt failed. */
  readonly reason: PushFailureReason;
  /** Why the attempt failed, in more detail. */
  readonly kind: PushFailureKind;
}

/** The first success after failures. */
export interface RecoveredEvent {
  /** The remote branch's tip. */
  readonly commit: string;
  /** How many attempts failed in between. */
  readonly failedAttempts: number;
  /** The time from the first of them to the success, in milliseconds. */
  readonly downMs: number;
}

/** The local tip of a diverged branch was put on a branch of its own. */
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
  /** How many commits of the branch the remote does not have. */
  readonly pendingCommits: number;
}

/** What the daemon is doing. */
export type PushDaemonState =
  /** Opening the repository and taking the first look at the remote. */
  | 'starting'
  /** The remote has every commit of the branch. */
  | 'in-sync'
  /** Gathering commits for `debounceMs`. */
  | 'debouncing'
  /** An attempt is in flight. */
  | 'pushing'
  /** Waiting after a failure; see `currentBackoffMs` and `nextAttemptAt`. */
  | 'backing-off'
  /** The remote branch has commits that the local one lacks, and the other way round: a person must act. */
  | 'diverged'
  /** `maxRetries` is used up for this tip; the next commit starts afresh. */
  | 'gave-up'
  /** {@link PushDaemon.stop} was called and what is pending is being pushed. */
  | 'stopping'
  /** It ended. */
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
   * How many commits of the branch the remote does not have. It is derived from git, so it survives
   * restarts and stays above zero while the branches are diverged.
   */
  readonly pendingCommits: number;
  /** The whole wait before the next attempt, in milliseconds, while backing off; else `null`. */
  readonly currentBackoffMs: number | null;
  /** The attempt that is in flight or that failed last, from 1; `null` where there is none. */
  readonly currentAttempt: number | null;
  /** What the daemon is doing. */
  readonly state: PushDaemonState;
  /** The remote as it was given, without secrets. */
  readonly remote: string;
  /** The URL or path that is pushed to, without secrets. */
  readonly url: string;
  /** Who speaks to the remote, such as `local` or `ssh`; `null` before that is decided. */
  readonly transport: string | null;
  /** Why it is that one, where it is not the obvious choice; else `null`. */
  readonly transportReason: string | null;
  /** The branch, as a short name. */
  readonly branch: string;
  /** The tip of the local branch; `null` while it has none. */
  readonly localCommit: string | null;
  /** The last tip of the remote branch that the daemon saw; `null` where there is none or before that. */
  readonly remoteCommit: string | null;
  /** How many commits of the remote branch the local one does not have; `null` where unknown. */
  readonly behindCommits: number | null;
  /** The committer's time of the oldest commit that the remote does not have; `null` where there is none. */
  readonly oldestPendingAt: string | null;
  /**
   * How long that commit has been waiting, in milliseconds; 0 where there is none. Never below 0, and never
   * shorter than the daemon has known of commits that wait: a commit dated in the future hides no outage.
   */
  readonly lagMs: number;
  /** How many attempts have failed since the last success. */
  readonly consecutiveFailures: number;
  /** When the next attempt is due; `null` where none is planned. */
  readonly nextAttemptAt: string | null;
  /** When the daemon started. */
  readonly startedAt: string;
  /** Counts since the start. */
  readonly totals: PushDaemonTotals;
}

/** The last failure, as the status shows it. */
export interface PushDaemonLastError {
  /** What was said, without secrets. */
  readonly message: string;
  /** When it happened. */
  readonly at: string;
  /** Which attempt it was, from 1; 0 for the first look at the remote, at start-up. */
  readonly attempt: number;
  /** Whether the branches have diverged, or anything else. */
  readonly reason: PushFailureReason;
  /** What kind of failure it was. */
  readonly kind: PushFailureKind;
  /** One line that tells the operator what to do. */
  readonly hint: string;
}

/** Counts since the daemon started. */
export interface PushDaemonTotals {
  /** Pushes that the remote confirmed. */
  readonly pushes: number;
  /** Commits that they brought. */
  readonly commits: number;
  /** Attempts that failed. */
  readonly failures: number;
  /** Bytes of packs that were sent in confirmed pushes. */
  readonly bytes: number;
}

/** Whether the branches have diverged, which is never retried, or anything else. */
export type PushFailureReason = 'non-fast-forward' | 'unknown';

/** The kind of a failure. All but `non-fast-forward` are retried. */
export type PushFailureKind =
  /** The remote branch has commits that the local one lacks: a person must reconcile them. */
  | 'non-fast-forward'
  /** The server declined: a hook, a protected or checked-out branch, an archived repository, a limit of size or quota. */
  | 'rejected'
  /** The server did not accept the credentials, or they may not write. */
  | 'auth'
  /** The server's ssh host key is unknown or has changed. */
  | 'host-key'
  /** The server could not be reached, or the connection broke. */
  | 'network'
  /** A deadline passed: connecting, idle, or the whole attempt. */
  | 'timeout'
  /** Another process on the server holds the lock of the branch. */
  | 'remote-lock'
  /** The server failed: no such repository, disk full, corrupt repository, maintenance, a rate limit. */
  | 'remote-error'
  /** This side failed: the local repository, its disk, a program that could not be started. */
  | 'local'
  /** None of these could be told from what was said. */
  | 'unknown';

/** A push that failed, or a wait for one that ended without it. */
export class PushError extends Error {
  /** Stable, to be compared with. */
  readonly code: PushErrorCode;
  /** What kind of failure it was; for a wait that ended, the kind of the last failure before that. */
  readonly kind: PushFailureKind;
  /** Whether the branches have diverged, or anything else. */
  readonly reason: PushFailureReason;
  /** One line that tells the operator what to do. */
  readonly hint: string;
  /** Whether waiting can help. */
  readonly retryable: boolean;
  /** Which attempt it was, from 1; 0 for the first look at the remote; absent where none was made. */
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
  /** `signal` aborted; `name` is `AbortError` and `cause` the signal's reason, as everywhere in Node. */
  | 'ABORT_ERR'
  /** A method was called with something it does not take. */
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
  /** No remote of that name is configured. */
  | 'ERR_PUSH_DAEMON_REMOTE_NOT_FOUND'
  /** `branch` was left out and HEAD is detached or has no commit yet. */
  | 'ERR_PUSH_DAEMON_NO_BRANCH'
  /**
   * This process, in any of its threads, already runs a daemon for the same repository, remote and branch. Daemons of
   * another copy of the package are not known here; they share the work as those of another process do.
   */
  | 'ERR_PUSH_DAEMON_ALREADY_RUNNING'
  /** The system did not give what a daemon needs: a thread, a readable configuration. */
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
   * How long to go on pushing what is pending, in milliseconds; 0 cancels at once.
   *
   * @default 30000
   */
  readonly timeoutMs?: number | undefined;
}

/** What {@link PushDaemon.flush} resolves to. */
export interface FlushResult {
  /** The branch's tip at the call, which the remote now has; `null` where the branch has no commit. */
  readonly commit: string | null;
}

/** What {@link PushDaemon.waitForPush} resolves to. */
export interface PushReceipt {
  /** The commit that was waited for. */
  readonly commit: string;
  /** The remote branch's tip that contains it. */
  readonly remoteCommit: string;
  /**
   * When the daemon's last push was confirmed, which brought this commit or a later one; `null` where the
   * daemon has pushed nothing, since the remote had the commit all along.
   */
  readonly pushedAt: string | null;
}

/** What {@link PushDaemon.stop} resolves to. */
export interface StopResult {
  /** Whether the remote has every commit of the branch. */
  readonly drained: boolean;
  /** How many commits of the branch the remote does not have. */
  readonly pendingCommits: number;
}
