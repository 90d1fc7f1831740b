/** The contents of npm's tarballs. */

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';

import { ROOT } from './child.mjs';

/** The lines that a program prints, sorted. */
const linesOf = (program, args) =>
  execFileSync(program, args, { cwd: ROOT, encoding: 'utf8', timeout: 60_000 })
    .split('\n')
    .filter(Boolean)
    .sort();

const { files } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8'));

/** The files of the package without the addon, which only the tarball of a clone contains. */
export const PACKAGE_FILES = [
  'native.js',
  ...linesOf('git', ['ls-files', '--', 'LICENSE', 'README.md', 'package.json', ...files]),
].sort();

/** The paths in a tarball, sorted. */
export function contents(tarball) {
  return linesOf('tar', ['-tzf', tarball]).map((name) => name.replace(/^package\//, ''));
}
