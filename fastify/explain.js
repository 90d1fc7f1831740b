'use strict';

// The status in words: the headline of the page and what stands under it. No HTML.

const { verdictOf } = require('./health.js');
const { count, duration, utc } = require('./words.js');

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
function explain({ status, history, maxLagMs, now }) {
  if (status === null) return OFF;
  const verdict = verdictOf(status, maxLagMs, now);
  const { tone, label, headline } = summary(status, verdict, maxLagMs);
  return {
    tone,
    label,
    headline,
    sentences: [since(status), why(status, history), next(status, now)].filter(Boolean),
    hint: status.lastError?.hint ?? null,
  };
}

function summary({ state, pendingCommits, lastError }, verdict, maxLagMs) {
  const pending = count(pendingCommits, 'commit');
  const exist = pendingCommits === 1 ? 'exists' : 'exist';
  const are = pendingCommits === 1 ? 'is' : 'are';
  switch (verdict) {
    case 'stopped':
      return pendingCommits === 0
        ? { tone: 'warn', label: state, headline: 'Stopped. The remote has every commit.' }
        : { tone: 'bad', label: state, headline: `Stopped: ${pending} ${exist} only here.` };
    case 'diverged':
      return {
        tone: 'bad',
        label: 'Diverged',
        headline: `The remote has other commits: ${pending} ${exist} only here.`,
      };
    case 'gave-up':
      return {
        tone: 'bad',
        label: 'Gave up',
        headline: `Given up: ${pending} ${exist} only here.`,
      };
    case 'lagging':
      return {
        tone: 'bad',
        label: 'Lagging',
        headline: `${pending} ${are} not on the remote, for longer than ${duration(maxLagMs)}.`,
      };
    case 'unconfirmed':
      return {
        tone: 'bad',
        label: 'Unconfirmed',
        headline: 'The remote was never reached since the start.',
      };
    case 'starting':
      return { tone: 'busy', label: 'Starting', headline: 'Taking the first look at the remote.' };
    default:
  }
  if (lastError !== null) {
    return {
      tone: 'warn',
      label: state === 'pushing' ? 'Trying again' : 'Backing off',
      headline:
        pendingCommits === 0
          ? 'The remote cannot be reached; no commit is known to be missing there.'
          : `${pending} ${are} not on the remote yet.`,
    };
  }
  return pendingCommits === 0
    ? { tone: 'ok', label: 'In sync', headline: 'Every commit is on the remote.' }
    : { tone: 'busy', label: 'Pushing', headline: `${pending} ${are} on the way.` };
}

function since({ pendingCommits, oldestPendingAt, lagMs }) {
  if (pendingCommits === 0 || oldestPendingAt === null) return null;
  const which = pendingCommits === 1 ? 'It was' : 'The oldest of them was';
  return `${which} made at ${utc(oldestPendingAt)}, ${duration(lagMs)} ago.`;
}

function why({ lastError, consecutiveFailures }, { failingSince }) {
  if (lastError === null) return null;
  const first = failingSince === null ? '' : `, the first at ${utc(failingSince)}`;
  return consecutiveFailures === 1
    ? `The last attempt failed (${lastError.kind}).`
    : `${consecutiveFailures} attempts failed in a row (${lastError.kind})${first}.`;
}

function next({ state, lastError, nextAttemptAt }, now) {
  if (lastError === null) return null;
  if (nextAttemptAt !== null) {
    return `It is tried again by itself in ${duration(Math.max(0, Date.parse(nextAttemptAt) - now))}.`;
  }
  if (state === 'pushing') return 'Another attempt is under way.';
  if (state === 'diverged')
    return 'Once a person has reconciled the branches, pushing resumes by itself.';
  if (state === 'gave-up') return 'The next commit, or a flush, starts afresh.';
  return null;
}

module.exports = { explain };
