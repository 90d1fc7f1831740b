/** Git trees: a new one from an old one and a set of changed files. It writes objects, never a ref. */

import fs from 'node:fs';

import * as git from 'isomorphic-git';

/** The new content of each changed file by its path; `null` removes it. */
export type Changes = ReadonlyMap<string, string | null>;

/** Writes the tree that results, and returns its object id. `parent` is `null` for the first commit. */
export async function writeChangedTree(
  gitdir: string,
  parent: string | null,
  changes: Changes,
): Promise<string> {
  const root = await writeFolder(gitdir, parent, nest(changes));
  return root ?? (await git.writeTree({ fs, gitdir, tree: [] }));
}

/** Changes by the first part of their path: a file's content, `null`, or what changes in a folder. */
interface Nested extends Map<string, string | null | Nested> {}

function nest(changes: Changes): Nested {
  const root: Nested = new Map();
  for (const [path, content] of changes) {
    const folders = path.split('/');
    const name = folders.pop() as string;
    let at = root;
    for (const folder of folders) {
      const below = at.get(folder);
      const next: Nested = below instanceof Map ? below : new Map();
      at.set(folder, next);
      at = next;
    }
    at.set(name, content);
  }
  return root;
}

/** `null` where nothing is left: git has no empty folders. */
async function writeFolder(
  gitdir: string,
  oid: string | null,
  changes: Nested,
): Promise<string | null> {
  const entries = new Map(
    oid === null
      ? []
      : (await git.readTree({ fs, gitdir, oid })).tree.map((entry) => [entry.path, entry] as const),
  );
  for (const [name, change] of changes) {
    const before = entries.get(name);
    const isFolder = change instanceof Map;
    const written = isFolder
      ? await writeFolder(gitdir, before?.type === 'tree' ? before.oid : null, change)
      : change === null
        ? null
        : await git.writeBlob({ fs, gitdir, blob: Buffer.from(change) });
    if (written === null) entries.delete(name);
    else {
      const [mode, type] = isFolder ? (['040000', 'tree'] as const) : (['100644', 'blob'] as const);
      entries.set(name, { mode, type, path: name, oid: written });
    }
  }
  if (entries.size === 0) return null;
  return git.writeTree({ fs, gitdir, tree: [...entries.values()] });
}
