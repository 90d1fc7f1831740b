// The status page in a real browser, as an operator opens it: with the token as a password, at a desk and on
// a phone, by day and by night.
//
// PAGE_SCREENSHOTS=<folder> keeps a picture of each.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { makeApp } from './support/app.mjs';
import { faintTexts, launch, NO_BROWSER, open } from './support/browser.mjs';
import { ENDLESS_BACKOFF, once, until, untilState } from './support/daemon.mjs';
import { makePair } from './support/git.mjs';
import { goAway } from './support/remote.mjs';

const require = createRequire(import.meta.url);
const { History, LIMIT } = require('../fastify/history.js');
const { html } = require('../fastify/html.js');
const { renderPage } = require('../fastify/page.js');
const { plot } = require('../fastify/plot.js');
const { duration } = require('../fastify/format.js');

const TOKEN = 'the-token-of-the-tests';
const CREDENTIALS = { username: 'operator', password: TOKEN };

const LOOKS = ['light', 'dark'].flatMap((colorScheme) =>
  [390, 1280].map((width) => ({ colorScheme, width })),
);

/** An application in the state to be looked at, and the texts that must be there to be read. */
const STATES = {
  async 'in-sync'(t) {
    const { repo, options } = makePair(t);
    const app = await serve(t, options);
    await pushSome(app, repo);
    return { app, label: 'In sync', texts: ['Every commit is on the remote.', 'Lag none'] };
  },

  async 'backing-off'(t) {
    const { repo, remote, options } = makePair(t);
    const app = await serve(t, { ...options, backoff: ENDLESS_BACKOFF });
    await pushSome(app, repo);
    goAway(remote);
    for (let made = 0; made < 3; made += 1) repo.commit();
    await until('3 commits pending', () => {
      const { state, pendingCommits } = app.pushDaemon.status();
      return state === 'backing-off' && pendingCommits === 3;
    });
    const { lastError } = app.pushDaemon.status();
    return {
      app,
      label: 'Backing off',
      texts: [
        '3 commits are not on the remote yet.',
        'The oldest of them was made at',
        'It is tried again by itself in',
        `Why, and what to do: ${lastError.hint}`,
        lastError.message,
        'Kind remote-error',
      ],
    };
  },

  async diverged(t) {
    const { repo, remote, options } = makePair(t);
    const app = await serve(t, options);
    await pushSome(app, repo);
    remote.commit();
    repo.commit();
    await untilState(app.pushDaemon, 'diverged');
    const { lastError } = app.pushDaemon.status();
    return {
      app,
      label: 'Diverged',
      texts: [
        'The remote has other commits: 1 commit exists only here.',
        'Once a person has reconciled the branches, pushing resumes by itself.',
        `Why, and what to do: ${lastError.hint}`,
      ],
    };
  },
};

/** Starts it on a port, and returns it with the page's address. */
async function serve(t, options) {
  const { app } = await makeApp(t, { ...options, routes: { status: '/push', token: TOKEN } });
  await untilState(app.pushDaemon, 'in-sync');
  await app.listen({ host: '127.0.0.1', port: 0 });
  return app;
}

async function pushSome(app, repo) {
  for (let pushes = 0; pushes < 3; pushes += 1) {
    const pushed = once(app.pushDaemon, 'push');
    repo.commit();
    await pushed;
  }
  await untilState(app.pushDaemon, 'in-sync');
}

const addressOf = (app) => `http://127.0.0.1:${app.server.address().port}/push`;

/** What a person reads, on one line and with plain spaces. */
const readable = (text) => text.replace(/\s+/g, ' ');

