'use strict';

// One verdict on whether the data is safe, for the health route and the page.

/**
 * The verdict on a status: `ok`, `starting`, `lagging`, `unconfirmed`, `diverged`, `gave-up` or `stopped`.
 * The first two are healthy.
 */
function verdictOf(status, maxLagMs, now = Date.now()) {
  if (!status.running) return 'stopped';
  if (status.state === 'diverged' || status.state === 'gave-up') return status.state;
  const runningMs = now - Date.parse(status.startedAt);
  // Before it has read the remote, the daemon does not know what is missing.
  if (status.state === 'starting') return runningMs > maxLagMs ? 'unconfirmed' : 'starting';
  if (status.lagMs > maxLagMs) return 'lagging';
  // A remote that was never reached may lack more than the daemon knows.
  const isConfirmed = status.remoteCommit !== null || status.state === 'in-sync';
  return !isConfirmed && runningMs > maxLagMs ? 'unconfirmed' : 'ok';
}

function isHealthy(verdict) {
  return verdict === 'ok' || verdict === 'starting';
}

module.exports = { isHealthy, verdictOf };
