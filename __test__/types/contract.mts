/** The contract under `strict` and `exactOptionalPropertyTypes`: what it takes, gives and refuses. */

import { once } from 'node:events';

import {
  type BackoffConfig,
  type FlushResult,
  type PushDaemon,
  type PushDaemonLogger,
  type PushDaemonMisuseCode,
  type PushDaemonOptions,
  type PushDaemonState,
  type PushDaemonStatus,
  PushError,
  type PushErrorEvent,
  type PushEvent,
  type PushFailureKind,
  type PushFailureReason,
  type PushProgress,
  type PushProgressPhase,
  type PushReceipt,
  type RegressedEvent,
  RestoreError,
  type RestoreErrorCode,
  type RestoreOptions,
  type RestorePhase,
  type RestoreProgress,
  type RestoreResult,
  restoreRepository,
  type StopResult,
  startPushDaemon,
} from 'git-push-daemon';

type Equal<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

function assertType<_T extends true>(): void {}

// Every option may be given as undefined, save remote.
const backoff: BackoffConfig = { base: 1, multiplier: 2, cap: 3 };
const options: PushDaemonOptions = {
  remote: 'origin',
  branch: undefined,
  repoPath: undefined,
  backoff,
  maxRetries: Infinity,
  debounceMs: undefined,
  connectTimeoutMs: 1,
  idleTimeoutMs: 1,
  reportTimeoutMs: 1,
  attemptTimeoutMs: 1,
  keepConnectionMs: 0,
  divergedProbeMs: 0,
  verifyMs: 60_000,
  onRegression: 'report',
  maxPackBytes: Infinity,
  onDivergence: 'preserve',
  watch: false,
  transport: 'native',
  logger: console,
};

// The result is no promise, and may be awaited.
const daemon = startPushDaemon(options);
assertType<Equal<typeof daemon, PushDaemon>>();
assertType<Equal<Awaited<typeof daemon>, PushDaemon>>();

// Events and their payloads.
daemon
  .on('push', (event) => assertType<Equal<typeof event, PushEvent>>())
  .once('error', (event) => assertType<Equal<typeof event, PushErrorEvent>>())
  .off('push', () => {})
  .prependListener('recovered', ({ commit, failedAttempts, downMs }) => [
    commit,
    failedAttempts,
    downMs,
  ])
  .on('preserved', ({ commit, ref }) => `${commit} ${ref}`)
  .on('regressed', (event) => assertType<Equal<typeof event, RegressedEvent>>())
  .on('progress', (event) => assertType<Equal<typeof event, PushProgress>>())
  .on('stopped', ({ drained, pendingCommits }) => [drained, pendingCommits]);
daemon.on('error', ({ err, remoteCommit, reason, kind }) => {
  assertType<Equal<typeof err, PushError>>();
  assertType<Equal<typeof remoteCommit, string | undefined>>();
  assertType<Equal<typeof reason, PushFailureReason>>();
  assertType<Equal<typeof kind, PushFailureKind>>();
});
assertType<Equal<PushFailureReason, 'non-fast-forward' | 'unknown'>>();
const emitted: unknown[] = await once(daemon, 'push');
void emitted;

// The status.
const status: PushDaemonStatus = daemon.status();
switch (status.state) {
  case 'starting':
  case 'in-sync':
  case 'debouncing':
  case 'pushing':
  case 'backing-off':
  case 'diverged':
  case 'gave-up':
  case 'regressed':
  case 'stopping':
  case 'stopped':
    break;
  default:
    assertType<Equal<typeof status.state, never>>();
}
assertType<Equal<typeof status.state, PushDaemonState>>();
assertType<Equal<typeof status.behindCommits, number | null>>();
assertType<Equal<typeof status.verifiedAt, string | null>>();
assertType<Equal<typeof status.progress, PushProgress | null>>();
assertType<Equal<PushProgressPhase, 'counting' | 'compressing' | 'sending' | 'server'>>();

// The methods.
const flushed: FlushResult = await daemon.flush({ timeoutMs: 1, signal: AbortSignal.timeout(3) });
assertType<Equal<typeof flushed.commit, string | null>>();
const receipt: PushReceipt = await daemon.waitForPush('0'.repeat(40), { signal: undefined });
assertType<Equal<typeof receipt.pushedAt, string | null>>();
const stopped: StopResult = await daemon.stop({ timeoutMs: undefined });
assertType<Equal<typeof stopped.drained, boolean>>();
assertType<Equal<ReturnType<PushDaemon['notifyCommit']>, void>>();
daemon.unref().ref().notifyCommit(null);
{
  await using scoped = startPushDaemon(options);
  scoped.notifyCommit();
}

// Errors.
try {
  await daemon.flush();
} catch (error) {
  if (error instanceof PushError && error.code === 'ABORT_ERR') {
    const kind: PushFailureKind = error.kind;
    void kind;
  }
}
const misuse: PushDaemonMisuseCode = 'ERR_PUSH_DAEMON_NO_BRANCH';
void misuse;
const logger: PushDaemonLogger = { debug() {}, info() {}, warn() {}, error() {} };
void logger;

// @ts-expect-error remote is required
startPushDaemon({});
// @ts-expect-error there is no such option
startPushDaemon({ remote: 'origin', refspec: '+main' });
// @ts-expect-error a backoff is a word or an object
startPushDaemon({ remote: 'origin', backoff: 'linear' });
// @ts-expect-error a backoff has a cap
startPushDaemon({ remote: 'origin', backoff: { base: 1, multiplier: 2 } });
// @ts-expect-error a logger has an error method
startPushDaemon({ remote: 'origin', logger: { debug() {}, info() {}, warn() {} } });
// @ts-expect-error there is no such event
daemon.on('psuh', () => {});
// @ts-expect-error there is no such field
daemon.on('push', ({ nope }) => nope);
// @ts-expect-error the status is a snapshot
daemon.status().pendingCommits = 0;
// @ts-expect-error a commit is a string
daemon.waitForPush(1);

// Restoring: every option may be given as undefined, save url.
const toRestore: RestoreOptions = {
  repoPath: undefined,
  url: 'git@git.example.com:team/data.git',
  branch: undefined,
  connectTimeoutMs: 0,
  idleTimeoutMs: undefined,
  signal: new AbortController().signal,
  onProgress: (progress) => {
    assertType<Equal<typeof progress, RestoreProgress>>();
    assertType<Equal<typeof progress.phase, RestorePhase>>();
    assertType<Equal<typeof progress.totalObjects, number | null>>();
  },
};
const restored = await restoreRepository(toRestore);
assertType<Equal<typeof restored, RestoreResult>>();
assertType<Equal<typeof restored.commit, string | null>>();
declare const reason: unknown;
if (reason instanceof RestoreError) {
  assertType<Equal<typeof reason.code, RestoreErrorCode>>();
  assertType<Equal<typeof reason.kind, PushFailureKind>>();
}
// @ts-expect-error: url is required
restoreRepository({ repoPath: '/data/data.git' });
// @ts-expect-error: an unknown option
restoreRepository({ url: '/data/remote.git', remote: 'origin' });
