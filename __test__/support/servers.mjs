/**
 * Real git servers on loopback ports, for one directory of repositories each: sshd, Apache with
 * `git http-backend` over TLS, and `git daemon`; Dulwich for one repository, and nginx in front of another server.
 * `scripts/servers.mjs` installs the programs.
 */

import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { userInfo } from 'node:os';
import path from 'node:path';

import { DULWICH } from '../../scripts/servers.mjs';
import { atEnd } from './cleanup.mjs';
import { makeDirectory } from './git.mjs';
import { signal } from './proc.mjs';

const START_LIMIT_MS = 30_000;
/** How often another port is tried if the free one was taken meanwhile. */
const PORTS = 5;
const SSHD = ['/usr/sbin/sshd', '/usr/local/sbin/sshd'].find(existsSync);
const APACHE = ['/usr/sbin/apache2'].find(existsSync);
const NGINX = ['/usr/sbin/nginx'].find(existsSync);
const APACHE_MODULES = '/usr/lib/apache2/modules';
/** That of the git which the tests run: another version may not know the formats of its repositories. */
const GIT_CORE = execFileSync('git', ['--exec-path'], { encoding: 'utf8' }).trim();
const HTTP_BACKEND = path.join(GIT_CORE, 'git-http-backend');

/** Why a kind of server cannot be started here, or false: what `node:test` takes as `skip`. */
export const missing = {
  ssh: SSHD ? false : 'there is no sshd: apt install openssh-server',
  https:
    APACHE && existsSync(HTTP_BACKEND) ? false : 'there is no Apache: apt install apache2 openssl',
  nginx: NGINX ? false : 'there is no nginx: apt install nginx-light',
  dulwich: existsSync(DULWICH) ? false : 'there is no Dulwich: npm test installs it, with pip',
};

/** A free port of the loopback interface. */
export async function freePort() {
  const server = net.createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function answers(port) {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true));
    socket.once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}

/** A server process with its process group. */
class Server {
  #start;
  #child;

  constructor(port, start) {
    this.port = port;
    this.#start = start;
  }

  get pid() {
    return this.#child?.pid;
  }

  /** Resolves to whether it listens. */
  async run() {
    const child = this.#start(this.port);
    this.#child = child;
    const deadline = Date.now() + START_LIMIT_MS;
    while (child.exitCode === null && child.signalCode === null && Date.now() < deadline) {
      if (await answers(this.port)) return child.exitCode === null;
    }
    await this.kill();
    return false;
  }

  /** Ends it with all that it serves; connections break. */
  async kill() {
    const child = this.#child;
    this.#child = undefined;
    if (!child) return;
    const ended =
      child.exitCode !== null || child.signalCode !== null
        ? Promise.resolve()
        : new Promise((resolve) => child.once('exit', resolve));
    signal(-child.pid, 'SIGKILL');
    await ended;
  }

  /** Ends it, and starts it again at the same port. */
  async restart() {
    await this.kill();
    if (!(await this.run())) throw new Error(`the server did not start again on ${this.port}`);
  }
}

async function listen(t, what, start) {
  for (let tried = 0; tried < PORTS; tried += 1) {
    const server = new Server(await freePort(), start);
    if (await server.run()) {
      atEnd(t, () => server.kill());
      return server;
    }
  }
  throw new Error(`${what} did not start on any of ${PORTS} free ports`);
}

const inGroup = { detached: true, stdio: 'ignore' };

/** Makes an ssh key without a passphrase; the path of its private half. */
export function makeKey(file) {
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'test', '-f', file]);
  return file;
}

/**
 * From version 9.8 on sshd shuts out an address from which connections break off before a login, as they do here
 * on purpose.
 */
function penaltySettings() {
  const { stderr } = spawnSync(SSHD, ['-V'], { encoding: 'utf8' });
  const [, major, minor] = stderr.match(/OpenSSH_(\d+)\.(\d+)/) ?? [];
  return Number(major) * 100 + Number(minor) >= 908 ? ['PerSourcePenalties no'] : [];
}

/**
 * An sshd that lets one key in, to the whole machine as the user who runs the test.
 *
 * @param {object} t the test
 * @param {{settings?: string[]}} [options] lines for `sshd_config`
 * @returns {Promise<{port: number, pid: number, command: string, url: (path: string, port?: number) => string,
 * kill: () => Promise<void>, restart: () => Promise<void>}>} `command` is for `GIT_SSH_COMMAND`: it trusts this server
 * on any port, so that a proxy may stand in front
 */
