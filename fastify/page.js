'use strict';

// The status page: is the data safe, how far behind is the remote, since when, why, and what to do. It needs no script
// and no other resource, and its Content-Security-Policy allows none.

const { createHash } = require('node:crypto');
const { readFileSync } = require('node:fs');
const path = require('node:path');

const { divergenceCard } = require('./divergence.js');
const { explain } = require('./explain.js');
const { html, trusted } = require('./html.js');
const { plot } = require('./plot.js');
const { pushUnderWay } = require('./progress.js');
const { clock, count, duration, utc } = require('./format.js');

const REFRESH_SECONDS = 10;
const RECENT = 25;

const STYLE = readFileSync(path.join(__dirname, 'page.css'), 'utf8');
const STYLE_HASH = createHash('sha256').update(STYLE).digest('base64');

const CONTENT_SECURITY_POLICY = [
  `default-src 'none'`,
  `style-src 'sha256-${STYLE_HASH}'`,
  'img-src data:',
  `base-uri 'none'`,
  `form-action 'none'`,
  `frame-ancestors 'none'`,
].join('; ');

/** Shapes, so that colour is not the only sign: a tick, an arrow, a triangle, a cross. */
const ICONS = {
  ok: 'M6.4 13.2 1.2 8l1.9-1.9 3.3 3.3 6.6-6.6 1.9 1.9z',
  busy: 'M8 1l6 6-1.8 1.8-2.9-2.9V15H6.7V5.9L3.8 8.8 2 7z',
  warn: 'M8 1l7.5 14H.5zM7 6v5h2V6zm0 6v2h2v-2z',
  bad: 'M3.3 1.4 8 6.1l4.7-4.7 1.9 1.9L9.9 8l4.7 4.7-1.9 1.9L8 9.9l-4.7 4.7-1.9-1.9L6.1 8 1.4 3.3z',
};

/** The colours of the favicon, which cannot follow those of the page. */
const ICON_COLOURS = { ok: '17703c', busy: '0b57b0', warn: 'c27800', bad: 'b3211a' };

/**
 * @param {object} view
 * @param {import('../index.js').PushDaemonStatus | null} view.status `null` where no daemon runs
 * @param {import('./history.js').History} view.history
 * @param {{ maxLagMs: number, maxUnverifiedMs: number }} view.limits
 * @param {number} view.now
 * @param {boolean} view.isRefreshed whether the page reloads itself
 * @returns {string}
 */
