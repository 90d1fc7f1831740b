/**
 * What compiled against gitsheets' own daemon compiles against this one: its types' names, its documented
 * shapes, and handlers whose parameters have their types written out. Checked by the compiler, never run.
 */

import type { EventEmitter } from 'node:events';
import type {
  BackoffConfig,
  PushDaemon,
  PushDaemonOptions,
  PushDaemonStatus,
  PushFailureReason,
} from 'git-push-daemon';
import { startPushDaemon } from 'git-push-daemon';

/** The documented shapes of gitsheets 2. */
interface FormerBackoff {
  readonly base: number;
  readonly multiplier: number;
  readonly cap: number;
}

interface FormerOptions {
  readonly remote: string;
  readonly branch?: string;
  readonly backoff?: 'exponential' | FormerBackoff;
  readonly maxRetries?: number;
}

interface FormerStatus {
  readonly running: boolean;
  readonly lastPushAt: string | null;
  readonly lastError: {
    message: string;
    at: string;
    attempt: number;
    reason: 'non-fast-forward' | 'unknown';
  } | null;
  readonly pendingCommits: number;
  readonly currentBackoffMs: number | null;
  readonly currentAttempt: number | null;
}

declare const log: Record<'info' | 'warn' | 'error', (fields: object, message: string) => void>;
declare const env: { readonly CFP_DATA_BRANCH?: string };
declare const formerOptions: FormerOptions;
declare const formerBackoff: FormerBackoff;

/** The boot code of DESIGN.md, whose handlers have no types of their own. */
export async function boot(): Promise<PushDaemon> {
  const daemon = await startPushDaemon({
    remote: 'origin',
    branch: env.CFP_DATA_BRANCH ?? 'main',
    backoff: 'exponential',
  });
  daemon.on('push', ({ commit, durationMs }) => log.info({ commit, durationMs }, 'pushed'));
  daemon.on('retry', ({ attempt, nextDelayMs }) =>
    log.info({ attempt, nextDelayMs }, 'push retry'),
  );
  daemon.on('error', ({ err, attempt, reason }) =>
    reason === 'non-fast-forward'
      ? log.error({ err, attempt, reason }, 'diverged')
      : log.warn({ err, attempt, reason }, 'push failed'),
  );
  daemon.on('stopped', () => log.info({}, 'stopped'));
  return daemon;
}

/** The same with the types written out, as a consumer of untyped events had to. */
export function listen(daemon: PushDaemon): void {
  daemon.on('push', ({ commit, durationMs }: { commit: string; durationMs: number }) => {
    log.info({ commit, durationMs }, 'pushed');
  });
  daemon.on(
    'retry',
    ({
      commit,
      attempt,
      nextDelayMs,
      reason,
    }: {
      commit: string | null;
      attempt: number;
      nextDelayMs: number;
      reason: PushFailureReason;
    }) => {
      log.info({ commit, attempt, nextDelayMs, reason }, 'push retry');
    },
  );
  daemon.on(
    'error',
    ({
      commit,
      err,
      attempt,
      reason,
    }: {
      commit: string | null;
      err: unknown;
      attempt: number;
      reason: PushFailureReason;
    }) => {
      log.warn({ commit, err: String(err), attempt, reason }, 'push failed');
    },
  );
  daemon.on('error', ({ err, reason }: { err: Error; reason: 'non-fast-forward' | 'unknown' }) => {
    log.warn({ err: err.message, reason }, 'push failed');
  });
  daemon.on('error', (event: unknown) => log.warn({ event }, 'push failed'));
  daemon.once('stopped', (): void => {});
  daemon.off('stopped', () => {});
}

/** Both reasons, and no third: an exhaustive switch keeps compiling. */
export function severity(reason: PushFailureReason): 'page' | 'log' {
  switch (reason) {
    case 'non-fast-forward':
      return 'page';
    case 'unknown':
      return 'log';
  }
}

export const options: PushDaemonOptions = formerOptions;
export const backoff: BackoffConfig = formerBackoff;
export const status: (daemon: PushDaemon) => FormerStatus = (daemon) => daemon.status();
export const lastReason = (now: PushDaemonStatus): PushFailureReason | undefined =>
  now.lastError?.reason;
export const emitter = (daemon: PushDaemon): EventEmitter => daemon;
export const stop = async (daemon: PushDaemon): Promise<void> => {
  await daemon.stop({ timeoutMs: 30_000 });
  await daemon.stop({});
  await daemon.stop();
  daemon.notifyCommit('0123456789012345678901234567890123456789');
};

// @ts-expect-error an option that does not exist
startPushDaemon({ remote: 'origin', force: true });
// @ts-expect-error the remote is required
startPushDaemon({ branch: 'main' });
// @ts-expect-error an event that does not exist
boot().then((daemon) => daemon.on('pushed', () => {}));
// @ts-expect-error a payload that does not exist
boot().then((daemon) => daemon.on('push', ({ hash }) => hash));
