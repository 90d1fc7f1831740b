'use strict';

// One verdict on whether the data is safe, for the health route and the page.

/** In these states nothing more happens by itself, as long as there is no other commit. */
const LEFT_TO_PEOPLE = ['diverged', 'gave-up', 'regressed'];

/**
 * The verdict on a status: `ok`, `starting`, `lagging`, `unconfirmed`, `unverified`, `diverged`, `gave-up`, `regressed`
 * or `stopped`. The first two are healthy.
 */
function verdictOf(status, { maxLagMs, maxUnverifiedMs }, now = Date.now()) {
  if (!status.running) return 'stopped';
  if (LEFT_TO_PEOPLE.includes(status.state)) return status.state;
  const runningMs = now - Date.parse(status.startedAt);
  // Before it has read the remote, the daemon does not know what is missing.
  if (status.state === 'starting') return runningMs > maxLagMs ? 'unconfirmed' : 'starting';
  if (status.lagMs > maxLagMs) return 'lagging';
  // A remote that was never reached may lack more than the daemon knows.
  const isConfirmed = status.verifiedAt !== null || status.state === 'in-sync';
  if (!isConfirmed && runningMs > maxLagMs) return 'unconfirmed';
  const unverifiedMs = now - Date.parse(status.verifiedAt ?? status.startedAt);
  // The remote answers a push under way, however long it takes.
  const isKnown = status.localCommit === null || maxUnverifiedMs === 0 || Boolean(status.progress);
  return !isKnown && unverifiedMs > maxUnverifiedMs ? 'unverified' : 'ok';
}

function isHealthy(verdict) {
  return verdict === 'ok' || verdict === 'starting';
}

module.exports = { isHealthy, verdictOf };
