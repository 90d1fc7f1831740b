/** Decisions about licences: those that are allowed, and the third-party code inside crates. */

import { readFileSync } from 'node:fs';
import path from 'node:path';

import { parse } from 'smol-toml';

import { ROOT } from '../process.mjs';

/** The licences that may be linked in, the preferred first: those of deny.toml. */
export function allowedLicences() {
  return parse(readFileSync(path.join(ROOT, 'deny.toml'), 'utf8')).licenses.allow;
}

/** The licence files below a crate's own that are for code which is linked in with it, or is not. */
const EMBEDDED = {
  'libgit2-sys': {
    linked: ['libgit2/COPYING', 'libgit2/deps/llhttp/LICENSE-MIT', 'libgit2/deps/pcre2/LICENCE.md'],
    notLinked: [
      // For MinGW, which is no target.
      'libgit2/deps/winhttp/COPYING.GPL',
      'libgit2/deps/winhttp/COPYING.LGPL',
      // zlib is that of libz-sys.
      'libgit2/deps/zlib/LICENSE',
    ],
  },
  'libz-sys': {
    linked: ['src/zlib/LICENSE'],
    notLinked: [
      'src/zlib-ng/LICENSE.md',
      'src/zlib/contrib/dotzlib/LICENSE_1_0.txt',
      'src/zlib/contrib/minizip/LICENSE.Info-Zip',
    ],
  },
  ring: {
    linked: ['third_party/fiat/LICENSE', 'src/polyfill/once_cell/LICENSE-MIT'],
    // The other one of a choice.
    notLinked: ['src/polyfill/once_cell/LICENSE-APACHE'],
  },
  'tracing-core': { linked: ['src/spin/LICENSE'] },
};

/** @returns {{linked: string[], notLinked: string[]}} */
export function embeddedLicences(crate) {
  return { linked: [], notLinked: [], ...EMBEDDED[crate] };
}

/** Rust's own library, which is in no lock file. */
export const RUST_LIBRARY = {
  name: 'the Rust standard library',
  version: '',
  licence: 'MIT',
  authors: ['The Rust Project contributors'],
  texts: [],
};
