/**
 * The repositories that are measured: made by `git fast-import` once in a run for each shape, then copied for each
 * peer with links in the place of files. A copy has its next commits ready, so that a measurement moves a ref only.
 */

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  closeSync,
  cpSync,
  existsSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';

import { git, makeDirectory } from '../__test__/support/git.mjs';

export const BRANCH = 'main';
const REF = `refs/heads/${BRANCH}`;
export const WHO = 'Bench <bench@example.invalid> 1790000000 +0000';
/** Below this many objects git would store an import as a pack of few; a service writes loose objects. */
const ALWAYS_LOOSE = 'fastimport.unpackLimit=1000000';
const ALWAYS_PACKED = 'fastimport.unpackLimit=1';
/** A million files take a while. */
const IMPORT_LIMIT_MS = 600_000;
/** How much is gathered before fast-import gets it. */
const PIECE = 1 << 20;

/** Where the `index`th file lies. Sharded: a hundred directories with a hundred directories each. */
export function fileName(layout, index) {
  const name = `record-${String(index).padStart(7, '0')}.toml`;
  if (layout === 'flat') return `records/${name}`;
  const shard = (number) => String(number % 100).padStart(2, '0');
  return `records/${shard(index)}/${shard(Math.floor(index / 100))}/${name}`;
}

const content = (index, revision) =>
  `id = "record-${index}"\nrevision = ${revision}\ntitle = "The title of record ${index}"\nspeaker = "Somebody ${index % 977}"\n`;

/** Content as `git fast-import` reads it. */
export const data = (text) => `data ${Buffer.byteLength(text)}\n${text}\n`;

/** Runs fast-import on what the generator yields, by way of a file: a million files are no argument for a pipe. */
function fastImport(repository, config, lines) {
  const file = path.join(repository, 'import');
  const descriptor = openSync(file, 'w');
  let piece = '';
  for (const line of lines) {
    piece += line;
    if (piece.length > PIECE) {
      writeSync(descriptor, piece);
      piece = '';
    }
  }
  writeSync(descriptor, piece);
  closeSync(descriptor);
  const input = openSync(file, 'r');
  try {
    execFileSync('git', ['-c', config, 'fast-import', '--quiet', '--force'], {
      cwd: repository,
      stdio: [input, 'ignore', 'inherit'],
      timeout: IMPORT_LIMIT_MS,
    });
  } finally {
    closeSync(input);
    rmSync(file);
  }
}

function* shardedCommit(files) {
  yield `commit ${REF}\ncommitter ${WHO}\n${data('base')}`;
  for (let index = 0; index < files; index += 1) {
    yield `M 100644 inline ${fileName('sharded', index)}\n${data(content(index, 0))}`;
  }
  yield '\n';
}

function* blobs(files) {
  for (let index = 0; index < files; index += 1) yield `blob\n${data(content(index, 0))}`;
}

function blobId(text) {
  const header = `blob ${Buffer.byteLength(text)}\0`;
  return createHash('sha1').update(header).update(text).digest('hex');
}

/** The first commit, with all files. */
function makeBase(repository, layout, files) {
  if (layout === 'sharded') {
    fastImport(repository, ALWAYS_PACKED, shardedCommit(files));
    return git(repository, 'rev-parse', REF);
  }
  // fast-import looks for each file along the whole directory, which takes minutes for a large one.
  fastImport(repository, ALWAYS_PACKED, blobs(files));
  const entries = Array.from(
    { length: files },
    (_, index) =>
      `100644 blob ${blobId(content(index, 0))}\t${path.basename(fileName(layout, index))}\n`,
  );
  const mktree = (input) =>
    execFileSync('git', ['mktree', '--missing'], { cwd: repository, input, encoding: 'utf8' });
  const records = mktree(entries.join('')).trim();
  const root = mktree(`040000 tree ${records}\trecords\n`).trim();
  const base = git(repository, 'commit-tree', '-m', 'base', root);
  git(repository, 'update-ref', REF, base);
  execFileSync('git', ['-c', 'pack.window=0', 'repack', '-a', '-d', '-q'], {
    cwd: repository,
    timeout: IMPORT_LIMIT_MS,
  });
  return base;
}

function* otherBranches(base, layout, files, branches) {
  for (let index = 0; index < branches; index += 1) {
    const file = fileName(layout, (index * 7) % files);
    yield `commit refs/heads/topic/${index}\ncommitter ${WHO}\n${data(`topic ${index}`)}from ${base}\n`;
    yield `M 100644 inline ${file}\n${data(content(index, `"topic ${index}"`))}\n`;
  }
}

const CHAIN = 'refs/bench/chain';

