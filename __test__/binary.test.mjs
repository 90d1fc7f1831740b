/** The addon that was built here: how large it is, and what it needs of the system that it is loaded on. */

import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';

import { byVersion, readBinary, unexpectedLibraries } from '../scripts/release/binary.mjs';
import { ADDON } from './support/checkout.mjs';
import { ROOT } from './support/child.mjs';

/** Of what is downloaded with each installation; MB as registries count them. */
const MOST_BYTES = 5_000_000;

/** What a build on Debian 12 or older needs, which docs/deploying.md states. */
const BUILT_HERE_GLIBC = '2.34';
/** Debian 12's own. Newer ones give some functions of C a newer version. */
const NEWEST_BUILDER = '2.36';

const FILE = path.join(ROOT, ADDON);
const glibc = process.report.getReport().header.glibcVersionRuntime;

test('the addon is small', () => {
  assert.ok(statSync(FILE).size <= MOST_BYTES, `it has ${statSync(FILE).size} bytes`);
});

describe('the addon', { skip: process.platform !== 'linux' && 'ELF is of Linux' }, () => {
  test('needs no library but those that come with the system and with Node', () => {
    const found = readBinary(FILE);
    assert.ok(found.needed.length > 0);
    assert.deepEqual(unexpectedLibraries(found), []);
  });

  test('is found out where it needs OpenSSL, libssh2, libgit2 or zlib', () => {
    const needed = ['libssl.so.3', 'libcrypto.so.3', 'libssh2.so.1', 'libgit2.so.1.9', 'libz.so.1'];
    assert.deepEqual(unexpectedLibraries({ needed: ['libc.so.6', ...needed] }), needed);
  });

  const isNewer = glibc !== undefined && byVersion(glibc, NEWEST_BUILDER) > 0;
  const skip =
    (glibc === undefined && 'this system has no glibc') ||
    (isNewer && `glibc ${glibc}: what is built here is for this system or a newer one`);

  test(`needs glibc ${BUILT_HERE_GLIBC} or newer, as docs/deploying.md says`, { skip }, () => {
    const found = readBinary(FILE);
    assert.ok(byVersion(found.glibc, BUILT_HERE_GLIBC) <= 0, `it needs ${found.glibc}`);
    assert.ok(
      readFileSync(path.join(ROOT, 'docs/deploying.md'), 'utf8').includes(
        `glibc ${BUILT_HERE_GLIBC}`,
      ),
    );
  });

  test('has symbols with versions that are read', { skip: glibc === undefined && skip }, () => {
    const node = readBinary(process.execPath);
    assert.match(node.glibc, /^2\.\d+$/);
    assert.ok(byVersion(node.glibc, glibc) <= 0);
  });
});

test('versions are ordered as numbers', () => {
  assert.deepEqual(['2.34', '2.9', '2.17', '2.4'].sort(byVersion), ['2.4', '2.9', '2.17', '2.34']);
});
