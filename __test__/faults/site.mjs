/** Where one cell happens: a repository, its remote behind a real server, and the proxy between them. */

import { execFileSync } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { appendFileSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';

import { atEnd } from '../support/cleanup.mjs';
import { startFaultProxy } from '../support/fault-proxy.mjs';
import { makeGate } from '../support/gate.mjs';
import { makeDirectory, makeRepo, Repository } from '../support/git.mjs';

/** The ways of reaching a remote; those with `cli` are `transport: 'git-cli'`. */
export const TRANSPORTS = ['local', 'git', 'ssh', 'https', 'cli local', 'cli ssh', 'cli https'];

/** A pack that does not fit into a single buffer on its way. */
const BIG = 2 * 1024 * 1024;

/** Refs that make an advertisement of some 200 KB, longer than any handshake. */
const MANY_REFS = 3000;

/** A pair of repositories that have one commit, for every cell of a process to begin with a copy of. */
function makeTemplate(root) {
  const place = path.join(root, `template-${process.pid}`);
  const [repo, remote] = ['repo', 'remote'].map((name) => path.join(place, name));
  if (!existsSync(place)) {
    mkdirSync(place);
    const made = makeRepo(undefined, { directory: repo });
    made.commit();
    makeRepo(undefined, { directory: remote });
    made.git('push', '--quiet', remote, 'main');
    appendFileSync(
      path.join(remote, 'config'),
      '[receive]\n\tfsckObjects = true\n\tautogc = false\n',
    );
    // The web server works as a user of its own.
    execFileSync('chmod', ['-R', 'a+rwX', remote]);
  }
  return { repo, remote };
}

export class Site {
  #gates = 0;

  /** @param {object} t the cell's scope */
  constructor(t, servers, transport) {
    this.t = t;
    this.servers = servers;
    this.transport = transport;
    this.isCli = transport.startsWith('cli ');
    /** What carries it: `local`, `git`, `ssh` or `https`. */
    this.carrier = transport.split(' ').at(-1);
    this.name = `${randomUUID()}.git`;
  }

  static async make(t, servers, transport) {
    const site = new Site(t, servers, transport);
    const template = makeTemplate(servers.root);
    site.remote = site.#copy(template.remote, path.join(servers.root, site.name));
    site.repo = site.#copy(template.repo, path.join(makeDirectory(t), 'data.git'));
    if (site.carrier !== 'local') {
      site.proxy = await startFaultProxy(t, servers[site.carrier].port);
    }
    site.configure(`[remote "origin"]\n\turl = ${site.url()}`);
    if (site.carrier === 'ssh') site.configure(`[core]\n\tsshCommand = ${servers.ssh.command}`);
    if (site.carrier === 'https') site.configure(`[http]\n\tsslCAInfo = ${servers.https.ca}`);
    return site;
  }

  #copy(from, to) {
    cpSync(from, to, { recursive: true });
    atEnd(this.t, () => rmSync(to, { recursive: true, force: true, maxRetries: 5 }));
    return new Repository(to);
  }

  /** Lets the web server's user at what root has made there. */
  admit(directory = this.remote.path) {
    if (this.carrier === 'https') execFileSync('chmod', ['-R', 'a+rwX', directory]);
  }

  /** The remote's URL, through the proxy. */
  url({ name = this.name, host, port = this.proxy?.port, place = 'anonymous', login = '' } = {}) {
    const { root, user } = this.servers;
    switch (this.carrier) {
      case 'git':
        return `git://${host ?? '127.0.0.1'}:${port}/${name}`;
      case 'ssh':
        return `ssh://${user}@${host ?? '127.0.0.1'}:${port}${root}/${name}`;
      case 'https':
        return `https://${login}${host ?? 'localhost'}:${port}/${place}/${name}`;
      default:
        return path.join(root, name);
    }
  }

  /** Adds lines to the local configuration, in one write. */
  configure(lines) {
    appendFileSync(path.join(this.repo.path, 'config'), `${lines}\n`);
  }

  /** Makes the local configuration what it was at this moment. */
  rememberConfig() {
    const file = path.join(this.repo.path, 'config');
    const before = readFileSync(file);
    return () => this.rewrite(file, before);
  }

  rewrite(file, content) {
    execFileSync('sh', ['-c', 'cat >"$1.new" && mv "$1.new" "$1"', 'sh', file], { input: content });
  }

  /** What the next push brings: one small commit, or one of megabytes that do not compress. */
  commit({ big = false } = {}) {
    const files = big ? { big: randomBytes(BIG).toString('base64') } : undefined;
    return this.repo.commit({ files });
  }

  /** Gives the remote so many refs that its advertisement is long. */
  advertiseMuch() {
    const tip = this.remote.tip();
    const lines = Array.from({ length: MANY_REFS }, (_, index) => `${tip} refs/tags/t${index}`);
    const sorted = lines.sort((a, b) => (a < b ? -1 : 1));
    const packed = `# pack-refs with: peeled fully-peeled sorted\n${sorted.join('\n')}\n`;
    this.rewrite(path.join(this.remote.path, 'packed-refs'), packed);
    this.admit();
  }

  /** A hook of the remote that waits at a gate; `when` is a shell condition on its arguments. */
  gate(hook, { when = 'true', lines = [] } = {}) {
    this.#gates += 1;
    const gate = makeGate(this.t);
    execFileSync('chmod', ['a+rwX', path.dirname(gate.lines[0].match(/'(.*)'/)[1])]);
    this.remote.hook(hook, ...lines, `if ${when}; then`, ...gate.lines, 'fi', 'exit 0');
    return {
      entered: gate.entered,
      open: () => {
        this.remote.removeHook(hook);
        gate.open();
      },
    };
  }
}
