/**
 * The floor: the bytes that the daemon would send, made beforehand, replayed to the same server by a client that
 * does nothing else, until the report. What is left is the server's own time and the way to it.
 */

import { readFileSync, rmSync } from 'node:fs';
import { Agent, request } from 'node:https';
import path from 'node:path';

import { setTip } from '../repositories.mjs';

const LIMIT_MS = 300_000;

/** Makes the bytes of each push when it is due, outside of the clock. */
class Recorder {
  #native;
  #place;
  #tip;

  constructor(place, native) {
    this.#place = place;
    this.#native = native;
    this.#tip = place.base;
  }

  async record(commit) {
    const file = path.join(this.#place.directory, 'request');
    await this.#native.do('record', this.#place.repo, this.#tip, commit, file);
    setTip(this.#place.repo, commit);
    this.#tip = commit;
    return file;
  }
}

/** Replays to a program's standard input: `git receive-pack`, or ssh. */
export class ProgramFloor {
  #native;
  #recorder;
  #program;
  #keepsReady;

  static async start(place, { native }) {
    const floor = new ProgramFloor();
    floor.#native = native;
    floor.#recorder = new Recorder(place, native);
    floor.#program = place.receivePack ?? ['git', 'receive-pack', place.remote];
    floor.#keepsReady = place.keepsReady ?? false;
    return floor;
  }

  async push(commit) {
    const file = await this.#recorder.record(commit);
    if (!this.#keepsReady) return this.#native.do('replay', file, ...this.#program);
    await this.#native.do('ready', ...this.#program);
    return this.#native.do('replay-ready', file);
  }

  async stop() {}
}

/** One POST on a connection that is open: no GET before it. */
export class HttpsFloor {
  #recorder;
  #agent;
  #url;

  static async start(place, { native }) {
    const floor = new HttpsFloor();
    floor.#recorder = new Recorder(place, native);
    floor.#url = place.url;
    floor.#agent = new Agent({ keepAlive: true, ca: readFileSync(place.ca) });
    return floor;
  }

  async push(commit) {
    const file = await this.#recorder.record(commit);
    const body = readFileSync(file);
    rmSync(file);
    const startedAt = performance.now();
    const said = await this.#post(body);
    const took = performance.now() - startedAt;
    if (!said.includes('ok refs/heads/main')) throw new Error(`the floor was refused: ${said}`);
    return took;
  }

  #post(body) {
    return new Promise((resolve, reject) => {
      const sent = request(
        `${this.#url}/git-receive-pack`,
        {
          method: 'POST',
          agent: this.#agent,
          timeout: LIMIT_MS,
          headers: {
            'content-type': 'application/x-git-receive-pack-request',
            'content-length': body.length,
          },
        },
        (response) => {
          let said = '';
          response.setEncoding('latin1').on('data', (text) => {
            said += text;
          });
          response.once('end', () => resolve(said));
        },
      );
      sent.once('error', reject);
      sent.end(body);
    });
  }

  async stop() {
    this.#agent.destroy();
  }
}
