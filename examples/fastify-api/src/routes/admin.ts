/** Routes for operators, behind a bearer token and left out of API documentation. */

import { createHash, timingSafeEqual } from 'node:crypto';

import type { FastifyPluginCallback, FastifyReply, FastifyRequest } from 'fastify';

declare module 'fastify' {
  interface FastifySchema {
    /** Leaves the route out of the OpenAPI document, as @fastify/swagger understands it. */
    hide?: boolean;
  }
}

export function adminRoutes(token: string | undefined): FastifyPluginCallback {
  return (app, _options, done) => {
    app.addHook('onRequest', async (request, reply) => {
      reply.header('cache-control', 'no-store');
      if (!token) {
        return unavailable(reply, 'ADMIN_TOKEN is not set, so the admin routes are closed.');
      }
      if (!isAuthorized(request, token)) {
        return reply.code(401).header('www-authenticate', 'Bearer realm="admin"').send({
          statusCode: 401,
          error: 'Unauthorized',
          message: 'Send "Authorization: Bearer <ADMIN_TOKEN>".',
        });
      }
    });

    app.get('/admin/push-daemon', { schema: { hide: true } }, async (_request, reply) =>
      app.pushDaemon === null
        ? unavailable(reply, 'CFP_DATA_REMOTE is not set, so nothing is pushed.')
        : app.pushDaemon.status(),
    );

    done();
  };
}

/** Compares digests, which have one length, so that the time tells nothing about the token. */
function isAuthorized({ headers }: FastifyRequest, token: string): boolean {
  const given = /^Bearer +(.+)$/i.exec(headers.authorization ?? '')?.[1] ?? '';
  return timingSafeEqual(digest(given), digest(token));
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

function unavailable(reply: FastifyReply, message: string): FastifyReply {
  return reply.code(503).send({ statusCode: 503, error: 'Service Unavailable', message });
}
