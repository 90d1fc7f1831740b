/** The plots, as SVG that stands on its own: light or dark by the reader's setting, and no script. */

const WIDTH = 860;
const FONT = 13;
/** Room for the names of rows. */
const LABELS = 310;
const STYLE = `
  text { font: ${FONT}px system-ui, sans-serif; fill: #24292f }
  .title { font-weight: 600; font-size: 15px } .faint { fill: #57606a } .end { text-anchor: end } .middle { text-anchor: middle }
  .grid { stroke: #d0d7de; stroke-width: 1 } .background { fill: #ffffff } .dot { stroke: #ffffff }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .faint { fill: #8b949e } .grid { stroke: #30363d } .background { fill: #0d1117 } .dot { stroke: #0d1117 }
  }`;

/** Told apart by people who see colours differently, and against light and dark. */
const COLOURS = ['#0969da', '#d1570a', '#1a9e77', '#8250df', '#8a8f98', '#c9a20c', '#cf3d7f'];

const escaped = (text) => String(text).replace(/[&<>"]/g, (sign) => `&#${sign.codePointAt(0)};`);
const at = (number) => Number(number.toFixed(1));

function text(x, y, content, classes = '') {
  return `<text x="${at(x)}" y="${at(y)}" class="${classes}">${escaped(content)}</text>`;
}

function document(height, title, body) {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${at(height)}" width="${WIDTH}" height="${at(height)}" role="img">`,
    `<title>${escaped(title)}</title><style>${STYLE}</style>`,
    `<rect class="background" width="100%" height="100%"/>`,
    text(16, 26, title, 'title'),
    ...body,
    '</svg>',
    '',
  ].join('\n');
}

/** Names with their colours, in rows that do not reach the edge. */
function legend(names, left, top) {
  const parts = [];
  let x = left;
  let y = top;
  names.forEach((name, index) => {
    const width = 34 + name.length * FONT * 0.6;
    if (x + width > WIDTH) {
      x = left;
      y += 20;
    }
    parts.push(
      `<rect x="${at(x)}" y="${at(y - 10)}" width="12" height="12" rx="2" fill="${COLOURS[index % COLOURS.length]}"/>`,
      text(x + 18, y, name),
    );
    x += width;
  });
  return { parts, bottom: y };
}

/** The powers of ten, with their doubles and fives where there is room, that a logarithmic axis shows. */
export function logarithmicTicks(low, high) {
  const decades = Math.log10(high / low);
  const steps = decades > 3.5 ? [1] : [1, 2, 5];
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
    for (const step of steps) {
      const tick = Number((step * 10 ** power).toPrecision(1));
      if (tick >= low * 0.999 && tick <= high * 1.001) ticks.push(tick);
    }
  }
  return ticks;
}

const short = (number) =>
  number >= 1e6 ? `${number / 1e6}M` : number >= 1e3 ? `${number / 1e3}k` : String(number);

function logarithmic(low, high, from, to) {
  const span = Math.log(high / low);
  return (value) => from + ((to - from) * Math.log(value / low)) / span;
}

function verticals(ticks, x, top, bottom) {
  return ticks.flatMap((tick) => [
    `<line class="grid" x1="${at(x(tick))}" x2="${at(x(tick))}" y1="${at(top)}" y2="${at(bottom)}"/>`,
    text(x(tick), bottom + 18, short(tick), 'middle faint'),
  ]);
}

/**
 * A row for each case, a dot for each median on a logarithmic axis, and a line over the middle half.
 *
 * @param {{title: string, unit: string, series: string[], rows: {name: string,
 * values: Record<string, {median: number, p25: number, p75: number}>}[]}} chart
 */
