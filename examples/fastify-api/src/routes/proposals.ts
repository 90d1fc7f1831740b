import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox';
import { Type } from 'typebox';

import { Proposal, type Proposals } from '../store/proposals.js';
import type { Confirm } from '../store/pushed.js';

const Params = Type.Object({ slug: Type.String({ pattern: '^[a-z0-9][a-z0-9-]{0,63}$' }) });
const Committed = Type.Object({ slug: Type.String(), commit: Type.String() });
/** The write is committed, but not yet where `CFP_DATA_PUSH_MODE` wants it. */
const Pending = Type.Object({
  slug: Type.String(),
  commit: Type.String(),
  pending: Type.Literal(true),
});
const NotFound = Type.Object({
  statusCode: Type.Literal(404),
  error: Type.Literal('Not Found'),
  message: Type.String(),
});

export function proposalRoutes(
  proposals: Proposals,
  confirm: Confirm,
): FastifyPluginCallbackTypebox {
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
      {
        schema: {
          params: Params,
          body: Proposal,
          response: { 200: Committed, 201: Committed, 202: Pending },
        },
      },
      async ({ params: { slug }, body }, reply) => {
        const { commit, value: isNew } = await proposals.put(slug, body);
        if (!(await confirm(commit))) return reply.code(202).send(pending(slug, commit));
        return reply.code(isNew ? 201 : 200).send({ slug, commit });
      },
    );

    app.delete(
      '/proposals/:slug',
      { schema: { params: Params, response: { 200: Committed, 202: Pending, 404: NotFound } } },
      async ({ params: { slug } }, reply) => {
        const commit = await proposals.remove(slug);
        if (commit === null) return reply.code(404).send(notFound(slug));
        if (!(await confirm(commit))) return reply.code(202).send(pending(slug, commit));
        return { slug, commit };
      },
    );

    done();
  };
}

function pending(slug: string, commit: string) {
  return { slug, commit, pending: true as const };
}

function notFound(slug: string) {
  return {
    statusCode: 404 as const,
    error: 'Not Found' as const,
    message: `There is no proposal ${slug}.`,
  };
}
