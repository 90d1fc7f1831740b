/**
 * What the types declare: the one list of states, kinds, events, codes, options and keys. Tests compare the code, the
 * metrics and the documents with it.
 */

import { readFileSync } from 'node:fs';
import path from 'node:path';

import { ROOT } from './child.mjs';

const sourceOf = (file) => readFileSync(path.join(ROOT, file), 'utf8').replace(/\/\*.*?\*\//gs, '');

/** The members of a union of string literals in index.d.ts, such as `PushFailureKind`. */
export function union(name) {
  const [, body] = new RegExp(`export type ${name} =([^;]+);`).exec(sourceOf('index.d.ts'));
  return [...body.matchAll(/'([^']+)'/g)].map(([, member]) => member);
}

/** The members of an interface, in order. */
export function members(name, file = 'index.d.ts') {
  const found = new RegExp(`^( *)(?:export )?interface ${name} [^{]*\\{\n(.*?)\n\\1\\}`, 'ms');
  const [, indent, body] = found.exec(sourceOf(file));
  const line = new RegExp(`^${indent}  (?:readonly )?(\\w+)\\??[:(<]`, 'gm');
  return [...new Set([...body.matchAll(line)].map(([, member]) => member))];
}

export const STATES = union('PushDaemonState');
export const KINDS = union('PushFailureKind');
export const EVENTS = members('PushDaemonEvents');

const TYPES = ['index.d.ts', 'fastify.d.ts', 'metrics.d.ts'].map(sourceOf).join('\n');

/** Whether the types declare this name anywhere. */
export const declares = (name) => new RegExp(`\\b${name}\\b`).test(TYPES);
