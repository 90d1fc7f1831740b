'use strict';

// The Fastify plugin: starts the daemon with the application, writes its events to the log, and drains on close.
// fastify.d.ts is its contract; its parts are in fastify/.

const fastifyPlugin = require('fastify-plugin');
const { startPushDaemon } = require('./index.js');
const { History } = require('./fastify/history.js');
const { logEvents } = require('./fastify/log.js');
const { misuse } = require('./fastify/misuse.js');
const { addRoutes, checkRoutes } = require('./fastify/routes.js');

const PLUGIN_NAME = 'git-push-daemon';

async function pushDaemon(fastify, options) {
  const {
    name = 'pushDaemon',
    dependencies = [],
    routes,
    stopTimeoutMs = 20_000,
    ...daemonOptions
  } = options;
  checkDependencies(fastify, dependencies);
  const checkedRoutes =
    routes === undefined ? undefined : checkRoutes(routes, daemonOptions.verifyMs);
  const log = daemonOptions.logger ?? fastify.log.child({ component: name });

  // Decorated first, so that a name that is taken is an error before anything runs.
  fastify.decorate(name, null);
  const history = new History();
  if (!daemonOptions.remote) {
    log.info('no remote is set: commits stay in this repository, and nothing is pushed');
  } else {
    const daemon = startPushDaemon({ ...daemonOptions, logger: log });
    fastify[name] = daemon;
    logEvents(daemon, log);
    history.follow(daemon);
    // Runs once the requests in flight are answered, so that the last write is pushed too.
    fastify.addHook('onClose', async () => {
      await daemon.stop({ timeoutMs: stopTimeoutMs });
    });
  }
  if (checkedRoutes !== undefined) {
    addRoutes(fastify, { routes: checkedRoutes, daemon: fastify[name], history, log });
  }
}

/** Checks the plugins that the application names; Fastify itself checks only those that a plugin declares. */
function checkDependencies(fastify, dependencies) {
  if (!Array.isArray(dependencies)) {
    throw misuse(`option 'dependencies' must be an array of plugin names`);
  }
  const missing = dependencies.filter((dependency) => !fastify.hasPlugin(dependency));
  if (missing.length > 0) {
    throw misuse(
      `${PLUGIN_NAME} depends on the plugin ${missing.join(', ')}, which is not registered: register it first`,
    );
  }
}

const plugin = fastifyPlugin(pushDaemon, { name: PLUGIN_NAME, fastify: '5.x' });

module.exports = plugin;
module.exports.default = plugin;
module.exports.pushDaemon = plugin;
