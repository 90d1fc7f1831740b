/** Blocks of shell from the documents, run in a sandbox: their absolute paths are below a folder of the test. */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import path from 'node:path';

import { makeDirectory } from './git.mjs';

const LIMIT_MS = 60_000;

/** Where the documents have what is secret. */
const SECRETS = '/run/secrets/git';

/** A shell where a service runs. */
export class Sandbox {
  #environment;

  /** @param {object} t the test @param {Record<string, string>} env the service's environment */
  constructor(t, env = {}) {
    this.directory = makeDirectory(t);
    this.secrets = path.join(this.directory, 'secrets');
    this.temporary = path.join(this.directory, 'tmp');
    for (const place of [this.secrets, this.temporary]) mkdirSync(place);
    // An operator's shell knows no author of commits.
    const { GIT_AUTHOR_NAME, GIT_AUTHOR_EMAIL, GIT_COMMITTER_NAME, GIT_COMMITTER_EMAIL, ...own } =
      process.env;
    this.#environment = { ...own, NODE_TEST_CONTEXT: undefined, ...env };
  }

  /** A block with its paths as they are here, and with what is true here in the place of its examples. */
  localize({ id, body }, examples = {}) {
    // In this order: the places here are below the machine's own temporary folder.
    const local = body
      .replace(/(?<![\w.])\/tmp\b/g, this.temporary)
      .replaceAll(SECRETS, this.secrets);
    return Object.entries(examples).reduce((result, [example, value]) => {
      assert.ok(result.includes(example), `'${id}' has ${example}`);
      return result.replaceAll(example, value);
    }, local);
  }

  /**
   * Runs blocks, or localized ones, one after the other in one shell that ends at the first failure; resolves to what
   * came of it.
   */
  outcome(blocks, { cwd = this.directory, env = {}, signal } = {}) {
    const script = [blocks]
      .flat()
      .map((block) => (typeof block === 'string' ? block : this.localize(block)))
      .join('\n');
    return new Promise((resolve) => {
      const options = {
        cwd,
        env: { ...this.#environment, ...env },
        encoding: 'utf8',
        timeout: LIMIT_MS,
        killSignal: 'SIGKILL',
        signal,
      };
      execFile('sh', ['-eu', '-c', script], options, (error, stdout, stderr) =>
        resolve({ error, stdout, stderr }),
      );
    });
  }

  /** Runs npm, which must succeed; resolves to its standard output. */
  async run(blocks, options) {
    const { error, stdout, stderr } = await this.outcome(blocks, options);
    assert.equal(error, null, `${error?.message}\n${stdout}${stderr}`);
    return stdout;
  }
}
