/**
 * The real servers and programs that the tests use: an ssh server, web servers, a proxy, a browser, promtool. As root it
 * installs the missing system packages, all at once, since package managers do not run in parallel. Otherwise it lists
 * the tests that will be skipped. Packages from PyPI need no root.
 */

import { existsSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';

import { capture, ROOT, run } from './process.mjs';

const DULWICH_VERSION = '1.2.21';

/** The folder of Dulwich, a git server in Python, for `PYTHONPATH`. */
export const DULWICH = path.join(ROOT, 'target', `dulwich-${DULWICH_VERSION}`);

/** The places of a program: anywhere in PATH. */
const pathsOf = (name) =>
  process.env.PATH.split(path.delimiter).map((place) => path.join(place, name));

/** Programs, the Debian packages that contain them, and the tests that need them. */
const SERVERS = [
  [['/usr/sbin/sshd', '/usr/local/sbin/sshd'], ['openssh-server'], 'tests/ssh'],
  [['/usr/sbin/apache2'], ['apache2'], 'tests/https'],
  [['/usr/share/locale/de/LC_MESSAGES/git.mo'], ['git'], 'tests/locale.rs'],
  [['/usr/bin/tinyproxy'], ['tinyproxy'], 'tests/https'],
  [['/usr/sbin/nginx'], ['nginx-light'], 'buffering.test.mjs'],
  [['/usr/bin/pip3', '/usr/local/bin/pip3'], ['python3-pip'], 'dulwich.test.mjs'],
  [['/usr/bin/openssl'], ['openssl'], 'tests/https, tls.test.mjs'],
  [['/usr/sbin/ip', '/usr/bin/ip'], ['iproute2'], 'unreachable.test.mjs'],
  [pathsOf('plink'), ['putty-tools'], 'tests/ssh'],
  [pathsOf('dbclient'), ['dropbear-bin'], 'tests/ssh'],
  [pathsOf('gitolite'), ['gitolite3'], 'tests/ssh'],
  [pathsOf('python3'), ['python3'], 'children.test.mjs, tests/cli.rs'],
  [['/usr/bin/promtool', '/usr/local/bin/promtool'], ['prometheus'], 'metrics.test.mjs'],
  [
    [
      process.env.CHROMIUM,
      '/usr/bin/chromium',
      '/usr/bin/chromium-browser',
      '/usr/bin/google-chrome',
    ],
    ['chromium', 'fonts-dejavu-core'],
    'page.test.mjs',
  ],
];

const isMissing = ([places]) => !places.some((place) => place && existsSync(place));

/** Installs the missing programs if possible, and reports which are still missing. */
export async function prepareServers() {
  const wanted = SERVERS.filter(isMissing).flatMap(([, packages]) => packages);
  if (wanted.length > 0 && process.getuid?.() === 0 && capture('apt-get', ['--version'])) {
    // At this run level Debian starts no server of its own, which would listen to the world.
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };
    await run('apt-get', ['update', '-qq'], { env });
    await run('apt-get', ['install', '-qq', '--yes', '--no-install-recommends', ...wanted], {
      env,
    });
  }
  await prepareDulwich();
  const lines = SERVERS.filter(isMissing).map(
    ([, packages, tests]) => `${tests} (apt install ${packages.join(' ')})`,
  );
  if (!existsSync(DULWICH)) lines.push('dulwich.test.mjs (pip could not install Dulwich)');
  if (lines.length === 0) return 'all there';
  return `skipped, as something is missing: ${lines.join(', ')}`;
}

/** Installs Dulwich below `target`, whole or not at all. */
async function prepareDulwich() {
  if (existsSync(DULWICH)) return;
  const unfinished = `${DULWICH}.${process.pid}`;
  const packages = ['--target', unfinished, `dulwich==${DULWICH_VERSION}`];
  const installing = run('python3', ['-m', 'pip', 'install', '--quiet', ...packages]);
  const { ok } = await installing.catch(() => ({ ok: false }));
  if (ok) renameSync(unfinished, DULWICH);
  else rmSync(unfinished, { recursive: true, force: true });
}
