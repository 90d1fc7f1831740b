/**
 * `npm run build`: the addon as it is shipped, with the napi CLI, whose options follow behind `--`
 * (`npm run build -- --target aarch64-unknown-linux-gnu --use-napi-cross`).
 */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import path from 'node:path';

import { Failed, main, ROOT, run } from './process.mjs';

const CLI = path.join(ROOT, 'node_modules', '@napi-rs', 'cli', 'dist', 'cli.js');
const OPTIONS = ['--platform', '--profile', 'dist', '--js', 'native.js', '--dts', 'native.d.ts'];

/** C code throws nothing, and the tables of how to unwind it are a sixtieth of the addon. */
const C_FLAGS = '-fno-asynchronous-unwind-tables';

/**
 * Leaves the folder of the crates' sources out of their paths. Panics name these files, and the folder is half of all these
 * names. For crates.io, cargo calls it the same everywhere since version 1.85.
 */
function rustFlags() {
  const home = process.env.CARGO_HOME || path.join(homedir(), '.cargo');
  const crates = path.join(home, 'registry', 'src');
  // Spaces separate the flags.
  if (/\s/.test(crates)) return [];
  const folders = [crates, path.join(crates, 'index.crates.io-1949cf8c6b5b557f')];
  return folders.map((folder) => `--remap-path-prefix=${folder}/=`);
}

/** Functions with the same code become one: a hundredth of the addon. */
const FOLDED = '-Wl,--icf=all';

/** Whether the linker of this machine can fold functions: Rust's own for Linux can, the binutils' cannot. */
function folds(args) {
  if (process.platform !== 'linux' || args.some((argument) => /^(-t|--target)\b/.test(argument))) {
    return false;
  }
  const directory = mkdtempSync(path.join(tmpdir(), 'link-'));
  const options = ['--crate-type=cdylib', '-C', `link-arg=${FOLDED}`, '--out-dir', directory, '-'];
  const { status } = spawnSync('rustc', options, {
    input: '',
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  rmSync(directory, { recursive: true });
  return status === 0;
}

const joined = (...flags) => flags.filter(Boolean).join(' ');

const args = process.argv.slice(2);
const SMALL = {
  LINK_ARGUMENT: folds(args) ? FOLDED : '',
  CARGO: path.join(ROOT, 'scripts', 'cargo-addon.sh'),
  CFLAGS: joined(process.env.CFLAGS, C_FLAGS),
  RUSTFLAGS: joined(process.env.RUSTFLAGS ?? process.env.CARGO_BUILD_RUSTFLAGS, ...rustFlags()),
};

await main(async () => {
  // Windows starts no scripts in the place of programs: there the addon is larger, and otherwise the same.
  const env = process.platform === 'win32' ? process.env : { ...process.env, ...SMALL };
  const { ok } = await run(process.execPath, [CLI, 'build', ...OPTIONS, ...args], {
    env,
  });
  if (!ok) throw new Failed('the addon did not build: see above');
});
