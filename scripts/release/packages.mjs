/**
 * `npm run release:packages`: from the addons in `artifacts/`, one for each target, makes the packages of the platforms in
 * `npm/`, and turns this folder's own package into the one to publish, which has no addon and depends on them. It changes
 * package.json, so it is for the release's checkout alone.
 */

import { copyFileSync, existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';

import { NapiCli } from '@napi-rs/cli';

import { Failed, main, ROOT } from '../process.mjs';
import { manifest, PACKAGES, platforms } from './platforms.mjs';

/** The files of each package besides its addon. */
const LICENCES = ['LICENSE', 'THIRD-PARTY-LICENSES.txt'];

async function packages() {
  const { values } = parseArgs({ options: { from: { type: 'string', default: 'artifacts' } } });
  takeLoader(values.from);
  rmSync(PACKAGES, { recursive: true, force: true });
  nameRepository();
  const napi = new NapiCli();
  await napi.createNpmDirs({ cwd: ROOT });
  await napi.artifacts({ cwd: ROOT, outputDir: values.from });
  // It puts them here, too, from where the package would take them all.
  for (const name of readdirSync(ROOT)) {
    if (name.endsWith('.node')) rmSync(path.join(ROOT, name));
  }
  for (const { directory } of platforms()) {
    for (const name of LICENCES) copyFileSync(path.join(ROOT, name), path.join(directory, name));
    const own = manifest(directory);
    write(directory, { ...own, type: 'commonjs', files: [...own.files, ...LICENCES] });
  }
  await napi.prePublish({ cwd: ROOT, skipOptionalPublish: true, ghRelease: false });
  console.log(`${platforms().length} packages are in ${path.relative(ROOT, PACKAGES)}.`);
}

/** The loader comes with each addon, and is the same for all. */
function takeLoader(from) {
  const loader = path.join(ROOT, 'native.js');
  const built = path.join(ROOT, from, 'native.js');
  if (existsSync(built)) copyFileSync(built, loader);
  if (!existsSync(loader)) throw new Failed(`native.js, the loader, is not in ${from}.`);
}

/** Provenance is only accepted for the repository that package.json names. */
function nameRepository() {
  const { GITHUB_REPOSITORY: repository, GITHUB_SERVER_URL: server } = process.env;
  const own = manifest();
  if (!repository || own.repository !== undefined) return;
  write(ROOT, { ...own, repository: { type: 'git', url: `git+${server}/${repository}.git` } });
}

function write(folder, content) {
  writeFileSync(path.join(folder, 'package.json'), `${JSON.stringify(content, null, 2)}\n`);
}

await main(packages);
