/** The world of a soak: one repository, three remotes with real servers, one process that pushes to all of them. */

import { chmodSync } from 'node:fs';
import path from 'node:path';

import { startScript } from '../../__test__/support/child.mjs';
import { atEnd } from '../../__test__/support/cleanup.mjs';
import { startFaultProxy } from '../../__test__/support/fault-proxy.mjs';
import { makeDirectory, makeRemote, makeRepo } from '../../__test__/support/git.mjs';
import { startApache, startSshd } from '../../__test__/support/servers.mjs';

/** Short, so that each fault is met often: production's limits are minutes. */
const OPTIONS = {
  branch: 'main',
  backoff: { base: 200, multiplier: 2, cap: 2_000, jitter: 0.2 },
  connectTimeoutMs: 5_000,
  idleTimeoutMs: 5_000,
  reportTimeoutMs: 10_000,
  attemptTimeoutMs: 30_000,
};

/** Pushes to all remotes between two signals, so that the soak can measure before and after. */
const HOST = `
const options = ({ name }) => ({ ...input.options, remote: name });
const hold = setInterval(() => {}, 1000);
const signalled = (name) => new Promise((resolve) => process.once(name, resolve));
// The first daemon opens things for the whole process.
for (const remote of input.remotes) await startPushDaemon(options(remote)).stop();
let goOn = signalled('SIGUSR2');
tell({ point: 'before' });
await goOn;
const daemons = input.remotes.map((remote) => {
  const daemon = startPushDaemon(options(remote)).ref();
  daemon.on('push', ({ commit, commits }) => tell({ push: commit, commits, remote: remote.name }));
  daemon.on('error', ({ kind, err }) => tell({ error: kind, message: err.message, remote: remote.name }));
  return daemon;
});
goOn = signalled('SIGUSR2');
tell({ point: 'running' });
await goOn;
const ends = await Promise.all(daemons.map((daemon) => daemon.stop()));
goOn = signalled('SIGUSR2');
tell({ point: 'after', ends });
await goOn;
clearInterval(hold);
`;

/** Commits steadily on top of the branch with the git command, and reports each commit. */
const WRITER = `
import { spawn } from 'node:child_process';
const git = (args, text = '') => new Promise((resolve, reject) => {
  const child = spawn('git', args, { cwd: input.repo, stdio: ['pipe', 'pipe', 'ignore'], timeout: 60_000 });
  let output = '';
  child.stdout.on('data', (chunk) => { output += chunk; });
  child.stdin.on('error', () => {});
  child.stdin.end(text);
  child.once('error', reject);
  child.once('close', (code) => resolve({ ok: code === 0, output: output.trim() }));
});
const data = (text) => 'data ' + Buffer.byteLength(text) + '\\n' + text + '\\n';
let isOver = false;
process.once('SIGTERM', () => { isOver = true; });
const startedAt = performance.now();
for (let made = 0; !isOver; ) {
  const dueAt = startedAt + made * 1000 / input.perSecond;
  await new Promise((resolve) => setTimeout(resolve, Math.max(0, dueAt - performance.now())));
  const { output: parent } = await git(['rev-parse', 'refs/heads/main']);
  const text = input.name + ' ' + made + ' ' + Date.now();
  // Where another writer was faster, the branch stays as it is, and fast-import says so by its status.
  const { ok, output } = await git(['fast-import', '--quiet', '--done'], [
    'commit refs/heads/main', 'mark :1', 'committer Writer <writer@example.invalid> ' + Math.floor(Date.now() / 1000) + ' +0000',
    data(text) + 'from ' + parent, 'M 100644 inline records/' + (made % 500) + '.toml', data(text) + 'get-mark :1', 'done', '',
  ].join('\\n'));
  if (!ok) continue;
  made += 1;
  tell({ commit: output, at: Date.now() });
}
`;

/** Starts the servers, the proxies and the process; only the first commit exists. */
export async function openWorld(scope, { limitMs, onHost, onCommit }) {
  const root = makeDirectory(scope);
  chmodSync(root, 0o755);
  const remote = (name) => {
    const made = makeRemote(scope, { directory: path.join(root, `${name}.git`) });
    // Apache's workers run as another user than git gc.
    made.git('config', 'core.sharedRepository', '0666');
    return made;
  };
  const [sshd, apache] = [await startSshd(scope), await startApache(scope, root)];
  const proxies = {
    ssh: await startFaultProxy(scope, sshd.port),
    https: await startFaultProxy(scope, apache.port),
  };
  const [local, ssh, https] = ['local', 'ssh', 'https'].map(remote);
  apache.admit(https.path);
  const remotes = [
    { name: 'local', repo: local, url: local.path },
    {
      name: 'ssh',
      repo: ssh,
      url: sshd.url(ssh.path, proxies.ssh.port),
      server: sshd,
      proxy: proxies.ssh,
    },
    {
      name: 'https',
      repo: https,
      url: apache.url('https.git', { port: proxies.https.port }),
      server: apache,
      proxy: proxies.https,
    },
  ];
  const repo = makeRepo(scope);
  repo.commit();
  for (const { name, url } of remotes) repo.git('remote', 'add', name, url);
  repo.git('config', 'http.sslCAInfo', apache.ca);

  const env = { GIT_SSH_COMMAND: sshd.command };
  const startHost = (onTold) => {
    const script = startScript(HOST, {
      input: {
        options: { ...OPTIONS, repoPath: repo.path },
        remotes: remotes.map(({ name }) => ({ name })),
      },
      env,
      limitMs,
      onTold,
    });
    atEnd(scope, () => end(script));
    return script;
  };
  const startWriter = (name, perSecond) => {
    const script = startScript(WRITER, {
      input: { repo: repo.path, name, perSecond },
      limitMs,
      onTold: onCommit,
    });
    atEnd(scope, () => end(script));
    return script;
  };
  return { repo, remotes, sshd, startHost, startWriter, host: startHost(onHost) };
}

async function end(script) {
  script.kill();
  await script.ended.catch(() => {});
}
