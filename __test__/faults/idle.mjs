/** Faults that come while nothing is pushed: only reading the remote finds them. */

import path from 'node:path';

import { makeDirectory } from '../support/git.mjs';
import { LOGIN, makeKey } from '../support/servers.mjs';
import { across, NATIVE } from './across.mjs';
import { deleteBranch, gone, replaceByEmpty, rewind } from './acts.mjs';
import { RIGHT, sshWith, withLogin } from './auth.mjs';
import { misconfigured } from './server.mjs';

const place = 'a remote that changes while nothing is pushed';

const MOST = [...NATIVE, 'git-cli local'];

const losses = [
  ...across(MOST, {
    fault: 'the remote branch is rewound',
    outcome: 'restored',
    setUp: (site) => {
      site.commit();
      site.repo.git('push', '--quiet', site.remote.path, 'main');
      site.admit();
    },
    strike: rewind,
  }),
  ...across(MOST, {
    fault: 'the remote branch is deleted',
    outcome: 'restored',
    strike: deleteBranch,
  }),
  ...across(MOST, {
    fault: 'an empty repository takes its place',
    outcome: 'restored',
    strike: replaceByEmpty,
  }),
];

const histories = across(MOST, {
  fault: 'another history takes its place',
  kind: 'non-fast-forward',
  outcome: 'person',
  strike: (site) => {
    site.ours = site.remote.tip();
    const tree = site.remote.git('rev-parse', 'main^{tree}');
    const other = site.remote.git('commit-tree', '-m', 'another history', tree);
    site.remote.git('update-ref', 'refs/heads/main', other);
    site.admit();
  },
  heal: (site) => {
    site.remote.git('update-ref', 'refs/heads/main', site.ours);
    site.admit();
  },
});

const access = [
  ...across(['ssh'], {
    fault: 'the key is revoked',
    kind: 'auth',
    ...misconfigured(sshWith((site) => makeKey(path.join(makeDirectory(site.t), 'key')))),
  }),
  ...across(['https'], {
    fault: 'the password is changed',
    kind: 'auth',
    setUp: withLogin(RIGHT),
    strike: withLogin(`${LOGIN.user}:wrong@`),
    heal: withLogin(RIGHT),
  }),
  ...across(['git', 'ssh', 'https'], {
    fault: 'the server is down',
    kind: 'network',
    strike: async ({ proxy }) => {
      await proxy.set({ is: 'refuse' });
      proxy.drop('reset');
    },
  }),
  ...across(MOST, {
    fault: 'the remote repository is gone',
    kind: 'remote-error',
    ...gone,
  }),
];

export default [...losses, ...histories, ...access].map((cell) => ({
  ...cell,
  place,
  idle: true,
  phase: 'while idle',
  options: () => ({ verifyMs: 500 }),
}));
