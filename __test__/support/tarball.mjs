/** What is in the tarballs of npm. */

import { execFileSync } from 'node:child_process';

/** The files of the package, but for the addon that the tarball of a clone has besides. */
export const PACKAGE_FILES = [
  'CHANGELOG.md',
  'LICENSE',
  'README.md',
  'SECURITY.md',
  'THIRD-PARTY-LICENSES.txt',
  'addon.js',
  'docs/comparison.md',
  'docs/deploying.md',
  'docs/fastify.md',
  'docs/metrics-and-alerts.md',
  'docs/migrating.md',
  'docs/reliability.md',
  'docs/remotes-and-credentials.md',
  'docs/runbook.md',
  'docs/status-and-events.md',
  'docs/synchronous-mode.md',
  'examples/prometheus/README.md',
  'examples/prometheus/alerts.test.yml',
  'examples/prometheus/alerts.yml',
  'examples/prometheus/grafana-dashboard.json',
  'fastify.d.ts',
  'fastify.js',
  'fastify/accept.js',
  'fastify/auth.js',
  'fastify/explain.js',
  'fastify/format.js',
  'fastify/health.js',
  'fastify/history.js',
  'fastify/html.js',
  'fastify/log.js',
  'fastify/misuse.js',
  'fastify/page.css',
  'fastify/page.js',
  'fastify/plot.js',
  'fastify/routes.js',
  'index.d.ts',
  'index.js',
  'metrics.d.ts',
  'metrics.js',
  'native.js',
  'package.json',
];

/** The paths in a tarball, sorted. */
export function contents(tarball) {
  return execFileSync('tar', ['-tzf', tarball], { encoding: 'utf8', timeout: 60_000 })
    .split('\n')
    .filter(Boolean)
    .map((name) => name.replace(/^package\//, ''))
    .sort();
}
