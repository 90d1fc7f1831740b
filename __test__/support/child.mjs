/** Scripts in separate Node processes, which are always ended. */

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

import './git.mjs';

/** The root of the package. */
export const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');

/** How long a script may run before it is killed. */
const SCRIPT_LIMIT_MS = 60_000;

/** The package, for scripts that do not load it themselves. */
const PACKAGE = `
import { createRequire } from 'node:module';
const require = createRequire(${JSON.stringify(pathToFileURL(path.join(ROOT, 'package.json')).href)});
const { startPushDaemon, PushDaemon, PushError, restoreRepository } = require('./index.js');
`;
/** The connection of a script to its test. */
const PRELUDE = `
import { writeSync } from 'node:fs';
const input = JSON.parse(process.env.TEST_INPUT);
/** Sends the test a value as a JSON line, at once. */
const tell = (value) => writeSync(1, JSON.stringify(value) + '\\n');
`;

/** A script that runs. */
class Script {
  /** The values that it sent, in order. */
  told = [];
  stdout = '';
  stderr = '';
  #waiting = new Set();
  /** The beginning of a line whose end has not come yet. */
  #rest = '';
  #onTold;

  constructor(child, limitMs, remove, onTold) {
    this.child = child;
    this.#onTold = onTold;
    this.pid = child.pid;
    child.stdout.setEncoding('utf8').on('data', (text) => this.#read(text));
    child.stderr.setEncoding('utf8').on('data', (text) => {
      this.stderr += text;
    });
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      child.kill('SIGKILL');
    }, limitMs);
    /** How it ended, once its output is read: never rejects but for a hang. */
    this.ended = new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) => {
        clearTimeout(timer);
        remove();
        const { told, stdout, stderr } = this;
        if (isLate) {
          reject(
            new Error(`the script ran for more than ${limitMs} ms; it said\n${stdout}${stderr}`),
          );
        } else {
          resolve({ code, signal, told, stdout, stderr });
        }
        for (const look of this.#waiting) look();
      });
    });
    this.ended.catch(() => {});
  }

  #read(text) {
    this.stdout += text;
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop();
    const told = lines.filter((line) => /^["{[\dtfn]/.test(line)).flatMap(parse);
    this.told.push(...told);
    for (const value of told) this.#onTold?.(value);
    for (const look of this.#waiting) look();
  }

  /** The first value that `accepts` takes. Rejects if the script ends before. */
  async untilTold(accepts) {
    let look;
    const found = new Promise((resolve) => {
      look = () => {
        const index = this.told.findIndex((value) => accepts(value));
        if (index >= 0) resolve(this.told[index]);
      };
    });
    this.#waiting.add(look);
    look();
    const ended = this.ended.then(async ({ code, signal, stdout, stderr }) => {
      throw new Error(
        `the script ended with ${code ?? signal} before it told; it said\n${stdout}${stderr}`,
      );
    });
    return Promise.race([found, ended]).finally(() => this.#waiting.delete(look));
  }

  kill(signal = 'SIGKILL') {
    this.child.kill(signal);
  }
}

function parse(line) {
  try {
    return [JSON.parse(line)];
  } catch {
    return [];
  }
}

/**
 * Starts a module in a separate Node process. It can use `startPushDaemon`, `PushDaemon`, `PushError`,
 * `restoreRepository`, `require` (from the package's root), `input` (from the test) and `tell(value)`.
 *
 * @param {string} source
 * @param {{input?: unknown, env?: object, cwd?: string, nodeArguments?: string[], limitMs?: number,
 * isBare?: boolean, under?: string[], onTold?: (value: unknown) => void}} [options] `isBare`: without the package;
 * `under`: the beginning of a command line that runs it; `onTold` receives each value that it sends
 */
export function startScript(source, options = {}) {
  const {
    input = null,
    env = {},
    cwd = ROOT,
    nodeArguments = [],
    limitMs = SCRIPT_LIMIT_MS,
    isBare = false,
    under = [],
    onTold,
  } = options;
  const directory = mkdtempSync(path.join(tmpdir(), 'git-push-daemon-script-'));
  const file = path.join(directory, 'script.mjs');
  writeFileSync(file, `${isBare ? '' : PACKAGE}${PRELUDE}${source}`);
  const [program, ...args] = [...under, process.execPath, ...nodeArguments, file];
  const child = spawn(program, args, {
    cwd,
    env: {
      ...process.env,
      NODE_TEST_CONTEXT: undefined,
      TEST_INPUT: JSON.stringify(input),
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const remove = () => rmSync(directory, { recursive: true, force: true });
  return new Script(child, limitMs, remove, onTold);
}

/** Runs such a module to its end. */
export function runScript(source, options = {}) {
  return startScript(source, options).ended;
}
