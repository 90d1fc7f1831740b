/** The example API in a separate process: its log, its routes, its end. */

import { spawn } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { atEnd } from './cleanup.mjs';
import { GIT_ENV } from './git.mjs';

const SERVER = fileURLToPath(new URL('../../examples/fastify-api/dist/server.js', import.meta.url));

/** The API ends after this time even if its test goes wrong. */
const LIFETIME_MS = 120_000;
const LIMIT_MS = 60_000;

/** pino's levels. */
export const LEVEL = { info: 30, warn: 40, error: 50 };

export const TOKEN = 'the-token-of-the-tests';

/** The environment of the example for a pair of repositories; `more` adds variables or removes them by `undefined`. */
export function environmentOf({ repo, remote }, more = {}) {
  return {
    ...GIT_ENV,
    PATH: process.env.PATH,
    CFP_DATA_REPO_PATH: repo.path,
    CFP_DATA_REMOTE: remote.path,
    ADMIN_TOKEN: TOKEN,
    ...more,
  };
}

export class Api {
  #child;
  #waiting = new Set();
  /** Each line of the log, parsed; a line that is not JSON becomes a `msg`. */
  log = [];
  address = '';

  /** Starts it, and resolves once it listens. `env` is all of its environment but the token and the port. */
  static async start(t, env) {
    const api = new Api();
    api.#child = spawn(process.execPath, [SERVER], {
      env: { HOST: '127.0.0.1', PORT: '0', LOG_LEVEL: 'info', ...env },
      cwd: path.dirname(SERVER),
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: LIFETIME_MS,
      killSignal: 'SIGKILL',
    });
    api.exited = new Promise((resolve) => {
      api.#child.once('close', (code, signal) => {
        api.hasExited = true;
        resolve({ code, signal });
        for (const check of api.#waiting) check();
      });
    });
    atEnd(t, () => {
      api.kill();
      return api.exited;
    });
    for (const stream of [api.#child.stdout, api.#child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => {
        api.log.push(parse(line));
        for (const check of api.#waiting) check();
      });
    }
    const { msg } = await api.logged('Server listening');
    api.address = msg.slice(msg.indexOf('http'));
    return api;
  }

  hasExited = false;

  get pid() {
    return this.#child.pid;
  }

  /** All lines so far whose message begins like this. */
  lines(beginning) {
    return this.log.filter(({ msg }) => msg.startsWith(beginning));
  }

  /** The first line, so far or to come, whose message begins like this and that `matches`. */
  logged(beginning, matches = () => true) {
    return new Promise((resolve, reject) => {
      const settle = (outcome, value) => {
        clearTimeout(timer);
        this.#waiting.delete(check);
        outcome(value);
      };
      const fail = (why) =>
        settle(
          reject,
          new Error(
            `${why} before its log said "${beginning}":\n${this.log.map((entry) => JSON.stringify(entry)).join('\n')}`,
          ),
        );
      const check = () => {
        const found = this.lines(beginning).find(matches);
        if (found !== undefined) settle(resolve, found);
        else if (this.hasExited) fail('the API exited');
      };
      const timer = setTimeout(() => fail(`${LIMIT_MS} ms passed`), LIMIT_MS);
      this.#waiting.add(check);
      check();
    });
  }

  /** Writes a proposal through HTTP, and resolves to the commit that it became. */
  async put(slug, proposal = { title: slug, speaker: 'Somebody' }) {
    const response = await this.fetch(`/proposals/${slug}`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(proposal),
    });
    if (!response.ok) throw new Error(`PUT answered ${response.status}: ${await response.text()}`);
    return (await response.json()).commit;
  }

  fetch(route, options = {}) {
    return fetch(`${this.address}${route}`, { signal: AbortSignal.timeout(LIMIT_MS), ...options });
  }

  /** Requests the admin route, with or without this header. */
  admin(authorization) {
    return this.fetch(
      '/admin/push-daemon',
      authorization === undefined ? {} : { headers: { authorization } },
    );
  }

  signal(name) {
    this.#child.kill(name);
  }

  kill() {
    this.#child.kill('SIGKILL');
  }
}

function parse(line) {
  try {
    return { msg: '', ...JSON.parse(line) };
  } catch {
    return { msg: line };
  }
}