describe('the page', { skip: NO_BROWSER }, () => {
  let browser;
  before(async () => {
    browser = await launch();
  });
  after(() => browser?.close());

  for (const [state, arrange] of Object.entries(STATES)) {
    test(`of a daemon that is ${state} can be read everywhere, and loads nothing else`, async (t) => {
      const { app, label, texts } = await arrange(t);
      const address = addressOf(app);
      for (const { colorScheme, width } of LOOKS) {
        const look = `${state}-${colorScheme}-${width}`;
        const { page, response, requests, complaints, close } = await open(browser, address, {
          colorScheme,
          viewport: { width, height: 800 },
          httpCredentials: CREDENTIALS,
          reducedMotion: 'reduce',
        });
        assert.equal(response.status(), 200, look);
        assert.ok((await page.title()).startsWith(label), look);
        const text = readable(await page.innerText('body'));
        for (const wanted of texts) {
          assert.ok(text.includes(readable(wanted)), `${look}: "${wanted}" is not in: ${text}`);
        }
        assert.equal(await page.locator('h1').count(), 1, look);
        const plotted = await page.locator('figure svg').getAttribute('aria-label');
        assert.match(plotted, /^In the last 5 min: 3 pushes with 3 commits, /, look);
        assert.equal((await page.locator('rect.push').count()) > 0, true, look);
        assert.equal((await page.locator('rect.failure').count()) > 0, state !== 'in-sync', look);
        assert.deepEqual(
          await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]),
          [width, width],
          `${look} is as wide as the window`,
        );
        assert.deepEqual(await page.evaluate(faintTexts), [], look);
        if (process.env.PAGE_SCREENSHOTS !== undefined) {
          const file = path.join(process.env.PAGE_SCREENSHOTS, `${look}.png`);
          await page.screenshot({ path: file, fullPage: true });
        }
        await page.locator('summary').click();
        assert.ok((await page.locator('tbody tr').count()) >= 3, look);
        assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), width, look);
        assert.deepEqual(
          requests.filter((url) => !url.startsWith('data:')),
          [address],
          look,
        );
        assert.deepEqual(complaints, [], look);
        await close();
      }
    });
  }

  test('asks a browser without the token for a password', async (t) => {
    const { options } = makePair(t);
    const app = await serve(t, options);
    const { response, close } = await open(browser, addressOf(app), {
      httpCredentials: { ...CREDENTIALS, password: 'another' },
    });
    assert.equal(response.status(), 401);
    assert.match(response.headers()['www-authenticate'], /^Basic /);
    await close();
  });

  test('works without scripts, and reloads itself until that is paused', async (t) => {
    const { options } = makePair(t);
    const app = await serve(t, options);
    const { page, close } = await open(browser, addressOf(app), {
      httpCredentials: CREDENTIALS,
      javaScriptEnabled: false,
    });
    const reloads = () => page.locator('meta[http-equiv=refresh]').count();
    assert.equal(await reloads(), 1);
    await page.click('text=Pause');
    assert.equal(await reloads(), 0);
    await page.click('text=Resume');
    assert.equal(await reloads(), 1);
    assert.equal(await page.locator('script').count(), 0);
    await close();
  });

  test('shows what a remote says as text, whatever it says', async (t) => {
    const { repo, remote, options } = makePair(t);
    const said = `<script>alert(1)</script><img src=x onerror=alert(2)>"'&amp;`;
    remote.hook('pre-receive', `cat <<'END' >&2`, said, 'END', 'exit 1');
    const app = await serve(t, { ...options, backoff: ENDLESS_BACKOFF });
    repo.commit();
    await untilState(app.pushDaemon, 'backing-off');
    const { page, requests, complaints, close } = await open(browser, addressOf(app), {
      httpCredentials: CREDENTIALS,
    });
    const message = await page.innerText('.message');
    assert.ok(message.includes(said), message);
    assert.equal(await page.locator('script, img').count(), 0);
    assert.deepEqual([requests.length, complaints], [1, []]);
    await close();
  });
});

