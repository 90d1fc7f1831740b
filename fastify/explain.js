'use strict';

// The status as text: the headline of the page and the sentences below it. No HTML.

const { verdictOf } = require('./health.js');
const { count, duration, utc } = require('./format.js');

const OFF = {
  tone: 'warn',
  label: 'Off',
  headline: 'Nothing is pushed: no remote is set.',
  sentences: ['Commits exist in this repository only.'],
  hint: 'Set the remote option, unless this service is meant to have no copy elsewhere.',
};

/**
 * @returns {{tone: 'ok' | 'busy' | 'warn' | 'bad', label: string, headline: string, sentences: string[],
 * hint: string | null}} `hint` says why, and what to do
 */
function explain({ status, history, limits, now }) {
  if (status === null) return OFF;
  const verdict = verdictOf(status, limits, now);
  const { tone, label, headline } = summary(status, verdict, limits);
  return {
    tone,
    label,
    headline,
    sentences: [
      since(status),
      verified(status, now),
      why(status, history),
      next(status, verdict, now),
    ].filter(Boolean),
    hint: status.lastError?.hint ?? null,
  };
}

function summary({ state, pendingCommits, verifiedAt, lastError }, verdict, limits) {
  const { maxLagMs, maxUnverifiedMs } = limits;
  const pending = count(pendingCommits, 'commit');
  const isOne = pendingCommits === 1;
  const are = isOne ? 'is' : 'are';
  // Until the remote's branch has been read, every commit counts as pending.
  const isSeen = verifiedAt !== null;
  const onlyHere = `${pending} ${isSeen ? `exist${isOne ? 's' : ''}` : 'may exist'} only here.`;
  switch (verdict) {
    case 'stopped':
      return {
        tone: pendingCommits === 0 ? 'warn' : 'bad',
        label: 'Stopped',
        headline:
          pendingCommits === 0
            ? 'Stopped. No commit is known to exist only here.'
            : `Stopped: ${onlyHere}`,
      };
    case 'diverged':
      return {
        tone: 'bad',
        label: 'Diverged',
        headline: `The remote has other commits: ${onlyHere}`,
      };
    case 'gave-up':
      return { tone: 'bad', label: 'Gave up', headline: `Given up: ${onlyHere}` };
    case 'regressed':
      return {
        tone: 'bad',
        label: 'Regressed',
        headline: `The remote has lost commits that it had: ${onlyHere}`,
      };
    case 'unverified':
      return {
        tone: 'bad',
        label: 'Unverified',
        headline: `The remote was not seen for longer than ${duration(maxUnverifiedMs)}: it may have lost commits.`,
      };
    case 'lagging':
      return {
        tone: 'bad',
        label: 'Lagging',
        headline: isSeen
          ? `${pending} ${are} missing on the remote, ${isOne ? '' : 'the oldest '}for longer than ${duration(maxLagMs)}.`
          : `The remote's branch was not seen yet: ${onlyHere}`,
      };
    case 'unconfirmed':
      return {
        tone: 'bad',
        label: 'Unconfirmed',
        headline: 'The remote has confirmed nothing since the start.',
      };
    case 'starting':
      return { tone: 'busy', label: 'Starting', headline: 'Taking the first look at the remote.' };
    default:
  }
  if (lastError !== null) {
    return {
      tone: 'warn',
      label: state === 'pushing' ? 'Trying again' : 'Backing off',
      headline: pushedLater({ pendingCommits, pending, are, isSeen, onlyHere }),
    };
  }
  if (state === 'backing-off') {
    return {
      tone: 'warn',
      label: 'Backing off',
      headline: `The remote loses commits again and again: ${onlyHere}`,
    };
  }
  return pendingCommits === 0
    ? { tone: 'ok', label: 'In sync', headline: 'Every commit is on the remote.' }
    : { tone: 'busy', label: 'Pushing', headline: `${pending} ${are} on the way.` };
}

function pushedLater({ pendingCommits, pending, are, isSeen, onlyHere }) {
  if (pendingCommits === 0) {
    return 'The remote cannot be reached; no commit is known to be missing there.';
  }
  return isSeen
    ? `${pending} ${are} not on the remote yet.`
    : `The remote's branch was not seen yet: ${onlyHere}`;
}

function since({ pendingCommits, oldestPendingAt, lagMs }) {
  if (pendingCommits === 0 || oldestPendingAt === null) return null;
  const which = pendingCommits === 1 ? 'It was' : 'The oldest of them was';
  return `${which} made at ${utc(oldestPendingAt)}, ${duration(lagMs)} ago.`;
}

/** When the remote was last seen, if that is what tells that all is well, or no longer does. */
function verified({ state, pendingCommits, verifiedAt, localCommit }, now) {
  if (state === 'starting' || pendingCommits > 0 || verifiedAt === null || localCommit === null) {
    return null;
  }
  return `Confirmed by the remote ${duration(Math.max(0, now - Date.parse(verifiedAt)))} ago.`;
}

function why({ lastError, consecutiveFailures }, { failingSince }) {
  if (lastError === null) return null;
  const first = failingSince === null ? '' : `, the first at ${utc(failingSince)}`;
  return consecutiveFailures === 1
    ? `The last attempt failed (${lastError.kind}).`
    : `${consecutiveFailures} attempts failed in a row (${lastError.kind})${first}.`;
}

function next(status, verdict, now) {
  const { state, lastError, nextAttemptAt, progress } = status;
  if (verdict === 'stopped') return status.pendingCommits === 0 ? null : afterStop(status);
  if (nextAttemptAt !== null) {
    return `It is tried again by itself in ${duration(Math.max(0, Date.parse(nextAttemptAt) - now))}.`;
  }
  switch (state) {
    case 'starting':
      return verdict === 'unconfirmed' ? 'The first look at the remote is under way.' : null;
    case 'pushing':
      if (progress !== null) return 'A push is under way; its progress is shown below.';
      if (lastError !== null) return 'Another attempt is under way.';
      return verdict === 'ok' ? null : 'An attempt is under way.';
    case 'diverged':
      return 'Once a person has reconciled the branches, pushing resumes by itself.';
    case 'gave-up':
      return 'The next commit, or a flush, starts afresh.';
    case 'regressed':
      return 'The next commit, or a flush, brings the remote forward again.';
    default:
      return null;
  }
}

/** The advice after the daemon has stopped with commits pending. */
function afterStop({ lastError }) {
  return lastError?.reason === 'non-fast-forward'
    ? 'Keep this repository: the next start pushes nothing until a person has reconciled the branches.'
    : 'Keep this repository: the next start pushes what the remote lacks.';
}

module.exports = { afterStop, explain };
