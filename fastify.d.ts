/**
 * The Fastify plugin: starts the daemon with the application, logs what happens, stops it on close, and
 * serves its status to operators where asked to.
 *
 * ```ts
 * import pushDaemon from 'git-push-daemon/fastify';
 *
 * await app.register(pushDaemon, {
 *   remote: env.DATA_REMOTE,
 *   routes: { status: '/admin/push-daemon', health: '/health/push', token: env.ADMIN_TOKEN },
 * });
 * app.pushDaemon?.status();
 * ```
 *
 * It needs the packages `fastify` (5.x) and `fastify-plugin`.
 */

import type { FastifyPluginAsync, RouteShorthandOptions } from 'fastify';

import type { PushDaemon, PushDaemonOptions } from './index.js';

declare module 'fastify' {
  interface FastifyInstance {
    /** The running daemon; `null` where the plugin was registered without a remote. */
    pushDaemon: PushDaemon | null;
  }
}

declare namespace pushDaemon {
  /** What the plugin takes: what `startPushDaemon` takes, except that `remote` may be missing, and this. */
  export interface PushDaemonPluginOptions extends Omit<PushDaemonOptions, 'remote' | 'logger'> {
    /**
     * As for `startPushDaemon`. Without it, or where it is empty, nothing is pushed: the decoration is
     * `null`, and one line at level info says so.
     */
    readonly remote?: string | null | undefined;

    /**
     * Where the daemon's and the plugin's lines go.
     *
     * @default a child of the application's log with the `component` `name`
     */
    readonly logger?: PushDaemonOptions['logger'];

    /**
     * The name of the decoration on the instance, of which each daemon in an application needs its own.
     *
     * @default 'pushDaemon'
     */
    readonly name?: string | undefined;

    /**
     * Names of plugins that must be registered before, such as the one that makes the repository.
     *
     * @default []
     */
    readonly dependencies?: readonly string[] | undefined;

    /**
     * How long closing the application goes on pushing what is pending, in milliseconds. Fastify's
     * `pluginTimeout` does not end it. A container's grace period must be longer; Kubernetes' default is 30 s.
     *
     * @default 20000
     */
    readonly stopTimeoutMs?: number | undefined;

    /**
     * Routes for operators and their tools; each exists only where its path is given.
     *
     * @default none
     */
    readonly routes?: PushDaemonRoutes | undefined;
  }

  /**
   * The plugin's routes. They carry `schema: { hide: true }`, which keeps them out of what `@fastify/swagger`
   * writes.
   *
   * `status` and `flush` need `token`, `onRequest` or both, of which both must then let a request pass;
   * with neither they answer 503. Where no daemon runs, all answer 503.
   */
  export interface PushDaemonRoutes {
    /**
     * The path of `GET`: what `status()` returns, as JSON. To a client that prefers `text/html`, a page
     * that says whether the data is safe, how far behind the remote is, since when, why and what to do.
     */
    readonly status?: string | undefined;

    /**
     * The path of `GET`: 200 while the data is safe, else 503, with `{ status, state, lagMs, maxLagMs,
     * pendingCommits }`. It is 503 where the branches have diverged (`diverged`), pushing was given up
     * (`gave-up`), the daemon was stopped (`stopped`), the oldest unpushed commit is older than `maxLagMs`
     * (`lagging`), or the remote was not reached for so long since the start (`unconfirmed`). It asks for
     * no token, and tells no names and no errors.
     *
     * It is for what alerts people. A restart repairs no remote, so it is not for a liveness probe.
     */
    readonly health?: string | undefined;

    /**
     * The path of `POST`: an attempt now. 200 with `{ commit, pending: false }` once the remote has the
     * branch's tip; 202 with `{ pending: true }` where that takes longer than `flushTimeoutMs`, while the
     * daemon goes on; 502 with `kind`, `reason` and `hint` where the attempt failed, and 503 where the
     * fault is on this side.
     */
    readonly flush?: string | undefined;

    /**
     * The bearer token of `status` and `flush`. For `status` a browser may send it as the password of any
     * user; `flush` does not take it so, since a browser would send it along with another site's form.
     *
     * An empty one counts as missing, so that an unset variable never opens a route.
     */
    readonly token?: string | undefined;

    /** The application's own guard of `status` and `flush`, such as one that looks at a session. */
    readonly onRequest?: RouteShorthandOptions['onRequest'];

    /**
     * How old an unpushed commit may grow before `health` and the page call it lagging, in milliseconds.
     *
     * @default 300000
     */
    readonly maxLagMs?: number | undefined;

    /**
     * How long `flush` waits before it answers 202, in milliseconds.
     *
     * @default 30000
     */
    readonly flushTimeoutMs?: number | undefined;
  }

  export const pushDaemon: FastifyPluginAsync<PushDaemonPluginOptions>;
  export { pushDaemon as default };
}

declare function pushDaemon(
  ...args: Parameters<FastifyPluginAsync<pushDaemon.PushDaemonPluginOptions>>
): ReturnType<FastifyPluginAsync<pushDaemon.PushDaemonPluginOptions>>;

export = pushDaemon;
