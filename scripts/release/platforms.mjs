/** The packages of the platforms: their names, from the targets in package.json, and their folders. */

import { readFileSync } from 'node:fs';
import path from 'node:path';

import { parseTriple } from '@napi-rs/cli';

import { ROOT } from '../process.mjs';

/** Where the packages of the platforms are made. */
export const PACKAGES = path.join(ROOT, 'npm');

/** package.json as it is now. */
export function manifest(folder = ROOT) {
  return JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8'));
}

/**
 * The platforms with a package of their own.
 *
 * @returns {{target: string, name: string, directory: string, binary: string}[]}
 */
export function platforms() {
  const { name, napi } = manifest();
  return napi.targets.map((target) => {
    const { platformArchABI } = parseTriple(target);
    return {
      target,
      name: `${name}-${platformArchABI}`,
      directory: path.join(PACKAGES, platformArchABI),
      binary: `${napi.binaryName}.${platformArchABI}.node`,
    };
  });
}

/** The dependencies that let the loader find an addon: each platform's package in the same version. */
export function wantedDependencies() {
  const { version } = manifest();
  return Object.fromEntries(platforms().map(({ name }) => [name, version]));
}
