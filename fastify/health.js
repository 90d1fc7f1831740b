'use strict';

// Whether the data is safe, in one word: the health route and the page say the same.

/**
 * What `status` amounts to: `ok`, `starting`, `lagging`, `unconfirmed`, `diverged`, `gave-up` or `stopped`.
 * The first two are healthy.
 */
function verdictOf(status, maxLagMs, now = Date.now()) {
  if (!status.running) return 'stopped';
  if (status.state === 'diverged' || status.state === 'gave-up') return status.state;
  const runningMs = now - Date.parse(status.startedAt);
  // Before its first look the daemon does not know what is missing.
  if (status.state === 'starting') return runningMs > maxLagMs ? 'unconfirmed' : 'starting';
  if (status.lagMs > maxLagMs) return 'lagging';
  // A remote that was never reached may lack more than is known.
  const isConfirmed = status.remoteCommit !== null || status.state === 'in-sync';
  return !isConfirmed && runningMs > maxLagMs ? 'unconfirmed' : 'ok';
}

function isHealthy(verdict) {
  return verdict === 'ok' || verdict === 'starting';
}

module.exports = { isHealthy, verdictOf };
