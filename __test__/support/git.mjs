/**
 * Temporary repositories, made and read with the real git and isolated from the machine's configuration. Importing this
 * file isolates the whole process, including its daemons.
 */

import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';

import { atEnd } from './cleanup.mjs';
import { processesIn, signal } from './proc.mjs';

/** No command of git that a test runs takes nearly as long. */
const GIT_TIMEOUT_MS = 60_000;

/** The formats of the repositories that `git init` makes: git's defaults, or what `npm run formats` asks for. */
const FORMATS = ['GIT_DEFAULT_HASH', 'GIT_DEFAULT_REF_FORMAT'];

for (const name of Object.keys(process.env)) {
  if ((name.startsWith('GIT_') && !FORMATS.includes(name)) || name === 'CFP_DATA_REPO_PATH')
    delete process.env[name];
}

/** Variables that keep git from reading personal settings and from prompting. */
export const GIT_ENV = {
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_TERMINAL_PROMPT: '0',
  GIT_AUTHOR_NAME: 'Author',
  GIT_AUTHOR_EMAIL: 'author@example.invalid',
  GIT_COMMITTER_NAME: 'Committer',
  GIT_COMMITTER_EMAIL: 'committer@example.invalid',
};

Object.assign(process.env, GIT_ENV);

/** The hash and the ref storage of the repositories that the tests make. */
export const OBJECT_FORMAT = process.env.GIT_DEFAULT_HASH ?? 'sha1';
export const REF_FORMAT = process.env.GIT_DEFAULT_REF_FORMAT ?? 'files';

/** Declares a test of what only a repository with these formats has. */
export function testOf({ objects = OBJECT_FORMAT, refs = REF_FORMAT }, ...args) {
  if (objects === OBJECT_FORMAT && refs === REF_FORMAT) test(...args);
}

/** The environment of the commands of git, which a test that changes this process's own does not reach. */
const ENVIRONMENT = { ...process.env };

/** Runs git in a directory and returns its trimmed standard output. Throws with git's message. */
export function git(directory, ...args) {
  return gitWith({}, directory, ...args);
}

/** As {@link git}, with `input` as its standard input and `env` added to the environment. */
export function gitWith({ input = '', env = {} }, directory, ...args) {
  return execFileSync('git', args, {
    cwd: directory,
    encoding: 'utf8',
    env: { ...ENVIRONMENT, ...env },
    input,
    maxBuffer: 64 * 1024 * 1024,
    stdio: 'pipe',
    timeout: GIT_TIMEOUT_MS,
  }).trim();
}

/** A temporary directory that is removed when the test ends. Its path contains no symbolic link. */
export function makeDirectory(t) {
  const directory = realpathSync(mkdtempSync(path.join(tmpdir(), 'git-push-daemon-')));
  atEnd(t, () => removeDirectory(directory));
  return directory;
}

/** Ends the processes that still work in a directory, such as the git of a remote whose client was killed, and removes it. */
async function removeDirectory(directory) {
  for (let pids = processesIn(directory); pids.length > 0; pids = processesIn(directory)) {
    for (const pid of pids) signal(pid, 'SIGKILL');
    await setTimeout(10);
  }
  rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
}

/** A repository under test. */
export class Repository {
  #commits = 0;

  /** @param {string} directory a bare repository or the top of a working tree */
  constructor(directory) {
    this.path = directory;
  }

  git(...args) {
    return git(this.path, ...args);
  }

  /**
   * Commits on a branch, whether or not it exists or is checked out, in one process and without a working
   * tree.
   *
   * @param {object} [commit]
   * @param {string} [commit.branch]
   * @param {string} [commit.message]
   * @param {Record<string, string>} [commit.files] paths and contents; by default one file of its own
   * @param {string} [commit.committedAt] as git writes it: seconds and a time zone
   * @returns {string} the commit
   */
  commit({ branch = 'main', message, files, committedAt } = {}) {
    this.#commits += 1;
    const name = `commit ${this.#commits} of ${process.pid}`;
    const contents = files ?? { [`records/${this.#commits}-${process.pid}.toml`]: `${name}\n` };
    const ref = `refs/heads/${branch}`;
    const parent = this.tip(branch);
    const lines = [
      `commit ${ref}`,
      'mark :1',
      `committer Committer <committer@example.invalid> ${committedAt ?? `${Math.floor(Date.now() / 1000)} +0000`}`,
      data(message ?? name),
      ...(parent === null ? [] : [`from ${parent}`]),
      ...Object.entries(contents).flatMap(([file, content]) => [
        `M 100644 inline ${file}`,
        data(content),
      ]),
      'get-mark :1',
      'done',
      '',
    ];
    return gitWith({ input: lines.join('\n') }, this.path, 'fast-import', '--quiet', '--done');
  }

