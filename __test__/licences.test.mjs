/** The licences of the code that is linked into the addon: the shipped file lists them, and all are allowed. */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { appendFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';

import { parse } from 'smol-toml';

import { allowedLicences } from '../scripts/licences/decisions.mjs';
import { document } from '../scripts/licences/document.mjs';
import { chosenLicences } from '../scripts/licences.mjs';
import { makeCheckout } from './support/checkout.mjs';
import { ROOT } from './support/child.mjs';

const LIMIT_MS = 300_000;
const NAME = 'THIRD-PARTY-LICENSES.txt';
const read = (name) => readFileSync(path.join(ROOT, name), 'utf8');

function check(folder) {
  const options = { cwd: folder, timeout: LIMIT_MS, killSignal: 'SIGKILL' };
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      ['scripts/licences.mjs', '--check'],
      options,
      (error, stdout, stderr) => resolve({ ok: error === null, output: `${stdout}${stderr}` }),
    );
  });
}

describe(NAME, () => {
  test('matches Cargo.lock', async () => {
    const { ok, output } = await check(ROOT);
    assert.ok(ok, output);
  });

  test('is refused if it does not match', async (t) => {
    const checkout = makeCheckout(t, []);
    // Files that cargo requires of a package.
    for (const file of ['src/lib.rs', 'bench/native/main.rs']) {
      mkdirSync(path.dirname(path.join(checkout, file)), { recursive: true });
      writeFileSync(path.join(checkout, file), '');
    }
    assert.ok((await check(checkout)).ok);
    appendFileSync(path.join(checkout, NAME), 'more\n');
    const { ok, output } = await check(checkout);
    assert.ok(!ok);
    assert.match(output, /is not that of Cargo\.lock: "npm run licences"/);
  });

  const text = read(NAME);
  for (const [what, words] of [
    [
      'libgit2, with its exception',
      /unlimited permission to link the compiled\s+version of this library/,
    ],
    ['libgit2, the GPL itself', /GNU GENERAL PUBLIC LICENSE\s+Version 2, June 1991/],
    ['PCRE2 in libgit2', /Philip Hazel/],
    ['llhttp in libgit2', /Copyright Fedor Indutny/],
    ['zlib', /Jean-loup Gailly/],
    ['zlib-rs', /^zlib-rs [\d.]+$/m],
    [
      'BoringSSL in ring',
      /code that was sourced from BoringSSL under the\s+Apache 2.0 license.*Apache License/s,
    ],
    ['fiat-crypto in ring', /fiat-crypto/i],
    ['Rust itself', /^the Rust standard library$/m],
    ['tokio', /^tokio [\d.]+$/m],
  ]) {
    test(`has ${what}`, () => assert.match(text, words));
  }

  test('lists each direct dependency that is linked in', () => {
    const own = readdirSync(path.join(ROOT, 'crates'));
    const manifests = ['Cargo.toml', ...own.map((name) => `crates/${name}/Cargo.toml`)];
    const direct = manifests.flatMap((file) => {
      const { dependencies, target = {} } = parse(read(file));
      return [dependencies, ...Object.values(target).map((one) => one.dependencies)];
    });
    const notLinked = [...own, 'napi-derive', 'tempfile'];
    for (const name of direct.flatMap(Object.keys).filter((one) => !notLinked.includes(one))) {
      assert.match(text, new RegExp(`^  ${name} [\\w.+-]+: `, 'm'), name);
    }
  });
});

describe('of a licence', () => {
  const allowed = ['MIT', 'Apache-2.0', 'ISC'];
  for (const [expression, chosen] of [
    ['MIT', ['MIT']],
    ['Apache-2.0 OR MIT', ['MIT']],
    ['MIT/Apache-2.0', ['MIT']],
    ['Apache-2.0 AND ISC', ['Apache-2.0', 'ISC']],
    ['(MIT OR Zlib) AND ISC', ['MIT', 'ISC']],
    ['Zlib OR Apache-2.0', ['Apache-2.0']],
    ['GPL-3.0-only', undefined],
    ['MIT AND GPL-3.0-only', undefined],
    ['GPL-3.0-only OR Zlib', undefined],
  ]) {
    test(`${expression} it takes ${chosen?.join(' and ') ?? 'nothing'}`, () => {
      assert.deepEqual(chosenLicences(expression, allowed), chosen);
    });
  }

  test('without a text, a licence of unknown wording is an error', () => {
    const part = { name: 'a', version: '1.0.0', authors: [], texts: [] };
    assert.throws(() => document([{ ...part, licence: 'ISC' }]), /a 1\.0\.0 is under ISC/);
    assert.match(
      document([{ ...part, licence: 'MIT' }]),
      /Copyright \(c\) the authors of a 1\.0\.0/,
    );
  });
});

test('deny.toml is for the targets of package.json, and allows no copyleft', () => {
  const { graph } = parse(read('deny.toml'));
  assert.deepEqual(graph.targets, JSON.parse(read('package.json')).napi.targets);
  assert.ok(allowedLicences().length > 0);
  assert.deepEqual(
    allowedLicences().filter((licence) => /GPL|MPL|EPL|SSPL/.test(licence)),
    [],
  );
});
