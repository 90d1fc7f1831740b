/** Opens the data repository and, where a remote is configured, starts pushing its branch there. */

import type { FastifyBaseLogger } from 'fastify';
import { type PushDaemon, startPushDaemon } from 'git-push-daemon';

import type { Env } from '../env.js';
import { openStore, type Store } from './store.js';

export interface BootedStore {
  readonly store: Store;
  /** `null` where `CFP_DATA_REMOTE` is not set. */
  readonly pushDaemon: PushDaemon | null;
}

/**
 * @throws {Error} with a `code` where the repository, the remote or the branch is not as configured: a
 * service that cannot save its data had better not start
 */
export function bootStore(env: Env, log: FastifyBaseLogger): BootedStore {
  const branch = env.CFP_DATA_BRANCH ?? 'main';
  const store = openStore({
    repoPath: env.CFP_DATA_REPO_PATH,
    branch,
    author: { name: 'fastify-api', email: 'fastify-api@localhost' },
  });
  if (!env.CFP_DATA_REMOTE) {
    log.info('CFP_DATA_REMOTE is not set: commits stay in this repository');
    return { store, pushDaemon: null };
  }

  const pushDaemon = startPushDaemon({
    remote: 'origin',
    branch,
    repoPath: env.CFP_DATA_REPO_PATH,
    backoff: env.CFP_DATA_BACKOFF,
    logger: log.child({ component: 'push-daemon' }),
  });
  logEvents(pushDaemon, log);
  return { store, pushDaemon };
}

/** Only a diverged branch is an error: it needs a person. Everything else heals, and is a warning. */
function logEvents(daemon: PushDaemon, log: FastifyBaseLogger): void {
  daemon.on('push', ({ commit, durationMs, commits }) => {
    log.info({ commit, durationMs, commits }, 'pushed');
  });
  daemon.on('retry', ({ commit, attempt, nextDelayMs, kind }) => {
    log.warn({ commit, attempt, nextDelayMs, kind }, 'push retry');
  });
  daemon.on('error', ({ commit, err, attempt, reason, kind, hint, remoteCommit }) => {
    if (reason === 'non-fast-forward') {
      log.error(
        { commit, err, attempt, reason, remoteCommit, hint },
        'push refused: the remote has commits that this repository lacks. An operator must reconcile ' +
          'them (fetch, then merge or rebase); pushing then resumes by itself',
      );
    } else {
      log.warn({ commit, err, attempt, reason, kind, hint }, 'push failed');
    }
  });
  daemon.on('recovered', ({ commit, failedAttempts, downMs }) => {
    log.warn({ commit, failedAttempts, downMs }, 'push recovered');
  });
  daemon.on('stopped', ({ drained, pendingCommits }) => {
    if (drained) log.info('push daemon stopped: the remote has every commit');
    else log.error({ pendingCommits }, 'push daemon stopped with commits that the remote lacks');
  });
}
