/** Whether a write is done: once it is committed, or in the synchronous mode once it is on the remote. */

import type { PushDaemon } from 'git-push-daemon';

import type { Env } from '../env.js';

/** Resolves to whether the commit is where it should be. It never rejects: the commit exists anyway. */
export type Confirm = (commit: string) => Promise<boolean>;

export function confirmWith(daemon: PushDaemon | null, env: Env): Confirm {
  if (daemon === null || env.CFP_DATA_PUSH_MODE === 'background') return async () => true;
  return async (commit) => {
    try {
      await daemon.waitForPush(commit, { timeoutMs: env.CFP_DATA_PUSH_TIMEOUT_MS });
      return true;
    } catch {
      // Late, diverged, given up or stopping: the log says which, and the daemon pushes it when it can.
      return false;
    }
  };
}
