/**
 * Every block of code in every document is run, or checked as far as it can be without what it is for. Which blocks a
 * document has, and what runs each, is written in `documents/`: a block that is missing there, or only there, fails.
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

/** What the package has, in the words of package.json and of npm, which adds two files by itself. */
const { files } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8'));
const SHIPPED = [...files, 'README.md', 'LICENSE'];

/** The only places elsewhere that a document may lead to. */
const HOSTS = ['keepachangelog.com', 'semver.org', 'www.npmjs.com'];

/** What is there only once something has run. */
const MADE = ['bench/results/partial'];

const documents = new Map(documentNames().map((name) => [name, new Document(name)]));

test('each document is known here, also if it has no block', () => {
  assert.deepEqual([...documents.keys()], RUNNERS.map(({ name }) => name).sort());
});

for (const { name, runs } of RUNNERS) {
  describe(name, () => {
    const document = documents.get(name);

    test('has exactly the blocks that somebody runs', () => {
      const ids = document.blocks.map(({ id }) => id).sort();
      assert.deepEqual(ids, runs.flatMap(({ blocks }) => blocks).sort());
    });

    // `also` are blocks that another test runs, which this one goes on with.
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
    const contract = readFileSync(path.join(ROOT, 'index.d.ts'), 'utf8');
    const [, union] = /export type PushFailureKind =([^;]*);/.exec(contract);
    const kinds = [...union.matchAll(/'([a-z-]+)'/g)].map(([, kind]) => kind);
    assert.equal(kinds.length, 10);
    const { headings } = documents.get('docs/runbook.md');
    for (const kind of kinds) assert.ok(headings.includes(kind), kind);
  });
});

test('no document tells of a machine or a server but those of examples', () => {
  for (const [name, { text }] of documents) {
    assert.doesNotMatch(text, /\/(?:work|root|home\/\w+)\/|file:\/\/\/\w/, name);
    for (const [, host] of text.matchAll(/\bhttps?:\/\/([\w.-]+)/g)) {
      assert.ok([...HOSTS, '127.0.0.1'].includes(host) || host.endsWith('example.com'), host);
    }
  }
});

test('a document that is not as it should be is noticed', () => {
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

test('what a document says is a file is one, from the root or from beside it', () => {
  for (const [name, { prose }] of documents) {
    const files = /`((?:src|tests|__test__|scripts|examples|bench|fuzz)\/[\w./-]+)`/g;
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

describe('the runbook quotes', () => {
  const { text } = documents.get('docs/runbook.md');
  const source = (file) => readFileSync(path.join(ROOT, file), 'utf8');

  for (const [file, words] of [
    ['fastify/log.js', ['push failed (', 'push refused', 'push given up (', 'push recovered']],
    ['fastify/log.js', ['push daemon stopped', 'with commits that the remote lacks']],
    ['fastify/log.js', ['the remote has commits that this repository lacks']],
    ['fastify.js', ['no remote is set']],
    ['fastify/explain.js', ['The remote cannot be reached']],
    ['fastify/page.js', ['Lag', 'Last error']],
  ]) {
    test(`what ${file} says: ${words.join(', ')}`, () => {
      for (const word of words) {
        assert.ok(text.includes(word), word);
        assert.ok(source(file).includes(word), word);
      }
    });
  }

  test('keys of the status and options that there are', () => {
    const contract = source('index.d.ts');
    const names = [...text.matchAll(/`([a-z]+[A-Z]\w+)`/g)].map(([, name]) => name);
    assert.ok(names.length > 10);
    for (const name of new Set(names)) {
      // Kubernetes' own.
      if (['terminationGracePeriodSeconds', 'subPath', 'defaultMode'].includes(name)) continue;
      assert.ok(new RegExp(`\\b${name}\\b`).test(contract), name);
    }
  });
});
