/** What others do to the remote repository, in the cells of more than one place. */

import { rmSync } from 'node:fs';

import { atEnd } from '../support/cleanup.mjs';
import { makeRepo } from '../support/git.mjs';
import { comeBack, goAway } from '../support/remote.mjs';

/** The repository is moved away for a while. */
export const gone = {
  strike: ({ t, remote }) => {
    atEnd(t, () => rmSync(`${remote.path}.away`, { recursive: true, force: true }));
    goAway(remote);
  },
  heal: ({ remote }) => comeBack(remote),
};

export function replaceByEmpty(site) {
  rmSync(site.remote.path, { recursive: true });
  makeRepo(site.t, { directory: site.remote.path });
  site.admit();
}

export function deleteBranch({ remote }) {
  remote.git('update-ref', '-d', 'refs/heads/main');
}

/** Takes the last commit of the branch back. */
export function rewind(site) {
  site.remote.git('update-ref', 'refs/heads/main', 'main^');
  site.admit();
}

/** Somebody else's commit, on the remote alone; `heal` takes it back. */
export const theirs = {
  strike: (site) => {
    site.ours = site.remote.tip();
    site.remote.commit({ files: { 'theirs.toml': 'theirs\n' } });
    site.admit();
  },
  heal: (site) => {
    site.remote.git('update-ref', 'refs/heads/main', site.ours);
    site.admit();
  },
};
