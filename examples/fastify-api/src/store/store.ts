/**
 * Files on one branch of a bare repository, changed by transactions that are one commit each. It knows
 * nothing of remotes: what gets a commit there follows the branch.
 */

import fs from 'node:fs';

import * as git from 'isomorphic-git';

import { writeChangedTree } from './tree.js';

export interface StoreOptions {
  /** The bare repository. */
  readonly repoPath: string;
  readonly branch: string;
  /** Who the commits are by. */
  readonly author: { readonly name: string; readonly email: string };
}

/** What a transaction sees: the files as they are on the branch, with its own changes. */
export interface Transaction {
  read(path: string): Promise<string | null>;
  write(path: string, content: string): void;
  remove(path: string): void;
}

export interface Transacted<T> {
  /** The branch's tip with the changes in it. */
  readonly commit: string;
  /** What the transaction's function returned. */
  readonly value: T;
}

export interface Store {
  /** The content of a file on the branch; `null` where there is none. */
  read(path: string): Promise<string | null>;
  /** The names of the files in a folder. */
  list(folder: string): Promise<string[]>;
  /**
   * Runs `work` alone and commits what it changed. Nothing is committed where nothing changed
   * (except that the branch begins with the first transaction), and nothing changes where it throws.
   */
  transact<T>(message: string, work: (tx: Transaction) => Promise<T>): Promise<Transacted<T>>;
}

export function openStore({ repoPath: gitdir, branch, author }: StoreOptions): Store {
  const ref = `refs/heads/${branch}`;
  let lastWrite: Promise<unknown> = Promise.resolve();

  async function tip(): Promise<string | null> {
    return orNull(git.resolveRef({ fs, gitdir, ref }));
  }

  async function readAt(commit: string | null, filepath: string): Promise<string | null> {
    if (commit === null) return null;
    const found = await orNull(git.readBlob({ fs, gitdir, oid: commit, filepath }));
    return found && Buffer.from(found.blob).toString('utf8');
  }

  async function commitChanges<T>(
    message: string,
    work: (tx: Transaction) => Promise<T>,
  ): Promise<Transacted<T>> {
    const parent = await tip();
    const changes = new Map<string, string | null>();
    const value = await work({
      read: async (path) => changes.get(path) ?? (changes.has(path) ? null : readAt(parent, path)),
      write: (path, content) => void changes.set(path, content),
      remove: (path) => void changes.set(path, null),
    });

    const parentTree = parent && (await git.readCommit({ fs, gitdir, oid: parent })).commit.tree;
    const tree = await writeChangedTree(gitdir, parentTree, changes);
    if (parent !== null && tree === parentTree) return { commit: parent, value };

    const signature = { ...author, ...now() };
    const commit = await git.writeCommit({
      fs,
      gitdir,
      commit: {
        message: `${message}\n`,
        tree,
        parent: parent === null ? [] : [parent],
        author: signature,
        committer: signature,
      },
    });
    await git.writeRef({ fs, gitdir, ref, value: commit, force: true });
    return { commit, value };
  }

  return {
    read: async (path) => readAt(await tip(), path),

    async list(folder) {
      const commit = await tip();
      if (commit === null) return [];
      const found = await orNull(git.readTree({ fs, gitdir, oid: commit, filepath: folder }));
      return found?.tree.filter(({ type }) => type === 'blob').map(({ path }) => path) ?? [];
    },

    transact(message, work) {
      const written = lastWrite.then(() => commitChanges(message, work));
      lastWrite = written.catch(() => {});
      return written;
    },
  };
}

/** What git does not find is no failure here. */
async function orNull<T>(found: Promise<T>): Promise<T | null> {
  try {
    return await found;
  } catch (error) {
    if (error instanceof git.Errors.NotFoundError) return null;
    throw error;
  }
}

function now(): { timestamp: number; timezoneOffset: number } {
  return { timestamp: Math.floor(Date.now() / 1000), timezoneOffset: 0 };
}
