/** The process of `bench/native/main.rs`: one for the whole run, so that its start is in no number. */

import { execFileSync, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';

import { Failed, ROOT } from '../../scripts/process.mjs';

const NAME = 'bench-peers';
const BUILD_LIMIT_MS = 900_000;

/** Builds the program, or asks only where it was built, and returns its path. */
function build(isBuilt) {
  if (isBuilt) return builtProgram();
  const said = execFileSync(
    'cargo',
    ['build', '--release', '--example', NAME, '--message-format=json-render-diagnostics'],
    {
      cwd: ROOT,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
      timeout: BUILD_LIMIT_MS,
      maxBuffer: 1 << 26,
    },
  );
  const messages = said.split('\n').filter(Boolean);
  return messages.map((line) => JSON.parse(line)).findLast(({ executable }) => executable)
    ?.executable;
}

function builtProgram() {
  const target = process.env.CARGO_TARGET_DIR ?? path.join(ROOT, 'target');
  const file = path.join(target, process.env.CARGO_BUILD_TARGET ?? '', 'release/examples', NAME);
  if (existsSync(file)) return file;
  throw new Failed(`there is no ${file}: leave out --no-build`);
}

export class Native {
  #child;
  #answers;

  constructor({ isBuilt = false } = {}) {
    this.#child = spawn(build(isBuilt), [], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#answers = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  /** Has it do one thing; resolves to the milliseconds that it took. */
  async do(...words) {
    this.#child.stdin.write(`${words.join('\t')}\n`);
    const { value, done } = await this.#answers.next();
    if (done) throw new Error('the native peer ended');
    if (value.startsWith('error ')) throw new Error(`${words[0]}: ${value.slice(6)}`);
    return Number(value);
  }

  async end() {
    this.#child.stdin.end();
    await new Promise((resolve) => {
      if (this.#child.exitCode !== null) resolve();
      else this.#child.once('exit', resolve);
    });
  }
}
