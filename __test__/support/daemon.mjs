/** Daemons under test, and functions that wait for their events, with limits that only a hang reaches. */

import { createRequire } from 'node:module';

import { atEnd } from './cleanup.mjs';
import { EVENTS } from './contract.mjs';

/** How long an event may take on a busy machine before the test counts it as missing. */
export const LIMIT_MS = 30_000;

const require = createRequire(import.meta.url);

/** The package as a user's `require` gives it. */
export const { startPushDaemon, PushDaemon, PushError } = require('../../index.js');

/** Delays between attempts that are too short to notice. */
export const FAST_BACKOFF = { base: 5, multiplier: 1, cap: 5 };

/** Delays between attempts that outlast every test. */
export const ENDLESS_BACKOFF = { base: 3_600_000, multiplier: 1, cap: 3_600_000 };

/** Starts a daemon that is stopped, without a drain, when the test ends. */
export function start(t, options) {
  const daemon = startPushDaemon(options);
  atEnd(t, () => daemon.stop({ timeoutMs: 0 }));
  return daemon;
}

/**
 * Rejects unless `promise` settles within the limit.
 *
 * @template T
 * @param {Promise<T>} promise
 * @param {string} what names it in the error
 * @returns {Promise<T>}
 */
export function within(promise, what, limitMs = LIMIT_MS) {
  let timer;
  const limit = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing for ${limitMs} ms`)), limitMs);
  });
  return Promise.race([promise, limit]).finally(() => clearTimeout(timer));
}

/**
 * The payload of the next event of this name that `accepts` takes. Unlike `once` of `node:events`, it does
 * not take an `error` event for a failure.
 */
export function once(daemon, name, accepts = () => true) {
  let listener;
  const next = new Promise((resolve) => {
    listener = (payload) => {
      if (accepts(payload)) resolve(payload);
    };
    daemon.on(name, listener);
  });
  return within(next, `event '${name}'`)
    .catch((error) => {
      error.message += ` (status: ${JSON.stringify(daemon.status())})`;
      throw error;
    })
    .finally(() => daemon.off(name, listener));
}

/**
 * Records every event from now on. Those named `progress` are kept apart from the others, because it depends on the
 * machine's load whether a push takes so long that it has any.
 *
 * @returns {{events: {name: string, payload: object, status: object}[], names: () => string[],
 * of: (name: string) => object[]}} the events but `progress` in order, each with the status inside its listener;
 * `of` also takes `progress`
 */
export function collect(daemon) {
  const events = [];
  const progress = [];
  for (const name of EVENTS) {
    const kept = name === 'progress' ? progress : events;
    daemon.on(name, (payload) => kept.push({ name, payload, status: daemon.status() }));
  }
  return {
    events,
    names: () => events.map((event) => event.name),
    of: (name) =>
      [...events, ...progress].filter((event) => event.name === name).map((event) => event.payload),
  };
}

/** Polls until `look` returns a true value, for changes without an event. */
export async function until(what, look, limitMs = LIMIT_MS) {
  const giveUpAt = performance.now() + limitMs;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (performance.now() > giveUpAt) throw new Error(`${what}: not so after ${limitMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** The status once it has this state. */
export function untilState(daemon, state) {
  return until(`state '${state}' (it is '${daemon.status().state}')`, () => {
    const status = daemon.status();
    return status.state === state && status;
  });
}

/** Starts a daemon and waits until it has found the remote in sync. */
export async function startInSync(t, options) {
  const daemon = start(t, options);
  await untilState(daemon, 'in-sync');
  return daemon;
}

/** Lets the event loop run everything that is due: timers of 0 ms, immediates, ticks. */
export function macrotask() {
  return new Promise((resolve) => setImmediate(resolve));
}

/** The error that a call throws; fails if it does not throw. */
export function thrownBy(call) {
  let result;
  try {
    result = call();
  } catch (error) {
    return error;
  }
  if (typeof result?.stop === 'function') result.stop({ timeoutMs: 0 });
  throw new Error('nothing was thrown');
}
