/** Faults of the server's name, address, identity, and of the web server's answers. */

import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import tls from 'node:tls';

import { atEnd } from '../support/cleanup.mjs';
import { makeDirectory } from '../support/git.mjs';
import { freePort, makeKey } from '../support/servers.mjs';
import { across, HTTPS, NETWORKED, SSH } from './across.mjs';
import { RETRY_AFTER_S } from './servers.mjs';

const place = 'the server';

/** A wrong setting: adds lines to the configuration and removes them again. */
export const misconfigured = (lines) => ({
  strike: async (site) => {
    site.restore = site.rememberConfig();
    site.proxy?.drop('reset');
    site.configure(await lines(site));
  },
  heal: (site) => site.restore(),
});

/** A wrong URL of the remote, corrected later. */
const movedTo = (options) => ({
  strike: async (site) => {
    site.proxy?.drop('reset');
    site.repo.git('remote', 'set-url', 'origin', site.url(await options(site)));
  },
  heal: (site) => site.repo.git('remote', 'set-url', 'origin', site.url()),
});

const addresses = [
  ...across(NETWORKED, {
    fault: 'a name that does not exist',
    kind: 'network',
    ...movedTo(() => ({ host: 'no-such-host.invalid' })),
  }),
  ...across(NETWORKED, {
    fault: 'a port without a listener',
    kind: 'network',
    ...movedTo(async () => ({ port: await freePort() })),
  }),
];

/** A known_hosts file with another key for the server's name. */
async function withOtherHostKey(site) {
  const directory = makeDirectory(site.t);
  const [key, known] = ['key', 'known_hosts'].map((name) => path.join(directory, name));
  makeKey(key);
  writeFileSync(known, `git-push-daemon-test ${readFileSync(`${key}.pub`, 'utf8')}`);
  return `[core]\n\tsshCommand = ${site.servers.ssh.command} -o UserKnownHostsFile=${known}`.replace(
    /-o UserKnownHostsFile=\S+ /,
    '',
  );
}

const hostKeys = [
  ...across(SSH, {
    fault: 'the host key has changed',
    kind: 'host-key',
    ...misconfigured(withOtherHostKey),
  }),
  ...across(SSH, {
    fault: 'the host key is unknown',
    kind: 'host-key',
    ...misconfigured(
      ({ servers }) =>
        `[core]\n\tsshCommand = ${servers.ssh.command.replace(/UserKnownHostsFile=\S+/, 'UserKnownHostsFile=/dev/null')}`,
    ),
  }),
];

/** Makes the web server answer with a status, by the file that it checks. */
const answering = (status, suffix = '') => ({
  strike: ({ remote }) => writeFileSync(path.join(remote.path, `answer-${status}${suffix}`), ''),
  heal: ({ remote }) => rmSync(path.join(remote.path, `answer-${status}${suffix}`)),
});

const KIND_OF_STATUS = {
  401: 'auth',
  403: 'auth',
  404: 'remote-error',
  413: 'rejected',
  429: 'remote-error',
  500: 'remote-error',
  503: 'remote-error',
};

const statuses = Object.entries(KIND_OF_STATUS).flatMap(([status, kind]) => [
  ...(status === '413'
    ? []
    : across(HTTPS, {
        fault: `status ${status}`,
        phase: 'to GET',
        kind,
        ...answering(status),
      })),
  ...across(HTTPS, {
    fault: `status ${status}`,
    phase: 'to POST',
    // An answer that comes before the request is through ends its stream of HTTP/2, and curl may see that end first.
    kind: { 'git-cli https': `${kind} or network`, others: kind },
    ...answering(status, '-POST'),
  }),
]);

const waits = across(['https'], {
  fault: 'status 429 with Retry-After',
  kind: 'remote-error',
  ...answering(429),
  // The server asks for a longer wait than the backoff.
  during: async (site) => {
    const retried = await new Promise((resolve) => site.daemon.once('retry', resolve));
    if (retried.nextDelayMs < RETRY_AFTER_S * 1000) {
      throw new Error(`it waits ${retried.nextDelayMs} ms, not as long as the server asked`);
    }
  },
});

/** Makes a self-signed certificate whose dates come from `validity`. Options for fixed dates exist since OpenSSL 3.4. */
const PAST = '-not_before 20200101000000Z -not_after 20200102000000Z';
const certificate = (name, validity) => `set -e
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=${name} -keyout key -out csr
printf 'subjectAltName=DNS:${name}\\nbasicConstraints=critical,CA:FALSE\\n' >ext
sign() { openssl x509 -req -in csr -signkey key -extfile ext -out cert "$@"; }
${validity}`;

/** A TLS server with its own certificate instead of the real server. */
const impostor = (name, validity) => async (site) => {
  const directory = makeDirectory(site.t);
  const script = certificate(name, validity);
  execFileSync('sh', ['-c', script], { cwd: directory, stdio: 'pipe' });
  const read = (file) => readFileSync(path.join(directory, file), 'utf8');
  const server = tls.createServer({ key: read('key'), cert: read('cert') });
  server.on('tlsClientError', () => {});
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  atEnd(site.t, () => server.close());
  site.restore = site.rememberConfig();
  // Trusted, so that its fault is the only reason to refuse it.
  site.configure(`[http]\n\tsslCAInfo = ${path.join(directory, 'cert')}`);
  site.proxy.leadTo(server.address().port);
  site.proxy.drop('reset');
};

const genuine = (site) => {
  site.restore();
  site.proxy.leadTo(site.servers.https.port);
};

const certificates = [
  ...across(HTTPS, {
    fault: 'a certificate of an unknown authority',
    kind: 'network',
    ...misconfigured(() => '[http]\n\tsslCAInfo = /etc/ssl/certs/ca-certificates.crt'),
  }),
  ...across(HTTPS, {
    fault: 'an expired certificate',
    kind: 'network',
    strike: impostor('localhost', `sign ${PAST} || sign -days -1`),
    heal: genuine,
  }),
  ...across(HTTPS, {
    fault: 'a certificate for another name',
    kind: 'network',
    strike: impostor('elsewhere.invalid', 'sign -days 2'),
    heal: genuine,
  }),
];

const proxies = across(HTTPS, {
  fault: 'http.proxy is down',
  kind: 'network',
  ...misconfigured(async () => `[http]\n\tproxy = http://127.0.0.1:${await freePort()}`),
});

export default [...addresses, ...hostKeys, ...statuses, ...waits, ...certificates, ...proxies].map(
  (cell) => ({ ...cell, place }),
);