  /** The tip of a branch, or null. */
  tip(branch = 'main') {
    return this.git('for-each-ref', '--format=%(objectname)', `refs/heads/${branch}`) || null;
  }

  /** How many commits a branch has. */
  count(branch = 'main') {
    return Number(this.git('rev-list', '--count', `refs/heads/${branch}`));
  }

  /** Throws unless the repository is sound. */
  fsck() {
    this.git('fsck', '--strict', '--no-progress');
  }

  /** The files of the repository that are locks; not that of the maintenance `git commit` leaves running. */
  locks() {
    const args = [this.path, '-name', '*.lock', '!', '-name', 'maintenance.lock'];
    const find = () => execFileSync('find', args, { encoding: 'utf8' }).split('\n').filter(Boolean);
    // git compacts the tables of refs after it has answered; what it leaves behind stays.
    for (
      let wait = 0;
      wait < 100 && find().some((lock) => lock.includes('/reftable/'));
      wait += 1
    ) {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
    }
    return find();
  }

  /** Installs a hook, given as the lines of a shell script, in a bare repository. */
  hook(name, ...lines) {
    const hooks = path.join(this.path, 'hooks');
    mkdirSync(hooks, { recursive: true });
    const file = path.join(hooks, name);
    writeFileSync(file, ['#!/bin/sh', ...lines, ''].join('\n'));
    chmodSync(file, 0o755);
    return file;
  }

  removeHook(name) {
    rmSync(path.join(this.path, 'hooks', name), { force: true });
  }
}

/** As fast-import wants content: its length in bytes, then itself. */
function data(content) {
  return `data ${Buffer.byteLength(content)}\n${content}`;
}

/**
 * A repository in a temporary directory; bare, as in production, unless told otherwise.
 *
 * @param {object} t the test
 * @param {{bare?: boolean, branch?: string, arguments?: string[], directory?: string}} [options]
 * `arguments` are for `git init`; `directory` is where it goes
 */
export function makeRepo(
  t,
  { bare = true, branch = 'main', arguments: args = [], directory } = {},
) {
  const place = directory ?? path.join(makeDirectory(t), bare ? 'data.git' : 'data');
  const kind = bare ? ['--bare'] : [];
  git('/', 'init', '--quiet', '--template=', `--initial-branch=${branch}`, ...kind, ...args, place);
  return new Repository(place);
}

/** A bare repository that checks incoming objects. */
export function makeRemote(t, options = {}) {
  const remote = makeRepo(t, options);
  remote.git('config', 'receive.fsckObjects', 'true');
  return remote;
}

/**
 * A repository with commits on `main` and a remote `origin`, which has them too unless `inSync` is false. `arguments` are
 * for `git init` of both, unless the remote has others.
 *
 * @returns {{repo: Repository, remote: Repository, options: object}} `options` are what
 * `startPushDaemon` needs for them
 */
export function makePair(
  t,
  { bare = true, commits = 1, inSync = true, arguments: args, remoteArguments = args } = {},
) {
  const remote = makeRemote(t, { arguments: remoteArguments });
  const repo = makeRepo(t, { bare, arguments: args });
  repo.git('remote', 'add', 'origin', remote.path);
  for (let made = 0; made < commits; made += 1) repo.commit();
  if (inSync && commits > 0) repo.git('push', '--quiet', 'origin', 'main');
  return { repo, remote, options: { remote: 'origin', branch: 'main', repoPath: repo.path } };
}
