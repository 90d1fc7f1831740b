/** The Fastify plugin's types, as an application in TypeScript uses them. */

import fastify from 'fastify';
import type { PushDaemon } from 'git-push-daemon';
import pushDaemon, { type PushDaemonPluginOptions } from 'git-push-daemon/fastify';

declare const env: { readonly DATA_REMOTE?: string; readonly ADMIN_TOKEN?: string | undefined };

const app = fastify();

await app.register(pushDaemon);
await app.register(pushDaemon, {});
await app.register(pushDaemon, {
  remote: env.DATA_REMOTE,
  branch: 'main',
  backoff: { base: 1, multiplier: 2, cap: 10 },
  logger: app.log,
  name: 'data',
  dependencies: ['repository'],
  stopTimeoutMs: 20_000,
  routes: {
    status: '/admin/push-daemon',
    flush: '/admin/push-daemon/flush',
    health: '/healthz/push',
    token: env.ADMIN_TOKEN,
    onRequest: async (request, reply) => {
      if (!request.headers.cookie) await reply.code(403).send();
    },
    maxLagMs: 60_000,
    flushTimeoutMs: 1_000,
  },
});
await app.register(pushDaemon, { remote: null, routes: { onRequest: [(_q, _r, done) => done()] } });

const daemon: PushDaemon | null = app.pushDaemon;
app.pushDaemon?.status();
// @ts-expect-error where there is no remote it is null
app.pushDaemon.status();

// @ts-expect-error there is no such option
await app.register(pushDaemon, { remotes: 'origin' });
// @ts-expect-error there is no such route
await app.register(pushDaemon, { routes: { page: '/' } });

const options: PushDaemonPluginOptions = { remote: 'origin' };

export { daemon, options };
