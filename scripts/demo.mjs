/**
 * `npm run demo`: set-up, then the example API against a real remote, step by step with real timings.
 * It checks every claim that it prints; the first that does not hold ends it with exit code 1.
 *
 * The remote is a bare repository in a temporary folder. With `npm run demo -- --remote <url>` it is that remote, where
 * the demo pushes a new branch.
 */

import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';

import { Api } from './demo/api.mjs';
import { withoutSecrets } from './demo/git.mjs';
import { Narrator } from './demo/narrator.mjs';
import { givenPlace, localPlace } from './demo/place.mjs';
import { BACKOFF, tellStory } from './demo/story.mjs';
import { Failed, main, style } from './process.mjs';
import { setUp } from './setup.mjs';

await main(async () => {
  const { remote } = readArguments();
  await setUp();

  const folder = realpathSync(mkdtempSync(path.join(tmpdir(), 'git-push-daemon-demo-')));
  let api;
  const cleanUp = () => {
    api?.kill();
    // Processes of the API may still write their last files.
    rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
  };
  for (const [signal, code] of [
    ['SIGHUP', 129],
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ]) {
    process.once(signal, () => {
      cleanUp();
      process.exit(code);
    });
  }

  try {
    const place = remote ? await givenPlace(folder, remote) : await localPlace(folder);
    introduce(place, remote);
    const narrator = new Narrator();
    const start = async () => {
      api = await Api.start({
        ...place.env,
        CFP_DATA_REPO_PATH: place.data,
        CFP_DATA_REMOTE: place.remote,
        CFP_DATA_BRANCH: place.branch,
        CFP_DATA_BACKOFF: JSON.stringify(BACKOFF),
      });
      narrator.say(`the API listens at ${api.address}`);
      return api;
    };
    await tellStory({ narrator, start, place });
    narrator.end('Every step holds.');
    if (remote) {
      const shown = withoutSecrets(remote);
      console.log(
        `The branch stays there; to remove it: git push ${shown} --delete ${place.branch}`,
      );
    }
  } catch (error) {
    if (api && error instanceof Failed) error.message += `\n\n${api.logTail()}`;
    throw error;
  } finally {
    cleanUp();
  }
});

function readArguments() {
  try {
    return parseArgs({ options: { remote: { type: 'string' } } }).values;
  } catch (error) {
    throw new Failed(`${error.message}\n\nUsage: npm run demo [-- --remote <url>]`);
  }
}

function introduce({ data, remote, branch }, isGiven) {
  console.log(
    `\n${style.bold('git-push-daemon, in a Fastify API whose data is a git repository')}\n`,
  );
  if (isGiven) {
    console.log(`This pushes a few small commits to a new branch, and touches nothing else:`);
  }
  console.log(`  data    ${data}\n  remote  ${withoutSecrets(remote)}\n  branch  ${branch}\n`);
}
