/** The example API as a child process: its log, its routes, its end. */

import { spawn } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';

import { Failed, ROOT } from '../process.mjs';
import { until } from './wait.mjs';

const SERVER = path.join(ROOT, 'examples', 'fastify-api', 'dist', 'server.js');
const ADMIN_TOKEN = 'a-token-for-the-demo';

export class Api {
  #child;
  #log = [];
  #seen = 0;
  #address = '';

  /** Starts it, and resolves once it listens. */
  static async start(env) {
    const api = new Api();
    api.#child = spawn(process.execPath, [SERVER], {
      env: { ...env, ADMIN_TOKEN, HOST: '127.0.0.1', PORT: '0', LOG_LEVEL: 'info' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [api.#child.stdout, api.#child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => api.#log.push(parse(line)));
    }
    api.exited = new Promise((resolve) => {
      api.#child.once('close', (code, signal) => resolve({ code, signal }));
    });
    const { msg } = await api
      .logged('Server listening', () => true)
      .catch((error) => {
        api.kill();
        throw new Failed(`${error.message}\n\n${api.logTail()}`);
      });
    api.#address = msg.slice(msg.indexOf('http'));
    return api;
  }

  get address() {
    return this.#address;
  }

  /** The next line of the log with this beginning, after those that were waited for before. */
  async logged(beginning, matches = () => true) {
    let found = -1;
    await until(`the API's log says "${beginning}"`, () => {
      found = this.#log.findIndex(
        (entry, index) => index >= this.#seen && entry.msg.startsWith(beginning) && matches(entry),
      );
      if (found === -1 && this.hasExited) throw new Failed('The API exited.');
      return found !== -1;
    });
    this.#seen = found + 1;
    return this.#log[found];
  }

  /** A line from before the API listened, with this beginning. */
  early(beginning) {
    return this.#log.slice(0, this.#seen).find(({ msg }) => msg.startsWith(beginning));
  }

  /** How often the log has had a line with this beginning since the start. */
  count(beginning) {
    return this.#log.filter((entry) => entry.msg.startsWith(beginning)).length;
  }

  /** Writes a proposal, and resolves to the answer and how long it took. */
  async put(slug, proposal) {
    const startedAt = performance.now();
    const response = await fetch(`${this.#address}/proposals/${slug}`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(proposal),
    });
    const { commit } = await response.json();
    return { status: response.status, commit, ms: performance.now() - startedAt };
  }

  get(route, headers = {}) {
    return fetch(`${this.#address}${route}`, { headers });
  }

  /** The answer of the admin route. */
  async status() {
    const response = await this.get('/admin/push-daemon', {
      authorization: `Bearer ${ADMIN_TOKEN}`,
    });
    if (!response.ok) throw new Failed(`The admin route answered ${response.status}.`);
    return response.json();
  }

  /** The status once it is so. */
  async statusOnce(what, matches) {
    let status;
    await until(what, async () => {
      status = await this.status();
      return matches(status);
    }).catch((error) => {
      throw new Failed(`${error.message}\nThe status is ${JSON.stringify(status, null, 2)}`);
    });
    return status;
  }

  terminate() {
    this.#child.kill('SIGTERM');
  }

  /** Ends it at once, if it has not ended; safe to call at any time. */
  kill() {
    if (!this.hasExited) this.#child.kill('SIGKILL');
  }

  get hasExited() {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** The end of its log, without the lines on requests that went well. */
  logTail() {
    const lines = this.#log
      .filter(({ reqId, level }) => reqId === undefined || level >= 40)
      .map(({ line }) => line);
    return `The end of the API's log:\n${lines.slice(-15).join('\n') || '(empty)'}`;
  }
}

/** A line that is not JSON, such as a stack trace, becomes a message. */
function parse(line) {
  try {
    return { msg: '', ...JSON.parse(line), line };
  } catch {
    return { msg: line, line };
  }
}
