/** Fastify applications in this process with the plugin, and their logs. */

import { createRequire } from 'node:module';

import fastify from 'fastify';

import { atEnd } from './cleanup.mjs';
import { within } from './daemon.mjs';

const require = createRequire(import.meta.url);

/** The plugin as a user's `import` gives it. */
export const pushDaemon = require('../../fastify.js');

/** The parsed lines of a logger, and a way to wait for one. */
export class Log {
  lines = [];
  #waiting = new Set();

  /** A destination for pino. */
  write(text) {
    this.lines.push(JSON.parse(text));
    for (const look of this.#waiting) look();
  }

  /** The lines whose message begins like this. */
  of(beginning) {
    return this.lines.filter(({ msg }) => msg?.startsWith(beginning));
  }

  /** The first such line, so far or to come, that `accepts` takes. */
  next(beginning, accepts = () => true) {
    let look;
    const found = new Promise((resolve) => {
      look = () => {
        const line = this.of(beginning).find(accepts);
        if (line !== undefined) resolve(line);
      };
    });
    this.#waiting.add(look);
    look();
    return within(found, `a line "${beginning}"`).finally(() => this.#waiting.delete(look));
  }
}

/**
 * An application that closes when the test ends. `before` prepares it.
 *
 * @returns {Promise<{app: import('fastify').FastifyInstance, log: Log}>}
 */
export async function makeApp(t, options, before = async () => {}) {
  const log = new Log();
  const app = fastify({ logger: { level: 'info', stream: log } });
  atEnd(t, () => app.close());
  await before(app);
  await app.register(pushDaemon, { stopTimeoutMs: 0, ...options });
  return { app, log };
}
