/** npm as a user runs it: with its own cache and settings, and without a compiler. */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { makeDirectory } from './git.mjs';

const LIMIT_MS = 180_000;

/** The programs of a service in production: no compiler, no cargo. */
const PROGRAMS = ['git', 'sh'];

/** npm's script: that of the npm which runs us, or of the one that a shell would find. */
function npmScript() {
  if (/\.c?js$/.test(process.env.npm_execpath ?? '')) return process.env.npm_execpath;
  return realpathSync(inPath('npm'));
}

function inPath(program) {
  const found = process.env.PATH.split(path.delimiter)
    .map((folder) => path.join(folder, program))
    .find((place) => existsSync(place));
  assert.ok(found, `${program} is in PATH`);
  return found;
}

/** A machine's npm. */
export class Npm {
  /** @param {object} t the test @param {string} registry where it gets packages from; nowhere unless given */
  constructor(t, registry = 'http://127.0.0.1:9/') {
    const directory = makeDirectory(t);
    const bin = path.join(directory, 'bin');
    mkdirSync(bin);
    symlinkSync(process.execPath, path.join(bin, 'node'));
    for (const program of PROGRAMS) symlinkSync(inPath(program), path.join(bin, program));
    const settings = path.join(directory, 'npmrc');
    const { host } = new URL(registry);
    writeFileSync(
      settings,
      `registry=${registry}\n//${host}/:_authToken=secret\nfund=false\naudit=false\n`,
    );
    const kept = Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name));
    /** The environment of the programs. */
    this.env = {
      ...Object.fromEntries(kept),
      NODE_TEST_CONTEXT: undefined,
      PATH: bin,
      // For the scripts that run npm themselves.
      npm_execpath: npmScript(),
      npm_config_cache: path.join(directory, 'cache'),
      npm_config_userconfig: settings,
      npm_config_update_notifier: 'false',
      npm_config_fetch_retries: '0',
    };
  }

  /** Runs npm in a folder; resolves to its outcome. */
  outcome(cwd, ...args) {
    return this.#execute(cwd, [npmScript(), ...args]);
  }

  /** Runs npm, which must succeed; resolves to its standard output. */
  async run(cwd, ...args) {
    return succeeded(await this.outcome(cwd, ...args));
  }

  /** Runs Node, which must succeed; resolves to its standard output. */
  async node(cwd, ...args) {
    return succeeded(await this.#execute(cwd, args));
  }

  /** Runs Node, which must fail; resolves to its standard error. */
  async failingNode(cwd, ...args) {
    const { error, stdout, stderr } = await this.#execute(cwd, args);
    assert.notEqual(error, null, stdout);
    return stderr;
  }

  #execute(cwd, args) {
    const options = { cwd, env: this.env, timeout: LIMIT_MS, killSignal: 'SIGKILL' };
    return new Promise((resolve) => {
      execFile(process.execPath, args, options, (error, stdout, stderr) =>
        resolve({ error, stdout, stderr }),
      );
    });
  }
}

function succeeded({ error, stdout, stderr }) {
  assert.equal(error, null, `${error?.message}\n${stdout}${stderr}`);
  return stdout;
}
