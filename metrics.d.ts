/**
 * Metrics of push daemons for prom-client, which is an optional peer dependency.
 *
 * ```ts
 * import { startPushDaemon } from 'git-push-daemon';
 * import { collectPushDaemonMetrics } from 'git-push-daemon/metrics';
 *
 * const daemon = startPushDaemon({ remote: 'origin', branch: 'main' });
 * collectPushDaemonMetrics(daemon);
 * ```
 *
 * The metrics, with the default prefix `git_push_daemon_`. Each has the labels `remote` and `branch`:
 *
 * - `pending_commits`, `lag_seconds`, `oldest_pending_timestamp_seconds`,
 *   `last_success_timestamp_seconds`, `last_verified_timestamp_seconds`, `consecutive_failures`: gauges of `status()`; 0 stands for a time that
 *   does not exist
 * - `progress_bytes`, `progress_objects`, `progress_total_objects`, `progress_step`, `progress_steps`: gauges of
 *   `status().progress`, how far the push under way has come; 0 while it is `null`
 * - `state{state}`: 1 for the daemon's state, 0 for the others
 * - `failing{kind}`: 1 for the kind of the last failure until the next success, 0 for the others
 * - `pushed_commits_total`, `pushed_bytes_total`, `regressions_total`: counts since the daemon started; the transport `git-cli` does not
 *   count bytes
 * - `attempts_total{result, kind}`: attempts that pushed (`success`, `none`) or failed (`failure` and its
 *   kind), since collecting began; a check that found nothing to do does not count
 * - `attempt_duration_seconds{result}`: the duration of these attempts
 */

import type { Registry, RegistryContentType } from 'prom-client';

import type { PushDaemon } from './index.js';

/**
 * Collects a daemon's metrics until it stops. Call it once for each daemon, in the tick in which the daemon was
 * started, so that it misses no attempt. Several daemons can share the metrics of a registry; their labels tell them
 * apart.
 *
 * It adds no `error` listener, so without one failures still reach the daemon's logger.
 *
 * @returns a function that ends the collection before the daemon stops. Calling it again does nothing. The
 * metrics leave the registry with the last daemon.
 * @throws {TypeError} with the code `ERR_PUSH_DAEMON_INVALID_OPTION` for a wrong argument
 * @throws {Error} with the code `ERR_PUSH_DAEMON_METRICS_REGISTERED` if a daemon with the same labels is
 * collected already, if the label names differ from those of the registry's other daemons, or if another
 * metric has one of the names; with `ERR_PUSH_DAEMON_STOPPED` if the daemon has stopped
 */
export function collectPushDaemonMetrics(
  daemon: PushDaemon,
  options?: PushDaemonMetricsOptions,
): () => void;

/** The options of {@link collectPushDaemonMetrics}. */
export interface PushDaemonMetricsOptions {
  /**
   * The registry for the metrics.
   *
   * @default prom-client's global registry
   */
  readonly registry?: Registry<RegistryContentType> | Registry | undefined;

  /**
   * The prefix of each metric's name.
   *
   * @default 'git_push_daemon_'
   */
  readonly prefix?: string | undefined;

  /**
   * Labels of this daemon, in addition to `remote` and `branch`, or to replace their values. All daemons of a
   * registry need the same label names.
   *
   * @default {}
   */
  readonly labels?: Readonly<Record<string, string>> | undefined;
}
