/** Faults of the processes that a push runs in. */

import { children, groupOf } from '../support/proc.mjs';
import { across } from './across.mjs';

const place = 'the processes';

/** Signals the children of this process, which are the daemon's, with their whole process groups. */
const signalled = (signal) => ({
  phase: 'after the pack',
  setUp: (site) => {
    site.entrance = site.gate('pre-receive');
  },
  during: async (site) => {
    await site.entrance.entered();
    for (const group of new Set(children().map(groupOf))) process.kill(-group, signal);
  },
  heal: ({ entrance }) => entrance.open(),
});

export default [
  ...across(['local', 'ssh', 'git-cli local', 'git-cli ssh', 'git-cli https'], {
    fault: 'the pushing processes are killed',
    // The git command is ours; a broken pipe to ssh or receive-pack is all that is seen of theirs.
    kind: { local: 'network', ssh: 'network', others: 'local' },
    ...signalled('SIGKILL'),
  }),
  ...across(['local', 'ssh', 'git-cli local', 'git-cli ssh', 'git-cli https'], {
    fault: 'the pushing processes are stopped',
    kind: 'timeout',
    hangs: true,
    ...signalled('SIGSTOP'),
  }),
].map((cell) => ({ ...cell, place }));
