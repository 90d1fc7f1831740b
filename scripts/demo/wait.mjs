/** Waits for another process by polling, within a generous limit. */

import { setTimeout as after } from 'node:timers/promises';

import { duration, Failed } from '../process.mjs';

const LIMIT_MS = 60_000;
const POLL_MS = 10;

/** Resolves once `holds` does. */
export async function until(what, holds) {
  const deadline = performance.now() + LIMIT_MS;
  while (!(await holds())) {
    if (performance.now() > deadline) {
      throw new Failed(`Waited ${duration(LIMIT_MS)} in vain until ${what}.`);
    }
    await after(POLL_MS);
  }
}

/** Resolves after `ms` if `holds` was true throughout: the only way to show that something does not happen. */
export async function holdsFor(ms, holds) {
  const end = performance.now() + ms;
  while (performance.now() < end) {
    if (!(await holds())) return false;
    await after(POLL_MS);
  }
  return true;
}
