/** Ours, from the ref's update to the `push` event, with the steps that the daemon's own log tells. */

import { startPushDaemon, untilState, within } from '../../__test__/support/daemon.mjs';
import { setTip } from '../repositories.mjs';

const PUSH_LIMIT_MS = 300_000;
/** The zero of this process's clock, on the one that processes share. */
const ORIGIN_MS = Number(process.hrtime.bigint()) / 1e6 - performance.now();
const ignore = () => {};

/** A daemon that has found the remote to have everything. */
export class DaemonPeer {
  #daemon;
  #repo;
  #steps;
  #fail = ignore;
  /** What each push was divided into, in milliseconds. */
  steps = [];

  static async start(place, options = {}) {
    const peer = new DaemonPeer();
    peer.#repo = place.repo;
    peer.#daemon = startPushDaemon({
      remote: 'origin',
      repoPath: place.repo,
      logger: {
        debug: (fields, message) => {
          if (message === 'the steps of an attempt') peer.#steps = fields;
        },
        info: ignore,
        warn: ignore,
        error: ignore,
      },
      ...options,
    });
    peer.#daemon.on('error', ({ err }) => peer.#fail(err));
    await untilState(peer.#daemon, 'in-sync');
    return peer;
  }

  get handle() {
    return this.#daemon;
  }

  /** Moves the branch and waits for the event; the milliseconds between. */
  async push(commit) {
    this.#steps = undefined;
    let listener;
    const pushed = new Promise((resolve, reject) => {
      listener = (event) => {
        if (event.commit === commit) resolve(performance.now());
      };
      this.#daemon.on('push', listener);
      this.#fail = reject;
    });
    const movedAt = performance.now();
    setTip(this.#repo, commit);
    const pushedAt = await within(pushed, `the push of ${commit}`, PUSH_LIMIT_MS);
    this.#daemon.off('push', listener);
    this.#note(movedAt, pushedAt);
    return pushedAt - movedAt;
  }

  #note(movedAt, pushedAt) {
    const done = this.#steps;
    if (done === undefined) return;
    const connected = done.connected_ms ?? 0;
    const packed = Math.max(done.packed_ms, done.looked_ms);
    // By the daemon's own clock: the log line itself comes only when this thread is woken.
    const notice = done.started_ms - ORIGIN_MS - movedAt;
    this.steps.push({
      notice,
      connect: connected,
      // From the advertisement to the whole pack.
      look: done.looked_ms - connected,
      pack: packed - done.looked_ms,
      server: Math.max(0, done.reported_ms - packed),
      settle: done.ended_ms - done.reported_ms,
      tell: Math.max(0, pushedAt - movedAt - notice - done.ended_ms),
      client: packed - connected,
    });
  }

  async stop() {
    await this.#daemon.stop({ timeoutMs: 0 });
  }
}
