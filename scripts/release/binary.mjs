/** The requirements of a Linux addon on its system, read with readelf. */

import { execFileSync } from 'node:child_process';

/** The oldest glibc that published addons run with: the oldest that Rust's own library runs with. */
export const PUBLISHED_GLIBC = '2.17';

/** Libraries of every Linux with Node. Before glibc 2.34 threads and the loader were separate libraries. */
const SYSTEM = [
  /^libc\.so\.6$/,
  /^libc\.musl-\w+\.so\.1$/,
  /^libc\.so$/,
  /^ld-linux-[\w-]+\.so\.\d$/,
  /^lib(?:pthread|dl|m|rt|util)\.so\.\d$/,
  /^libgcc_s\.so\.1$/,
];

/**
 * @param {string} file
 * @returns {{needed: string[], glibc: string | undefined}} the libraries that it names, and the newest version of glibc
 * that it must find there: not one that is only of weak symbols, which may be absent
 */
export function readBinary(file) {
  const dynamic = readelf('--dynamic', file);
  const needed = [...dynamic.matchAll(/\(NEEDED\).*\[(.+)\]/g)].map(([, library]) => library);
  const versions = [
    ...readelf('--version-info', file).matchAll(/Name: GLIBC_([\d.]+) +Flags: (?!WEAK)/g),
  ];
  const glibc = versions.map(([, version]) => version).sort(byVersion);
  return { needed: needed.sort(), glibc: glibc.at(-1) };
}

/** The libraries that it needs and that a system may lack. */
export function unexpectedLibraries({ needed }) {
  return needed.filter((library) => !SYSTEM.some((pattern) => pattern.test(library)));
}

/** Orders `2.9` before `2.17`. */
export function byVersion(a, b) {
  const [left, right] = [a, b].map((version) => version.split('.').map(Number));
  return left[0] - right[0] || left[1] - right[1];
}

function readelf(...args) {
  return execFileSync('readelf', ['--wide', ...args], {
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C' },
    maxBuffer: 64 * 1024 * 1024,
  });
}
