/** The application without a socket: what `server.ts` listens with, and what a test injects into. */

import fastify, { type FastifyInstance } from 'fastify';
import type { PushDaemon } from 'git-push-daemon';

import type { Env } from './env.js';
import { adminRoutes } from './routes/admin.js';
import { proposalRoutes } from './routes/proposals.js';
import { bootStore } from './store/boot.js';
import { Proposals } from './store/proposals.js';

declare module 'fastify' {
  interface FastifyInstance {
    /** `null` where no remote is configured. */
    pushDaemon: PushDaemon | null;
  }
}

export async function buildApp(env: Env): Promise<FastifyInstance> {
  const app = fastify({ logger: { level: env.LOG_LEVEL } });

  const { store, pushDaemon } = bootStore(env, app.log);
  app.decorate('pushDaemon', pushDaemon);
  // Runs once the server takes no more requests, so that the last write is pushed too.
  app.addHook('onClose', async () => {
    await pushDaemon?.stop({ timeoutMs: env.CFP_DATA_STOP_TIMEOUT_MS });
  });

  app.get('/healthz', async () => ({ status: 'ok' }));
  await app.register(proposalRoutes(new Proposals(store)));
  await app.register(adminRoutes(env.ADMIN_TOKEN));
  return app;
}
