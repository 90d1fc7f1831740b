/** What a daemon must not leave behind in its process and on the machine. Linux only, as `/proc` is. */

import { until } from '../support/daemon.mjs';
import { children, daemonThreads, descriptors, processesOf } from '../support/proc.mjs';

/** Descriptors by what they lead to, without the numbers that tell two of a kind apart. */
function kindsOfDescriptors() {
  const counts = new Map();
  for (const target of descriptors()) {
    const kind = target.replace(/\d+/g, 'N');
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  return counts;
}

/** What the process has now; `check` throws if it has more later, and stays so. */
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
    /** @param {string[]} names what the command lines of the cell's processes mention */
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
