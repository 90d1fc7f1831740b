/** The process: listens, and on SIGTERM or SIGINT closes the application before it exits. */

import closeWithGrace from 'close-with-grace';

import { buildApp } from './app.js';
import { readEnv } from './env.js';

/** What closing may take besides the last push, in milliseconds. */
const CLOSE_MARGIN_MS = 5_000;

const env = readEnv();
const app = await buildApp(env);

// Fastify does not listen for signals by itself, and without close() no onClose hook ever runs.
closeWithGrace(
  { delay: env.CFP_DATA_STOP_TIMEOUT_MS + CLOSE_MARGIN_MS, logger: app.log },
  async ({ signal, err }) => {
    if (err) app.log.error({ err }, 'closing after an error');
    else app.log.info({ signal }, 'closing');
    await app.close();
  },
);

await app.listen({ host: env.HOST, port: env.PORT });
