/** Changes to the remote repository that cells of several places share. */

import { rmSync } from 'node:fs';

import { atEnd } from '../support/cleanup.mjs';
import { makeRepo } from '../support/git.mjs';
import { comeBack, goAway } from '../support/remote.mjs';

/** Moves the repository away for a while. */
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

/** Rewinds the branch by one commit. */
export function rewind(site) {
  site.remote.git('update-ref', 'refs/heads/main', 'main^');
  site.admit();
}

/** Another client's commit on the remote; `heal` rewinds it. */
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
