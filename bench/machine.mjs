/** What the numbers were taken on, and what else it did meanwhile. */

import { readFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem, type } from 'node:os';

import { git } from '../__test__/support/git.mjs';

export const describeMachine = () => ({
  node: process.version,
  git: git('/', '--version').replace('git version ', ''),
  system: `${type()} ${release()}`,
  processors: `${cpus().length} × ${cpus()[0]?.model.trim() ?? 'unknown'}`,
  memoryGB: Math.round(totalmem() / 2 ** 30),
});

/** The mean number of processes that wanted a processor in the last minute, the benchmark's own included. */
export const load = () => Number(loadavg()[0].toFixed(2));

/** Ticks of all processors so far: those that a hypervisor gave to others, and all. */
function ticks() {
  const [line] = readFileSync('/proc/stat', 'utf8').split('\n');
  const fields = line.trim().split(/\s+/).slice(1, 9).map(Number);
  return { stolen: fields[7] ?? 0, all: fields.reduce((sum, value) => sum + value, 0) };
}

/** Starts to watch; the result tells the share of time, in percent, that others had of the processors since. */
export function watchSteal() {
  const before = ticks();
  return () => {
    const after = ticks();
    const share = (after.stolen - before.stolen) / Math.max(1, after.all - before.all);
    return Number((share * 100).toFixed(1));
  };
}
