/** The look of the report: one column to read, wide tables that scroll, light or dark as the reader's system is. */
export const PAGE_STYLE = `
:root {
  color-scheme: light dark;
  --text: #1c2330; --muted: #5b6472; --back: #ffffff; --card: #f6f7f9; --line: #dfe3e8; --accent: #1f6fb2; --bad: #b3401a; --good: #16805f;
}
@media (prefers-color-scheme: dark) {
  :root { --text: #e4e8ee; --muted: #9aa5b4; --back: #14181f; --card: #1c222b; --line: #323b47; --accent: #74b7ee; --bad: #f0946c; --good: #5cc9a3; }
}
* { box-sizing: border-box; }
body {
  margin: 0; color: var(--text); background: var(--back);
  font: 16px/1.6 system-ui, -apple-system, "Segoe UI", Roboto, Helvetica, Arial, sans-serif;
}
main { max-width: 960px; margin: 0 auto; padding: 32px 24px 64px; }
header { border-bottom: 1px solid var(--line); padding-bottom: 20px; }
h1 { font-size: 34px; line-height: 1.2; margin: 0 0 12px; letter-spacing: -0.015em; }
h2 { font-size: 23px; margin: 56px 0 12px; letter-spacing: -0.01em; }
h3 { font-size: 17px; margin: 28px 0 8px; }
p { margin: 10px 0; max-width: 75ch; }
a { color: var(--accent); }
.question { font-size: 19px; color: var(--muted); max-width: 62ch; margin: 0 0 18px; }
.kicker { font-size: 13px; letter-spacing: 0.08em; text-transform: uppercase; color: var(--muted); margin: 0 0 8px; }
.facts { display: flex; flex-wrap: wrap; gap: 8px 28px; padding: 0; margin: 14px 0 0; list-style: none; }
.facts b { display: block; font-size: 20px; line-height: 1.3; font-weight: 650; }
.facts li { color: var(--muted); font-size: 13px; }
.facts b, .facts li b { color: var(--text); }
.findings li { margin: 6px 0; max-width: 75ch; }
.findings { padding-left: 20px; }
.why { color: var(--muted); margin: 2px 0 14px; font-size: 15px; }
.note { border-left: 3px solid var(--accent); background: var(--card); padding: 10px 16px; margin: 16px 0; border-radius: 0 6px 6px 0; }
.note.bad { border-color: var(--bad); }
figure { margin: 28px 0 40px; padding: 20px 20px 14px; background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
figure svg { display: block; max-width: 100%; height: auto; margin: 0 auto; }
figcaption { color: var(--muted); font-size: 14px; margin-top: 12px; border-top: 1px solid var(--line); padding-top: 10px; }
.scroll { overflow-x: auto; margin: 12px 0; }
table { border-collapse: collapse; font-size: 13.5px; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 12px 4px 0; text-align: left; border-bottom: 1px solid var(--line); white-space: nowrap; vertical-align: top; }
td.wrap { white-space: normal; min-width: 18em; }
th { font-weight: 600; color: var(--muted); position: sticky; top: 0; background: var(--back); }
th.num, td.num { text-align: right; padding-right: 18px; }
table.sortable th { cursor: pointer; }
table.sortable th:hover { color: var(--text); }
th[aria-sort="ascending"]::after { content: " \\2191"; }
th[aria-sort="descending"]::after { content: " \\2193"; }
td.code, code, pre { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: 13px; }
td.bad { color: var(--bad); font-weight: 600; }
td.good { color: var(--good); }
pre { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 12px 16px; overflow-x: auto; line-height: 1.45; }
code { background: var(--card); padding: 1px 5px; border-radius: 4px; }
pre code { background: none; padding: 0; }
details { margin: 14px 0; border: 1px solid var(--line); border-radius: 8px; padding: 0 16px; }
details[open] { padding-bottom: 8px; }
summary { cursor: pointer; padding: 10px 0; font-weight: 600; }
dl.glossary { display: grid; grid-template-columns: max-content 1fr; gap: 4px 20px; font-size: 14px; }
dl.glossary dt { font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: 13px; }
dl.glossary dd { margin: 0; color: var(--muted); }
footer { margin-top: 64px; border-top: 1px solid var(--line); padding-top: 14px; color: var(--muted); font-size: 13px; }
@media (max-width: 640px) { main { padding: 20px 14px 48px; } figure { padding: 12px 8px; } dl.glossary { grid-template-columns: 1fr; } }
@media print {
  :root { --text: #000; --muted: #444; --back: #fff; --card: #fff; --line: #ccc; }
  main { max-width: none; padding: 0; } figure, tr { break-inside: avoid; } h2 { break-after: avoid; }
  .scroll { overflow: visible; } th { position: static; } table { font-size: 10.5px; }
}
`;

/** Sorts a table by the column that is clicked. The page is complete without it. */
export const PAGE_SCRIPT = `
for (const table of document.querySelectorAll('table.data')) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  table.classList.add('sortable');
  heads.forEach((head, column) => head.addEventListener('click', () => {
    const down = head.getAttribute('aria-sort') === 'ascending';
    for (const other of heads) other.removeAttribute('aria-sort');
    head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
    const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
    const number = head.classList.contains('num');
    const order = (a, b) => number
      ? (key(a) === '' ? 1 : key(b) === '' ? -1 : (Number(key(a)) - Number(key(b))) * (down ? -1 : 1))
      : key(a).localeCompare(key(b), 'en') * (down ? -1 : 1);
    body.append(...[...body.rows].sort(order));
  }));
}
`;
