'use strict';

// Content negotiation between the two forms of the status: JSON for tools, a page for people.

/** Whether the Accept header prefers a page to JSON; without the header, JSON is preferred. */
function prefersHtml({ headers: { accept = '' } }) {
  const html = qualityOf(accept, 'text', 'html');
  return html > 0 && html > qualityOf(accept, 'application', 'json');
}

/** RFC 9110, section 12.5.1: the most specific range that matches decides. */
function qualityOf(accept, type, subtype) {
  let best = { specificity: 0, quality: 0 };
  for (const item of accept.toLowerCase().split(',')) {
    const [range, ...parameters] = item.split(';').map((part) => part.trim());
    const specificity = [`*/*`, `${type}/*`, `${type}/${subtype}`].indexOf(range) + 1;
    if (specificity > best.specificity) {
      const q = parameters.find((parameter) => parameter.startsWith('q='));
      best = { specificity, quality: q === undefined ? 1 : Number(q.slice(2)) || 0 };
    }
  }
  return best.quality;
}

module.exports = { prefersHtml };
