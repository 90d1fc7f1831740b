/** The remotes of a pair of repositories by each transport, as each peer is told of them. */

import path from 'node:path';

import { git, makeDirectory } from '../__test__/support/git.mjs';
import { startApache, startSshd } from '../__test__/support/servers.mjs';
import { startDelayLine } from './delay-line.mjs';
import { copyShape } from './repositories.mjs';

/** The servers of a run, each started when the first case wants it. */
export class Places {
  #t;
  #sshd;
  #apache;
  #root;
  #copies = 0;

  constructor(t) {
    this.#t = t;
  }

  /**
   * A copy for one peer, with `origin` set to the remote by this transport; behind a link with latency if `delayMs` is
   * given.
   */
  async make(t, transport, shape, { keepsReady = false, delayMs } = {}) {
    if (transport === 'local') return copyShape(t, shape);
    return transport === 'ssh'
      ? this.#overSsh(t, shape, keepsReady, delayMs)
      : this.#overHttps(t, shape, delayMs);
  }

  #port(t, { port }, delayMs) {
    return delayMs === undefined ? port : startDelayLine(t, port, delayMs);
  }

  async #overSsh(t, shape, keepsReady, delayMs) {
    this.#sshd ??= startSshd(this.#t);
    const sshd = await this.#sshd;
    const place = copyShape(t, shape);
    const origin = sshd.url(place.remote, await this.#port(t, sshd, delayMs));
    git(place.repo, 'remote', 'set-url', 'origin', origin);
    git(place.repo, 'config', 'core.sshCommand', sshd.command);
    const { username, hostname, port } = new URL(origin);
    const receivePack = [
      ...sshd.command.split(' '),
      ...['-p', port, `${username}@${hostname}`, `git-receive-pack '${place.remote}'`],
    ];
    return { ...place, receivePack, keepsReady };
  }

  async #overHttps(t, shape, delayMs) {
    this.#root ??= makeDirectory(this.#t);
    this.#apache ??= startApache(this.#t, this.#root);
    const apache = await this.#apache;
    this.#copies += 1;
    const directory = path.join(this.#root, String(this.#copies));
    const place = copyShape(t, shape, { directory });
    apache.admit(directory);
    const port = await this.#port(t, apache, delayMs);
    const url = apache.url(`${this.#copies}/remote.git`, { port });
    git(place.repo, 'remote', 'set-url', 'origin', url);
    git(place.repo, 'config', 'http.sslCAInfo', apache.ca);
    return { ...place, url, ca: apache.ca };
  }
}
