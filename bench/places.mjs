/** The remotes of a pair of repositories by each transport, as each peer is told of them. */

import path from 'node:path';

import { git, makeDirectory } from '../__test__/support/git.mjs';
import { startApache, startSshd } from '../__test__/support/servers.mjs';
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

  /** A copy for one peer, with `origin` set to the remote by this transport. */
  async make(t, transport, shape, { keepsReady = false } = {}) {
    if (transport === 'local') return copyShape(t, shape);
    return transport === 'ssh' ? this.#overSsh(t, shape, keepsReady) : this.#overHttps(t, shape);
  }

  async #overSsh(t, shape, keepsReady) {
    this.#sshd ??= startSshd(this.#t);
    const sshd = await this.#sshd;
    const place = copyShape(t, shape);
    git(place.repo, 'remote', 'set-url', 'origin', sshd.url(place.remote));
    git(place.repo, 'config', 'core.sshCommand', sshd.command);
    const { username, hostname, port } = new URL(sshd.url(place.remote));
    const receivePack = [
      ...sshd.command.split(' '),
      ...['-p', port, `${username}@${hostname}`, `git-receive-pack '${place.remote}'`],
    ];
    return { ...place, receivePack, keepsReady };
  }

  async #overHttps(t, shape) {
    this.#root ??= makeDirectory(this.#t);
    this.#apache ??= startApache(this.#t, this.#root);
    const apache = await this.#apache;
    this.#copies += 1;
    const directory = path.join(this.#root, String(this.#copies));
    const place = copyShape(t, shape, { directory });
    apache.admit(directory);
    const url = apache.url(`${this.#copies}/remote.git`);
    git(place.repo, 'remote', 'set-url', 'origin', url);
    git(place.repo, 'config', 'http.sslCAInfo', apache.ca);
    return { ...place, url, ca: apache.ca };
  }
}
