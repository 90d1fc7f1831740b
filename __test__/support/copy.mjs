/** Further copies of the package, as an application gets them whose dependencies want different versions. */

import {
  appendFileSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';

import { ROOT } from './child.mjs';
import { makeDirectory } from './git.mjs';

/** What a user has of the package in `node_modules`, but for documents, types and examples. */
const FILES = [
  ...JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8')).files.filter(
    (name) => name.endsWith('.js') || name === 'fastify',
  ),
  'package.json',
];

/**
 * A copy in a folder of its own. Its addon is another file, or with `isLinked` a symbolic link to the one that is here:
 * the system loads the former once more, with statics of its own, and takes the latter for the same.
 *
 * @returns {string} the path of its `index.js`
 */
export function makeCopy(t, { version, isLinked = false } = {}) {
  const folder = path.join(makeDirectory(t), 'node_modules', 'git-push-daemon');
  mkdirSync(folder, { recursive: true });
  for (const name of FILES)
    cpSync(path.join(ROOT, name), path.join(folder, name), { recursive: true });
  for (const name of readdirSync(ROOT).filter((file) => file.endsWith('.node'))) {
    const addon = path.join(folder, name);
    if (isLinked) symlinkSync(path.join(ROOT, name), addon);
    else cpSync(path.join(ROOT, name), addon);
    // Another version is another file; what follows the last section is not loaded.
    if (version !== undefined) appendFileSync(addon, version);
  }
  if (version !== undefined) {
    const file = path.join(folder, 'package.json');
    writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), version }));
  }
  return path.join(folder, 'index.js');
}
