/**
 * A daemon as JavaScript services have them: an EventEmitter that is told of each commit and runs
 * `git push` for it with `execFile`. Written for this comparison, after the behaviour of gitsheets' own.
 */

import { execFile } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { promisify } from 'node:util';

import { BRANCH, setTip } from '../repositories.mjs';

const LIMIT_MS = 300_000;
const run = promisify(execFile);

export class SpawningDaemon extends EventEmitter {
  #repo;
  #queue = [];
  isBusy = false;

  constructor(repo) {
    super();
    this.#repo = repo;
  }

  notifyCommit(commit) {
    this.#queue.push(commit);
    if (!this.isBusy) this.#work();
  }

  async #work() {
    this.isBusy = true;
    while (this.#queue.length > 0) {
      const commit = this.#queue.shift();
      const startedAt = Date.now();
      try {
        const spawnAt = performance.now();
        const pushing = run('git', ['push', 'origin', BRANCH], {
          cwd: this.#repo,
          timeout: LIMIT_MS,
        });
        // How long the process could do nothing else.
        this.emit('spawned', performance.now() - spawnAt);
        await pushing;
        this.emit('push', { commit, durationMs: Date.now() - startedAt });
      } catch (error) {
        this.emit('error', error);
      }
    }
    this.isBusy = false;
  }
}

export class SpawningPeer {
  #daemon;
  #repo;

  static async start(place) {
    const peer = new SpawningPeer();
    peer.#repo = place.repo;
    peer.#daemon = new SpawningDaemon(place.repo);
    return peer;
  }

  async push(commit) {
    const startedAt = performance.now();
    setTip(this.#repo, commit);
    this.#daemon.notifyCommit(commit);
    await once(this.#daemon, 'push');
    return performance.now() - startedAt;
  }

  async stop() {}
}