describe('the answer with the page', () => {
  test('allows nothing but its own style, and is not stored or framed', async (t) => {
    const { options } = makePair(t);
    const { app } = await makeApp(t, { ...options, routes: { status: '/push', token: TOKEN } });
    const { headers, body } = await app.inject({
      url: '/push?refresh=<b>',
      headers: { accept: 'text/html', authorization: `Bearer ${TOKEN}` },
    });
    assert.match(
      headers['content-security-policy'],
      /^default-src 'none'; style-src 'sha256-[\w+/]{43}='; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'$/,
    );
    assert.deepEqual(
      ['cache-control', 'content-type', 'referrer-policy', 'vary', 'x-content-type-options'].map(
        (name) => headers[name],
      ),
      ['no-store', 'text/html; charset=utf-8', 'no-referrer', 'accept', 'nosniff'],
    );
    assert.doesNotMatch(body, /<b>|<script|style=|\bon\w+=/);
  });
});

describe('the parts of the page', () => {
  const NOW = Date.parse('2026-03-01T12:00:00Z');
  const STATUS = {
    running: true,
    state: 'in-sync',
    branch: 'main',
    remote: 'origin',
    url: '/srv/data.git',
    transport: 'local',
    transportReason: null,
    localCommit: 'a'.repeat(40),
    remoteCommit: 'a'.repeat(40),
    pendingCommits: 0,
    behindCommits: 0,
    lagMs: 0,
    oldestPendingAt: null,
    lastPushAt: null,
    lastError: null,
    consecutiveFailures: 0,
    currentAttempt: null,
    nextAttemptAt: null,
    startedAt: '2026-03-01T11:00:00Z',
    totals: { pushes: 0, commits: 0, failures: 0, bytes: 0 },
  };
  const lastError = {
    message: 'it failed',
    at: '2026-03-01T11:59:50Z',
    attempt: 3,
    reason: 'unknown',
    kind: 'network',
    hint: 'Look at the network.',
  };
  const pending = { pendingCommits: 2, oldestPendingAt: '2026-03-01T11:50:00Z', lagMs: 600_000 };
  const failing = { ...pending, lastError, consecutiveFailures: 3, currentAttempt: 3 };

  function pageOf(status, maxLagMs = 3_600_000) {
    return renderPage({
      status: { ...STATUS, ...status },
      history: new History(),
      maxLagMs,
      now: NOW,
      isRefreshed: true,
    });
  }

  for (const [what, status, headline, maxLagMs] of [
    ['starting', { state: 'starting' }, 'Taking the first look at the remote.'],
    ['pushing', { ...pending, state: 'pushing' }, '2 commits are on the way.'],
    ['trying again', { ...failing, state: 'pushing' }, '2 commits are not on the remote yet.'],
    [
      'lagging',
      { ...failing, state: 'backing-off' },
      '2 commits are missing on the remote, the oldest for longer than 5 min.',
      300_000,
    ],
    ['given up', { ...failing, state: 'gave-up' }, 'Given up: 2 commits exist only here.'],
    [
      'unconfirmed',
      { ...failing, pendingCommits: 0, lagMs: 0, state: 'backing-off', remoteCommit: null },
      'The remote has confirmed nothing since the start.',
      60_000,
    ],
    [
      'unreachable with nothing pending',
      { ...failing, pendingCommits: 0, lagMs: 0, state: 'backing-off' },
      'The remote cannot be reached; no commit is known to be missing there.',
    ],
    [
      'stopped with commits pending',
      { ...pending, running: false, state: 'stopped' },
      'Stopped: 2 commits exist only here.',
    ],
    [
      'stopped',
      { running: false, state: 'stopped' },
      'Stopped. No commit is known to exist only here.',
    ],
  ]) {
    test(`say what a daemon that is ${what} means for the data`, () => {
      const page = readable(pageOf(status, maxLagMs));
      assert.ok(page.includes(`<h1>${headline}</h1>`), page);
    });
  }

  for (const [what, status, sentence] of [
    [
      'stopped with commits pending',
      { ...failing, running: false, state: 'stopped' },
      'Keep this repository: the next start pushes what the remote lacks.',
    ],
    [
      'stopped while diverged',
      {
        ...failing,
        lastError: { ...lastError, kind: 'non-fast-forward', reason: 'non-fast-forward' },
        running: false,
        state: 'stopped',
      },
      'Keep this repository: the next start pushes nothing until a person has reconciled the branches.',
    ],
    [
      'lagging during its first attempt',
      { ...pending, state: 'pushing' },
      'An attempt is under way.',
    ],
  ]) {
    test(`say since when, why and what follows of a daemon that is ${what}`, () => {
      const page = readable(pageOf(status, 300_000));
      assert.ok(
        page.includes('<p>The oldest of them was made at 2026-03-01 11:50:00 UTC, 10 min ago.</p>'),
      );
      assert.ok(page.includes(`<p>${sentence}</p>`), page);
      if (status.lastError === undefined) return;
      assert.ok(
        page.includes(`<p>3 attempts failed in a row (${status.lastError.kind}).</p>`),
        page,
      );
      assert.ok(page.includes(`</strong> ${lastError.hint}</p>`), page);
    });
  }

  test('do not call a commit missing before the remote was seen', () => {
    const unseen = { ...failing, state: 'backing-off', remoteCommit: null };
    const headline =
      '<h1>The remote&#39;s branch was not seen yet: 2 commits may exist only here.</h1>';
    for (const maxLagMs of [300_000, 3_600_000]) {
      const page = pageOf({ ...unseen, startedAt: '2026-03-01T11:59:00Z' }, maxLagMs);
      assert.ok(page.includes(headline), page);
    }
  });

  test('escape every value that is not HTML of their own', () => {
    const value = `<a href="x">'&`;
    assert.equal(
      html`<p>${value}${html`<b>${1}</b>`}${[null, undefined, false]}${['a', '<']}</p>`.toString(),
      '<p>&lt;a href=&quot;x&quot;&gt;&#39;&amp;<b>1</b>a&lt;</p>',
    );
    const page = pageOf({ ...failing, branch: value, remote: value, url: value, state: value });
    assert.equal(page.includes(value), false);
  });

  test('keep a bounded number of attempts', () => {
    const listeners = {};
    const history = new History(() => NOW);
    history.follow({ on: (name, listener) => Object.assign(listeners, { [name]: listener }) });
    for (let made = 0; made <= LIMIT; made += 1) {
      listeners.push({ commit: String(made), commits: 1, durationMs: 1 });
    }
    assert.equal(history.attempts.length, LIMIT);
    assert.equal(history.attempts[0].commit, '1');
  });

  test('plot over the shortest span that holds what is remembered, a day at most', () => {
    for (const [ageMs, span] of [
      [1_000, '5 min'],
      [400_000, '15 min'],
      [3_000_000, '60 min'],
      [7_200_000, '6 h'],
      [80_000_000, '24 h'],
      [200_000_000, '24 h'],
    ]) {
      const attempts = [
        { at: NOW - ageMs, isPush: true, commits: 2, durationMs: 40 },
        { at: NOW - 10, isPush: false, kind: 'network' },
      ];
      const drawn = plot({ attempts }, NOW).toString();
      assert.ok(drawn.includes(`In the last ${span}: `), `${ageMs}: ${drawn}`);
      assert.equal(drawn.match(/<rect class="push"/g)?.length ?? 0, ageMs > 86_400_000 ? 0 : 1);
      assert.equal(drawn.match(/<rect class="failure"/g).length, 1);
    }
  });

  test('say durations in two units at most', () => {
    assert.deepEqual(
      [0, 999.9, 1_000, 9_999, 59_999, 60_000, 252_000, 3_600_000, 7_500_000, 273_600_000].map(
        (ms) => readable(duration(ms)),
      ),
      [
        '0 ms',
        '999 ms',
        '1.0 s',
        '9.9 s',
        '59 s',
        '1 min',
        '4 min 12 s',
        '1 h',
        '2 h 5 min',
        '3 d 4 h',
      ],
    );
  });
});
