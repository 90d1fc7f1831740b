/**
 * What push daemons do, as metrics of prom-client, which is an optional peer dependency.
 *
 * ```ts
 * import { startPushDaemon } from 'git-push-daemon';
 * import { collectPushDaemonMetrics } from 'git-push-daemon/metrics';
 *
 * const daemon = startPushDaemon({ remote: 'origin', branch: 'main' });
 * collectPushDaemonMetrics(daemon);
 * ```
 *
 * The names, with the default prefix `git_push_daemon_`; each has the labels `remote` and `branch`:
 *
 * - `pending_commits`, `lag_seconds`, `oldest_pending_timestamp_seconds`,
 *   `last_success_timestamp_seconds`, `consecutive_failures`: gauges of `status()`; a time that there is
 *   none of is 0
 * - `state{state}`: 1 for the state that the daemon is in, 0 for the others
 * - `failing{kind}`: 1 for the kind of the last failure until the next success, 0 for the others
 * - `pushed_commits_total`, `pushed_bytes_total`: counts since the daemon started
 * - `attempts_total{result, kind}`: attempts that pushed (`success`, `none`) or failed (`failure` and
 *   its kind), since they are collected; a look that found nothing to do is not one
 * - `attempt_duration_seconds{result}`: how long those took
 */

import type { Registry, RegistryContentType } from 'prom-client';

import type { PushDaemon } from './index.js';

/**
 * Collects a daemon's metrics until it stops. Call it once for each daemon, in the same tick in which the
 * daemon was started, so that no attempt is missed. Several daemons share the metrics of a registry and are
 * told apart by their labels.
 *
 * It adds no listener of `error`: a failure that nobody else listens to still reaches the daemon's logger.
 *
 * @returns a function that ends the collection before the daemon stops; it may be called again. With the
 * last daemon, the metrics leave the registry.
 * @throws {TypeError} with the code `ERR_PUSH_DAEMON_INVALID_OPTION` for a wrong argument
 * @throws {Error} with the code `ERR_PUSH_DAEMON_METRICS_REGISTERED` where a daemon with the same labels is
 * collected already, the label names are not those of the registry's other daemons, or another metric has
 * one of the names; with `ERR_PUSH_DAEMON_STOPPED` where the daemon has stopped
 */
export function collectPushDaemonMetrics(
  daemon: PushDaemon,
  options?: PushDaemonMetricsOptions,
): () => void;

/** What {@link collectPushDaemonMetrics} takes. */
export interface PushDaemonMetricsOptions {
  /**
   * Where the metrics are registered.
   *
   * @default prom-client's global registry
   */
  readonly registry?: Registry<RegistryContentType> | Registry | undefined;

  /**
   * What each metric's name starts with.
   *
   * @default 'git_push_daemon_'
   */
  readonly prefix?: string | undefined;

  /**
   * Labels of this daemon besides `remote` and `branch`, or instead of their values. All daemons of a
   * registry need the same names.
   *
   * @default {}
   */
  readonly labels?: Readonly<Record<string, string>> | undefined;
}
