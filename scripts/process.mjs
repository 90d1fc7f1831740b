/**
 * Child processes and progress lines for the scripts. Node built-ins only: the scripts run before anything is installed.
 */

import { spawn, spawnSync } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** The root of this repository. */
export const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');

const IS_WINDOWS = process.platform === 'win32';
const HAS_COLOUR = Boolean(process.stdout.isTTY) && !process.env.NO_COLOR;

const paint = (code) => (text) => (HAS_COLOUR ? `\u001b[${code}m${text}\u001b[0m` : text);

/** Terminal styles that are plain text where the output is not a terminal. */
export const style = {
  bold: paint('1'),
  dim: paint('2'),
  red: paint('31'),
  green: paint('32'),
  yellow: paint('33'),
  cyan: paint('36'),
};

/** A failure that is shown by its message alone, without a stack. */
export class Failed extends Error {}

/** Milliseconds for people: `840 ms`, `3.2 s`, `2 min 05 s`. */
export function duration(ms) {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, '0')} s`;
}

/** Removes terminal styles, for reading a runner's output. */
export function plain(text) {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: an escape sequence starts with one
  return text.replace(/\u001b\[[0-9;]*m/g, '');
}

/**
 * Runs a program to its end with its output shown as it comes.
 *
 * @returns {Promise<{ok: boolean, output: string}>} whether it exited with 0, and what it printed if
 * `options.keep` asks for it (its output is then a pipe, no terminal)
 */
export function run(command, args, options = {}) {
  const { keep = false, ...spawnOptions } = options;
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: ROOT,
      stdio: ['inherit', keep ? 'pipe' : 'inherit', 'inherit'],
      ...spawnOptions,
    });
    let output = '';
    if (keep) {
      child.stdout.setEncoding('utf8');
      child.stdout.on('data', (text) => {
        output += text;
        process.stdout.write(text);
      });
    }
    child.once('error', (error) =>
      reject(new Failed(`could not start ${command}: ${error.message}`)),
    );
    child.once('close', (code) => resolve({ ok: code === 0, output }));
  });
}

/** Runs npm, which is a script: the one that runs us where there is one. */
export function npm(args, options = {}) {
  const script = process.env.npm_execpath;
  if (script && /\.c?js$/.test(script)) return run(process.execPath, [script, ...args], options);
  return run(IS_WINDOWS ? 'npm.cmd' : 'npm', args, { shell: IS_WINDOWS, ...options });
}

/** The standard output of a program that ends at once; `undefined` where it is missing or fails. */
export function capture(command, args) {
  const { status, stdout } = spawnSync(command, args, { cwd: ROOT, encoding: 'utf8' });
  return status === 0 ? stdout.trim() : undefined;
}

/**
 * Runs one step and prints a line with its result and its duration. `work` returns the text of that line, and throws if
 * the step failed.
 */
export async function step(name, work) {
  const startedAt = performance.now();
  const elapsed = () => style.dim(duration(performance.now() - startedAt));
  try {
    const note = await work();
    console.log(`${style.green('✔')} ${name}${note ? `: ${note}` : ''} ${elapsed()}`);
  } catch (error) {
    console.log(`${style.red('✘')} ${name} ${elapsed()}`);
    throw error;
  }
}

/** Runs a script's main function: a {@link Failed} ends it with its message, anything else with a stack. */
export async function main(work) {
  try {
    process.exitCode = (await work()) ?? 0;
  } catch (error) {
    console.error(error instanceof Failed ? `\n${style.red(error.message)}` : error);
    process.exitCode = 1;
  }
}

/** Returns a function that tells whether the first SIGINT or SIGTERM has come. A second signal ends the script at once. */
export function interruption() {
  let hasCome = false;
  for (const signal of ['SIGINT', 'SIGTERM']) {
    process.once(signal, () => {
      hasCome = true;
      console.error(`${signal}: ending the started processes first`);
    });
  }
  return () => hasCome;
}
