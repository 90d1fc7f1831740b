/** The documents against the types: every option, event, key, method and kind is there, and no other. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';

import { ROOT } from './support/child.mjs';

const read = (file) => readFileSync(path.join(ROOT, file), 'utf8');

/** Which document has the section with this heading. */
const PLACES = {
  Options: 'README.md',
  'Plugin options': 'docs/fastify.md',
  Methods: 'docs/status-and-events.md',
  Events: 'docs/status-and-events.md',
  Status: 'docs/status-and-events.md',
  'Kinds of failure': 'docs/runbook.md',
};

/** The text below a heading, up to the next one. */
function section(heading) {
  const [, text] = read(PLACES[heading]).split(`\n## ${heading}\n`);
  assert.ok(text, heading);
  return text.split(/\n###? /)[0];
}

/** The names in the first column of the tables of a section. */
function rows(heading) {
  const cells = [...section(heading).matchAll(/^\| (`[^|]+`(?:, `[^|]+`)*) \|/gm)];
  return cells.flatMap(([, cell]) => [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name));
}

/** The names of the members of an interface, in a file of types, whose lines begin with `indent`. */
function members(file, name, indent = '  ') {
  const [, body] = new RegExp(`interface ${name} [^{]*\\{\n(.*?)\n${indent.slice(2)}\\}`, 's').exec(
    read(file),
  );
  const line = new RegExp(`^${indent}(?:readonly )?(\\w+)\\??[:(<]`, 'gm');
  return [...new Set([...body.matchAll(line)].map(([, member]) => member))];
}

/** The values of a union of strings. */
function values(name) {
  const [, body] = new RegExp(`export type ${name} =([^;]*);`).exec(read('index.d.ts'));
  return [...body.matchAll(/'([a-z-]+)'/g)].map(([, value]) => value);
}

describe('the documents list', () => {
  test('the options', () => {
    assert.deepEqual(rows('Options').sort(), members('index.d.ts', 'PushDaemonOptions').sort());
  });

  test('the events, and what each brings', () => {
    const events = { push: 'Push', error: 'PushError', retry: 'Retry', recovered: 'Recovered' };
    Object.assign(events, { preserved: 'Preserved', stopped: 'Stopped' });
    assert.deepEqual(members('index.d.ts', 'PushDaemonEvents').sort(), Object.keys(events).sort());
    const lines = [...section('Events').matchAll(/^\| `(\w+)` \| ([^|]+) \|/gm)];
    const listed = Object.fromEntries(
      lines.map(([, event, fields]) => [
        event,
        [...fields.matchAll(/`(\w+)\??`/g)].map(([, field]) => field).sort(),
      ]),
    );
    const declared = Object.fromEntries(
      Object.entries(events).map(([event, name]) => [
        event,
        members('index.d.ts', `${name}Event`).sort(),
      ]),
    );
    assert.deepEqual(listed, declared);
  });

  test('the keys of the status, and its states', () => {
    const text = section('Status');
    for (const key of members('index.d.ts', 'PushDaemonStatus')) {
      assert.ok(text.includes(`\`${key}\``), key);
    }
    for (const state of values('PushDaemonState')) assert.ok(text.includes(`\`${state}\``), state);
  });

  test('the kinds of failure', () => {
    assert.deepEqual(rows('Kinds of failure').sort(), values('PushFailureKind').sort());
  });

  test('the methods', () => {
    const emitter = /^(?:on|once|off|addListener|removeListener|prepend\w+)$/;
    const methods = members('index.d.ts', 'PushDaemon').filter((name) => !emitter.test(name));
    const listed = rows('Methods').map((call) => call.split('(')[0]);
    assert.deepEqual(listed.sort(), methods.sort());
  });

  test('the options and routes of the Fastify plugin', () => {
    const own = members('fastify.d.ts', 'PushDaemonPluginOptions', '    ').filter(
      (name) => !['remote', 'logger', 'routes'].includes(name),
    );
    const routes = members('fastify.d.ts', 'PushDaemonRoutes', '    ');
    const listed = rows('Plugin options').map((name) => name.replace(/^(?:routes)?\./, ''));
    assert.deepEqual(listed.sort(), [...own, ...routes].sort());
  });
});
