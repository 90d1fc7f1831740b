/** Restores and opens the data repository and, where a remote is configured, starts pushing its branch there. */

import type { FastifyInstance } from 'fastify';
import { restoreRepository } from 'git-push-daemon';
import pushDaemon from 'git-push-daemon/fastify';

import type { Env } from '../env.js';
import { openStore, type Store } from './store.js';

/**
 * Leaves the running daemon in `app.pushDaemon`, which is `null` where `CFP_DATA_REMOTE` is not set. The
 * plugin logs what happens and, when the application closes, pushes what is pending.
 *
 * @throws {Error} with a `code` where the repository, the remote or the branch is not as configured, or lost data
 * cannot be restored: a service that cannot save its data had better not start
 */
export async function bootStore(app: FastifyInstance, env: Env): Promise<Store> {
  const branch = env.CFP_DATA_BRANCH ?? 'main';
  if (env.CFP_DATA_REMOTE) {
    const { restored, ...restore } = await restoreRepository({
      repoPath: env.CFP_DATA_REPO_PATH,
      url: env.CFP_DATA_REMOTE,
      branch,
      onProgress: (progress) => app.log.info({ progress }, 'restoring the data'),
    });
    if (restored) app.log.warn(restore, 'the data was not there, and is restored from the remote');
  }
  const store = openStore({
    repoPath: env.CFP_DATA_REPO_PATH,
    branch,
    author: { name: 'fastify-api', email: 'fastify-api@localhost' },
  });

  await app.register(pushDaemon, {
    remote: env.CFP_DATA_REMOTE ? 'origin' : null,
    branch,
    repoPath: env.CFP_DATA_REPO_PATH,
    backoff: env.CFP_DATA_BACKOFF,
    maxRetries: env.CFP_DATA_MAX_RETRIES,
    stopTimeoutMs: env.CFP_DATA_STOP_TIMEOUT_MS,
    routes: {
      status: '/admin/push-daemon',
      flush: '/admin/push-daemon/flush',
      health: '/healthz/push',
      token: env.ADMIN_TOKEN,
      maxLagMs: env.CFP_DATA_MAX_LAG_MS,
      flushTimeoutMs: env.CFP_DATA_PUSH_TIMEOUT_MS,
    },
  });
  return store;
}
