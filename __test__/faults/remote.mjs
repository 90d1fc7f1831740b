/** Faults of the remote repository: its hooks, its refs, its disk, its history. */

import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { atEnd } from '../support/cleanup.mjs';
import { makeScript } from '../support/gate.mjs';
import { gitWith, makeDirectory } from '../support/git.mjs';
import { parentOf } from '../support/proc.mjs';
import { across, HTTPS, NATIVE } from './across.mjs';
import { deleteBranch, gone, replaceByEmpty, rewind, theirs } from './acts.mjs';
import { TRANSPORTS } from './site.mjs';

const place = 'the remote repository';

const SOME = ['local', 'ssh', 'https', 'git-cli local'];
const MOST = [...NATIVE, 'git-cli local'];

/** Installs a hook and removes it again. */
const hook = (name, ...lines) => ({
  strike: ({ remote }) => remote.hook(name, ...lines),
  heal: ({ remote }) => remote.removeHook(name),
});

const HOOKS = ['pre-receive', 'update', 'post-receive'];

/** Prints more than a megabyte to the standard error, which the client receives. */
const TALK = 'head -c 1200000 /dev/zero | tr "\\0" "x" | fold -w 70 >&2';

const hooks = [
  ...across(TRANSPORTS, {
    fault: 'the pre-receive hook declines',
    kind: 'rejected',
    ...hook('pre-receive', 'echo not today >&2', 'exit 1'),
  }),
  ...across(SOME, {
    fault: 'the update hook declines',
    kind: 'rejected',
    ...hook('update', 'exit 1'),
  }),
  ...across(SOME, {
    fault: 'a hook that hangs',
    kind: 'timeout',
    hangs: true,
    strike: (site) => {
      site.entrance = site.gate('pre-receive');
    },
    heal: ({ entrance }) => entrance.open(),
  }),
  ...across(SOME, {
    fault: 'a hook that takes half a second',
    kind: 'none',
    ...hook('pre-receive', 'sleep 0.5'),
  }),
  ...across(MOST, {
    fault: 'a hook that prints more than 1 MB',
    kind: 'none',
    strike: ({ remote }) => HOOKS.forEach((name) => void remote.hook(name, TALK)),
    heal: ({ remote }) => HOOKS.forEach((name) => void remote.removeHook(name)),
  }),
  ...across(SOME, {
    fault: 'a hook that prints more than 1 MB and declines',
    kind: 'rejected',
    ...hook('pre-receive', TALK, 'exit 1'),
  }),
  ...across(SOME, {
    fault: 'a post-receive hook that fails',
    kind: 'none',
    ...hook('post-receive', 'exit 1'),
  }),
];

const existence = [
  ...across([...MOST, 'git-cli ssh', 'git-cli https'], {
    fault: 'the remote repository is gone',
    kind: 'remote-error',
    ...gone,
  }),
  ...across(SOME, {
    fault: 'the remote repository has no HEAD',
    kind: 'remote-error',
    strike: ({ remote }) =>
      renameSync(path.join(remote.path, 'HEAD'), path.join(remote.path, 'HEAD.away')),
    heal: ({ remote }) =>
      renameSync(path.join(remote.path, 'HEAD.away'), path.join(remote.path, 'HEAD')),
  }),
  ...across(SOME, {
    fault: 'an empty repository takes its place',
    kind: 'none',
    strike: replaceByEmpty,
  }),
  ...across(SOME, {
    fault: 'the remote branch is deleted',
    kind: 'none',
    strike: deleteBranch,
  }),
];

const refFile = ({ remote }) => path.join(remote.path, 'refs/heads/main');

const refs = [
  ...across(MOST, {
    fault: 'a stale lock on the remote branch',
    kind: 'remote-lock',
    strike: (site) => writeFileSync(`${refFile(site)}.lock`, ''),
    heal: (site) => rmSync(`${refFile(site)}.lock`),
  }),
  ...across(SOME, {
    fault: 'the remote branch is a file of garbage',
    kind: 'remote-error',
    strike: (site) => {
      site.before = readFileSync(refFile(site));
      writeFileSync(refFile(site), 'garbage\n');
    },
    heal: (site) => writeFileSync(refFile(site), site.before),
  }),
  ...across(SOME, {
    fault: 'another remote branch is a file of garbage',
    kind: 'remote-error',
    strike: (site) => writeFileSync(`${refFile(site)}-odd`, 'garbage\n'),
    heal: (site) => rmSync(`${refFile(site)}-odd`),
  }),
];

