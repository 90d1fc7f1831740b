/** The place of the demo: where the API's data will be, and its remote. */

import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { ROOT } from '../process.mjs';
import { cleanEnvironment, gitAs, isolatedEnvironment } from './git.mjs';
import { until } from './wait.mjs';

const SLOW_LINK = path.join(ROOT, 'scripts', 'demo', 'slow-link.mjs');

/** A remote in the temporary folder, which can go away and have hooks. */
export async function localPlace(folder) {
  const env = isolatedEnvironment();
  const git = gitAs('Operator', env);
  const remote = path.join(folder, 'remote.git');
  const data = path.join(folder, 'data.git');
  const branch = 'main';
  await git(folder, 'init', '--quiet', '--bare', `--initial-branch=${branch}`, remote);
  await commitFile(folder, gitAs('First Author', env), remote, branch, 'README.md', 'Proposals\n');
  return {
    env,
    git,
    folder,
    data,
    remote,
    branch,
    localTip: () => git(data, 'rev-parse', `refs/heads/${branch}`),
    remoteTip: () => git(remote, 'rev-parse', `refs/heads/${branch}`),
    control: controlOf({ folder, remote, data, branch, env }),
  };
}

/** A given remote: the demo only pushes a new branch there, which begins with an empty commit, and has no control over it. */
export async function givenPlace(folder, url) {
  const env = cleanEnvironment();
  const git = gitAs('Operator', env);
  const data = path.join(folder, 'data.git');
  const time = new Date().toISOString().replace(/[-:]/g, '').slice(0, 15);
  const branch = `git-push-daemon-demo-${time}`;
  const ref = `refs/heads/${branch}`;
  const seed = path.join(folder, 'seed.git');
  await git(folder, 'init', '--quiet', '--bare', seed);
  const tree = await git(seed, 'hash-object', '-w', '-t', 'tree', '/dev/null');
  const commit = await git(seed, 'commit-tree', tree, '-m', 'Begin the demo');
  await git(seed, 'push', '--quiet', url, `${commit}:${ref}`);
  return {
    env,
    git,
    folder,
    data,
    remote: url,
    branch,
    localTip: () => git(data, 'rev-parse', ref),
    remoteTip: async () => (await git(seed, 'ls-remote', url, ref)).split('\t')[0],
    control: null,
  };
}

/** Actions on a local remote. */
function controlOf({ folder, remote, data, branch, env }) {
  const away = `${remote}.away`;
  const entered = path.join(folder, 'hook-entered');
  const open = path.join(folder, 'hook-open');
  return {
    goAway: () => renameSync(remote, away),
    comeBack: () => renameSync(away, remote),

    /** Another person clones, commits a file and pushes. */
    pushAs: (name, file, content) =>
      commitFile(folder, gitAs(name, env), remote, branch, file, content),

    /** From now on pushes go over a slow link, until the function that this resolves to is called. */
    async slowDown() {
      const git = gitAs('Operator', env);
      const name = 'remote.origin.receivepack';
      await git(data, 'config', name, [process.execPath, SLOW_LINK].map(quoted).join(' '));
      return () => git(data, 'config', '--unset', name);
    },

    /** The operator commits files that cannot be compressed, `each` in a commit, and moves the branch there at once. */
    async commitLarge(commits, each, bytes) {
      const git = gitAs('Operator', env);
      const worktree = path.join(folder, 'large');
      await git(data, 'worktree', 'add', '--quiet', '--detach', worktree, branch);
      mkdirSync(path.join(worktree, 'slides'));
      for (let commit = 0; commit < commits; commit += 1) {
        for (let file = 0; file < each; file += 1) {
          const name = `talk-${commit * each + file}.pdf`;
          writeFileSync(path.join(worktree, 'slides', name), randomBytes(bytes));
        }
        await git(worktree, 'add', '.');
        await git(worktree, 'commit', '--quiet', '--message', `Add slides, part ${commit + 1}`);
      }
      const tip = await git(worktree, 'rev-parse', 'HEAD');
      await git(data, 'update-ref', `refs/heads/${branch}`, tip, `${tip}~${commits}`);
      await git(data, 'worktree', 'remove', worktree);
      return tip;
    },

    /** From now on the remote receives a push and does not answer until `openHook`. */
    closeHook() {
      const hook = path.join(remote, 'hooks', 'pre-receive');
      mkdirSync(path.dirname(hook), { recursive: true });
      const script = [
        '#!/bin/sh',
        `: > '${entered}'`,
        // The folder is removed when the demo ends.
        `while [ -d '${folder}' ] && [ ! -e '${open}' ]; do sleep 0.02; done`,
      ];
      writeFileSync(hook, `${script.join('\n')}\n`);
      chmodSync(hook, 0o755);
    },
    hookEntered: () => until('the remote runs its hook', () => existsSync(entered)),
    openHook: () => writeFileSync(open, ''),
  };
}

/** An argument for a shell. */
function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

async function commitFile(folder, git, remote, branch, file, content) {
  const clone = path.join(folder, `clone-${file.replaceAll('/', '-')}`);
  await git(folder, 'clone', '--quiet', remote, clone);
  mkdirSync(path.join(clone, path.dirname(file)), { recursive: true });
  writeFileSync(path.join(clone, file), content);
  await git(clone, 'add', '.');
  await git(clone, 'commit', '--quiet', '--message', `Add ${file}`);
  await git(clone, 'push', '--quiet', 'origin', `HEAD:refs/heads/${branch}`);
  return git(clone, 'rev-parse', 'HEAD');
}
