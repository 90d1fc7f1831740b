/** The application without a socket: what `server.ts` listens with, and what a test injects into. */

import swagger from '@fastify/swagger';
import fastify, { type FastifyInstance } from 'fastify';

import type { Env } from './env.js';
import { metricsRoute } from './routes/metrics.js';
import { proposalRoutes } from './routes/proposals.js';
import { bootStore } from './store/boot.js';
import { Proposals } from './store/proposals.js';
import { confirmWith } from './store/pushed.js';

export async function buildApp(env: Env): Promise<FastifyInstance> {
  const app = fastify({ logger: { level: env.LOG_LEVEL } });
  await app.register(swagger, { openapi: { info: { title: 'Talk proposals', version: '1.0.0' } } });

  const store = await bootStore(app, env);
  // Before anything else is waited for, so that no attempt is missed.
  const metrics = metricsRoute(app.pushDaemon);
  const confirm = confirmWith(app.pushDaemon, env);

  app.get('/healthz', async () => ({ status: 'ok' }));
  app.get('/openapi.json', { schema: { hide: true } }, async () => app.swagger());
  await app.register(metrics);
  await app.register(proposalRoutes(new Proposals(store), confirm));
  return app;
}
