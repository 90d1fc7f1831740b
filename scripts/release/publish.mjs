/**
 * `npm run release:publish`: publishes the packages of the platforms and then the one that depends on them, which is so
 * never there without them. Versions that the registry has already are skipped, so that an aborted run can be repeated.
 * Further arguments are for `npm publish`: `-- --provenance`, `-- --dry-run`.
 */

import { Failed, main, npm, ROOT } from '../process.mjs';
import { manifest, platforms } from './platforms.mjs';

await main(async () => {
  const [own, ...others] = [ROOT, ...platforms().map(({ directory }) => directory)];
  for (const directory of [...others, own]) {
    const { name, version } = manifest(directory);
    if (await isPublished(`${name}@${version}`)) {
      console.log(`${name}@${version} is published.`);
      continue;
    }
    // A prerelease must not be installed by default.
    const tag = version.includes('-') ? ['--tag', 'next'] : [];
    const { ok } = await npm(['publish', '--access', 'public', ...tag, ...process.argv.slice(2)], {
      cwd: directory,
    });
    if (!ok) throw new Failed(`${name} was not published: see above.`);
  }
});

/** Whether the registry has this version. If it cannot be reached, publishing reports that. */
async function isPublished(specifier) {
  const { ok, output } = await npm(['view', specifier, 'version', '--loglevel=silent'], {
    keep: true,
  });
  return ok && output.trim() !== '';
}
