'use strict';

// What only one side of a diverged branch has: a part of the page, and a part of the log line.

const { html } = require('./html.js');
const { count, utc } = require('./format.js');

/** The commits in a log line. The status has more. */
const LOGGED = 3;

/** @param {import('../index.js').PushDivergence | null | undefined} divergence */
function divergenceCard(divergence) {
  if (!divergence) return null;
  const { mergeBase, ahead, behind, commits, commands } = divergence;
  const rest = behind - commits.length;
  return html`<section class="card">
<h2>Divergence</h2>
<dl class="facts">
<dt>Only on the remote</dt><dd>${count(behind, 'commit')}</dd>
<dt>Only here</dt><dd>${count(ahead, 'commit')}</dd>
<dt>Last in common</dt><dd>${mergeBase === null ? 'none' : html`<code>${mergeBase}</code>`}</dd>
</dl>
<table>
<caption>${rest > 0 ? `The newest ${commits.length} of the remote's commits` : "The remote's commits"}</caption>
<thead><tr><th scope="col">Committed</th><th scope="col">Commit</th><th scope="col">Subject and author</th></tr></thead>
<tbody>${commits.map(row)}</tbody>
</table>
<p>To merge both sides, run these commands one by one. If git reports a conflict, resolve it before you go on. The runbook has other ways.</p>
<pre class="message" tabindex="0">${commands.join('\n')}</pre>
</section>`;
}

function row({ commit, author, committedAt, subject }) {
  return html`<tr><td class="nowrap">${utc(committedAt)}</td><td><code>${commit.slice(0, 7)}</code></td><td>${subject}<br>${author}</td></tr>
`;
}

/** The numbers and the first commits as fields of a log line, and as a sentence. */
function divergenceInLog(divergence) {
  if (divergence === undefined) return { fields: {}, sentence: '' };
  const { mergeBase, ahead, behind, commits } = divergence;
  const [{ commit, author, subject }] = commits;
  return {
    fields: { divergence: { mergeBase, ahead, behind, commits: commits.slice(0, LOGGED) } },
    sentence: `Only the remote has ${count(behind, 'commit')}, the newest ${commit.slice(0, 7)} by ${author}: ${subject}. `,
  };
}

module.exports = { divergenceCard, divergenceInLog };
