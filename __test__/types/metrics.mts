/** The types of `git-push-daemon/metrics`, as a consumer uses them. Checked by the compiler, never run. */

import { errorMonitor } from 'node:events';

import { startPushDaemon } from 'git-push-daemon';
import { collectPushDaemonMetrics, type PushDaemonMetricsOptions } from 'git-push-daemon/metrics';
import { type OpenMetricsContentType, Registry, register } from 'prom-client';

const daemon = startPushDaemon({ remote: 'origin' });
const remove: () => void = collectPushDaemonMetrics(daemon);
remove();

collectPushDaemonMetrics(daemon, {});
collectPushDaemonMetrics(daemon, { registry: register, prefix: 'push_', labels: { pod: 'a' } });
collectPushDaemonMetrics(daemon, { registry: new Registry() });
collectPushDaemonMetrics(daemon, { registry: new Registry<OpenMetricsContentType>() });

/** Options that are passed on may be undefined. */
export const passedOn = (prefix?: string): PushDaemonMetricsOptions => ({ prefix });

daemon.on(errorMonitor, ({ kind, durationMs }) => {
  const seconds: number = (durationMs ?? 0) / 1000;
  return [kind, seconds];
});

// @ts-expect-error an option that does not exist
collectPushDaemonMetrics(daemon, { register });
// @ts-expect-error labels are strings
collectPushDaemonMetrics(daemon, { labels: { pod: 1 } });
// @ts-expect-error one daemon at a time
collectPushDaemonMetrics([daemon]);
