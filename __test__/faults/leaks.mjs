/** Checks that a daemon leaves nothing behind in its process and on the machine. Linux only: it reads `/proc`. */

import { until } from '../support/daemon.mjs';
import { children, daemonThreads, descriptors, processesOf } from '../support/proc.mjs';

/** The number of descriptors for each kind of target, ignoring the numbers in their names. */
function kindsOfDescriptors() {
  const counts = new Map();
  for (const target of descriptors()) {
    const kind = target.replace(/\d+/g, 'N');
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  return counts;
}

/** Records what the process has now; `check` throws if it has more later and does not release it. */
export function takeInventory() {
  const before = { children: new Set(children()), descriptors: kindsOfDescriptors() };
  const left = (names) => {
    const found = [];
    for (const pid of children()) if (!before.children.has(pid)) found.push(`child ${pid}`);
    for (const [kind, count] of kindsOfDescriptors()) {
      const had = before.descriptors.get(kind) ?? 0;
      if (count > had) found.push(`${count - had} descriptors of ${kind}`);
    }
    found.push(...daemonThreads().map((name) => `thread ${name}`));
    for (const name of names) {
      found.push(...processesOf(name).map(({ pid, command }) => `process ${pid}: ${command}`));
    }
    return found;
  };
  return {
    /** @param {string[]} names text that the command lines of the cell's processes contain */
    check: async (names) => {
      let found;
      await until('nothing is left', () => {
        found = left(names);
        return found.length === 0;
      }).catch(() => {
        throw new Error(`left behind: ${found.join('; ')}`);
      });
    },
  };
}
