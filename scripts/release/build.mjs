/**
 * `npm run release:build -- --target <triple>`: the addon of one target as it is published, and the loader, in `artifacts/`.
 * For Linux it is built with zig as the C compiler and linker (cargo-zigbuild), against the oldest glibc that is promised,
 * or musl; for the others on their own systems.
 */

import { copyFileSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';

import { Failed, main, npm, ROOT } from '../process.mjs';
import { byVersion, PUBLISHED_GLIBC, readBinary, unexpectedLibraries } from './binary.mjs';
import { platforms } from './platforms.mjs';

const ARTIFACTS = path.join(ROOT, 'artifacts');

await main(async () => {
  const { values } = parseArgs({ options: { target: { type: 'string' } } });
  const platform = platforms().find(({ target }) => target === values.target);
  if (platform === undefined) {
    const targets = platforms().map(({ target }) => target);
    throw new Failed(`--target is one of ${targets.join(', ')}`);
  }
  const { target, binary } = platform;
  const isLinux = target.includes('-linux-');
  const args = ['--target', target, ...(isLinux ? ['--cross-compile'] : [])];
  const { ok } = await npm(['run', 'build', '--', ...args], {
    env: { ...process.env, OLDEST_GLIBC: PUBLISHED_GLIBC },
  });
  if (!ok) throw new Failed('It did not build: see above.');
  mkdirSync(ARTIFACTS, { recursive: true });
  for (const name of [binary, 'native.js']) {
    copyFileSync(path.join(ROOT, name), path.join(ARTIFACTS, name));
  }
  if (isLinux) check(path.join(ARTIFACTS, binary));
});

function check(file) {
  const found = readBinary(file);
  const unexpected = unexpectedLibraries(found);
  if (unexpected.length > 0) throw new Failed(`${file} needs ${unexpected.join(', ')}`);
  if (found.glibc !== undefined && byVersion(found.glibc, PUBLISHED_GLIBC) > 0) {
    throw new Failed(`${file} needs glibc ${found.glibc}, and ${PUBLISHED_GLIBC} is promised`);
  }
  console.log(`it needs ${found.needed.join(', ')}; glibc ${found.glibc ?? 'not at all'}`);
}
