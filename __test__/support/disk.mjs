/** File systems of a test's own, small enough to be filled. They take the right to mount: root's, as in CI. */

import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { atEnd } from './cleanup.mjs';
import { makeDirectory } from './git.mjs';

function run(command, ...args) {
  execFileSync(command, args, { stdio: 'pipe', timeout: 30_000 });
}

/** The reason why nothing can be mounted here, for `skip`; false where it can. */
export const NO_MOUNT = whyNot();

function whyNot() {
  if (process.platform !== 'linux') return 'mounts a tmpfs, which is Linux';
  if (process.getuid() !== 0) return 'mounts a tmpfs, which takes root';
  try {
    // In a separate mount namespace, which leaves no trace.
    run('unshare', '--mount', 'mount', '-t', 'tmpfs', 'none', '/mnt');
    return false;
  } catch (error) {
    return `mounts a tmpfs, which is not allowed here: ${error.message}`;
  }
}

/** A mounted file system; it goes when the test ends. */
class Disk {
  #ballast;

  constructor(directory) {
    this.path = directory;
    this.#ballast = path.join(directory, 'ballast');
  }

  /** Leaves no room for a single byte more. */
  fill() {
    try {
      for (let index = 0; ; index += 1) {
        mkdirSync(this.#ballast, { recursive: true });
        // Smaller pieces still fit at the end.
        const bytes = index < 64 ? 65_536 : 4096;
        writeFileSync(path.join(this.#ballast, String(index)), Buffer.alloc(bytes));
      }
    } catch (error) {
      if (error.code !== 'ENOSPC') throw error;
    }
    this.#fillRest();
  }

  #fillRest() {
    for (let index = 0; ; index += 1) {
      try {
        writeFileSync(path.join(this.#ballast, `rest-${index}`), 'x');
      } catch (error) {
        if (error.code !== 'ENOSPC') throw error;
        return;
      }
    }
  }

  free() {
    rmSync(this.#ballast, { recursive: true });
  }

  becomeReadOnly() {
    run('mount', '-o', 'remount,ro', this.path);
  }

  becomeWritable() {
    run('mount', '-o', 'remount,rw', this.path);
  }
}

/** A disk of a few megabytes. */
export function makeDisk(t, megabytes = 3) {
  const directory = path.join(makeDirectory(t), 'disk');
  mkdirSync(directory);
  run('mount', '-t', 'tmpfs', '-o', `size=${megabytes}m`, 'git-push-daemon-test', directory);
  atEnd(t, () => run('umount', '--lazy', directory));
  return new Disk(directory);
}

/** A place at which the directory `source` can be mounted and unmounted. */
export function makeMountPoint(t, source) {
  const directory = path.join(makeDirectory(t), 'mounted');
  mkdirSync(directory);
  let isMounted = false;
  const point = {
    path: directory,
    mount() {
      run('mount', '--bind', source, directory);
      isMounted = true;
    },
    unmount() {
      if (isMounted) run('umount', '--lazy', directory);
      isMounted = false;
    },
  };
  atEnd(t, point.unmount);
  point.mount();
  return point;
}

/** Makes a directory read-only, whatever is above it, until the function that is returned is called. */
export function freeze(t, directory) {
  let isFrozen = true;
  run('mount', '--bind', directory, directory);
  run('mount', '-o', 'remount,ro,bind', directory);
  const thaw = () => {
    if (isFrozen) run('umount', '--lazy', directory);
    isFrozen = false;
  };
  atEnd(t, thaw);
  return thaw;
}
