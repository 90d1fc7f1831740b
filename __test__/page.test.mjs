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
import { atEnd } from './support/cleanup.mjs';
import { ENDLESS_BACKOFF, once, until, untilState } from './support/daemon.mjs';
import { gateHook } from './support/gate.mjs';
import { makePair } from './support/git.mjs';
import { goAway } from './support/remote.mjs';

const require = createRequire(import.meta.url);
const { History, LIMIT } = require('../fastify/history.js');
const { html } = require('../fastify/html.js');
const { renderPage } = require('../fastify/page.js');
const { plot } = require('../fastify/plot.js');
const { bytes, duration } = require('../fastify/format.js');

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

  async pushing(t) {
    const { repo, remote, options } = makePair(t);
    const app = await serve(t, options);
    await pushSome(app, repo);
    const gate = gateHook(t, remote, 'pre-receive', 'echo checking everything >&2');
    atEnd(t, () => gate.open());
    const commit = repo.commit();
    await gate.entered();
    const { objects, totalObjects } = await until('the server has said something', () => {
      const { progress } = app.pushDaemon.status();
      return progress?.serverMessage && progress;
    });
    return {
      app,
      label: 'Pushing',
      texts: [
        '1 commit is on the way.',
        'A push is under way; its progress is shown below.',
        'Push under way Sent; the server checks and stores the objects and runs its hooks',
        `Objects ${objects} of ${totalObjects}`,
        `Up to commit ${commit}`,
        "Server's last message checking everything",
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
        'Divergence Only on the remote 1 commit Only here 1 commit',
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

/** The readable text, on one line and with plain spaces. */
const readable = (text) => text.replace(/\s+/g, ' ');

describe('the page', { skip: NO_BROWSER }, () => {
  let browser;
  before(async () => {
    browser = await launch();
  });
  after(() => browser?.close());

  for (const [state, arrange] of Object.entries(STATES)) {
    test(`of a daemon that is ${state} is readable on every screen and loads nothing else`, async (t) => {
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
        const hasFailed = ['backing-off', 'diverged'].includes(state);
        assert.equal((await page.locator('rect.failure').count()) > 0, hasFailed, look);
        assert.equal(await page.getByRole('progressbar').count(), state === 'pushing' ? 1 : 0);
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

  test('works without scripts and reloads itself until paused', async (t) => {
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

  test('shows any output of a remote as text', async (t) => {
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
    verifiedAt: '2026-03-01T11:57:00Z',
    totals: { pushes: 0, commits: 0, failures: 0, bytes: 0, regressions: 0 },
    progress: null,
  };
  const PROGRESS = {
    commit: 'b'.repeat(40),
    phase: 'sending',
    objects: 123,
    totalObjects: 4_567,
    bytes: 12_345_678,
    totalBytes: null,
    bytesPerSecond: 1_234_567,
    step: 1,
    steps: 1,
    serverMessage: null,
    elapsedMs: 12_000,
    remainingMs: 252_000,
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
      limits: { maxLagMs, maxUnverifiedMs: 1_200_000 },
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
      'regressed',
      { ...pending, state: 'regressed' },
      'The remote has lost commits that it had: 2 commits exist only here.',
    ],
    [
      'waiting because the remote loses commits again and again',
      { ...pending, state: 'backing-off', nextAttemptAt: '2026-03-01T12:01:00Z' },
      'The remote loses commits again and again: 2 commits exist only here.',
    ],
    [
      'unverified',
      { verifiedAt: '2026-03-01T11:39:00Z' },
      'The remote was not seen for longer than 20 min: it may have lost commits.',
    ],
    [
      'unconfirmed',
      { ...failing, pendingCommits: 0, lagMs: 0, state: 'backing-off', verifiedAt: null },
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
    test(`have a headline for a daemon that is ${what}`, () => {
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
    test(`explain since when and why a daemon is ${what}, and what follows`, () => {
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

  test('say when the remote confirmed what is in sync', () => {
    const page = readable(pageOf({}));
    assert.ok(page.includes('<p>Confirmed by the remote 3 min ago.</p>'), page);
    assert.ok(!readable(pageOf(pending)).includes('Confirmed by the remote'));
  });

  test('do not call a commit missing before the remote was read', () => {
    const unseen = { ...failing, state: 'backing-off', remoteCommit: null, verifiedAt: null };
    const headline =
      '<h1>The remote&#39;s branch was not seen yet: 2 commits may exist only here.</h1>';
    for (const maxLagMs of [300_000, 3_600_000]) {
      const page = pageOf({ ...unseen, startedAt: '2026-03-01T11:59:00Z' }, maxLagMs);
      assert.ok(page.includes(headline), page);
    }
  });

  test('escape every value that is not their own HTML', () => {
    const value = `<a href="x">'&`;
    assert.equal(
      html`<p>${value}${html`<b>${1}</b>`}${[null, undefined, false]}${['a', '<']}</p>`.toString(),
      '<p>&lt;a href=&quot;x&quot;&gt;&#39;&amp;<b>1</b>a&lt;</p>',
    );
    const page = pageOf({
      ...failing,
      branch: value,
      remote: value,
      url: value,
      state: value,
      progress: { ...PROGRESS, serverMessage: value },
    });
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

  test('plot over the shortest span that covers the history, a day at most', () => {
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

  const SERVER = {
    phase: 'server',
    objects: 4_567,
    totalBytes: 12_345_678,
    bytesPerSecond: null,
    remainingMs: null,
  };
  for (const [what, progress, bar, texts, absent] of [
    [
      'is sending',
      {},
      ['4567', '123'],
      [
        'Sending the objects: 2 %',
        'Objects 123 of 4,567',
        'Handed over 11 MiB, 1.1 MiB per second',
        `Up to commit ${PROGRESS.commit}`,
        'Running for 12 s',
        "Remaining about 4 min 12 s, then the server's answer",
      ],
      ['Step', 'last message'],
    ],
    [
      'sends a step',
      { step: 2, steps: 5 },
      ['4567', '123'],
      ['Step 2 of about 5', "about 4 min 12 s for this step, then the server's answer"],
      ['last message'],
    ],
    [
      'lists objects whose number is unknown',
      {
        phase: 'counting',
        totalObjects: null,
        bytes: 0,
        bytesPerSecond: null,
        remainingMs: null,
      },
      [null, null],
      ['Listing the objects to send', 'Objects 123 Handed over 0 bytes'],
      ['%', 'per second', 'Remaining'],
    ],
    [
      'waits for the server',
      { ...SERVER, serverMessage: 'Resolving deltas:  45% (123/271)' },
      [null, null],
      [
        'Sent; the server checks',
        'Objects 4,567 of 4,567 Handed over 11 MiB, the whole pack',
        "Server's last message Resolving deltas: 45% (123/271)",
      ],
      ['Remaining'],
    ],
  ]) {
    test(`show how far a push has come that ${what}`, () => {
      const status = { ...pending, state: 'pushing', progress: { ...PROGRESS, ...progress } };
      const page = pageOf(status);
      const [, card] = /<h2>Push under way<\/h2>(.*?)<\/section>/s.exec(page);
      const element = /<progress aria-labelledby="progress"[^>]*><\/progress>/.exec(card)[0];
      assert.deepEqual(
        ['max', 'value'].map((name) => new RegExp(` ${name}="(\\d+)"`).exec(element)?.[1] ?? null),
        bar,
      );
      assert.match(card, /<p id="progress">/);
      const text = readable(card.replace(/<[^>]+>/g, ' ').replaceAll('&#39;', "'"));
      for (const wanted of texts)
        assert.ok(text.includes(wanted), `"${wanted}" is not in: ${text}`);
      for (const other of absent) assert.ok(!text.includes(other), `"${other}" is in: ${text}`);
    });
  }

  test('show no bar while no push has progress', () => {
    assert.doesNotMatch(pageOf({ ...pending, state: 'pushing' }), /<progress|Push under way/);
  });

  test('write sizes in the units of git', () => {
    assert.deepEqual(
      [0, 1, 1023, 1024, 10_239, 10_240, 1_048_575, 1_048_576, 2 ** 31, 2 ** 51].map((size) =>
        readable(bytes(size)),
      ),
      [
        ...['0 bytes', '1 bytes', '1023 bytes', '1.0 KiB', '9.9 KiB', '10 KiB', '1023 KiB'],
        ...['1.0 MiB', '2.0 GiB', '2048 TiB'],
      ],
    );
  });

  test('write durations in two units at most', () => {
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
