'use strict';

// Writes the daemon's events as log lines that stand alone: what failed, what is at risk, since when, and what to do.
// An outage takes few lines: for each kind of failure one at once, then one a minute, and one at the end.

const { divergenceInLog } = require('./divergence.js');
const { afterStop } = require('./explain.js');

const SUMMARY_EVERY_MS = 60_000;

/**
 * Writes a line for each event except `preserved`, `regressed` and `progress`: the daemon itself writes one to the same
 * logger for the first two, and one every 30 seconds of a long push.
 */
function logEvents(daemon, log, now = () => performance.now()) {
  const failures = new Map();
  let isRetryNews = false;

  daemon.on('push', ({ commit, durationMs, commits, attempt, bytes }) => {
    const { pendingCommits } = daemon.status();
    log.info({ commit, durationMs, commits, attempt, bytes, pendingCommits }, 'pushed');
  });

  daemon.on('error', (event) => {
    const status = daemon.status();
    const key = `${event.kind} ${status.state === 'gave-up'}`;
    const known = failures.get(key);
    isRetryNews = known === undefined || now() - known.loggedAt >= SUMMARY_EVERY_MS;
    if (!isRetryNews) {
      known.unlogged += 1;
      return;
    }
    failures.set(key, { loggedAt: now(), unlogged: 0 });
    logFailure(log, event, status, known?.unlogged ?? 0);
  });

  daemon.on('retry', ({ commit, attempt, nextDelayMs, kind }) => {
    if (isRetryNews) log.info({ commit, attempt, nextDelayMs, kind }, 'push retry');
  });

  daemon.on('recovered', ({ commit, failedAttempts, downMs }) => {
    failures.clear();
    const { pendingCommits } = daemon.status();
    log.info({ commit, failedAttempts, downMs, pendingCommits }, 'push recovered');
  });

  daemon.on('stopped', ({ drained }) => {
    if (drained) log.info('push daemon stopped: the remote has every commit');
    else logUndrained(log, daemon.status());
  });
}

function logFailure(log, event, status, unlogged) {
  const { commit, err, attempt, reason, kind, hint, remoteCommit } = event;
  const divergence = divergenceInLog(event.divergence);
  const { pendingCommits, lagMs, oldestPendingAt, consecutiveFailures } = status;
  const fields = {
    commit,
    err,
    attempt,
    reason,
    kind,
    hint,
    pendingCommits,
    lagMs,
    oldestPendingAt,
    consecutiveFailures,
    ...(remoteCommit === undefined ? {} : { remoteCommit }),
    ...divergence.fields,
    ...(unlogged === 0 ? {} : { unlogged }),
  };
  const again = unlogged === 0 ? '' : `, as ${unlogged} more attempts since the last such line`;
  const risk = atRisk(status);
  if (reason === 'non-fast-forward') {
    log.error(
      fields,
      `push refused${again}: the remote has commits that this repository lacks, and ${risk}. ${divergence.sentence}` +
        'An operator must reconcile them (fetch, then merge or rebase); pushing then resumes by itself',
    );
  } else if (status.state === 'gave-up') {
    log.error(
      fields,
      `push given up (${kind})${again}: ${risk}, and stays so until the next commit or a flush. ${hint}`,
    );
  } else {
    log.warn(fields, `push failed (${kind})${again}: ${risk}; it is tried again. ${hint}`);
  }
}

function logUndrained(log, status) {
  const { pendingCommits, lagMs, oldestPendingAt, remoteCommit, lastError } = status;
  const { kind, hint } = lastError ?? {};
  const what =
    pendingCommits === 0 || remoteCommit === null
      ? 'before the remote was seen to have every commit'
      : 'with commits that the remote lacks';
  const why = lastError === null ? '' : ` The last attempt failed (${kind}): ${hint}`;
  log.error(
    {
      pendingCommits,
      lagMs,
      oldestPendingAt,
      ...(lastError === null ? {} : { kind, hint, lastError: lastError.message }),
    },
    `push daemon stopped ${what}: ${atRisk(status)}. ${afterStop(status)}${why}`,
  );
}

/** A clause that says what would be lost with this machine. */
function atRisk({ pendingCommits, oldestPendingAt, verifiedAt }) {
  if (pendingCommits === 0) return 'no commit is known to be missing on the remote';
  const isOne = pendingCommits === 1;
  const commits = isOne ? '1 commit' : `${pendingCommits} commits`;
  const since =
    oldestPendingAt === null ? '' : `, ${isOne ? 'made at' : 'the oldest of'} ${oldestPendingAt}`;
  // Until the remote's branch has been read, every commit counts as pending.
  return verifiedAt === null
    ? `the remote's branch was not seen yet, so ${commits} may exist only here${since}`
    : `${commits} exist${isOne ? 's' : ''} only here${since}`;
}

module.exports = { logEvents, SUMMARY_EVERY_MS };
