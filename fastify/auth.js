'use strict';

// Whether a request may see an operator's routes. There is one path: whatever the header holds, or lacks,
// is hashed and compared, so that neither the answer nor its time tells how near a guess came.

const { createHash, timingSafeEqual } = require('node:crypto');
const { prefersHtml } = require('./accept.js');

const BEARER = 'Bearer realm="push-daemon"';
const BASIC = 'Basic realm="push-daemon: the token is the password", charset="UTF-8"';

/**
 * A hook that lets a request pass whose token is `token`, and answers 401 to any other.
 *
 * Where `acceptBasic` says so the token may come as the password of any user, which is how a browser can
 * send it. It must not for what changes something: a browser sends it for another site's form, too.
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

/** The token's bytes; none where the header is not what it should be. */
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
