/**
 * Prepares a clone for the tests and the demo: checks the prerequisites, installs the npm packages, and builds the native
 * addon and the example. Hashes of the inputs show what is current, so a second run takes no time. It uses only Node
 * built-ins, since it runs before `npm ci`.
 */

import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

import { capture, Failed, main, npm, ROOT, step } from './process.mjs';

const EXAMPLE = path.join(ROOT, 'examples', 'fastify-api');
const MINIMUM_NODE = [20, 0];
/** `rust-version` in Cargo.toml. */
const MINIMUM_CARGO = [1, 88];

/** Does the whole set-up; afterwards the environment finds cargo. */
export async function setUp() {
  await step('prerequisites', checkPrerequisites);
  await step('npm packages', () => installPackages(ROOT));
  await step('example packages', () => installPackages(EXAMPLE));
  await step('native addon', buildAddon);
  await step('example', buildExample);
}

/** Does the part of the set-up that `npm pack` needs. */
export async function setUpAddon() {
  await step('prerequisites', checkPrerequisites);
  await step('npm packages', () => installPackages(ROOT));
  await step('native addon', buildAddon);
}

/** Checks everything at once, so that one run lists all that is missing. */
function checkPrerequisites() {
  const found = [];
  const missing = [];
  const expect = (name, version, minimum, howToGet) => {
    if (version && atLeast(version, minimum)) found.push(`${name} ${version.join('.')}`);
    else {
      const wanted = `${name}${minimum.length > 0 ? ` >= ${minimum.join('.')}` : ''}`;
      const actual = version ? ` (found ${version.join('.')})` : '';
      missing.push(`  ${wanted}${actual}\n      ${howToGet}`);
    }
  };

  expect(
    'Node',
    versionIn(process.versions.node),
    MINIMUM_NODE,
    'https://nodejs.org, or your version manager: nvm install 22',
  );
  expect(
    'cargo',
    cargoVersion(),
    MINIMUM_CARGO,
    'https://rustup.rs; with rustup installed: rustup update stable',
  );
  expect('git', versionIn(capture('git', ['--version'])), [], gitInstructions());
  if (process.platform !== 'win32') {
    const compiler = [process.env.CC, 'cc', 'gcc', 'clang'].find(
      (command) => command && capture(command, ['--version']) !== undefined,
    );
    if (compiler) found.push(`C compiler ${path.basename(compiler)}`);
    else missing.push(`  a C compiler\n      ${compilerInstructions()}`);
  }

  shareBuilds();
  if (missing.length > 0) {
    throw new Failed(`Missing on this machine:\n\n${missing.join('\n')}\n\nThen run this again.`);
  }
  return found.join(', ');
}

/** Also looks in rustup's folder, which a shell that was opened before its installation does not know. */
function cargoVersion() {
  const version = () => versionIn(capture('cargo', ['--version']));
  const rustupFolder = path.join(process.env.CARGO_HOME ?? path.join(homedir(), '.cargo'), 'bin');
  if (version() === undefined && existsSync(rustupFolder)) {
    process.env.PATH = `${process.env.PATH}${path.delimiter}${rustupFolder}`;
  }
  return version();
}

/**
 * The napi CLI passes the target to cargo, which builds named targets in a separate folder. With the same target for every
 * cargo command, the addon and the tests share their dependencies.
 */
export function shareBuilds() {
  const host = capture('rustc', ['-vV'])?.match(/^host: (\S+)$/m)?.[1];
  if (host) process.env.CARGO_BUILD_TARGET ??= host;
}

function versionIn(text) {
  return text
    ?.match(/\d+(?:\.\d+)+/)?.[0]
    .split('.')
    .map(Number);
}

function atLeast(version, minimum) {
  const at = minimum.findIndex((part, index) => (version[index] ?? 0) !== part);
  return at === -1 || (version[at] ?? 0) > minimum[at];
}

function gitInstructions() {
  if (process.platform === 'darwin') return 'xcode-select --install, or brew install git';
  if (process.platform === 'win32') return 'https://git-scm.com/download/win';
  return 'Debian, Ubuntu: apt install git; Alpine: apk add git; Fedora: dnf install git';
}

