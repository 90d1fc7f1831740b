// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the names are quoted as they are written where they stand

/**
 * What gitsheets' own daemon, which this one takes the place of, was found to do wrong, and the tests that show that this one
 * does not: fault, file, name of the test as it is written there. A test that is renamed or removed fails here.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { hasTest } from './support/named-tests.mjs';

const FAULTS = {
  'the event loop': [
    [
      'each push forks the service, which blocks its event loop for longer the more memory it has',
      '__test__/footprint.test.mjs',
      'does not fork the process, however much memory it has',
    ],
    [
      'each push to this machine is seven processes',
      '__test__/footprint.test.mjs',
      'to a repository on this machine starts git once: the receive-pack of the remote',
    ],
  ],
  hangs: [
    [
      'a remote that accepts and never answers hangs it for ever, without an event',
      '__test__/failure.test.mjs',
      'before it says anything ends by ${limit}, and what was started for it',
    ],
    [
      'a remote that falls silent in the middle of a push does so too',
      '__test__/failure.test.mjs',
      'in the middle of a push ends by ${limit}, and what was started for it',
    ],
    [
      'stop() leaves the child running, which keeps the service alive',
      '__test__/failure.test.mjs',
      'does not hold stop() beyond its deadline, nor is anything left running',
    ],
    [
      'a service that is killed leaves processes that race the next daemon',
      '__test__/failure.test.mjs',
      'at the ${hook} hook loses nothing when it starts again ${when}',
    ],
    [
      'more than 1 MB of output turns a push that the remote took into an error and a retry',
      '__test__/failure.test.mjs',
      'more than 1 MB of it is no failure',
    ],
    [
      'there are no timeouts',
      'tests/ssh/push.rs',
      'a_silent_server_is_a_timeout_and_leaves_nothing_running',
    ],
  ],
  'stop()': [
    [
      'in a backoff it waits out its timeout and pushes nothing',
      '__test__/shutdown.test.mjs',
      'during a backoff pushes what is pending',
    ],
    [
      'with an otherwise empty loop the process exits with code 13 before it resolves',
      '__test__/process.test.mjs',
      'awaits stop() at its top level with nothing else to do',
    ],
    [
      'commits that wait behind a push are not drained though the remote is healthy',
      '__test__/shutdown.test.mjs',
      'during a push drains it and what was committed since',
    ],
    [
      'a second call at the same time returns at once',
      '__test__/shutdown.test.mjs',
      'called again returns the same promise, and stopped is told once',
    ],
    [
      'a push event can come after stopped',
      '__test__/failure.test.mjs',
      'and is stopped tells of no push afterwards',
    ],
    [
      'the API does not close at SIGTERM, so that nothing is drained',
      '__test__/api.test.mjs',
      'drains what is pending: the push in flight, and commits made during it',
    ],
    [
      'what is left behind depends on when it is called',
      '__test__/shutdown.test.mjs',
      'that is ${state}, and nothing stays behind',
    ],
  ],
  errors: [
    [
      'a failed push without a listener for error ends the process',
      '__test__/handle.test.mjs',
      'without a listener or a logger is a warning, and the process goes on',
    ],
    [
      'a listener of push that throws counts as a failed push, which is retried',
      '__test__/handle.test.mjs',
      'a listener that throws is an uncaught exception, no failed push, and later events still come',
    ],
    [
      "a hook's refusal is unknown",
      '__test__/failure.test.mjs',
      'the refusal of its ${hook} hook, in its words, is retried until it is gone',
    ],
    [
      'after a non-fast-forward pendingCommits is 0 with commits unpushed',
      '__test__/divergence.test.mjs',
      'is told of once for each new local tip, without a retry or another connection',
    ],
    [
      'and it never resumes without a new commit, though the remote was reconciled',
      '__test__/divergence.test.mjs',
      'and is set back resumes by itself, without a new commit',
    ],
  ],
  'missed and wrong pushes': [
    [
      'commits of another process are not pushed',
      '__test__/push.test.mjs',
      'isomorphic-git in another process',
    ],
    [
      'a branch that the remote lacks at the start is not pushed',
      '__test__/push.test.mjs',
      'a remote that has other branches, but not this one',
    ],
    [
      'the backlog of a bare clone is skipped at the start',
      '__test__/push.test.mjs',
      'a bare clone, without fetch refspec and tracking ref, pushes its backlog',
    ],
    [
      'a commit on another branch is told as a push of what the remote does not have',
      '__test__/push.test.mjs',
      'a commit on another branch leads to no event and no connection',
    ],
    [
      "a tag with the branch's name breaks every push",
      '__test__/push.test.mjs',
      'a tag with the name of the branch, here and there',
    ],
    [
      "branch: '+main' overwrites a diverged remote",
      '__test__/divergence.test.mjs',
      'a branch that is a refspec is refused at once',
    ],
    [
      'so does a + in remote.origin.push',
      '__test__/divergence.test.mjs',
      'not even with ${setting}=${value} here and receive.denyNonFastForwards=false there',
    ],
    [
      "its start downloads the remote's objects",
      '__test__/divergence.test.mjs',
      'downloads nothing',
    ],
  ],
  'many daemons, long outages': [
    [
      'two daemons on one repository emit errors that are none',
      '__test__/stress.test.mjs',
      'two daemons of two processes on one repository share the work without an error',
    ],
    [
      'there is no jitter: services come back to a server in the same instant',
      'src/backoff.rs',
      'the_same_seed_gives_the_same_delays_and_another_seed_others',
    ],
    [
      'nothing says how far the remote is behind',
      '__test__/metrics.test.mjs',
      'shows since when the oldest pending commit has been waiting',
    ],
  ],
  'what its own tests pin, which holds here too': [
    ['1', '__test__/push.test.mjs', 'a commit reaches a configured remote'],
    ['2', '__test__/push.test.mjs', 'the status is right before, during and after'],
    [
      '3',
      '__test__/push.test.mjs',
      'a remote that was ahead before the start is silent, and the next commit is refused once',
    ],
    ['4', '__test__/push.test.mjs', 'commits from before the start are pushed'],
    ['5', '__test__/push.test.mjs', 'a start without anything to push pushes nothing'],
    [
      '6',
      '__test__/push.test.mjs',
      'an unreachable remote at the start is an error event, and the daemon stays usable',
    ],
    ['7', '__test__/push.test.mjs', 'a push that fails is retried and given up after maxRetries'],
    [
      'nothing is written after stop()',
      '__test__/push.test.mjs',
      'nothing is written in the repository once stop() resolved',
    ],
    [
      'maxRetries: 0 still emits one error',
      '__test__/compat.test.mjs',
      'with maxRetries 0 still tells of an unreachable remote, and runs on',
    ],
  ],
};

for (const [where, faults] of Object.entries(FAULTS)) {
  describe(`gitsheets' daemon: ${where}`, () => {
    for (const [fault, file, name] of faults) {
      test(fault, () => {
        assert.ok(hasTest(file, name), `${file} has the test '${name}'`);
      });
    }
  });
}

test('a test that is not there is noticed', () => {
  assert.equal(hasTest('__test__/push.test.mjs', 'nobody wrote this'), false);
  assert.equal(hasTest('src/backoff.rs', 'nobody_wrote_this'), false);
  assert.equal(hasTest('src/nobody_wrote_this.rs', 'a_test'), false);
});
