/** A unified diff, for people: added and removed lines by colour and by sign. */

import type { TranslationBundle } from '@jupyterlab/translation';
import type { ReactElement } from 'react';

export type LineKind = 'added' | 'removed' | 'same' | 'gap';

export interface IDiffLine {
  kind: LineKind;
  text: string;
}

/** The lines of a unified diff, without what names its two sides. */
export function diffLines(text: string): IDiffLine[] {
  const found: IDiffLine[] = [];
  for (const line of text.split('\n')) {
    if (line.startsWith('@@')) {
      found.push({ kind: 'gap', text: found.length ? '⋯' : '' });
    } else if (found.length) {
      const kind = line.startsWith('+') ? 'added' : line.startsWith('-') ? 'removed' : 'same';
      found.push({ kind, text: line.slice(1) });
    }
  }
  // Where the first part begins nothing is left out for sure.
  return found.filter(line => line.kind !== 'gap' || line.text);
}

const SIGNS: Readonly<Record<LineKind, string>> = { added: '+', removed: '−', same: ' ', gap: ' ' };

export function Diff(props: { text: string; trans: TranslationBundle }): ReactElement {
  const { text, trans } = props;
  const found = diffLines(text);
  if (!found.length) {
    return <p className="jp-Agents-note">{trans.__('Nothing is different.')}</p>;
  }
  const words: Partial<Record<LineKind, string>> = { added: trans.__('added'), removed: trans.__('removed') };
  return (
    <div className="jp-AgentsDiff" role="region" tabIndex={0} aria-label={trans.__('What changed')}>
      {found.map((line, at) => (
        <div key={at} data-kind={line.kind}>
          <span aria-hidden="true">{SIGNS[line.kind]}</span>
          {words[line.kind] && <span className="jp-Agents-unseen">{words[line.kind]}: </span>}
          <code>{line.text || ' '}</code>
        </div>
      ))}
    </div>
  );
}
