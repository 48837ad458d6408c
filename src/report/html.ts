/**
 * Small helpers that write HTML text. Everything that comes from data passes through `escapeHtml`.
 * Invariant: the same arguments give the same text.
 */

/** HTML that may be put into a page as it is. Only this module makes it from plain text. */
export type Html = string & { readonly __html?: never };

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

export function escapeHtml(text: string): Html {
  return text.replace(/[&<>"']/g, (char) => ENTITIES[char] ?? char);
}

export function element(tag: string, content: Html, attributes = ''): Html {
  return `<${tag}${attributes === '' ? '' : ` ${attributes}`}>${content}</${tag}>`;
}

export function paragraph(text: string): Html {
  return element('p', escapeHtml(text));
}

export function list(items: readonly Html[]): Html {
  return element('ul', items.map((item) => element('li', item)).join('\n'));
}

export interface TableColumn {
  readonly title: string;
  /** Explanation, shown when the pointer rests on the title. */
  readonly doc?: string;
  /** Aligned to the right and sorted by value. */
  readonly numeric?: boolean;
  /** A monospaced font. */
  readonly code?: boolean;
}

export interface TableCell {
  readonly text: string;
  /** Sorts by this instead of the text. */
  readonly value?: string;
  readonly className?: string;
}

/** A table; the script of the page makes it sortable. Rows beyond `rowsMax` are left out, and that is said. */
export function table(columns: readonly TableColumn[], rows: readonly (readonly TableCell[])[], rowsMax = 400): Html {
  const head = columns.map(({ title, doc, numeric }) => {
    const hint = doc === undefined ? '' : ` title="${escapeHtml(doc)}"`;
    return `<th scope="col"${numeric === true ? ' class="num"' : ''}${hint}>${escapeHtml(title)}</th>`;
  });
  const body = rows.slice(0, rowsMax).map((row) => {
    const cells = row.map((cell, index) => {
      const { numeric, code } = columns[index] ?? { title: '' };
      const names = [numeric === true ? 'num' : '', code === true ? 'code' : '', cell.className ?? ''];
      const className = names.filter((name) => name !== '').join(' ');
      const { text, value: key = text } = cell;
      const value = key === text ? '' : ` data-value="${escapeHtml(key)}"`;
      return `<td${className === '' ? '' : ` class="${className}"`}${value}>${escapeHtml(cell.text)}</td>`;
    });
    return `<tr>${cells.join('')}</tr>`;
  });
  const more = rows.length > rowsMax ? paragraph(`${rows.length - rowsMax} more rows are in the CSV file.`) : '';
  return (
    `<div class="scroll"><table class="data"><thead><tr>${head.join('')}</tr></thead>\n` +
    `<tbody>\n${body.join('\n')}\n</tbody></table></div>${more}`
  );
}

export function details(summary: string, content: Html, open = false): Html {
  return `<details${open ? ' open' : ''}><summary>${escapeHtml(summary)}</summary>\n${content}\n</details>`;
}

/** An SVG to stand inside a page: its ids made unique by a prefix, its size left to the page. */
export function inlineSvg(svg: string, prefix: string, label: string): Html {
  const start = svg.indexOf('<svg');
  return svg
    .slice(Math.max(0, start))
    .trim()
    .replace(/\bid="([^"]+)"/g, `id="${prefix}-$1"`)
    .replace(/url\(#([^)]+)\)/g, `url(#${prefix}-$1)`)
    .replace(/href="#([^"]+)"/g, `href="#${prefix}-$1"`)
    .replace('<svg ', `<svg role="img" aria-label="${escapeHtml(label)}" `);
}
