/** Faults of authentication: keys, logins, and credential helpers. */

import { chmodSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { makeScript } from '../support/gate.mjs';
import { makeDirectory } from '../support/git.mjs';
import { LOGIN, makeKey } from '../support/servers.mjs';
import { across, HTTPS, SSH } from './across.mjs';
import { misconfigured } from './server.mjs';

const place = 'authentication';

export const sshWith = (key) => (site) =>
  `[core]\n\tsshCommand = ${site.servers.ssh.command.replace(/-i \S+/, `-i ${key(site)}`)}`;

const keys = [
  ...across(SSH, {
    fault: 'a key unknown to the server',
    kind: 'auth',
    ...misconfigured(sshWith((site) => makeKey(path.join(makeDirectory(site.t), 'key')))),
  }),
  ...across(SSH, {
    fault: 'the key file is gone',
    kind: 'auth',
    ...misconfigured(sshWith(() => '/nonexistent/key')),
  }),
];

/** Sets the URL of the place that requires a login, with a login in it or not. */
export const withLogin =
  (login, lines = '') =>
  (site) => {
    site.repo.git('remote', 'set-url', 'origin', site.url({ place: 'basic', login }));
    if (lines) site.configure(lines);
  };
export const RIGHT = `${LOGIN.user}:${LOGIN.password}@`;

const asked = (script) => (site) => {
  site.helper = makeScript(site.t, '[ "$1" = get ] || exit 0', 'cat >/dev/null', ...script);
  return `[credential]\n\thelper = ${site.helper}`;
};

/** Puts the answering helper in the place of a broken one. */
const helperMended = ({ helper }) => {
  const answer = ['#!/bin/sh', '[ "$1" = get ] || exit 0', `echo username=${LOGIN.user}`];
  writeFileSync(`${helper}.new`, [...answer, `echo password=${LOGIN.password}`, ''].join('\n'));
  chmodSync(`${helper}.new`, 0o755);
  writeFileSync(helper, `#!/bin/sh\nexec ${helper}.new "$@"\n`);
};

const logins = [
  ...across(HTTPS, {
    fault: 'a wrong password',
    kind: 'auth',
    setUp: withLogin(RIGHT),
    strike: withLogin(`${LOGIN.user}:wrong@`),
    heal: withLogin(RIGHT),
  }),
  ...across(HTTPS, {
    fault: 'no login although one is required',
    kind: 'auth',
    setUp: withLogin(RIGHT),
    strike: withLogin(''),
    heal: withLogin(RIGHT),
  }),
  ...across(HTTPS, {
    fault: 'a credential helper that fails',
    kind: 'auth',
    strike: (site) => withLogin('', asked(['exit 1'])(site))(site),
    heal: helperMended,
  }),
  ...across(HTTPS, {
    fault: 'a credential helper that does not exist',
    kind: 'auth',
    strike: (site) => withLogin('', '[credential]\n\thelper = /nonexistent/helper')(site),
    heal: withLogin(RIGHT),
  }),
  ...across(HTTPS, {
    fault: 'a credential helper that hangs',
    kind: 'timeout',
    hangs: true,
    strike: (site) => withLogin('', asked(['exec sleep 60'])(site))(site),
    heal: helperMended,
  }),
];

const services = across(['git'], {
  fault: 'receive-pack is not enabled',
  kind: 'remote-error',
  strike: ({ remote }) => remote.git('config', 'daemon.receivepack', 'false'),
  heal: ({ remote }) => remote.git('config', 'daemon.receivepack', 'true'),
});

export default [...keys, ...logins, ...services].map((cell) => ({ ...cell, place }));
