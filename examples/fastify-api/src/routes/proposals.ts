import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox';
import { Type } from 'typebox';

import { Proposal, type Proposals } from '../store/proposals.js';

const Params = Type.Object({ slug: Type.String({ pattern: '^[a-z0-9][a-z0-9-]{0,63}$' }) });
const Committed = Type.Object({ slug: Type.String(), commit: Type.String() });
const NotFound = Type.Object({
  statusCode: Type.Literal(404),
  error: Type.Literal('Not Found'),
  message: Type.String(),
});

export function proposalRoutes(proposals: Proposals): FastifyPluginCallbackTypebox {
  return (app, _options, done) => {
    app.get(
      '/proposals',
      { schema: { response: { 200: Type.Object({ proposals: Type.Array(Type.String()) }) } } },
      async () => ({ proposals: await proposals.list() }),
    );

    app.get(
      '/proposals/:slug',
      { schema: { params: Params, response: { 200: Proposal, 404: NotFound } } },
      async ({ params: { slug } }, reply) => {
        const proposal = await proposals.get(slug);
        return proposal ?? reply.code(404).send(notFound(slug));
      },
    );

    app.put(
      '/proposals/:slug',
      { schema: { params: Params, body: Proposal, response: { 200: Committed, 201: Committed } } },
      async ({ params: { slug }, body }, reply) => {
        const { commit, value: isNew } = await proposals.put(slug, body);
        return reply.code(isNew ? 201 : 200).send({ slug, commit });
      },
    );

    app.delete(
      '/proposals/:slug',
      { schema: { params: Params, response: { 200: Committed, 404: NotFound } } },
      async ({ params: { slug } }, reply) => {
        const commit = await proposals.remove(slug);
        return commit === null ? reply.code(404).send(notFound(slug)) : { slug, commit };
      },
    );

    done();
  };
}

function notFound(slug: string) {
  return {
    statusCode: 404 as const,
    error: 'Not Found' as const,
    message: `There is no proposal ${slug}.`,
  };
}
