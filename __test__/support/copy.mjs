/** Further copies of the package, as in an application whose dependencies need different versions. */

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

/** The code of the package, as in a user's `node_modules`. */
const FILES = [
  ...JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8')).files.filter(
    (name) => name.endsWith('.js') || name === 'fastify',
  ),
  'package.json',
];

/**
 * Makes a copy. Its addon is another file, which the system loads once more with its own statics, or with `isLinked` a
 * symbolic link to the addon here, which the system treats as the same.
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
    // Another version must be another file; the system ignores bytes after the last section.
    if (version !== undefined) appendFileSync(addon, version);
  }
  if (version !== undefined) {
    const file = path.join(folder, 'package.json');
    writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), version }));
  }
  return path.join(folder, 'index.js');
}
