/** The documents name everything that the types declare, and no key or option that they do not. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { declares, EVENTS, KINDS, members, STATES, union } from './support/contract.mjs';
import { Document, documentNames } from './support/markdown.mjs';

const PAGES = documentNames().filter((name) => /^(?:README\.md$|docs\/)/.test(name));
const lines = PAGES.flatMap((name) => new Document(name).prose);

/** The names in the first column of all tables: `` | `remote` | ``, `` | `.health`, `.flush` | ``. */
const rows = new Set(
  lines
    .flatMap((line) => /^\| (`[^|]+`(?:, `[^|]+`)*) \|/.exec(line)?.[1].match(/`[^`]+`/g) ?? [])
    .map((name) => name.slice(1, -1).replace(/^(?:routes)?\.|\(.*/g, '')),
);
const text = lines.join('\n');

const EMITTER = /^(?:on|once|off|addListener|removeListener|prepend\w+)$/;
const OF_APPLICATION = ['remote', 'logger', 'routes'];

describe('the documents have a row for each', () => {
  for (const [what, names] of Object.entries({
    option: members('PushDaemonOptions'),
    event: EVENTS,
    kind: KINDS,
    method: members('PushDaemon').filter((name) => !EMITTER.test(name)),
    'option of the Fastify plugin': members('PushDaemonPluginOptions', 'fastify.d.ts').filter(
      (name) => !OF_APPLICATION.includes(name),
    ),
    'route of the Fastify plugin': members('PushDaemonRoutes', 'fastify.d.ts'),
  })) {
    test(what, () => {
      assert.notEqual(names.length, 0);
      assert.deepEqual(
        names.filter((name) => !rows.has(name)),
        [],
      );
    });
  }
});

test('the documents name each state, each phase, each key of the status and each field of an event', () => {
  const fields = ['Push', 'PushError', 'Retry', 'Recovered', 'Preserved', 'Stopped'].flatMap(
    (name) => members(`${name}Event`),
  );
  const names = [
    ...[...STATES, ...union('PushProgressPhase')],
    ...[...members('PushDaemonStatus'), ...fields, ...members('PushProgress')],
  ];
  assert.deepEqual(
    names.filter((name) => !new RegExp(`\`${name}\\??\``).test(text)),
    [],
  );
});

test('each key or option in the documents is declared', () => {
  const ours = [...text.matchAll(/`([a-z]\w*(?:Ms|Commits?|Retries|At))`/g)];
  assert.ok(ours.length > 10);
  assert.deepEqual(
    ours.map(([, name]) => name).filter((name) => !declares(name)),
    [],
  );
});