function compilerInstructions() {
  if (process.platform === 'darwin') return 'xcode-select --install';
  return 'Debian, Ubuntu: apt install build-essential; Alpine: apk add build-base; Fedora: dnf install gcc';
}

/** `npm ci`, unless `node_modules` was installed from this very lock file. */
export async function installPackages(folder) {
  const stamp = path.join(folder, 'node_modules', '.installed-from');
  const wanted = hashOf([
    path.join(folder, 'package.json'),
    path.join(folder, 'package-lock.json'),
  ]);
  if (contents(stamp) === wanted) return 'current';

  progress(`npm ci in ${path.relative(ROOT, folder) || 'the root'}`);
  const { ok } = await npm(['ci', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: folder });
  if (!ok) throw new Failed(`npm ci failed in ${folder}: see above.`);
  // Where none of the packages is for this platform, npm makes no folder.
  mkdirSync(path.dirname(stamp), { recursive: true });
  writeFileSync(stamp, wanted);
  return 'installed';
}

/** Builds the addon for release unless it is current. */
async function buildAddon() {
  const stamp = path.join(ROOT, 'target', 'addon-built-from');
  const sources = hashOf(
    [
      'Cargo.toml',
      'Cargo.lock',
      'build.rs',
      'src',
      'crates',
      'scripts/build.mjs',
      'scripts/cargo-addon.sh',
    ].map((name) => path.join(ROOT, name)),
    capture('cargo', ['--version']),
  );
  if (contents(stamp) === `${sources} ${addonFingerprint()}`) return 'current';

  progress('cargo builds it; the first time takes a few minutes');
  const { ok } = await npm(['run', '--silent', 'build']);
  if (!ok) throw new Failed('The native addon did not build: see above.');
  mkdirSync(path.dirname(stamp), { recursive: true });
  writeFileSync(stamp, `${sources} ${addonFingerprint()}`);
  return 'built';
}

/** Changes when the addon is built, replaced or removed by other means. */
function addonFingerprint() {
  const names = readdirSync(ROOT).filter((name) => name.endsWith('.node'));
  const made = [...names, 'native.js', 'native.d.ts'].sort().map((name) => {
    const stat = statSync(path.join(ROOT, name), { throwIfNoEntry: false });
    return `${name}:${stat?.size}:${stat?.mtimeMs}`;
  });
  return createHash('sha256').update(made.join('\n')).digest('hex');
}

/** Compiles the example's TypeScript, which also checks it against the types. */
async function buildExample() {
  const folder = path.join(EXAMPLE, 'dist');
  const stamp = path.join(folder, '.built-from');
  const sources = hashOf([
    path.join(ROOT, 'index.d.ts'),
    path.join(ROOT, 'fastify.d.ts'),
    path.join(EXAMPLE, 'package-lock.json'),
    path.join(EXAMPLE, 'tsconfig.json'),
    path.join(EXAMPLE, 'src'),
  ]);
  if (contents(stamp) === sources) return 'current';

  rmSync(folder, { recursive: true, force: true });
  const { ok } = await npm(['run', '--silent', 'build'], { cwd: EXAMPLE });
  if (!ok) throw new Failed('The example API did not compile: see above.');
  writeFileSync(stamp, sources);
  return 'compiled';
}

function progress(text) {
  console.log(`… ${text}`);
}

function contents(file) {
  return existsSync(file) ? readFileSync(file, 'utf8') : undefined;
}

/** One hash over the names and contents of files and folders. */
function hashOf(paths, ...more) {
  const hash = createHash('sha256').update(JSON.stringify(more));
  const visit = (file) => {
    if (statSync(file).isDirectory()) {
      for (const name of readdirSync(file).sort()) visit(path.join(file, name));
    } else {
      const bytes = readFileSync(file);
      hash.update(`\0${path.relative(ROOT, file)}\0${bytes.length}\0`).update(bytes);
    }
  };
  paths.forEach(visit);
  return hash.digest('hex');
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) await main(setUp);
