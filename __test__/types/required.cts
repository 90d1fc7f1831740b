/** The package from CommonJS. */

import pushDaemon = require('git-push-daemon');

const daemon: pushDaemon.PushDaemon = pushDaemon.startPushDaemon({ remote: 'origin' });
daemon.on('error', ({ err }) => err instanceof pushDaemon.PushError);
