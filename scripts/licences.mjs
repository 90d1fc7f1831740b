/**
 * `npm run licences`: writes THIRD-PARTY-LICENSES.txt, the licences of everything that is linked into the addon on any of
 * the platforms of package.json. `-- --check` writes nothing and fails where the file is not that of Cargo.lock; so does
 * a licence that deny.toml does not allow, or a licence file inside a crate without a decision.
 */

import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

import parseExpression from 'spdx-expression-parse';
import { allowedLicences, embeddedLicences, RUST_LIBRARY } from './licences/decisions.mjs';
import { document } from './licences/document.mjs';
import { Failed, main, ROOT } from './process.mjs';

const FILE = path.join(ROOT, 'THIRD-PARTY-LICENSES.txt');

const LICENCE_FILE = /^(?:licen[cs]e|copying|notice|unlicense)(?:[-_.][\w.-]*)?$/i;
const CODE = /\.(?:rs|c|h|py|js)$/;

/** The crates that are linked in for a target: not those of build scripts, macros and tests. */
function linkedCrates(target) {
  const args = ['metadata', '--format-version', '1', '--locked', '--filter-platform', target];
  const metadata = JSON.parse(
    execFileSync('cargo', args, {
      cwd: ROOT,
      encoding: 'utf8',
      maxBuffer: 256 * 1024 * 1024,
      stdio: ['ignore', 'pipe', 'inherit'],
    }),
  );
  const packages = new Map(metadata.packages.map((crate) => [crate.id, crate]));
  const nodes = new Map(metadata.resolve.nodes.map((node) => [node.id, node]));
  const linked = new Map();
  const visit = (id) => {
    if (linked.has(id)) return;
    linked.set(id, packages.get(id));
    for (const { pkg, dep_kinds: kinds } of nodes.get(id).deps) {
      const isMacro = packages.get(pkg).targets.some(({ kind }) => kind.includes('proc-macro'));
      if (!isMacro && kinds.some(({ kind }) => kind === null)) visit(pkg);
    }
  };
  visit(metadata.resolve.root);
  // The crates of this repository have no source.
  return new Map([...linked].filter(([, { source }]) => source !== null));
}

/**
 * The licences of an expression that are made use of: of a choice the first in the order of `allowed`, and all of a
 * conjunction. `undefined` where that is not allowed.
 */
export function chosenLicences(expression, allowed) {
  const choose = (node) => {
    if (node.license !== undefined) {
      return allowed.includes(node.license) ? [node.license] : undefined;
    }
    const [left, right] = [choose(node.left), choose(node.right)];
    if (node.conjunction === 'and') return left && right && [...new Set([...left, ...right])];
    const rank = (licences) =>
      licences === undefined
        ? Number.POSITIVE_INFINITY
        : Math.max(...licences.map((licence) => allowed.indexOf(licence)));
    return rank(right) < rank(left) ? right : left;
  };
  // Cargo once took a slash for a choice.
  return choose(parseExpression(expression.replace(/ ?\/ ?/g, ' OR ')));
}

/** The licence files of a crate for the licences that were chosen. */
function licenceFiles(crate, chosen) {
  const directory = path.dirname(crate.manifest_path);
  const inRoot = readdirSync(directory).filter((name) => LICENCE_FILE.test(name));
  const of = (licence) =>
    inRoot.filter((name) => name.toUpperCase().includes(licence.split('-')[0].toUpperCase()));
  // A crate of several licences has a file for each; what is in a single file can only be told by reading it.
  const named = chosen.map(of);
  const own = named.every((names) => names.length > 0) ? named.flat() : inRoot;
  const { linked, notLinked } = embeddedLicences(crate.name);
  const below = readdirSync(directory, { recursive: true })
    .map((name) => name.split(path.sep).join('/'))
    .filter(
      (name) =>
        name.includes('/') && LICENCE_FILE.test(path.posix.basename(name)) && !CODE.test(name),
    );
  for (const name of below) {
    if (!linked.includes(name) && !notLinked.includes(name)) {
      throw new Failed(
        `${crate.name} has ${name}: is it linked in? Say so in scripts/licences/decisions.mjs.`,
      );
    }
  }
  for (const name of linked) {
    if (!existsSync(path.join(directory, name))) {
      throw new Failed(
        `${crate.name} has no ${name} any more: see scripts/licences/decisions.mjs.`,
      );
    }
  }
  return [...new Set([...own, ...linked])].map((name) =>
    readFileSync(path.join(directory, name), 'utf8'),
  );
}

/** The code that is linked in, as `document` takes it. */
function parts() {
  const { napi } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8'));
  const allowed = allowedLicences();
  const crates = new Map(napi.targets.flatMap((target) => [...linkedCrates(target)]));
  const found = [...crates.values()].map((crate) => {
    const chosen = chosenLicences(crate.license ?? '', allowed);
    if (chosen === undefined) {
      throw new Failed(
        `${crate.name} ${crate.version} is under ${crate.license}, which deny.toml does not allow.`,
      );
    }
    return {
      name: crate.name,
      version: crate.version,
      licence: chosen.join(' AND '),
      authors: crate.authors,
      texts: licenceFiles(crate, chosen),
    };
  });
  return [RUST_LIBRARY, ...found];
}

async function licences() {
  const { values } = parseArgs({ options: { check: { type: 'boolean', default: false } } });
  const wanted = document(parts());
  const name = path.basename(FILE);
  if (values.check) {
    const actual = existsSync(FILE) ? readFileSync(FILE, 'utf8') : '';
    if (actual !== wanted) {
      throw new Failed(`${name} is not that of Cargo.lock: "npm run licences" writes it anew.`);
    }
    console.log(`${name} is that of Cargo.lock.`);
    return;
  }
  writeFileSync(FILE, wanted);
  console.log(`${name} is written.`);
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) await main(licences);
