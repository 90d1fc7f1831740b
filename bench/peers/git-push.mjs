/** `git push` as a child process, from its spawn to its exit. */

import { spawn } from 'node:child_process';

import { BRANCH, setTip } from '../repositories.mjs';

const LIMIT_MS = 300_000;

export class GitPushPeer {
  #repo;

  static async start(place) {
    const peer = new GitPushPeer();
    peer.#repo = place.repo;
    return peer;
  }

  async push(commit) {
    setTip(this.#repo, commit);
    const startedAt = performance.now();
    const child = spawn('git', ['push', '--quiet', 'origin', BRANCH], {
      cwd: this.#repo,
      stdio: ['ignore', 'ignore', 'pipe'],
      timeout: LIMIT_MS,
    });
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text) => {
      said += text;
    });
    const code = await new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', resolve);
    });
    const took = performance.now() - startedAt;
    if (code !== 0) throw new Error(`git push exited with ${code}: ${said}`);
    return took;
  }

  async stop() {}
}
