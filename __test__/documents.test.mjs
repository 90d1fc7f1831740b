/**
 * Runs every block of code in every document, or checks it as far as this environment allows. `documents/` lists the
 * blocks of each document with their runners: a block that is missing on either side fails.
 */

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';

import examples from './documents/examples.mjs';
import fuzz from './documents/fuzz.mjs';
import guides from './documents/guides.mjs';
import migrating from './documents/migrating.mjs';
import readme from './documents/readme.mjs';
import runbook from './documents/runbook.mjs';
import security from './documents/security.mjs';
import { ROOT } from './support/child.mjs';
import { KINDS } from './support/contract.mjs';
import { Document, documentNames } from './support/markdown.mjs';

/** Those without a block of code. */
const PROSE = [
  ...['ARCHITECTURE.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'docs/comparison.md'],
  ...['docs/fastify.md', 'docs/reliability.md', 'docs/status-and-events.md'],
  'bench/results/results.md',
];

const RUNNERS = [
  ...[readme, ...guides, runbook, security, migrating, fuzz, ...examples],
  ...PROSE.map((name) => ({ name, runs: [] })),
];

/** The files of the package: those that package.json lists, and two that npm adds. */
const { files } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8'));
const SHIPPED = [...files, 'README.md', 'LICENSE'];

/** The only external hosts that a document may link to. */
const HOSTS = ['keepachangelog.com', 'semver.org', 'www.npmjs.com'];

/** Files that exist only after a run. */
const MADE = ['bench/results/partial'];

const documents = new Map(documentNames().map((name) => [name, new Document(name)]));

test('each document is listed here, even without a block', () => {
  assert.deepEqual([...documents.keys()], RUNNERS.map(({ name }) => name).sort());
});

for (const { name, runs } of RUNNERS) {
  describe(name, () => {
    const document = documents.get(name);

    test('has a runner for each block, and a block for each runner', () => {
      const ids = document.blocks.map(({ id }) => id).sort();
      assert.deepEqual(ids, runs.flatMap(({ blocks }) => blocks).sort());
    });

    // `also` lists blocks of another test that this one needs as well.
    for (const { title, blocks, also = [], run, skip = false } of runs) {
      test(title, { skip }, (t) => run(t, ...[...blocks, ...also].map((id) => document.block(id))));
    }
  });
}

const isShipped = (file) =>
  SHIPPED.some((shipped) => file === shipped || file.startsWith(`${shipped}/`));

describe('links', () => {
  for (const [name, document] of documents) {
    test(`of ${name} lead to files and headings that are there`, () => {
      for (const link of document.links) {
        if (/^[a-z]+:/.test(link)) {
          assert.ok(HOSTS.includes(new URL(link).hostname), `${link} is one of the known places`);
          continue;
        }
        const [file, anchor] = link.split('#');
        const target = file === '' ? name : path.join(path.dirname(name), file);
        assert.ok(existsSync(path.join(ROOT, target)), `${link} is there`);
        if (isShipped(name))
          assert.ok(isShipped(target), `${link} is in the package, as ${name} is`);
        if (anchor === undefined) continue;
        assert.ok(documents.get(target)?.anchors.includes(anchor), `${link} has its heading`);
      }
    });
  }

  test('of the alerts lead to a heading of the runbook each', () => {
    const alerts = readFileSync(path.join(ROOT, 'examples/prometheus/alerts.yml'), 'utf8');
    const names = [...alerts.matchAll(/- alert: (\w+)/g)].map(([, alert]) => alert);
    const pages = [...alerts.matchAll(/runbook_page: (\S+)/g)].map(([, page]) => page);
    assert.ok(names.length > 0);
    assert.deepEqual(
      pages,
      names.map((alert) => `docs/runbook.md#${alert.toLowerCase()}`),
    );
    const { headings, anchors } = documents.get('docs/runbook.md');
    for (const page of pages) assert.ok(anchors.includes(page.split('#')[1]), page);
    // No step is left behind for an alert that there is no more.
    assert.deepEqual(
      headings.filter((heading) => heading.startsWith('PushDaemon')).sort(),
      names.sort(),
    );
  });

  test('the runbook has steps for each kind of failure', () => {
    const { headings } = documents.get('docs/runbook.md');
    for (const kind of KINDS) assert.ok(headings.includes(kind), kind);
  });
});

test('no document names a real machine or server', () => {
  for (const [name, { text }] of documents) {
    assert.doesNotMatch(text, /\/(?:work|root|home\/\w+)\/|file:\/\/\/\w/, name);
    for (const [, host] of text.matchAll(/\bhttps?:\/\/([\w.-]+)/g)) {
      assert.ok([...HOSTS, '127.0.0.1'].includes(host) || host.endsWith('example.com'), host);
    }
  }
});

test('an invalid document is rejected', () => {
  const text = ['# A B', '```sh', 'true', '```', '```sh', 'false', '```', '[a](#a-b) [b](no.md#x)'];
  const { blocks, anchors, links } = new Document('some.md', text.join('\n'));
  assert.deepEqual(
    blocks.map(({ id, body }) => [id, body]),
    [
      ['sh in A B', 'true\n'],
      ['sh in A B (2)', 'false\n'],
    ],
  );
  assert.deepEqual(anchors, ['a-b']);
  assert.deepEqual(links, ['#a-b', 'no.md#x']);
  assert.throws(() => new Document('some.md', '```\nopen'), /does not end/);
  assert.throws(() => new Document('some.md', 'Run:\n\n    rm -rf /'), /without a fence/);
});

test('each file that a document names exists, from the root or beside it', () => {
  for (const [name, { prose }] of documents) {
    const files = /`((?:src|crates|tests|__test__|scripts|examples|bench|fuzz)\/[\w./-]+)`/g;
    for (const [, file] of prose.join('\n').matchAll(files)) {
      if (MADE.includes(file)) continue;
      const places = [file, path.join(path.dirname(name), file)];
      assert.ok(
        places.some((place) => existsSync(path.join(ROOT, place))),
        `${file} in ${name}`,
      );
    }
  }
});
