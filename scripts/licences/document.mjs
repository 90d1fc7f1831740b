/** THIRD-PARTY-LICENSES.txt: each text once, below the names of the code under it. */

const HEAD = `Third-party licences

The native addon of git-push-daemon (the file that ends in .node) contains the following software of others, on some
platforms less of it. git-push-daemon itself is under the licence in the file LICENSE.

libgit2 is under the GNU General Public License, version 2, with an exception that permits to link its compiled version into
combinations with other programs without restriction; the exception is at the head of its text below. It is part of
libgit2-sys.
`;

const RULE = `${'='.repeat(80)}\n`;

/** For the crates whose packages have no text of their own. */
const MIT = (holders) => `Copyright (c) ${holders}

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.`;

/**
 * @param {{name: string, version: string, licence: string, authors: string[], texts: string[]}[]} parts
 */
export function document(parts) {
  const sorted = parts
    .map((part) => ({ ...part, title: `${part.name} ${part.version}`.trim() }))
    .sort((a, b) => (a.title < b.title ? -1 : 1));
  const list = sorted.map(({ title, licence }) => `  ${title}: ${licence}\n`);
  const texts = new Map();
  for (const part of sorted) {
    for (const text of part.texts.length > 0 ? part.texts : [withoutText(part)]) {
      const body = text
        .replaceAll('\r\n', '\n')
        .replace(/[ \t]+$/gm, '')
        .replace(/^\n+|\s+$/g, '');
      texts.set(body, [...(texts.get(body) ?? []), part.title]);
    }
  }
  const sections = [...texts].map(
    ([body, titles]) =>
      `${RULE}${titles.map((title) => `${title}\n`).join('')}${RULE}\n${body}\n\n`,
  );
  return [HEAD, '\n', ...list, '\n', ...sections].join('').trimEnd().concat('\n');
}

function withoutText({ title, licence, authors }) {
  if (licence !== 'MIT') throw new Error(`${title} is under ${licence} and has no text of it`);
  return MIT(
    authors.length > 0
      ? authors.map((author) => author.replace(/ <.*>/, '')).join(', ')
      : `the authors of ${title}`,
  );
}
