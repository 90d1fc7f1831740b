/**
 * Runs before `npm pack` and `npm publish`, so that no package is made that does not load: in a clone it builds the addon
 * for this platform, which goes into the package; one that is to be published (`--publish`) has no addon, and depends on
 * the packages that have one.
 */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { isDeepStrictEqual } from 'node:util';

import { Failed, main, ROOT } from './process.mjs';
import { setUpAddon } from './setup.mjs';

await main(async () => {
  const { optionalDependencies } = JSON.parse(
    readFileSync(path.join(ROOT, 'package.json'), 'utf8'),
  );
  if (optionalDependencies === undefined) {
    if (process.argv.includes('--publish')) {
      throw new Failed(
        'This is a clone, for one platform: "npm run release:packages" comes first.',
      );
    }
    await setUpAddon();
    return;
  }
  // Only now are the packages known to be there that it needs.
  const { wantedDependencies } = await import('./release/platforms.mjs');
  if (!isDeepStrictEqual(optionalDependencies, wantedDependencies())) {
    throw new Failed(
      'package.json does not depend on the package of each platform in its own version.',
    );
  }
  const addons = readdirSync(ROOT).filter((name) => name.endsWith('.node'));
  if (addons.length > 0)
    throw new Failed(`${addons} would be in the package: each has one of its own.`);
  if (!existsSync(path.join(ROOT, 'native.js')))
    throw new Failed('native.js, the loader, is missing.');
});
