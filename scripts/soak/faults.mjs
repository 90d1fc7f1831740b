/**
 * The faults of a soak: each begins, lasts, and is undone. They happen in lanes, one for each remote and one
 * for the repository itself; in each lane there is one at a time, with pauses, and the lanes know nothing of each other.
 */

import { spawn } from 'node:child_process';
import { existsSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

import { descendants, signal } from '../../__test__/support/proc.mjs';

const LASTS_MS = [500, 12_000];
const PAUSE_MS = [500, 6_000];
const RECORD_BYTES = 4_000;

/** How old the lock of a transaction is that has ended without removing it. */
const STALE_MS = 3_000;

const between = (random, [from, to]) => from + random() * (to - from);

/** Runs git to its end; errors about locks and concurrent commands are expected. */
function git(repo, ...args) {
  return new Promise((resolve, reject) => {
    const child = spawn('git', args, { cwd: repo.path, stdio: 'ignore', timeout: 120_000 });
    child.once('error', reject);
    child.once('close', resolve);
  });
}

/**
 * What the operator does after a server was killed, or its repository taken away, in the middle of a transaction: nobody
 * else removes the locks (of the branch, or of HEAD) that it left. A lock that is in use is gone long before it is that old.
 */
async function removeStaleLocks(repo) {
  for (const name of ['refs/heads/main.lock', 'HEAD.lock', 'packed-refs.lock']) {
    const lock = path.join(repo.path, name);
    const madeAt = () => statSync(lock, { throwIfNoEntry: false })?.mtimeMs ?? Number.NaN;
    while (Date.now() - madeAt() < STALE_MS) await pause(100);
    if (Number.isNaN(madeAt())) continue;
    console.log(`a push was in ${repo.path} when it was cut off: its ${name} is removed`);
    rmSync(lock, { force: true });
  }
}

/** Faults of a remote repository. */
function remoteFaults({ repo }) {
  const lock = path.join(repo.path, 'refs/heads/main.lock');
  const away = `${repo.path}.away`;
  return {
    'hook declines': () => {
      repo.hook('pre-receive', 'echo not now >&2; exit 1');
      return () => repo.removeHook('pre-receive');
    },
    'hook is slow': () => {
      repo.hook('pre-receive', 'sleep 1');
      return () => repo.removeHook('pre-receive');
    },
    'hook hangs': () => {
      repo.hook('pre-receive', 'sleep 30');
      return () => repo.removeHook('pre-receive');
    },
    'ref locked': () => {
      // A push that has the lock itself at this moment keeps it.
      if (!existsSync(lock)) writeFileSync(lock, '', { flag: 'w' });
      return () => rmSync(lock, { force: true });
    },
    'repository away': () => {
      renameSync(repo.path, away);
      return async () => {
        renameSync(away, repo.path);
        await removeStaleLocks(repo);
      };
    },
    'read-only': () => {
      // Imitates a server with a read-only disk, since root may write anywhere.
      repo.hook('pre-receive', 'echo "error: cannot lock ref: Read-only file system" >&2; exit 1');
      return () => repo.removeHook('pre-receive');
    },
    'gc at the remote': async () => {
      await git(repo, 'gc', '--quiet');
      return () => {};
    },
  };
}

/** Faults of a server and of the network. */
function serverFaults({ server, proxy, repo }, random) {
  const bytes = () => Math.floor(random() * RECORD_BYTES);
  const from = () => (random() < 0.5 ? 'client' : 'server');
  const network = (fault) => async () => {
    await proxy.set(fault());
    return () => proxy.heal();
  };
  return {
    'server killed': async () => {
      await server.kill();
      return async () => {
        await removeStaleLocks(repo);
        await server.restart();
      };
    },
    'server stopped': () => {
      const pids = [server.pid, ...descendants(server.pid)];
      const signalAll = (name) => {
        for (const pid of pids) signal(pid, name);
      };
      signalAll('SIGSTOP');
      return () => signalAll('SIGCONT');
    },
    refused: network(() => ({ is: 'refuse' })),
    silence: network(() => ({ is: 'silence' })),
    cut: network(() => ({ is: 'cut', from: from(), after: bytes() })),
    reset: network(() => ({ is: 'reset', from: from(), after: bytes() })),
    stall: network(() => ({ is: 'stall', from: from(), after: bytes() })),
    dribble: network(() => ({ is: 'dribble', bytes: 50, everyMs: 10 })),
    delay: network(() => ({ is: 'delay', ms: 100 })),
    'connections dropped': () => {
      proxy.drop('reset');
      return () => {};
    },
  };
}

function sshFaults({ server }) {
  return {
    'key away': () => {
      renameSync(server.key, `${server.key}.away`);
      return () => renameSync(`${server.key}.away`, server.key);
    },
  };
}

/** Events in the local repository. */
function repositoryFaults({ repo, remotes, startHost, startWriter }, random) {
  return {
    gc: async () => {
      await git(repo, 'gc', '--quiet');
      return () => {};
    },
    'refs packed': async () => {
      await git(repo, 'pack-refs', '--all');
      return () => {};
    },
    'configuration rewritten': async () => {
      for (let times = 0; times < 10; times += 1) {
        await git(repo, 'config', 'soak.time', String(times));
        for (const { name, url } of remotes) await git(repo, 'remote', 'set-url', name, url);
      }
      return () => {};
    },
    'second writer': () => {
      const writer = startWriter(`second ${random()}`, 5);
      return () => {
        writer.kill('SIGTERM');
        return writer.ended;
      };
    },
    'second process pushes, and is killed': () => {
      const host = startHost(({ point }) => point === 'before' && host.kill('SIGUSR2'));
      return () => {
        host.kill('SIGKILL');
        return host.ended;
      };
    },
  };
}

/** The lanes of a world, each with its faults. */
export function makeLanes(world, random) {
  return [
    ...world.remotes.map((remote) => ({
      name: remote.name,
      faults: {
        ...remoteFaults(remote),
        ...(remote.server ? serverFaults(remote, random) : {}),
        ...(remote.name === 'ssh' ? sshFaults(remote) : {}),
      },
    })),
    { name: 'repository', faults: repositoryFaults(world, random) },
  ];
}

/** Runs one fault after the other in a lane until `isOver`, and undoes each. */
export async function runLane({ name, faults }, { random, isOver, onFault, onHealed }) {
  const kinds = Object.keys(faults);
  while (!isOver()) {
    await pause(between(random, PAUSE_MS));
    const kind = kinds[Math.floor(random() * kinds.length)];
    onFault(name, kind);
    const undo = await faults[kind]();
    await pause(between(random, LASTS_MS));
    await undo();
    onHealed(name, kind);
  }
}