function* nextCommits(base, layout, files, commits) {
  for (let index = 0; index < commits; index += 1) {
    // A prime step, so that neighbours in time are none in the tree.
    const at = (index * 7919) % files;
    yield `commit ${CHAIN}\ncommitter ${WHO}\n${data(`change ${index}`)}${index === 0 ? `from ${base}\n` : ''}`;
    yield `M 100644 inline ${fileName(layout, at)}\n${data(content(at, index + 1))}\n`;
  }
}

const made = new Map();

/**
 * A pair of repositories that agree, and the commits that the local one is going to make.
 *
 * @param {object} t what ends with the run
 * @param {{files: number, layout: 'sharded' | 'flat', branches?: number, commits: number, packed?: boolean, isFirst?: boolean}}
 * shape `branches` are others on the remote; `packed` keeps the next commits in a pack; `isFirst`: the remote is empty, the
 * local branch does not exist yet, and everything lies in one pack
 * @returns {{local: string, remote: string, base: string, chain: string[], isFirst: boolean}} directories to be copied from
 */
export function makeShape(t, shape) {
  const { files, layout, branches = 0, commits, packed = false, isFirst = false } = shape;
  const key = [files, layout, branches, commits, packed, isFirst].join();
  const known = made.get(key);
  if (known !== undefined) return known;
  const directory = makeDirectory(t);
  const [local, remote] = ['local.git', 'remote.git'].map((name) => path.join(directory, name));
  git('/', 'init', '--quiet', '--bare', '--template=', `--initial-branch=${BRANCH}`, remote);
  const base = makeBase(remote, layout, files);
  if (branches > 0) fastImport(remote, ALWAYS_PACKED, otherBranches(base, layout, files, branches));
  git(remote, 'pack-refs', '--all');
  git('/', 'clone', '--quiet', '--bare', '--template=', remote, local);
  if (branches > 0) {
    git(local, 'fetch', '--quiet', 'origin', '+refs/heads/*:refs/remotes/origin/*');
    const topics = git(local, 'for-each-ref', '--format=delete %(refname)', 'refs/heads/topic/');
    execFileSync('git', ['update-ref', '--stdin'], { cwd: local, input: `${topics}\n` });
  }
  git(local, 'pack-refs', '--all');
  // As a service's repository has it: a loose ref that was written by an update.
  setTip(local, base);
  setTip(remote, base);
  const config = packed ? ALWAYS_PACKED : ALWAYS_LOOSE;
  fastImport(local, config, nextCommits(base, layout, files, commits));
  const chain = git(local, 'rev-list', '--reverse', `${base}..${CHAIN}`).split('\n');
  if (isFirst) startOver(local, remote);
  git(local, 'update-ref', '-d', CHAIN);
  const result = { local, remote, base, chain, isFirst };
  made.set(key, result);
  return result;
}

/** Packs the local objects, and takes everything from the remote, and the branch from both. */
function startOver(local, remote) {
  execFileSync('git', ['repack', '-a', '-d', '-q'], { cwd: local, timeout: IMPORT_LIMIT_MS });
  git(local, 'update-ref', '-d', REF);
  rmSync(remote, { recursive: true });
  git('/', 'init', '--quiet', '--bare', '--template=', `--initial-branch=${BRANCH}`, remote);
}

/**
 * A copy for one peer, whose objects are links to those of the shape.
 *
 * @returns {{repo: string, remote: string, base: string, chain: string[]}}
 */
export function copyShape(t, shape, { directory = makeDirectory(t) } = {}) {
  mkdirSync(directory, { recursive: true });
  const [repo, remote] = ['data.git', 'remote.git'].map((name) => path.join(directory, name));
  for (const [from, to] of [
    [shape.local, repo],
    [shape.remote, remote],
  ]) {
    execFileSync('cp', ['-a', '--link', from, to]);
    // What git changes in place must not be shared.
    for (const name of ['config', 'HEAD', 'packed-refs']) unlink(from, to, name);
    unlink(from, to, REF);
  }
  git(repo, 'remote', 'set-url', 'origin', remote);
  return { directory, repo, remote, base: shape.base, chain: shape.chain };
}

function unlink(from, to, name) {
  rmSync(path.join(to, name), { force: true });
  if (!existsSync(path.join(from, name))) return;
  cpSync(path.join(from, name), path.join(to, name));
}

/** Moves the branch as git's own files backend does, without a process of git in the interval. */
export function setTip(repository, commit) {
  const file = path.join(repository, REF);
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(`${file}.lock`, `${commit}\n`, { flag: 'wx' });
  renameSync(`${file}.lock`, file);
}

/** The tip of the branch of a repository. */
export const tipOf = (repository) => git(repository, 'rev-parse', REF);