const settings = [
  ...across(MOST, {
    fault: 'the remote branch is checked out',
    kind: 'rejected',
    strike: ({ remote }) => remote.git('config', 'core.bare', 'false'),
    heal: ({ remote }) => remote.git('config', 'core.bare', 'true'),
  }),
  ...across(SOME, {
    fault: 'receive.maxInputSize is too small',
    // receive-pack does not read on, and git's HTTP backend says no more than 500 unless its report is through by then.
    kind: { https: 'remote-error or rejected', others: 'rejected' },
    big: true,
    strike: ({ remote }) => remote.git('config', 'receive.maxInputSize', '100k'),
    heal: ({ remote }) => remote.git('config', '--unset', 'receive.maxInputSize'),
  }),
  ...across(SOME, {
    fault: 'receive.fsckObjects refuses an object',
    kind: 'rejected',
    // A tree with a .git in it, as an attacker would make one.
    commit: ({ repo }) => {
      repo.git('config', 'fsck.hasDotgit', 'ignore');
      const write = (type, input) =>
        gitWith({ input }, repo.path, 'hash-object', '-t', type, '-w', '--stdin', '--literally');
      const id = Buffer.from(write('blob', 'odd\n'), 'hex');
      const tree = write('tree', Buffer.concat([Buffer.from('100644 .git\0'), id]));
      const commit = repo.git('commit-tree', '-p', repo.tip(), '-m', 'odd', tree);
      repo.git('update-ref', 'refs/heads/main', commit);
      return commit;
    },
    heal: ({ remote }) => {
      remote.git('config', 'fsck.hasDotgit', 'ignore');
      remote.git('config', 'receive.fsck.hasDotgit', 'ignore');
    },
  }),
];

/** Fills the file system of the objects; without the right to mount, it limits the size of files instead. */
function fillDisk(site) {
  const objects = path.join(site.remote.path, 'objects');
  const copy = path.join(makeDirectory(site.t), 'objects');
  cpSync(objects, copy, { recursive: true });
  const mounted = spawnSync('mount', [
    '-t',
    'tmpfs',
    '-o',
    'size=512k,mode=777',
    'faults',
    objects,
  ]);
  if (mounted.status === 0) {
    atEnd(site.t, () => execFileSync('umount', ['-l', objects]));
    cpSync(copy, objects, { recursive: true });
    site.admit();
    site.makeRoom = () => execFileSync('mount', ['-o', 'remount,size=64m', objects]);
  } else {
    const limited = makeScript(
      site.t,
      'trap "" XFSZ',
      'ulimit -f 100',
      'exec git receive-pack "$@"',
    );
    const restore = site.rememberConfig();
    site.configure(`[remote "origin"]\n\treceivepack = ${limited}`);
    site.makeRoom = restore;
  }
}

const disk = [
  ...across(['local', 'ssh', 'git-cli local'], {
    fault: 'the remote disk is full',
    kind: 'remote-error',
    big: true,
    strike: fillDisk,
    heal: (site) => site.makeRoom(),
  }),
  ...across(HTTPS, {
    fault: 'the remote objects are read-only',
    kind: 'remote-error',
    strike: ({ remote }) => execFileSync('chmod', ['-R', 'a-w', path.join(remote.path, 'objects')]),
    heal: (site) => execFileSync('chmod', ['-R', 'a+rwX', site.remote.path]),
  }),
  ...across(HTTPS, {
    fault: 'the remote repository is read-only',
    kind: 'remote-error',
    strike: ({ remote }) => execFileSync('chmod', ['-R', 'a-w', remote.path]),
    heal: (site) => execFileSync('chmod', ['-R', 'a+rwX', site.remote.path]),
  }),
];

const programs = [
  ...across(['local', 'ssh', 'git-cli local', 'git-cli ssh'], {
    fault: 'receive-pack is missing',
    kind: 'remote-error',
    strike: (site) => {
      site.restore = site.rememberConfig();
      site.configure('[remote "origin"]\n\treceivepack = /nonexistent/git-receive-pack');
    },
    heal: (site) => site.restore(),
  }),
  ...across(NATIVE, {
    fault: 'receive-pack is killed',
    phase: 'after the pack',
    kind: 'network',
    setUp: (site) => {
      site.entrance = site.gate('pre-receive');
    },
    during: async ({ entrance }) => {
      const [pid] = await entrance.entered();
      process.kill(parentOf(pid), 'SIGKILL');
    },
    heal: ({ entrance }) => entrance.open(),
  }),
];

/** Fetches and merges, as an operator does in a bare repository. */
function merge({ repo, remote }) {
  repo.git('fetch', '--quiet', remote.path, 'main');
  const tree = repo.git('merge-tree', '--write-tree', 'main', 'FETCH_HEAD');
  const parents = ['main', 'FETCH_HEAD'].flatMap((name) => ['-p', repo.git('rev-parse', name)]);
  const merged = repo.git('commit-tree', ...parents, '-m', 'merge', tree);
  repo.git('update-ref', 'refs/heads/main', merged);
}

const histories = [
  ...across(TRANSPORTS, {
    fault: 'diverged, then merged locally',
    kind: 'non-fast-forward',
    outcome: 'person',
    strike: theirs.strike,
    heal: merge,
  }),
  ...across(SOME, {
    fault: 'diverged, then the remote is rewound',
    kind: 'non-fast-forward',
    outcome: 'person',
    ...theirs,
  }),
  ...across(SOME, {
    fault: 'diverged, then their history is taken over',
    kind: 'non-fast-forward',
    outcome: 'person',
    strike: theirs.strike,
    heal: ({ repo, remote }) => repo.git('fetch', '--quiet', remote.path, '+main:main'),
  }),
  ...across(SOME, {
    fault: 'the remote branch is rewound',
    kind: 'none',
    setUp: async (site) => {
      site.commit();
      site.repo.git('push', '--quiet', site.remote.path, 'main');
      site.admit();
    },
    strike: rewind,
  }),
];

export default [
  ...hooks,
  ...existence,
  ...refs,
  ...settings,
  ...disk,
  ...programs,
  ...histories,
].map((cell) => ({ ...cell, place }));