function renderPage({ status, history, limits, now, isRefreshed }) {
  const verdict = explain({ status, history, limits, now });
  const title = status === null ? verdict.label : `${verdict.label} · ${status.branch}`;
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
${isRefreshed && html`<meta http-equiv="refresh" content="${REFRESH_SECONDS}">`}
<meta name="robots" content="noindex">
<title>${title}</title>
<link rel="icon" href="${favicon(verdict.tone)}">
<style>${trusted(STYLE)}</style>
</head>
<body>
<header>
<p>${status === null ? 'Push daemon' : html`<strong>${status.branch}</strong> to <strong>${status.remote}</strong>`}</p>
<p>Read at <time datetime="${new Date(now).toISOString()}">${utc(now)}</time></p>
</header>
<main>
<section class="card verdict ${verdict.tone}">
<div class="badge"><svg viewBox="0 0 16 16" aria-hidden="true"><path fill-rule="evenodd" d="${ICONS[verdict.tone]}"/></svg>${verdict.label}</div>
<h1>${verdict.headline}</h1>
${verdict.sentences.map((sentence) => html`<p>${sentence}</p>`)}
${verdict.hint && html`<p class="hint"><strong>Why, and what to do:</strong> ${verdict.hint}</p>`}
</section>
${status !== null && [pushUnderWay(status.progress), tiles(status, now), divergenceCard(status.divergence), failure(status, history, now), recent(history, now), facts(status, now)]}
</main>
<footer>
${
  isRefreshed
    ? html`<p>Reloads every ${REFRESH_SECONDS} seconds. <a href="?refresh=off">Pause</a></p>`
    : html`<p>Does not reload. <a href="?refresh=on">Resume</a></p>`
}
<p>The same as JSON: this address with <code>Accept: application/json</code></p>
</footer>
</body>
</html>
`.toString();
}

function favicon(tone) {
  return `data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cpath fill='%23${ICON_COLOURS[tone]}' fill-rule='evenodd' d='${ICONS[tone]}'/%3E%3C/svg%3E`;
}

function tiles(status, now) {
  const { pendingCommits, behindCommits, lagMs, oldestPendingAt, lastPushAt } = status;
  return html`<dl class="card tiles">
${tile('Lag', pendingCommits === 0 ? 'none' : duration(lagMs), oldestPendingAt && `since ${clock(oldestPendingAt, now)} UTC`)}
${tile('Ahead', ...commits(pendingCommits, 'only here'))}
${tile('Behind', ...commits(behindCommits, 'only on the remote'))}
${tile('Last push', lastPushAt === null ? 'none yet' : `${ago(lastPushAt, now)} ago`, lastPushAt && `at ${clock(lastPushAt, now)} UTC`)}
${tile('Last seen', status.verifiedAt === null ? 'not yet' : `${ago(status.verifiedAt, now)} ago`, status.verifiedAt && `at ${clock(status.verifiedAt, now)} UTC`)}
${tile('Next attempt', ...nextAttempt(status, now))}
</dl>`;
}

function tile(name, value, note) {
  return html`<div><dt>${name}</dt><dd>${value}</dd>${note && html`<dd class="note">${note}</dd>`}</div>`;
}

/** A number short enough for its tile, and its unit. */
function commits(number, where) {
  if (number === null) return ['unknown', where];
  const [value, unit] = count(number, 'commit').split(' ');
  return [value, `${unit} ${where}`];
}

function nextAttempt({ state, nextAttemptAt, currentAttempt }, now) {
  if (state === 'pushing' || state === 'stopping') {
    return ['now', currentAttempt === null ? null : `attempt ${currentAttempt} is under way`];
  }
  if (nextAttemptAt !== null) {
    const waitMs = Math.max(0, Date.parse(nextAttemptAt) - now);
    return [`in ${duration(waitMs)}`, `at ${clock(nextAttemptAt, now)} UTC`];
  }
  const when = {
    'in-sync': 'with the next commit',
    debouncing: 'in a moment',
    diverged: 'once reconciled, or with the next commit',
    'gave-up': 'with the next commit',
    regressed: 'with the next commit, or a flush',
  };
  return ['none', when[state] ?? null];
}

function failure({ lastError, consecutiveFailures }, { failingSince }, now) {
  if (lastError === null) return null;
  const { message, kind, at, attempt } = lastError;
  return html`<section class="card">
<h2>Last error</h2>
<pre class="message" tabindex="0">${message}</pre>
<dl class="facts">
<dt>Kind</dt><dd><code>${kind}</code></dd>
<dt>When</dt><dd>${utc(at)}, ${ago(at, now)} ago${attempt === 0 ? ', while reading the remote' : `, attempt ${attempt}`}</dd>
<dt>In a row</dt><dd>${count(consecutiveFailures, 'failure')}${failingSince !== null && `, the first at ${utc(failingSince)}`}</dd>
</dl>
</section>`;
}

function recent(history, now) {
  const attempts = history.attempts.slice(-RECENT).reverse();
  return html`<section class="card">
<h2>Recent pushes and failures</h2>
${plot(history, now)}
${
  attempts.length > 0 &&
  html`<details>
<summary>The last ${attempts.length === 1 ? 'attempt' : count(attempts.length, 'attempt')} as a table</summary>
<table>
<thead><tr><th scope="col">UTC</th><th scope="col">Result</th><th scope="col">Commit</th><th scope="col">Details</th></tr></thead>
<tbody>${attempts.map((attempt) => row(attempt, now))}</tbody>
</table>
</details>`
}
</section>`;
}

function row({ at, isPush, commit, commits, durationMs, kind, attempt }, now) {
  const result = isPush ? 'pushed' : html`<span class="failed">failed</span>`;
  const details = isPush
    ? `${count(commits, 'commit')} in ${duration(durationMs)}`
    : `${kind}, attempt ${attempt}`;
  return html`<tr><td class="nowrap">${clock(at, now)}</td><td>${result}</td><td><code>${commit === null ? '–' : commit.slice(0, 7)}</code></td><td>${details}</td></tr>
`;
}

function facts(status, now) {
  const { url, transport, transportReason, localCommit, remoteCommit, startedAt, totals } = status;
  const { pushes, commits, failures, regressions } = totals;
  return html`<section class="card">
<h2>Details</h2>
<dl class="facts">
<dt>State</dt><dd><code>${status.state}</code></dd>
<dt>Local commit</dt><dd><code>${localCommit ?? 'none'}</code></dd>
<dt>Remote commit</dt><dd><code>${remoteCommit ?? 'none seen'}</code></dd>
<dt>Pushed to</dt><dd><code>${url}</code></dd>
<dt>Transport</dt><dd>${transport ?? 'not chosen yet'}${transportReason && `: ${transportReason}`}</dd>
<dt>Running</dt><dd>for ${ago(startedAt, now)}, since ${utc(startedAt)}</dd>
<dt>Since then</dt><dd>${count(pushes, 'push', 'pushes')} with ${count(commits, 'commit')}, ${count(failures, 'failed attempt')}${regressions > 0 && `, ${count(regressions, 'regression')} of the remote`}</dd>
</dl>
</section>`;
}

function ago(at, now) {
  return duration(Math.max(0, now - Date.parse(at)));
}

module.exports = { CONTENT_SECURITY_POLICY, renderPage };