export async function startSshd(t, { settings = [] } = {}) {
  const directory = makeDirectory(t);
  const file = (name) => path.join(directory, name);
  makeKey(file('host_key'));
  makeKey(file('key'));
  if (process.getuid() === 0) mkdirSync('/run/sshd', { recursive: true });
  const server = await listen(t, 'sshd', (port) => {
    const config = [
      `Port ${port}`,
      'ListenAddress 127.0.0.1',
      `HostKey ${file('host_key')}`,
      `AuthorizedKeysFile ${file('key.pub')}`,
      'PidFile none',
      'StrictModes no',
      'UsePAM no',
      'PasswordAuthentication no',
      'KbdInteractiveAuthentication no',
      'PermitRootLogin prohibit-password',
      'MaxStartups 500',
      ...penaltySettings(),
      ...settings,
      '',
    ];
    writeFileSync(file('sshd_config'), config.join('\n'));
    return spawn(SSHD, ['-D', '-f', file('sshd_config')], inGroup);
  });
  const known = readFileSync(file('host_key.pub'), 'utf8');
  writeFileSync(file('known_hosts'), `git-push-daemon-test ${known}`);
  server.command = [
    'ssh -F /dev/null',
    `-i ${file('key')}`,
    '-o IdentitiesOnly=yes',
    `-o UserKnownHostsFile=${file('known_hosts')}`,
    '-o GlobalKnownHostsFile=/dev/null',
    '-o StrictHostKeyChecking=yes',
    '-o HostKeyAlias=git-push-daemon-test',
  ].join(' ');
  server.key = file('key');
  const user = userInfo().username;
  server.url = (repository, port = server.port) => `ssh://${user}@127.0.0.1:${port}${repository}`;
  return server;
}

/** A certificate for localhost and 127.0.0.1, and the authority that signed it. */
function makeCertificate(directory) {
  const script = `set -e
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj '/CN=test authority' \
  -addext keyUsage=keyCertSign,cRLSign -keyout ca.key -out ca.pem
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -keyout server.key -out server.csr
printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\\nbasicConstraints=CA:FALSE\\n' >server.ext
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile server.ext -out server.pem`;
  execFileSync('sh', ['-c', script], { cwd: directory, stdio: 'pipe' });
}

/** The user and the password of the place that requires a login. */
export const LOGIN = { user: 'pusher', password: 'c0rrect-h0rse' };

/**
 * Apache with `git http-backend` over TLS. Anyone may push below `/anonymous`; `/basic` requires {@link LOGIN}. If this
 * process is root, Apache's workers run as another user, so `admit` opens a repository to all users.
 *
 * @param {object} t the test
 * @param {string} root the directory of the repositories
 * @param {{modules?: string[], settings?: string[]}} [options] more modules, and lines for its configuration
 * @returns {Promise<{port: number, pid: number, ca: string, requests: () => string[], admit: (directory: string) => void,
 * url: (name: string, options?: {place?: string, port?: number}) => string, kill: () => Promise<void>, restart: () => Promise<void>}>} `ca` is for `http.sslCAInfo`
 */
