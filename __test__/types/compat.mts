/**
 * What boot.mts does not have of gitsheets' documented contract: its option and status types, and other ways
 * to write its handlers. Checked by the compiler, never run.
 */

import type { EventEmitter } from 'node:events';

import type {
  BackoffConfig,
  PushDaemon,
  PushDaemonOptions,
  PushDaemonStatus,
  PushFailureReason,
} from 'git-push-daemon';

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

declare const formerOptions: FormerOptions;
declare const formerBackoff: FormerBackoff;

export const options: PushDaemonOptions = formerOptions;
export const backoff: BackoffConfig = formerBackoff;
export const status = (daemon: PushDaemon): FormerStatus => daemon.status();
export const lastReason = (now: PushDaemonStatus): PushFailureReason | undefined =>
  now.lastError?.reason;

/** It is still an emitter like any other. */
export const emitter = (daemon: PushDaemon): EventEmitter => daemon;

export function listen(daemon: PushDaemon, log: (line: string) => void): void {
  daemon.on('push', ({ commit, durationMs }: { commit: string; durationMs: number }) =>
    log(`${commit} ${durationMs}`),
  );
  daemon.on('error', ({ err, reason }: { err: Error; reason: 'non-fast-forward' | 'unknown' }) =>
    log(`${reason} ${err.message}`),
  );
  daemon.on('error', (event: unknown) => log(String(event)));
  daemon.once('stopped', (): void => log('stopped'));
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
