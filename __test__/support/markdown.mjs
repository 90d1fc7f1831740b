/** The documents of the package: their blocks of code, headings and links. */

import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

import { ROOT } from './child.mjs';

/** Folders without documents of ours. */
const ELSEWHERE = ['node_modules', 'target', 'dist'];

/** The paths of all documents, down to the folder of each example. */
export function documentNames(folder = '', depth = 2) {
  return readdirSync(path.join(ROOT, folder), { withFileTypes: true })
    .flatMap((entry) => {
      const place = path.posix.join(folder, entry.name);
      if (entry.isFile() && entry.name.endsWith('.md')) return [place];
      const isOurs =
        entry.isDirectory() && !/^\./.test(entry.name) && !ELSEWHERE.includes(entry.name);
      return isOurs && depth > 0 ? documentNames(place, depth - 1) : [];
    })
    .sort();
}

/**
 * @typedef {object} Block a fenced block of code
 * @property {string} id unique in its document: its language and its heading, with a number from the second on
 * @property {string} language
 * @property {string} body as it stands
 * @property {number} line of its first fence
 */

/** A document, parsed as far as GitHub's Markdown is used here. */
export class Document {
  /** @param {string} name its path from the root */
  constructor(name, text = readFileSync(path.join(ROOT, name), 'utf8')) {
    this.name = name;
    this.text = text;
    /** @type {Block[]} */
    this.blocks = [];
    /** Each heading as it is written, without its marks. */
    this.headings = [];
    /** Each line outside of blocks. */
    this.prose = [];
    this.#parse();
  }

  #parse() {
    let open = null;
    const seen = new Map();
    for (const [index, line] of this.text.split('\n').entries()) {
      const fence = /^ *(?:`{3,}|~{3,})(.*)$/.exec(line);
      if (fence === null) {
        if (open === null) this.#readProse(line);
        else open.body += `${line}\n`;
      } else if (open === null) {
        const language = fence[1].trim();
        const place = `${language} in ${this.headings.at(-1) ?? 'the beginning'}`;
        const number = (seen.get(place) ?? 0) + 1;
        seen.set(place, number);
        open = {
          id: number === 1 ? place : `${place} (${number})`,
          language,
          body: '',
          line: index + 1,
        };
      } else {
        this.blocks.push(open);
        open = null;
      }
    }
    if (open !== null) throw new Error(`${this.name}:${open.line}: a block that does not end`);
  }

  #readProse(line) {
    // Indented code has no language that would select its runner.
    if (/^(?: {4}|\t)/.test(line) && (this.prose.at(-1) ?? '') === '') {
      throw new Error(`${this.name}: code without a fence: ${line.trim()}`);
    }
    const heading = /^#{1,6} +(.*?)\s*$/.exec(line);
    if (heading !== null) this.headings.push(heading[1]);
    this.prose.push(line);
  }

  /** The anchors of its headings, as GitHub makes them. */
  get anchors() {
    const taken = new Map();
    return this.headings.map((heading) => {
      const anchor = heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N}_ -]/gu, '')
        .replaceAll(' ', '-');
      const times = taken.get(anchor) ?? 0;
      taken.set(anchor, times + 1);
      return times === 0 ? anchor : `${anchor}-${times}`;
    });
  }

  /** Where its links lead to, as written. */
  get links() {
    const prose = this.prose.join('\n').replace(/`[^`\n]*`/g, '`');
    return [...prose.matchAll(/\]\(([^()\s]+)\)/g)].map(([, target]) => target);
  }

  /** @returns {Block} */
  block(id) {
    const found = this.blocks.find((block) => block.id === id);
    if (found === undefined) throw new Error(`${this.name} has no block '${id}'`);
    return found;
  }
}