export async function startApache(t, root, { modules: more = [], settings = [] } = {}) {
  const directory = makeDirectory(t);
  const file = (name) => path.join(directory, name);
  makeCertificate(directory);
  for (const place of [directory, root]) chmodSync(place, 0o755);
  const hash = execFileSync('openssl', ['passwd', '-apr1', '-stdin'], { input: LOGIN.password });
  writeFileSync(file('users'), `${LOGIN.user}:${hash}`);
  const modules = [
    ['mpm_event', 'authn_core', 'authn_file', 'authz_core', 'authz_user', 'auth_basic'],
    ['alias', 'env', 'cgid', 'ssl', 'http2', 'unixd'],
    more,
  ]
    .flat()
    .filter((name) => existsSync(`${APACHE_MODULES}/mod_${name}.so`))
    .map((name) => `LoadModule ${name}_module ${APACHE_MODULES}/mod_${name}.so`);
  const identity = process.getuid() === 0 ? ['User www-data', 'Group www-data'] : [];
  const server = await listen(t, 'Apache', (port) => {
    const config = [
      `ServerRoot "${directory}"`,
      `PidFile "${file('pid')}"`,
      `DefaultRuntimeDir "${directory}"`,
      'ServerName localhost',
      `Listen 127.0.0.1:${port}`,
      ...modules,
      ...identity,
      `ScriptSock "${file('cgid.sock')}"`,
      `ErrorLog "${file('error.log')}"`,
      'LogFormat "%m %U%q %>s" told',
      `CustomLog "${file('access.log')}" told`,
      'Protocols h2 http/1.1',
      'SSLEngine on',
      `SSLCertificateFile "${file('server.pem')}"`,
      `SSLCertificateKeyFile "${file('server.key')}"`,
      `SetEnv GIT_PROJECT_ROOT "${root}"`,
      'SetEnv GIT_HTTP_EXPORT_ALL 1',
      'SetEnv GIT_CONFIG_NOSYSTEM 1',
      'SetEnv GIT_CONFIG_COUNT 3',
      'SetEnv GIT_CONFIG_KEY_0 safe.directory',
      'SetEnv GIT_CONFIG_VALUE_0 *',
      'SetEnv GIT_CONFIG_KEY_1 core.sharedRepository',
      'SetEnv GIT_CONFIG_VALUE_1 0666',
      'SetEnv GIT_CONFIG_KEY_2 http.receivepack',
      'SetEnv GIT_CONFIG_VALUE_2 true',
      `ScriptAliasMatch "^/(?:anonymous|basic)/(.*)$" ${HTTP_BACKEND}/$1`,
      `<Directory "${GIT_CORE}">`,
      'Require all granted',
      '</Directory>',
      '<Location "/basic">',
      'AuthType Basic',
      'AuthName "private"',
      `AuthUserFile "${file('users')}"`,
      'Require valid-user',
      '</Location>',
      ...settings,
      '',
    ];
    writeFileSync(file('apache.conf'), config.join('\n'));
    return spawn(APACHE, ['-D', 'FOREGROUND', '-f', file('apache.conf')], inGroup);
  });
  server.ca = file('ca.pem');
  server.admit = (repository) => execFileSync('chmod', ['-R', 'a+rwX', repository]);
  server.url = (name, { place = 'anonymous', port = server.port } = {}) =>
    `https://localhost:${port}/${place}/${name}`;
  /** The method, path and status of each request so far, in the order of their ends. */
  server.requests = () =>
    existsSync(file('access.log'))
      ? readFileSync(file('access.log'), 'utf8').split('\n').filter(Boolean)
      : [];
  return server;
}

/**
 * `git daemon`, which accepts pushes to the repositories of `root` from anyone.
 *
 * @param {object} t the test
 * @param {string} root the directory of the repositories
 * @param {{env?: object}} [options] the environment of the server
 */
export async function startGitDaemon(t, root, { env = process.env } = {}) {
  const server = await listen(t, 'git daemon', (port) =>
    spawn(
      'git',
      [
        ['daemon', '--listen=127.0.0.1', `--port=${port}`, '--reuseaddr', '--export-all'],
        ['--enable=receive-pack', `--base-path=${root}`, root],
      ].flat(),
      { ...inGroup, env },
    ),
  );
  server.url = (name, port = server.port) => `git://127.0.0.1:${port}/${name}`;
  return server;
}

/** The environment in which Python finds Dulwich. */
export const DULWICH_ENV = { ...process.env, PYTHONPATH: DULWICH };

/**
 * Dulwich's own server for one repository, which accepts pushes from anyone.
 *
 * @param {object} t the test
 * @param {'http' | 'git'} protocol
 * @param {string} repository
 */
export async function startDulwich(t, protocol, repository) {
  const module = protocol === 'http' ? 'dulwich.web' : 'dulwich.server';
  const [served, place] =
    protocol === 'http' ? [repository, '/'] : [path.dirname(repository), repository];
  const server = await listen(t, 'Dulwich', (port) =>
    spawn('python3', ['-m', module, '-l', '127.0.0.1', '-p', port, served], {
      ...inGroup,
      env: DULWICH_ENV,
    }),
  );
  server.url = `${protocol}://127.0.0.1:${server.port}${place}`;
  return server;
}

/**
 * nginx with its defaults in front of another web server: it gathers requests and answers before it passes them on.
 *
 * @param {object} t the test
 * @param {string} upstream the URL of the other server, without a path
 */
export async function startNginx(t, upstream) {
  const directory = makeDirectory(t);
  const identity = process.getuid() === 0 ? ['user root;'] : [];
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  const server = await listen(t, 'nginx', (port) => {
    const config = [
      ...identity,
      'daemon off;',
      `pid ${directory}/pid;`,
      `error_log ${directory}/error.log;`,
      'events {}',
      'http {',
      `access_log ${directory}/access.log;`,
      ...temporary.map((name) => `${name}_temp_path ${directory}/${name};`),
      'server {',
      `listen 127.0.0.1:${port};`,
      `location / { proxy_pass ${upstream}; }`,
      '}',
      '}',
      '',
    ];
    const file = path.join(directory, 'nginx.conf');
    writeFileSync(file, config.join('\n'));
    return spawn(NGINX, ['-e', `${directory}/error.log`, '-c', file], inGroup);
  });
  server.url = (name) => `http://127.0.0.1:${server.port}/anonymous/${name}`;
  return server;
}
