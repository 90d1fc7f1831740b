/** A checkout as in a release: a copy of this repository's files with the addons of all platforms. */

import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';

import { ROOT } from './child.mjs';
import { makeDirectory } from './git.mjs';

/** Generated files, and files that are in no package. */
const ABSENT =
  /^(?:\.git|node_modules|target|artifacts|npm|bench|tests|src|__test__|examples\/fastify-api)$|\.node$|\.tgz$/;

/** The addon that was built here. */
export const ADDON = readdirSync(ROOT).find((name) => name.endsWith('.node'));

/** `linux-x64-gnu` and the like: the platform of this addon. */
export const PLATFORM = /^git-push-daemon\.(.+)\.node$/.exec(ADDON)?.[1];

export const manifestIn = (folder) =>
  JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8'));

/**
 * Makes one. `artifacts/` contains the builds of the platforms: the addon of this one, and a few bytes for each other,
 * which no test can load.
 *
 * @param {object} t the test
 * @param {string[]} platforms the platforms that have been built
 */
export function makeCheckout(t, platforms) {
  const directory = path.join(makeDirectory(t), 'git-push-daemon');
  cpSync(ROOT, directory, {
    recursive: true,
    filter: (source) => !ABSENT.test(path.relative(ROOT, source)),
  });
  symlinkSync(path.join(ROOT, 'node_modules'), path.join(directory, 'node_modules'));
  const artifacts = path.join(directory, 'artifacts');
  mkdirSync(artifacts);
  for (const platform of platforms) {
    const name = `git-push-daemon.${platform}.node`;
    const addon = path.join(ROOT, name);
    if (existsSync(addon)) cpSync(addon, path.join(artifacts, name));
    else writeFileSync(path.join(artifacts, name), `the addon of ${platform}`);
  }
  return directory;
}
