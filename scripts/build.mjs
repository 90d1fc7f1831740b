/**
 * `npm run build`: the addon as it is shipped, with the napi CLI, whose options follow behind `--`
 * (`npm run build -- --target aarch64-unknown-linux-gnu --use-napi-cross`).
 */

import path from 'node:path';

import { Failed, main, ROOT, run } from './process.mjs';

const CLI = path.join(ROOT, 'node_modules', '@napi-rs', 'cli', 'dist', 'cli.js');
const OPTIONS = ['--platform', '--profile', 'dist', '--js', 'native.js', '--dts', 'native.d.ts'];

/** C code throws nothing, and the tables of how to unwind it are a sixtieth of the addon. */
const C_FLAGS = '-fno-asynchronous-unwind-tables';

const SMALL = {
  CARGO: path.join(ROOT, 'scripts', 'cargo-addon.sh'),
  CFLAGS: [process.env.CFLAGS, C_FLAGS].filter(Boolean).join(' '),
};

await main(async () => {
  // Windows starts no scripts in the place of programs: there the addon is larger, and otherwise the same.
  const env = process.platform === 'win32' ? process.env : { ...process.env, ...SMALL };
  const { ok } = await run(process.execPath, [CLI, 'build', ...OPTIONS, ...process.argv.slice(2)], {
    env,
  });
  if (!ok) throw new Failed('the addon did not build: see above');
});
