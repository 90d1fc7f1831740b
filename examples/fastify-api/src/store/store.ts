/**
 * Files on one branch of a bare repository, changed by transactions that are one commit each. It knows
 * nothing of remotes: what gets a commit there follows the branch.
 */

import { runGit } from './git.js';

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

export function openStore({ repoPath, branch, author }: StoreOptions): Store {
  const ref = `refs/heads/${branch}`;
  let lastWrite: Promise<unknown> = Promise.resolve();

  async function tip(): Promise<string | null> {
    const args = ['rev-parse', '--verify', '--quiet', ref];
    const { code, stdout } = await runGit(repoPath, args, { accepts: [0, 1] });
    return code === 0 ? stdout.toString().trim() : null;
  }

  async function readAt(commit: string | null, path: string): Promise<string | null> {
    if (commit === null) return null;
    // Prints a line with the object's id, type and size, and the content; or a line that ends with "missing".
    const { stdout } = await runGit(repoPath, ['cat-file', '--batch'], {
      input: `${commit}:${path}\n`,
    });
    const start = stdout.indexOf('\n') + 1;
    const [, type] = stdout.toString('utf8', 0, start).split(' ');
    return type === 'blob' ? stdout.toString('utf8', start, stdout.length - 1) : null;
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
    for (const [path, content] of changes) {
      if ((await readAt(parent, path)) === content) changes.delete(path);
    }
    if (parent !== null && changes.size === 0) return { commit: parent, value };

    // git refuses if another process has moved the branch since.
    const { stdout } = await runGit(repoPath, ['fast-import', '--quiet', '--done'], {
      input: commitStream(parent, `${message}\n`, changes),
    });
    return { commit: stdout.toString().trim(), value };
  }

  /** A commit as `git fast-import` reads it. */
  function commitStream(
    parent: string | null,
    message: string,
    changes: ReadonlyMap<string, string | null>,
  ): string {
    const who = `${author.name} <${author.email}> ${Math.floor(Date.now() / 1000)} +0000`;
    const lines = [
      `commit ${ref}`,
      'mark :1',
      `author ${who}`,
      `committer ${who}`,
      data(message),
      ...(parent === null ? [] : [`from ${parent}`]),
      ...[...changes].map(([path, content]) =>
        content === null ? `D ${path}` : `M 100644 inline ${path}\n${data(content)}`,
      ),
      'get-mark :1',
      'done',
    ];
    return `${lines.join('\n')}\n`;
  }

  return {
    read: async (path) => readAt(await tip(), path),

    async list(folder) {
      const commit = await tip();
      if (commit === null) return [];
      const { stdout } = await runGit(repoPath, ['ls-tree', '-z', commit, `${folder}/`]);
      // Each entry is `<mode> <type> <id>`, a tab and the path.
      const entries = stdout.toString().split('\0').filter(Boolean);
      return entries
        .map((entry) => entry.split('\t') as [string, string])
        .filter(([what]) => what.split(' ')[1] === 'blob')
        .map(([, path]) => path.slice(folder.length + 1));
    },

    transact(message, work) {
      const written = lastWrite.then(() => commitChanges(message, work));
      lastWrite = written.catch(() => {});
      return written;
    },
  };
}

/** Content as `git fast-import` reads it: its length in bytes, then itself. */
function data(content: string): string {
  return `data ${Buffer.byteLength(content)}\n${content}`;
}
