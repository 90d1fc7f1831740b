/** What commands write into the documents: tables, and text between two marks. */

import { readFileSync, writeFileSync } from 'node:fs';

/** A table of Markdown. */
export function table(head, rows) {
  return [head, head.map(() => '---'), ...rows]
    .map((cells) => `| ${cells.join(' | ')} |`)
    .join('\n');
}

/** Cuts a file at its marks: what goes up to the first, what is between them, what begins with the second. */
function cut(file, [begin, end]) {
  const text = readFileSync(file, 'utf8');
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`${file} lacks its marks: ${begin}, ${end}`);
  const start = from + begin.length;
  return [text.slice(0, start), text.slice(start, to), text.slice(to)];
}

/** What a file has between two marks. */
export function readBetween(file, marks) {
  return cut(file, marks)[1];
}

/** Puts a text between two marks of a file, in the place of what is there. */
export function writeBetween(file, marks, text) {
  const [before, , after] = cut(file, marks);
  writeFileSync(file, `${before}${text}${after}`);
}
