/** Faults of the local side: the repository, its configuration, the programs. */

import { existsSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import path, { delimiter } from 'node:path';

import { atEnd } from '../support/cleanup.mjs';
import { until } from '../support/daemon.mjs';
import { gitWith, makeDirectory } from '../support/git.mjs';
import { comeBack, goAway } from '../support/remote.mjs';
import { across, SSH } from './across.mjs';
import { misconfigured } from './server.mjs';

const place = 'the local side';

const SOME = ['local', 'ssh', 'https', 'git-cli local'];

const refFile = ({ repo }) => path.join(repo.path, 'refs/heads/main');

/** The file of a loose object. */
const objectFile = ({ repo }, oid) =>
  path.join(repo.path, 'objects', oid.slice(0, 2), oid.slice(2));

/** Makes a commit that no branch has yet. */
function prepare(site) {
  const { repo } = site;
  site.blob = gitWith({ input: 'precious\n' }, repo.path, 'hash-object', '-w', '--stdin');
  const tree = gitWith({ input: `100644 blob ${site.blob}\tprecious\n` }, repo.path, 'mktree');
  return repo.git('commit-tree', '-p', repo.tip(), '-m', 'prepared', tree);
}

/** Moves the branch without git, in the way git does. */
function moveTo(site, commit) {
  writeFileSync(`${refFile(site)}.new`, `${commit}\n`);
  renameSync(`${refFile(site)}.new`, refFile(site));
}

/** Breaks the blob of a commit before the branch has it. */
const broken = (breakIt, mend) => ({
  kind: 'local',
  commit: (site) => {
    const commit = prepare(site);
    breakIt(objectFile(site, site.blob), site);
    moveTo(site, commit);
    return commit;
  },
  heal: (site) => mend(objectFile(site, site.blob), site),
});

const objects = [
  ...across(SOME, {
    fault: 'a local object is missing',
    ...broken(
      (file) => renameSync(file, `${file}.away`),
      (file) => renameSync(`${file}.away`, file),
    ),
  }),
  ...across(SOME, {
    fault: 'a local object is corrupt',
    ...broken(
      (file) => {
        renameSync(file, `${file}.away`);
        writeFileSync(file, 'garbage');
      },
      (file) => renameSync(`${file}.away`, file),
    ),
  }),
];

const refs = [
  ...across(SOME, {
    fault: 'the local branch is a file of garbage',
    kind: 'local',
    commit: (site) => {
      site.commitOf = prepare(site);
      writeFileSync(refFile(site), 'garbage\n');
      return site.commitOf;
    },
    heal: (site) => moveTo(site, site.commitOf),
  }),
  ...across(SOME, {
    fault: 'the local branch is deleted and recreated',
    kind: 'none',
    strike: async (site) => {
      const tip = site.repo.tip();
      site.repo.git('update-ref', '-d', 'refs/heads/main');
      await until('it is noticed', () => site.daemon.status().localCommit === null);
      site.repo.git('update-ref', 'refs/heads/main', tip);
    },
  }),
  ...across(['local', 'git-cli local'], {
    fault: 'a stale lock on the remote-tracking ref',
    kind: 'none',
    strike: ({ repo }) => {
      const lock = path.join(repo.path, 'refs/remotes/origin/main.lock');
      repo.git('update-ref', 'refs/remotes/origin/main', repo.tip());
      writeFileSync(lock, '');
    },
    heal: ({ repo }) => rmSync(path.join(repo.path, 'refs/remotes/origin/main.lock')),
  }),
];

const repositories = across(SOME, {
  fault: 'the local repository is removed and put back',
  kind: 'local',
  commit: (site) => {
    site.commitOf = prepare(site);
    goAway(site.repo);
    return site.commitOf;
  },
  heal: (site) => {
    comeBack(site.repo);
    moveTo(site, site.commitOf);
  },
});

const configuration = across(SOME, {
  fault: 'a syntax error in the configuration',
  kind: 'local',
  commit: (site) => {
    const commit = prepare(site);
    site.restore = site.rememberConfig();
    site.configure('[broken');
    moveTo(site, commit);
    return commit;
  },
  heal: (site) => site.restore(),
});

/** Where a program of this machine is. */
function find(program) {
  const files = process.env.PATH.split(delimiter).map((directory) => path.join(directory, program));
  return files.find(existsSync);
}

/** A PATH of the daemon's own, from which a program goes and comes back. */
const programGone = (name) => ({
  kind: 'local',
  setUp: (site) => {
    const bin = makeDirectory(site.t);
    for (const program of ['git', 'ssh', 'sh']) symlinkSync(find(program), path.join(bin, program));
    site.program = path.join(bin, name);
    const { PATH } = process.env;
    site.restorePath = () => {
      process.env.PATH = PATH;
    };
    atEnd(site.t, site.restorePath);
    process.env.PATH = bin;
  },
  strike: ({ program, restorePath }) => {
    // The daemon keeps the environment of its start.
    restorePath();
    renameSync(program, `${program}.away`);
  },
  heal: ({ program }) => renameSync(`${program}.away`, program),
});

const programs = [
  ...across(['local', 'git-cli local', 'git-cli https'], {
    fault: 'git is gone from PATH',
    ...programGone('git'),
  }),
  ...across(SSH, {
    fault: 'ssh is gone from PATH',
    ...programGone('ssh'),
  }),
  ...across(SSH, {
    fault: 'the ssh command does not exist',
    kind: 'local',
    ...misconfigured(() => '[core]\n\tsshCommand = /nonexistent/ssh'),
  }),
];

const hooks = across(['git-cli local', 'git-cli ssh'], {
  fault: 'the pre-push hook declines',
  kind: 'rejected',
  strike: ({ repo }) => repo.hook('pre-push', 'echo not today >&2', 'exit 1'),
  heal: ({ repo }) => repo.removeHook('pre-push'),
});

export default [...objects, ...refs, ...repositories, ...configuration, ...programs, ...hooks].map(
  (cell) => ({ ...cell, place }),
);
