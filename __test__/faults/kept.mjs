/**
 * Faults of a connection that is kept ready, and the push that would have used it. All other cells keep no connection,
 * so that each fault meets a new one.
 */

import { until } from '../support/daemon.mjs';
import { across } from './across.mjs';
import { deleteBranch, gone, replaceByEmpty, rewind, theirs } from './acts.mjs';

const place = 'a connection that is kept ready';

const KEPT = ['ssh', 'https'];

/** Pushes once, and waits until the connection for the next push is there. */
const keep = async (site) => {
  site.commit();
  await until('the first push', () => site.daemon.status().totals.pushes === 1);
  await until('a connection is kept', () => site.proxy.open > 0);
};

const whileKept = (strike) => async (site) => {
  await keep(site);
  await strike(site);
};

export default [
  ...across(KEPT, {
    fault: 'the kept connection is cut',
    strike: whileKept(({ proxy }) => proxy.drop('cut')),
  }),
  ...across(KEPT, {
    fault: 'the kept connection is reset',
    strike: whileKept(({ proxy }) => proxy.drop('reset')),
  }),
  ...across(KEPT, {
    fault: 'the kept connection is reset, and others refused',
    kind: 'network',
    strike: whileKept(({ proxy }) => proxy.set({ is: 'refuse' })),
  }),
  ...across(KEPT, {
    fault: 'the kept connection stalls',
    // The connection that follows the idle limit stalls as well.
    kind: 'timeout',
    hangs: true,
    strike: whileKept(({ proxy }) => proxy.set({ is: 'stall', from: 'client', after: 0 })),
  }),
  ...across(KEPT, {
    fault: 'the pre-receive hook declines',
    kind: 'rejected',
    strike: whileKept(({ remote }) => remote.hook('pre-receive', 'exit 1')),
    heal: ({ remote }) => remote.removeHook('pre-receive'),
  }),
  ...across(KEPT, {
    fault: 'the remote branch is deleted',
    strike: whileKept(deleteBranch),
  }),
  ...across(KEPT, {
    fault: 'the remote branch is rewound',
    strike: whileKept(rewind),
  }),
  ...across(KEPT, {
    fault: 'diverged, then the remote is rewound',
    kind: 'non-fast-forward',
    outcome: 'person',
    ...theirs,
    strike: whileKept(theirs.strike),
  }),
  ...across(KEPT, {
    fault: 'the remote repository is gone',
    kind: 'remote-error',
    outcome: 'retry',
    ...gone,
    strike: whileKept(gone.strike),
  }),
  ...across(KEPT, {
    fault: 'an empty repository takes its place',
    strike: whileKept(replaceByEmpty),
  }),
].map((cell) => ({
  ...cell,
  phase: 'between two pushes',
  place,
  options: () => ({ keepConnectionMs: 30_000 }),
}));
