/** Takes the same measurement of several peers in turn, so that what else the machine does hits all of them. */

import { setTimeout as after } from 'node:timers/promises';

import { shuffled, summarize } from './statistics.mjs';

/** The first pushes of each peer, which find nothing in a cache, are dropped. */
export const WARM_UPS = 2;

/** What follows a push on the server and on our side (hooks, maintenance, the next connection) is over by then. */
const SETTLE_MS = 60;

/**
 * @param {Record<string, {push: (commit: string) => Promise<number>}>} peers each with a repository of its own
 * @param {string[]} chain the commits, which every peer pushes one by one
 * @param {{settleMs?: Record<string, number>}} [options]
 * @returns {Promise<Record<string, number[]>>} milliseconds
 */
export async function interleave(peers, chain, { settleMs = {} } = {}) {
  const taken = Object.fromEntries(Object.keys(peers).map((name) => [name, []]));
  for (const [index, commit] of chain.entries()) {
    for (const name of shuffled(Object.keys(peers))) {
      const took = await peers[name].push(commit);
      if (index >= WARM_UPS) taken[name].push(took);
      await after(settleMs[name] ?? SETTLE_MS);
    }
  }
  return taken;
}

/** Summaries of what was taken. */
export const summarizeAll = (taken) =>
  Object.fromEntries(Object.entries(taken).map(([name, numbers]) => [name, summarize(numbers)]));

/**
 * A target and what was measured.
 *
 * @param {string} what
 * @param {number} measured
 * @param {number} limit at most
 * @param {string} [unit]
 */
export const atMost = (what, measured, limit, unit = '') => ({
  what,
  measured,
  limit,
  unit,
  isMet: measured <= limit,
});
