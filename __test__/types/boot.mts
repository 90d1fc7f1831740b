/** The boot code of a service, as its authors wrote it for gitsheets' daemon: it has to compile unchanged. */

import { type PushDaemon, startPushDaemon } from 'git-push-daemon';

declare const env: { readonly CFP_DATA_REMOTE?: string; readonly CFP_DATA_BRANCH?: string };

/** As pino's and Fastify's loggers are declared. */
type LogFn = (fields: unknown, msg?: string, ...args: unknown[]) => void;
declare const log: { debug: LogFn; info: LogFn; warn: LogFn; error: LogFn; fatal: LogFn };

type PushFailureReason = 'non-fast-forward' | 'unknown';

const daemon = await startPushDaemon({
  remote: 'origin',
  branch: env.CFP_DATA_BRANCH ?? 'main',
  backoff: 'exponential',
});
daemon.on('push', ({ commit, durationMs }) => log.info({ commit, durationMs }, 'pushed'));
daemon.on('retry', ({ attempt, nextDelayMs }) => log.info({ attempt, nextDelayMs }, 'push retry'));
daemon.on('error', ({ err, attempt, reason }) =>
  reason === 'non-fast-forward'
    ? log.error({ err, attempt, reason }, 'push rejected')
    : log.warn({ err, attempt, reason }, 'push failed'),
);

// gitsheets' handlers, with the types of their parameters written out.
daemon.on('push', ({ commit }: { commit: string | null; durationMs: number }) =>
  log.info({ commit }),
);
daemon.on(
  'error',
  (event: { commit: string | null; err: unknown; attempt: number; reason: PushFailureReason }) =>
    log.warn(event),
);
daemon.on(
  'retry',
  (event: {
    commit: string | null;
    attempt: number;
    nextDelayMs: number;
    reason: PushFailureReason;
  }) => log.info(event),
);
daemon.on('stopped', ({ drained }: { drained: boolean }) => log.info({ drained }));
daemon.on('stopped', () => log.info('stopped'));

/** gitsheets' six keys. */
const status: {
  running: boolean;
  lastPushAt: string | null;
  lastError: { message: string; at: string; attempt: number } | null;
  pendingCommits: number;
  currentBackoffMs: number | null;
  currentAttempt: number | null;
} = daemon.status();
log.info(status);

const kept: PushDaemon = startPushDaemon({
  remote: 'origin',
  branch: env.CFP_DATA_BRANCH,
  logger: log,
});
export const onClose = async (): Promise<void> => {
  await kept.stop({ timeoutMs: 10_000 });
};
