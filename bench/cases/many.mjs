/** A thousand daemons in one process, each with a repository and a remote of its own. */

import { execFileSync } from 'node:child_process';
import path from 'node:path';

import { makeDirectory } from '../../__test__/support/git.mjs';
import { atMost } from '../measure.mjs';
import { copyShape, makeShape } from '../repositories.mjs';
import { measureIn } from './processes.mjs';

const KILOBYTE = 1024;

export const many = [
  {
    name: 'thousand daemons',
    title: 'a thousand daemons in one process',
    isQuick: false,
    async run(context) {
      const count = context.iterations(1_000, 100);
      const shape = makeShape(context.run, { files: 10, layout: 'sharded', commits: 2 });
      const { directory, repo, chain } = copyShape(context.t, shape);
      // The same from every copy.
      execFileSync('git', ['-C', repo, 'remote', 'set-url', 'origin', '../remote.git']);
      const copies = makeDirectory(context.t);
      const repos = Array.from({ length: count }, (_, index) => {
        const copy = path.join(copies, `${index}`);
        execFileSync('cp', ['-r', directory, copy]);
        return path.join(copy, 'data.git');
      });
      const [commit] = chain;
      const idleMs = context.iterations(60_000, 30_000);
      const measured = await measureIn('many', { repos, commit, idleMs });
      return {
        details: {
          'threads without work': measured.idleThreads,
          'child processes at most': measured.children,
          'all in sync after, ms': measured.inSyncMs,
          'a commit in each, until its push event, ms': measured.pushMs,
          'memory each after a push, KB': measured.bytesEachAfterPush / KILOBYTE,
          'threads left': measured.left,
        },
        checks: [
          atMost('threads at most', measured.threads, 32),
          atMost('inotify instances', measured.inotify, 1),
          atMost('memory each', measured.bytesEach / KILOBYTE, 100, 'KB'),
          atMost('idle, of a core', measured.idlePercent, 1, '%'),
          atMost('start', measured.startMs, 2_000, 'ms'),
          atMost('stop', measured.stopMs, 2_000, 'ms'),
        ],
      };
    },
  },
];
