/** libgit2's own push, in a process that embeds it. Only to a path: git2 is built without its networks here. */

import { setTip } from '../repositories.mjs';

export class Libgit2Peer {
  #native;
  #place;

  static async start(place, { native }) {
    const peer = new Libgit2Peer();
    peer.#native = native;
    peer.#place = place;
    return peer;
  }

  async push(commit) {
    setTip(this.#place.repo, commit);
    return this.#native.do('libgit2', this.#place.repo, this.#place.remote);
  }

  async stop() {}
}
