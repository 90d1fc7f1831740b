/** What Prometheus scrapes: the metrics of the push daemon, to which a service adds its own. */

import type { FastifyPluginCallback } from 'fastify';
import type { PushDaemon } from 'git-push-daemon';
import { collectPushDaemonMetrics } from 'git-push-daemon/metrics';
import { Registry } from 'prom-client';

/** Without a daemon there is nothing to scrape, which the alert `PushDaemonAbsent` notices. */
export function metricsRoute(daemon: PushDaemon | null): FastifyPluginCallback {
  const registry = new Registry();
  if (daemon !== null) collectPushDaemonMetrics(daemon, { registry });
  return (app, _options, done) => {
    app.get('/metrics', { schema: { hide: true }, logLevel: 'warn' }, async (_request, reply) =>
      reply.type(registry.contentType).send(await registry.metrics()),
    );
    done();
  };
}