export function dotPlot({ title, unit, series, rows }) {
  const [left, right, row] = [LABELS, WIDTH - 24, 26];
  const key = legend(series, 16, 50);
  const top = key.bottom + 20;
  const bottom = top + rows.length * row + 6;
  const all = rows.flatMap(({ values }) => Object.values(values).flatMap((of) => [of.p25, of.p75]));
  const positive = all.filter((value) => value > 0);
  const [low, high] = [Math.min(...positive) / 1.3, Math.max(...positive) * 1.3];
  const x = logarithmic(low, high, left, right);
  const marks = rows.flatMap(({ name, values }, index) => {
    const y = top + index * row + row / 2 + 4;
    return [
      `<line class="grid" x1="${left}" x2="${right}" y1="${at(y)}" y2="${at(y)}"/>`,
      text(left - 10, y + 4, name, 'end'),
      ...series.flatMap((of, colour) => {
        const value = values[of];
        if (value === undefined) return [];
        const fill = COLOURS[colour % COLOURS.length];
        const [from, to] = [x(Math.max(value.p25, low)), x(Math.max(value.p75, low))];
        return [
          `<line x1="${at(from)}" x2="${at(to)}" y1="${at(y)}" y2="${at(y)}" stroke="${fill}" stroke-width="3" opacity="0.5"/>`,
          `<circle class="dot" cx="${at(x(value.median))}" cy="${at(y)}" r="5" fill="${fill}"/>`,
        ];
      }),
    ];
  });
  return document(bottom + 48, title, [
    ...key.parts,
    ...verticals(logarithmicTicks(low, high), x, top, bottom),
    ...marks,
    text((left + right) / 2, bottom + 38, unit, 'middle faint'),
  ]);
}

/**
 * A bar of the same length for each row, divided by the share of each part, with the sum behind it.
 *
 * @param {{title: string, unit: string, parts: string[], rows: {name: string, values: number[]}[]}} chart
 * `unit` is that of the values
 */
export function shareBars({ title, unit, parts, rows }) {
  const [left, right, row] = [LABELS, WIDTH - 80, 30];
  const key = legend(parts, 16, 50);
  const top = key.bottom + 20;
  const bottom = top + rows.length * row;
  const x = (percent) => left + ((right - left) * percent) / 100;
  const bars = rows.flatMap(({ name, values }, index) => {
    const y = top + index * row + 5;
    const total = values.reduce((sum, value) => sum + value, 0);
    let sum = 0;
    const pieces = values.map((value, colour) => {
      const [from, to] = [x((sum / total) * 100), x(((sum + value) / total) * 100)];
      sum += value;
      return `<rect x="${at(from)}" y="${at(y)}" width="${at(to - from)}" height="${row - 10}" fill="${COLOURS[colour % COLOURS.length]}"/>`;
    });
    return [
      text(left - 10, y + 15, name, 'end'),
      ...pieces,
      text(right + 8, y + 15, `${total.toFixed(1)} ${unit}`),
    ];
  });
  return document(bottom + 48, title, [
    ...key.parts,
    ...verticals([0, 20, 40, 60, 80, 100], x, top, bottom),
    ...bars,
    text((left + right) / 2, bottom + 38, 'percent', 'middle faint'),
  ]);
}

/**
 * Lines over two logarithmic axes.
 *
 * @param {{title: string, xUnit: string, yUnit: string, lines: {name: string, points: [number, number][]}[]}} chart
 */
export function linePlot({ title, xUnit, yUnit, lines }) {
  const [left, right, height] = [70, WIDTH - 24, 300];
  const key = legend(
    lines.map(({ name }) => name),
    16,
    50,
  );
  const top = key.bottom + 30;
  const bottom = top + height;
  const points = lines.flatMap((line) => line.points);
  const span = (values) => [Math.min(...values) / 1.4, Math.max(...values) * 1.4];
  const [lowX, highX] = span(points.map(([value]) => value));
  const [lowY, highY] = span(points.map(([, value]) => value));
  const x = logarithmic(lowX, highX, left, right);
  const y = logarithmic(lowY, highY, bottom, top);
  const horizontals = logarithmicTicks(lowY, highY).flatMap((tick) => [
    `<line class="grid" x1="${left}" x2="${right}" y1="${at(y(tick))}" y2="${at(y(tick))}"/>`,
    text(left - 8, y(tick) + 4, short(tick), 'end faint'),
  ]);
  const drawn = lines.flatMap((line, colour) => {
    const stroke = COLOURS[colour % COLOURS.length];
    const along = line.points.map(([a, b]) => `${at(x(a))},${at(y(b))}`);
    return [
      `<polyline points="${along.join(' ')}" fill="none" stroke="${stroke}" stroke-width="2.5"/>`,
      ...line.points.map(
        ([a, b]) => `<circle cx="${at(x(a))}" cy="${at(y(b))}" r="4" fill="${stroke}"/>`,
      ),
    ];
  });
  return document(bottom + 48, title, [
    ...key.parts,
    text(left - 8, top - 10, yUnit, 'faint end'),
    ...horizontals,
    ...verticals(
      logarithmicTicks(lowX, highX).filter((tick) => /^10*$/.test(String(tick))),
      x,
      top,
      bottom,
    ),
    ...drawn,
    text((left + right) / 2, bottom + 38, xUnit, 'middle faint'),
  ]);
}
