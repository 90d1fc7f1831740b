/**
 * The Fastify plugin: starts the daemon with the application, logs its events, stops it on close, and can
 * serve its status to operators.
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
    /** The running daemon; `null` if the plugin was registered without a remote. */
    pushDaemon: PushDaemon | null;
  }
}

declare namespace pushDaemon {
  /** The options of `startPushDaemon`, with `remote` optional, and those of the plugin itself. */
  export interface PushDaemonPluginOptions extends Omit<PushDaemonOptions, 'remote' | 'logger'> {
    /**
     * As for `startPushDaemon`. If it is missing or empty, nothing is pushed: the decoration is `null`, and the
     * plugin logs one line at level info that says so.
     */
    readonly remote?: string | null | undefined;

    /**
     * Receives the log lines of the daemon and the plugin.
     *
     * @default a child of the application's log, with `name` as `component`
     */
    readonly logger?: PushDaemonOptions['logger'];

    /**
     * The name of the decoration on the instance. Each daemon in an application needs its own.
     *
     * @default 'pushDaemon'
     */
    readonly name?: string | undefined;

    /**
     * Names of plugins that must be registered before this one, such as the one that creates the repository.
     *
     * @default []
     */
    readonly dependencies?: readonly string[] | undefined;

    /**
     * How long closing the application keeps pushing pending commits, in milliseconds. Fastify's `pluginTimeout`
     * does not shorten it. A container's grace period must be longer; Kubernetes' default is 30 s.
     *
     * @default 20000
     */
    readonly stopTimeoutMs?: number | undefined;

    /**
     * Routes for operators and their tools. Each exists only if its path is given.
     *
     * @default none
     */
    readonly routes?: PushDaemonRoutes | undefined;
  }

  /**
   * The plugin's routes. `schema: { hide: true }` keeps them out of the output of `@fastify/swagger`.
   *
   * `status` and `flush` need `token`, `onRequest` or both. With both, a request must pass both; with neither,
   * they answer 503. If no daemon runs, all routes answer 503.
   */
  export interface PushDaemonRoutes {
    /**
     * The path of `GET`: the result of `status()` as JSON. A client that prefers `text/html` gets a page that says
     * whether the data is safe, how far behind the remote is, since when, why, and what to do, with a bar while a push
     * takes longer than a second.
     */
    readonly status?: string | undefined;

    /**
     * The path of `GET`: 200 while the data is safe, else 503, with `{ status, state, lagMs, maxLagMs,
     * pendingCommits, verifiedAt, maxUnverifiedMs }`. It is 503 if the branches have diverged (`diverged`), pushing was given up (`gave-up`),
     * the daemon was stopped (`stopped`), the remote has lost commits and is left so (`regressed`), the oldest unpushed
     * commit is older than `maxLagMs` (`lagging`), the remote was not reached for that long since the start
     * (`unconfirmed`), or its tip was not read or confirmed for longer than `maxUnverifiedMs` (`unverified`). It needs no
     * token, and shows no names and no errors.
     *
     * Use it to alert people, not as a liveness probe: a restart does not repair a remote.
     */
    readonly health?: string | undefined;

    /**
     * The path of `POST`, which starts an attempt now if the branch has unpushed commits: 200 with
     * `{ commit, pending: false }` once the remote has the branch's tip; 202 with `{ pending: true }` if that takes
     * longer than `flushTimeoutMs`, while the daemon continues; 502 with `kind`, `reason` and `hint` if the attempt
     * failed; 503 if the fault is on this machine.
     */
    readonly flush?: string | undefined;

    /**
     * The bearer token of `status` and `flush`. For `status`, a browser may send it as the password of any user.
     * `flush` does not accept that, because a browser would send it along with a form of another site.
     *
     * An empty token counts as missing, so that an unset variable never opens a route.
     */
    readonly token?: string | undefined;

    /** The application's own guard of `status` and `flush`, such as a check of the session. */
    readonly onRequest?: RouteShorthandOptions['onRequest'];

    /**
     * The age of an unpushed commit above which `health` and the page report a lag, in milliseconds.
     *
     * @default 300000
     */
    readonly maxLagMs?: number | undefined;

    /**
     * The time since the remote's tip was last read or confirmed above which `health` and the page report that it is
     * not known any more, in milliseconds; 0 sets no limit.
     *
     * @default four times `verifyMs`
     */
    readonly maxUnverifiedMs?: number | undefined;

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
