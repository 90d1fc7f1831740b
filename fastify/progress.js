'use strict';

// The push under way as a part of the page: a bar, and what is known of it in text.

const { html } = require('./html.js');
const { bytes, duration } = require('./format.js');

const PHASES = {
  counting: 'Listing the objects to send',
  compressing: 'Looking for deltas between the objects',
  sending: 'Sending the objects',
  server: 'Sent; the server checks and stores the objects and runs its hooks',
};

/** @param {import('../index.js').PushProgress | null} progress */
function pushUnderWay(progress) {
  if (progress === null) return null;
  const { commit, phase, totalBytes, bytesPerSecond, step, steps } = progress;
  const { elapsedMs, remainingMs, serverMessage } = progress;
  const rate = bytesPerSecond === null ? null : `, ${bytes(bytesPerSecond)} per second`;
  const whole = totalBytes === null ? null : ', the whole pack';
  return html`<section class="card">
<h2>Push under way</h2>
<p id="progress">${PHASES[phase]}${share(progress)}</p>
${bar(progress)}
<dl class="facts">
<dt>Objects</dt><dd>${objects(progress)}</dd>
<dt>Handed over</dt><dd>${bytes(progress.bytes)}${whole}${rate}</dd>
${steps > 1 && html`<dt>Step</dt><dd>${step} of about ${steps}: large backlogs are pushed in parts</dd>`}
<dt>Up to commit</dt><dd><code>${commit}</code></dd>
<dt>Running</dt><dd>for ${duration(elapsedMs)}</dd>
${remainingMs !== null && phase !== 'server' && html`<dt>Remaining</dt><dd>about ${duration(remainingMs)}${steps > 1 && ' for this step'}, then the server's answer</dd>`}
${serverMessage !== null && html`<dt>Server's last message</dt><dd><code>${serverMessage}</code></dd>`}
</dl>
</section>`;
}

/** A bar without a value shows activity alone: how long the server takes is unknown. */
function bar(progress) {
  const { objects: done, totalObjects } = progress;
  return isMeasured(progress)
    ? html`<progress aria-labelledby="progress" max="${totalObjects}" value="${done}"></progress>`
    : html`<progress aria-labelledby="progress"></progress>`;
}

function share(progress) {
  if (!isMeasured(progress)) return null;
  return `: ${Math.floor((100 * progress.objects) / progress.totalObjects)} %`;
}

function isMeasured({ phase, totalObjects }) {
  return phase !== 'server' && totalObjects !== null && totalObjects > 0;
}

function objects({ objects: done, totalObjects }) {
  return totalObjects === null
    ? done.toLocaleString('en')
    : `${done.toLocaleString('en')} of ${totalObjects.toLocaleString('en')}`;
}

module.exports = { pushUnderWay };
