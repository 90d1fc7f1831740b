/** A few processes that share the cells. */

import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const WORKER = fileURLToPath(new URL('worker.mjs', import.meta.url));

/** A cell that takes longer hangs. */
const HANG_MS = 180_000;

/** One process that answers requests in turn; another replaces it if it hangs or dies. */
class Worker {
  #child;

  /** @returns {Promise<{came?: object, error?: string}>} */
  ask(request) {
    this.#child ??= fork(WORKER, { env: { ...process.env, NODE_TEST_CONTEXT: undefined } });
    const child = this.#child;
    return new Promise((resolve) => {
      const settle = (answer) => {
        clearTimeout(timer);
        child.off('message', settle);
        child.off('exit', lost);
        resolve(answer);
      };
      const lost = (code, signal) => {
        this.#child = undefined;
        settle({ error: `its process ended with ${code ?? signal}` });
      };
      const timer = setTimeout(() => {
        child.kill('SIGKILL');
        lost(null, `SIGKILL: it hung for ${HANG_MS} ms`);
      }, HANG_MS);
      child.on('message', settle);
      child.on('exit', lost);
      child.send(request);
    });
  }

  end() {
    const child = this.#child;
    if (child === undefined) return undefined;
    child.disconnect();
    return new Promise((resolve) => child.once('exit', resolve));
  }
}

/**
 * Runs cells, each as soon as a process is free.
 *
 * @param {number[]} indices of the cells
 * @param {object} servers
 * @param {(index: number, answer: {came?: object, error?: string, ms: number}) => void} tell
 */
export async function runCells(indices, servers, size, tell) {
  const waiting = [...indices];
  const carriers = ['local', 'git', ...['ssh', 'https'].filter((name) => servers[name])];
  const work = async () => {
    const worker = new Worker();
    for (const transport of carriers) await worker.ask({ servers, transport });
    for (let index = waiting.shift(); index !== undefined; index = waiting.shift()) {
      const startedAt = performance.now();
      const answer = await worker.ask({ servers, index });
      tell(index, { ...answer, ms: Math.round(performance.now() - startedAt) });
    }
    await worker.end();
  };
  await Promise.all(Array.from({ length: Math.min(size, waiting.length) }, work));
}
