/** The counts of a soak: commits and their arrival, failures, and the resources of the process. */

import { loadavg } from 'node:os';

import { children, descriptors, residentBytes, threads } from '../../__test__/support/proc.mjs';

const MEGABYTE = 1024 * 1024;

/** A resource is flat if its median in the last quarter exceeds that of the second by no more than this. */
const GROWTH = 1.15;
const HELD = {
  bytes: { allowance: 8 * MEGABYTE, words: (bytes) => `${(bytes / MEGABYTE).toFixed(1)} MB` },
  descriptors: { allowance: 8, words: String },
};

function percentile(sorted, share) {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

const median = (numbers) =>
  percentile(
    [...numbers].sort((a, b) => a - b),
    0.5,
  );

/** The resources of a process at this moment. */
export function holdings(pid) {
  return {
    bytes: residentBytes(pid),
    descriptors: descriptors(pid).length,
    children: children(pid).length,
    threads: threads(pid).length,
  };
}

export class Ledger {
  /** All commits, in the order of their reports. */
  commits = [];
  /** The resources of the process, every few seconds. */
  samples = [];
  failures = new Map();
  faults = new Map();
  /** The faults with their times. */
  story = [];
  totals = { pushes: 0, failures: 0 };
  lags = [];
  #pending;
  #minute;

  constructor(remotes) {
    this.#pending = new Map(remotes.map((name) => [name, []]));
    this.#minute = this.#newMinute();
  }

  #newMinute() {
    return { commits: 0, pushes: 0, failures: new Map(), lags: [] };
  }

  committed({ commit, at }) {
    this.commits.push(commit);
    this.#minute.commits += 1;
    for (const pending of this.#pending.values()) pending.push({ commit, at });
  }

  /** A push covers all commits up to its own. If its commit is reported only later, the next push counts it. */
  pushed({ push, remote }) {
    this.#minute.pushes += 1;
    this.totals.pushes += 1;
    const pending = this.#pending.get(remote);
    const now = Date.now();
    const arrived = pending.splice(0, pending.findIndex(({ commit }) => commit === push) + 1);
    for (const { at } of arrived) {
      this.#minute.lags.push(now - at);
      this.lags.push(now - at);
    }
  }

  failed({ error: kind, remote }) {
    const { failures } = this.#minute;
    failures.set(kind, (failures.get(kind) ?? 0) + 1);
    const name = `${remote}: ${kind}`;
    this.failures.set(name, (this.failures.get(name) ?? 0) + 1);
    this.totals.failures += 1;
  }

  faulted(lane, kind) {
    const name = `${lane}: ${kind}`;
    this.faults.set(name, (this.faults.get(name) ?? 0) + 1);
    this.story.push(`${new Date().toISOString()} ${name}`);
  }

  healed(lane, kind) {
    this.story.push(`${new Date().toISOString()} ${lane}: ${kind} is over`);
  }

  sample(pid) {
    this.samples.push(holdings(pid));
  }

  /** The row of the minute that ends now. */
  endMinute() {
    const { commits, pushes, failures, lags } = this.#minute;
    this.#minute = this.#newMinute();
    const kinds = [...failures].map(([kind, times]) => `${times} ${kind}`);
    const { bytes, descriptors: open, children: started, threads: running } = this.samples.at(-1);
    return [
      commits,
      pushes,
      kinds.join(', ') || 'none',
      lagsOf(lags),
      (bytes / MEGABYTE).toFixed(0),
      open,
      started,
      running,
      loadavg()[0].toFixed(1),
    ];
  }

  /** Median and 99th percentile of how long commits took to arrive, faults included. */
  get lag() {
    return lagsOf(this.lags);
  }

  /** Whether a resource grew from the second quarter of the samples to the last, also as text. */
  growth(held) {
    const { allowance, words } = HELD[held];
    const quarter = Math.floor(this.samples.length / 4);
    const values = this.samples.map((sample) => sample[held]);
    const second = median(values.slice(quarter, 2 * quarter));
    const last = median(values.slice(-quarter));
    return {
      isFlat: quarter > 0 && last <= second * GROWTH + allowance,
      words: `median ${words(second)} in the second quarter, ${words(last)} in the last`,
    };
  }
}

function lagsOf(lags) {
  if (lags.length === 0) return 'none arrived';
  const sorted = [...lags].sort((a, b) => a - b);
  return [0.5, 0.99].map((share) => (percentile(sorted, share) / 1000).toFixed(1)).join(', ');
}

/** The head of the table of minutes. */
export const HEAD = [
  'minute',
  'commits',
  'pushes',
  'failures by kind',
  'lag p50, p99 (s)',
  'RSS (MB)',
  'descriptors',
  'children',
  'threads',
  'load',
];
