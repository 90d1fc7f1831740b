/**
 * `npm run release:check -- v1.2.3`: the tag is the version of package.json, Cargo.toml and both lock files, and the
 * changelog has a section for it, with a date.
 */

import { readFileSync } from 'node:fs';
import path from 'node:path';

import { parse } from 'smol-toml';

import { Failed, main, ROOT } from '../process.mjs';

const read = (name) => readFileSync(path.join(ROOT, name), 'utf8');

/** The files that contain the version, with the version in each. */
function versions() {
  const { name, version } = JSON.parse(read('package.json'));
  const lock = JSON.parse(read('package-lock.json'));
  const crate = parse(read('Cargo.lock')).package.find((one) => one.name === name);
  return {
    'package.json': version,
    'package-lock.json': lock.version,
    'Cargo.toml': parse(read('Cargo.toml')).workspace.package.version,
    'Cargo.lock': crate.version,
  };
}

await main(() => {
  const [tag] = process.argv.slice(2);
  const wanted = /^v(\d+\.\d+\.\d+(?:-[\w.]+)?)$/.exec(tag ?? '')?.[1];
  if (wanted === undefined)
    throw new Failed(`the tag is v and a version, such as v1.2.3, not ${tag}`);
  for (const [file, version] of Object.entries(versions())) {
    if (version !== wanted)
      throw new Failed(`${file} has version ${version}, and the tag is ${tag}`);
  }
  const [, section = ''] = read('CHANGELOG.md').split(`\n## ${wanted}`);
  // The text below the heading, which may have a date, up to the next heading.
  if (!/^- /m.test(section.split('\n## ')[0])) {
    throw new Failed(`CHANGELOG.md has nothing under a heading "## ${wanted}"`);
  }
  if (/^[^\n]*unreleased/i.test(section)) {
    throw new Failed(`CHANGELOG.md says that ${wanted} is unreleased: put the date there`);
  }
  console.log(`${tag}: the versions agree, and the changelog has it.`);
});
