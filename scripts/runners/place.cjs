/** A repository with a remote, in a temporary folder that goes with the process. */

const { execFileSync } = require('node:child_process');
const { mkdtempSync, realpathSync } = require('node:fs');
const { tmpdir } = require('node:os');
const path = require('node:path');

const AUTHOR = ['-c', 'user.name=Author', '-c', 'user.email=author@example.com'];

/** @param {(folder: string) => void} [made] is told what to remove */
exports.makePlace = (made = () => {}) => {
  const folder = realpathSync(mkdtempSync(path.join(tmpdir(), 'git-push-daemon-place-')));
  made(folder);
  const [repo, remote] = ['data.git', 'remote.git'].map((name) => path.join(folder, name));
  const git = (directory, ...args) =>
    execFileSync('git', [...AUTHOR, ...args], { cwd: directory, encoding: 'utf8' }).trim();
  for (const place of [repo, remote]) {
    git(folder, 'init', '--quiet', '--bare', '--initial-branch=main', place);
  }
  git(repo, 'remote', 'add', 'origin', remote);
  const commit = () => {
    const parents = git(repo, 'for-each-ref', '--format=-p %(objectname)', 'refs/heads/main');
    const tree = git(repo, 'hash-object', '-t', 'tree', '-w', '/dev/null');
    const made = git(repo, 'commit-tree', ...parents.split(' ').filter(Boolean), '-m', 'one', tree);
    git(repo, 'update-ref', 'refs/heads/main', made);
    return made;
  };
  commit();
  return {
    options: { remote: 'origin', branch: 'main', repoPath: repo },
    commit,
    tip: () => git(remote, 'rev-parse', 'refs/heads/main'),
    away: () => git(repo, 'remote', 'set-url', 'origin', path.join(folder, 'gone.git')),
  };
};
