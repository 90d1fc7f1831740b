'use strict';

// The routes for operators and their tools. Each exists only if its path is given, and none is in the application's
// OpenAPI document.

const { prefersHtml } = require('./accept.js');
const { requireToken } = require('./auth.js');
const { isHealthy, verdictOf } = require('./health.js');
const { misuse } = require('./misuse.js');
const { CONTENT_SECURITY_POLICY, renderPage } = require('./page.js');

/** The daemon's own default. */
const VERIFY_MS = 300_000;
/** So many readings of the remote in a row may fail or be late. */
const MISSED_READINGS = 4;
const DEFAULTS = {
  maxLagMs: () => 300_000,
  flushTimeoutMs: () => 30_000,
  maxUnverifiedMs: (verifyMs) => MISSED_READINGS * (Number(verifyMs) || 0),
};
const PATHS = ['status', 'health', 'flush'];
const NAMES = [...PATHS, 'token', 'onRequest', ...Object.keys(DEFAULTS)];

/** Hides a route from @fastify/swagger. */
const SCHEMA = { hide: true };

const OFF = 'No remote is set, so nothing is pushed.';
const CLOSED = 'No token is set for this route, so it is closed.';

/**
 * Checks the options and fills in the defaults. Throws on an unknown name or a wrong value.
 *
 * @param {number | undefined} verifyMs the option of the daemon, which checks it later
 */
function checkRoutes(routes, verifyMs = VERIFY_MS) {
  if (typeof routes !== 'object' || routes === null) {
    throw misuse(
      `option 'routes' must be an object such as { status: '/admin/push-daemon', token }`,
    );
  }
  const unknown = Object.keys(routes).filter((name) => !NAMES.includes(name));
  if (unknown.length > 0) {
    throw misuse(`option 'routes' has no ${unknown.join(', ')}; it takes ${NAMES.join(', ')}`);
  }
  for (const name of PATHS) {
    if (routes[name] !== undefined && !/^\//.test(routes[name])) {
      throw misuse(`option 'routes.${name}' must be a path that starts with a slash`);
    }
  }
  if (routes.token !== undefined && typeof routes.token !== 'string') {
    throw misuse(`option 'routes.token' must be a string`);
  }
  const checked = { ...routes };
  for (const [name, otherwise] of Object.entries(DEFAULTS)) {
    checked[name] ??= otherwise(verifyMs);
    if (typeof checked[name] !== 'number' || !(checked[name] >= 0)) {
      throw misuse(`option 'routes.${name}' must be a number of milliseconds, 0 or more`);
    }
  }
  return checked;
}

function addRoutes(fastify, { routes, daemon, history, log }) {
  const { status, health, flush } = routes;
  if (status !== undefined) {
    fastify.get(
      status,
      { schema: SCHEMA, onRequest: guard(routes, { acceptBasic: true }) },
      statusHandler(routes, daemon, history),
    );
  }
  if (health !== undefined) {
    // Requested every few seconds: no log line for each request.
    fastify.get(health, { schema: SCHEMA, logLevel: 'warn' }, healthHandler(routes, daemon));
  }
  if (flush !== undefined) {
    fastify.post(
      flush,
      { schema: SCHEMA, bodyLimit: 1_024, onRequest: guard(routes, { acceptBasic: false }) },
      flushHandler(routes, daemon),
    );
  }
  if ((status ?? flush) !== undefined && !isGuarded(routes)) {
    log.warn('the routes of the push daemon are closed: set routes.token or routes.onRequest');
  }
}

function isGuarded({ token, onRequest }) {
  return Boolean(token) || onRequest !== undefined;
}

/** The application's own hooks, then the token: a request must pass all that are given. */
function guard(routes, { acceptBasic }) {
  const { token, onRequest = [] } = routes;
  const own = Array.isArray(onRequest) ? onRequest : [onRequest];
  if (!isGuarded(routes)) return [noStore, closed];
  return [noStore, ...own, ...(token ? [requireToken(token, { acceptBasic })] : [])];
}

async function noStore(_request, reply) {
  reply.header('cache-control', 'no-store');
}

async function closed(_request, reply) {
  return unavailable(reply, CLOSED);
}

function statusHandler(limits, daemon, history) {
  return async (request, reply) => {
    reply.header('vary', 'accept');
    if (!prefersHtml(request)) {
      return daemon === null ? unavailable(reply, OFF) : daemon.status();
    }
    return reply
      .code(daemon === null ? 503 : 200)
      .headers({
        'content-security-policy': CONTENT_SECURITY_POLICY,
        'referrer-policy': 'no-referrer',
        'x-content-type-options': 'nosniff',
      })
      .type('text/html; charset=utf-8')
      .send(
        renderPage({
          status: daemon?.status() ?? null,
          history,
          limits,
          now: Date.now(),
          isRefreshed: request.query?.refresh !== 'off',
        }),
      );
  };
}

/** Names neither the remote nor the error, because this route is public. */
function healthHandler(limits, daemon) {
  const { maxLagMs, maxUnverifiedMs } = limits;
  return async (_request, reply) => {
    reply.header('cache-control', 'no-store');
    if (daemon === null) return reply.code(503).send({ status: 'off' });
    const status = daemon.status();
    const verdict = verdictOf(status, limits);
    const { state, lagMs, pendingCommits, verifiedAt } = status;
    return reply.code(isHealthy(verdict) ? 200 : 503).send({
      status: verdict,
      state,
      lagMs,
      maxLagMs,
      pendingCommits,
      verifiedAt,
      maxUnverifiedMs,
    });
  };
}

function flushHandler({ flushTimeoutMs }, daemon) {
  return async (_request, reply) => {
    if (daemon === null) return unavailable(reply, OFF);
    const disconnected = new AbortController();
    reply.raw.once('close', () => disconnected.abort());
    try {
      const { commit } = await daemon.flush({
        timeoutMs: flushTimeoutMs,
        signal: disconnected.signal,
      });
      return { commit, pending: false };
    } catch (error) {
      return flushFailed(reply, error, daemon.status());
    }
  };
}

function flushFailed(reply, error, { state, pendingCommits, nextAttemptAt }) {
  const { code, kind, reason, hint, message } = error;
  switch (code) {
    case 'ERR_PUSH_DAEMON_WAIT_TIMEOUT':
      return reply.code(202).send({ pending: true, pendingCommits, state, message });
    case 'ERR_PUSH_DAEMON_PUSH_FAILED': {
      const isOurs = kind === 'local';
      return reply.code(isOurs ? 503 : 502).send({
        statusCode: isOurs ? 503 : 502,
        error: isOurs ? 'Service Unavailable' : 'Bad Gateway',
        message,
        kind,
        reason,
        hint,
        pendingCommits,
        nextAttemptAt,
      });
    }
    case 'ERR_PUSH_DAEMON_STOPPED':
    case 'ABORT_ERR':
      return unavailable(reply, message);
    default:
      throw error;
  }
}

function unavailable(reply, message) {
  return reply.code(503).send({ statusCode: 503, error: 'Service Unavailable', message });
}

module.exports = { addRoutes, checkRoutes };
