/** What an agent is told of what a person has selected: files, or a cell of a notebook and its error. */

import { PageConfig } from '@jupyterlab/coreutils';
import type { TranslationBundle } from '@jupyterlab/translation';

// eslint-disable-next-line no-control-regex -- the colours of a terminal begin with the control character ESC
const COLOURS = /\u001b\[[0-9;]*[A-Za-z]/g;

/** What an error in a notebook says (nbformat 4, "error"). */
export interface ICellError {
  ename: string;
  evalue: string;
  traceback: string[];
}

/** As much of JupyterLab's model of a cell as is needed; only code has outputs. */
export interface ICell {
  readonly type: string;
  readonly outputs?: { readonly length: number; get(at: number): { toJSON(): object } };
}

/** Where a file of the file browser is, for an agent, which works in another folder: such as `~/data/a.csv`. */
export function pathOf(path: string): string {
  // A drive's name, such as of real-time collaboration, is the browser's own.
  const local = path.replace(/^[A-Za-z][\w-]*:/, '');
  // Not PathExt: its paths have no slash at the start.
  const root = (PageConfig.getOption('serverRoot') || '~').replace(/\/+$/, '');
  return `${root}/${local.replace(/^\/+/, '')}`;
}

export function aboutFiles(paths: readonly string[], trans: TranslationBundle): string {
  return [trans.__('It is about these files:'), ...paths.map(path => `- ${pathOf(path)}`)].join('\n');
}

/** The error that a cell ended with. */
export function errorOf(cell: ICell | null | undefined): ICellError | null {
  const outputs = cell?.type === 'code' ? cell.outputs : undefined;
  for (let at = (outputs?.length ?? 0) - 1; at >= 0; at--) {
    const output = outputs?.get(at).toJSON() as Partial<ICellError> & { output_type?: string };
    if (output.output_type === 'error') {
      return { ename: output.ename ?? '', evalue: output.evalue ?? '', traceback: output.traceback ?? [] };
    }
  }
  return null;
}

/** A cell's source, and with `error` what went wrong. */
export function aboutCell(
  cell: { source: string; language: string; path: string; error: ICellError | null },
  trans: TranslationBundle
): string {
  const parts = [
    trans.__('It is about this cell of the notebook %1:', pathOf(cell.path)),
    fenced(cell.source, cell.language)
  ];
  if (cell.error) {
    const traceback = cell.error.traceback.join('\n').replace(COLOURS, '');
    parts.push(
      trans.__('It ended with this error:'),
      fenced(traceback || `${cell.error.ename}: ${cell.error.evalue}`, '')
    );
  }
  return parts.join('\n\n');
}

/** A text between fences that are longer than any in it. */
export function fenced(text: string, language: string): string {
  const longest = Math.max(0, ...Array.from(text.matchAll(/`+/g), match => match[0].length));
  const fence = '`'.repeat(Math.max(3, longest + 1));
  return `${fence}${language}\n${text}\n${fence}`;
}
