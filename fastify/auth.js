'use strict';

// Decides whether a request may see the operator's routes. Any header, or none, is hashed and compared, so that neither
// the answer nor its timing tells how close a guess came.

const { createHash, timingSafeEqual } = require('node:crypto');
const { prefersHtml } = require('./accept.js');

const BEARER = 'Bearer realm="push-daemon"';
const BASIC = 'Basic realm="push-daemon: the token is the password", charset="UTF-8"';

/**
 * A hook that accepts requests with this token and answers 401 to all others.
 *
 * With `acceptBasic` the token may also come as the password of any user, which is how a browser sends it. Routes that
 * change something must not accept that: a browser sends the password with another site's form, too.
 */
function requireToken(token, { acceptBasic }) {
  const expected = digest(Buffer.from(token));
  return async (request, reply) => {
    const given = digest(credentialOf(request.headers.authorization ?? '', acceptBasic));
    if (timingSafeEqual(given, expected)) return;
    return reply
      .code(401)
      .header('www-authenticate', acceptBasic && prefersHtml(request) ? BASIC : BEARER)
      .send({
        statusCode: 401,
        error: 'Unauthorized',
        message: 'Send "Authorization: Bearer <token>".',
      });
  };
}

/** The token's bytes; none if the header is malformed. */
function credentialOf(header, acceptBasic) {
  const [, scheme = '', value = ''] = /^(\S+) +(.+)$/.exec(header) ?? [];
  switch (scheme.toLowerCase()) {
    case 'bearer':
      // Node reads a header's bytes as Latin-1.
      return Buffer.from(value, 'latin1');
    case 'basic': {
      const userAndPassword = acceptBasic ? Buffer.from(value, 'base64') : Buffer.alloc(0);
      const colon = userAndPassword.indexOf(':');
      return colon === -1 ? Buffer.alloc(0) : userAndPassword.subarray(colon + 1);
    }
    default:
      return Buffer.alloc(0);
  }
}

function digest(bytes) {
  return createHash('sha256').update(bytes).digest();
}

module.exports = { requireToken };
