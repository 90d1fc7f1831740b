/**
 * `npm run release:build -- --target <triple>`: the addon of one target as it is published, in `artifacts/`. For Linux it is
 * built with zig as the C compiler and linker (cargo-zigbuild), against the oldest glibc that is promised, or musl; for the
 * others on their own systems.
 */

import { copyFileSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';

import { Failed, main, npm, ROOT, run } from '../process.mjs';
import { byVersion, PUBLISHED_GLIBC, readBinary, unexpectedLibraries } from './binary.mjs';
import { platforms } from './platforms.mjs';

const ARTIFACTS = path.join(ROOT, 'artifacts');

await main(async () => {
  const { values } = parseArgs({ options: { target: { type: 'string' } } });
  const platform = platforms().find(({ target }) => target === values.target);
  if (platform === undefined) {
    throw new Failed(
      `--target is one of ${platforms()
        .map(({ target }) => target)
        .join(', ')}`,
    );
  }
  mkdirSync(ARTIFACTS, { recursive: true });
  const { target, binary } = platform;
  if (target.endsWith('-linux-gnu')) await buildForGlibc(target, binary);
  else await build(target, binary);
  if (target.includes('-linux-')) check(path.join(ARTIFACTS, binary));
  console.log(`${binary} is in ${path.relative(ROOT, ARTIFACTS)}.`);
});

/** cargo-zigbuild takes the version of glibc with the target, which the napi CLI does not know. */
async function buildForGlibc(target, binary) {
  const args = ['zigbuild', '--release', '--locked', '--lib', '--target'];
  const { ok } = await run('cargo', [...args, `${target}.${PUBLISHED_GLIBC}`]);
  if (!ok)
    throw new Failed(
      'cargo-zigbuild failed: see above. It needs zig, and the target: rustup target add.',
    );
  const folder = path.join(ROOT, process.env.CARGO_TARGET_DIR ?? 'target', target, 'release');
  copyFileSync(path.join(folder, 'libgit_push_daemon.so'), path.join(ARTIFACTS, binary));
}

async function build(target, binary) {
  const cross = target.includes('-linux-') ? ['--cross-compile'] : [];
  const { ok } = await npm(['run', 'build', '--', '--target', target, ...cross]);
  if (!ok) throw new Failed('napi build failed: see above.');
  // The loader is the same from each of them.
  for (const name of [binary, 'native.js'])
    copyFileSync(path.join(ROOT, name), path.join(ARTIFACTS, name));
}

function check(file) {
  const found = readBinary(file);
  const unexpected = unexpectedLibraries(found);
  if (unexpected.length > 0) throw new Failed(`${file} needs ${unexpected.join(', ')}`);
  if (found.glibc !== undefined && byVersion(found.glibc, PUBLISHED_GLIBC) > 0) {
    throw new Failed(`${file} needs glibc ${found.glibc}, and ${PUBLISHED_GLIBC} is promised`);
  }
  console.log(`it needs ${found.needed.join(', ')}; glibc ${found.glibc ?? 'not at all'}`);
}
