// What servers are told of who pushes: the capability `agent` over every transport, side by side with git's own.

import assert from 'node:assert/strict';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';

import { startInSync } from './support/daemon.mjs';
import { gitWith, makeDirectory, makePair } from './support/git.mjs';
import { missing, startApache, startGitDaemon, startSshd } from './support/servers.mjs';

/** How each transport reaches a remote whose `git receive-pack` writes its packets down in a file. */
const WAYS = {
  local: async (_, { repo }, trace) => {
    repo.git('config', 'remote.origin.receivepack', `GIT_TRACE_PACKET='${trace}' git receive-pack`);
  },
  ssh: async (t, { repo, remote }, trace) => {
    const sshd = await startSshd(t);
    repo.git('remote', 'set-url', 'origin', sshd.url(remote.path));
    repo.git('config', 'core.sshCommand', sshd.command);
    repo.git('config', 'remote.origin.receivepack', `GIT_TRACE_PACKET='${trace}' git-receive-pack`);
  },
  git: async (t, { repo, remote }, trace) => {
    const env = { ...process.env, GIT_TRACE_PACKET: trace };
    const daemon = await startGitDaemon(t, path.dirname(remote.path), { env });
    repo.git('remote', 'set-url', 'origin', daemon.url(path.basename(remote.path)));
  },
  https: async (t, { repo, remote }, trace) => {
    const settings = [`SetEnv GIT_TRACE_PACKET ${trace}`];
    const apache = await startApache(t, path.dirname(remote.path), { settings });
    apache.admit(remote.path);
    repo.git('remote', 'set-url', 'origin', apache.url(path.basename(remote.path)));
    repo.git('config', 'http.sslCAInfo', apache.ca);
  },
};

/** The agents of all pushes that a trace tells of. */
function agentsIn(trace) {
  const lines = existsSync(trace) ? readFileSync(trace, 'utf8').split('\n') : [];
  const commands = lines.filter((line) => /receive-pack< .*refs\/heads\/main.* agent=/.test(line));
  return commands.map((line) => line.match(/ agent=(\S*)/)[1]);
}

for (const way of Object.keys(WAYS)) {
  describe(`the agent over ${way}`, { skip: missing[way] ?? false }, () => {
    for (const [given, expected] of [
      [undefined, /^git\/2\.\d+\.\d+\.\(git-push-daemon\/\d+\.\d+\.\d+\)$/],
      ['mine 1/ü', /^mine\.1\/\.\.$/],
    ]) {
      test(`is the same as git's if GIT_USER_AGENT is ${given}`, async (t) => {
        const pair = makePair(t);
        const { repo, remote, options } = pair;
        const trace = path.join(makeDirectory(t), 'trace');
        writeFileSync(trace, '');
        chmodSync(path.dirname(trace), 0o777);
        chmodSync(trace, 0o666);
        await WAYS[way](t, pair, trace);
        const env = given === undefined ? {} : { GIT_USER_AGENT: given };
        Object.assign(process.env, env);
        t.after(() => delete process.env.GIT_USER_AGENT);
        const daemon = await startInSync(t, options);
        await daemon.waitForPush(repo.commit());
        await daemon.stop();
        repo.commit();
        gitWith({ env }, repo.path, 'push', '--quiet', 'origin', 'main');
        assert.equal(remote.tip(), repo.tip());
        const [ours, gits, ...more] = agentsIn(trace);
        assert.match(ours, expected);
        if (given !== undefined) assert.equal(gits, ours);
        assert.deepEqual(more, []);
      });
    }
  });
}
