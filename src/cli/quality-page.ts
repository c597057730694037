import type { QualityReport } from '../client/quality.js';
import { biggest, biggestOnes, measures, type Rows, suspects, unlisted } from './quality-rows.js';

const STYLE = `
:root { color-scheme: light dark; --text: #1a1a1a; --ground: #fff; --line: #767676; --bar: #2f6fb2; }
@media (prefers-color-scheme: dark) { :root { --text: #eee; --ground: #161616; --line: #8c8c8c; --bar: #6ea8e5; } }
body { margin: 2rem auto; max-width: 60rem; padding: 0 1rem; font: 1rem/1.5 system-ui, sans-serif; color: var(--text); background: var(--ground); }
table { border-collapse: collapse; margin: 0 0 2rem; }
caption { text-align: left; font-size: 1.25rem; font-weight: 600; padding: .5rem 0; }
th, td { text-align: left; padding: .25rem 1.5rem .25rem 0; border-bottom: 1px solid var(--line); }
.number { text-align: right; font-variant-numeric: tabular-nums; }
.bar { min-width: 12rem; }
.bar div { height: .8rem; background: var(--bar); }`;

/** The report as one page that needs nothing else: no scripts, nothing to load, light or dark as the reader's system is. */
export function qualityPage(report: QualityReport): string {
  const title = escaped(`Identity quality of ${report.client}`);
  const found = suspects(report);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${title}</title>
<style>${STYLE}
</style>
</head>
<body>
<main>
<h1>${title}</h1>
<p>Project ${escaped(report.project)}, measured <time>${escaped(report.measuredAt)}</time>.</p>
${htmlTable('Measures', measures(report), [1, 2])}
${htmlTable('Biggest', biggest(report), [1], bars(report))}
${found[1].length === 0 ? '<p>No suspects.</p>' : htmlTable('Suspects', found, [2])}
${unlisted(report)
  .map((sentence) => `<p>${escaped(sentence)}</p>`)
  .join('')}
</main>
</body>
</html>
`;
}

/** A bar for each of the biggest, as long as its size within its kind; the number beside it says the same. */
function bars(report: QualityReport): string[] {
  const ones = biggestOnes(report);
  return ones.map(({ entityType, identifiers }) => {
    const most = Math.max(...ones.filter((one) => one.entityType === entityType).map((one) => one.identifiers));
    return `<td class="bar" aria-hidden="true"><div style="width: ${Math.round((100 * identifiers) / most)}%"></div></td>`;
  });
}

/** The first cell of a row is its head; cells of `numbers` are set to the right; `last` are whole cells at the rows' ends. */
function htmlTable(caption: string, [head, rows]: Rows, numbers: number[], last: string[] = []): string {
  const attribute = (column: number) => (numbers.includes(column) ? ' class="number"' : '');
  const heads = head.map((text, column) => `<th scope="col"${attribute(column)}>${escaped(text)}</th>`);
  if (last.length > 0) heads.push('<td aria-hidden="true"></td>');
  const lines = rows.map(([first = '', ...others], row) => {
    const cells = others.map((text, column) => `<td${attribute(column + 1)}>${escaped(text)}</td>`);
    return `<tr><th scope="row">${escaped(first)}</th>${cells.join('')}${last[row] ?? ''}</tr>`;
  });
  return `<table>
<caption>${escaped(caption)}</caption>
<thead><tr>${heads.join('')}</tr></thead>
<tbody>
${lines.join('\n')}
</tbody>
</table>`;
}

const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character]!);
}
