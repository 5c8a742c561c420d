/** What the parts of a run's document have in common. */

import type { TranslationBundle } from '@jupyterlab/translation';
import type { ReactElement, ReactNode } from 'react';
import { createContext, useContext, useState } from 'react';

import type { IAgentsModel } from '../tokens';

/** What every block may need. */
export interface ITools {
  readonly model: IAgentsModel;
  readonly trans: TranslationBundle;
  /** Open a file of the workspace in JupyterLab, at a line that counts from 1. */
  readonly openFile: (path: string, line?: number) => void;
  /** Which folds the person opened or closed: a block that is scrolled away is forgotten by the page. */
  readonly folds: Map<string, boolean>;
}

export const Tools = createContext<ITools | null>(null);

export function useTools(): ITools {
  const tools = useContext(Tools);
  if (!tools) {
    throw new Error('A part of a run is drawn outside of its document.');
  }
  return tools;
}

/** Something folded, with a line that says what it is. What is folded is not drawn. */
export function Fold(props: {
  id: string;
  summary: ReactNode;
  open?: boolean;
  className?: string;
  children: () => ReactNode;
}): ReactElement {
  const { folds } = useTools();
  const [open, setOpen] = useState(folds.get(props.id) ?? props.open ?? false);
  return (
    <details
      className={`jp-AgentsRun-fold ${props.className ?? ''}`}
      open={open}
      onToggle={event => {
        const now = event.currentTarget.open;
        if (now !== open) {
          folds.set(props.id, now);
          setOpen(now);
        }
      }}
    >
      <summary>{props.summary}</summary>
      {open && props.children()}
    </details>
  );
}

/** Lines that a screen shows of a text before it is asked for the rest. */
const LINES = 16;
const CHARACTERS = 4_000;
/** More than this in one piece no page bears. */
const MOST = 400_000;
// eslint-disable-next-line no-control-regex -- terminal escapes are what it looks for
const ESCAPES = /\u001b(?:\[[0-9;:?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[()][0-9A-Z])/g;

/** A program's text: its beginning, and the rest when asked for. */
export function Output(props: { id: string; text: string; label: string }): ReactElement | null {
  const { folds, trans } = useTools();
  const [all, setAll] = useState(folds.get(`all-${props.id}`) ?? false);
  const text = props.text.replace(ESCAPES, '').replace(/\n+$/, '');
  if (!text) {
    return null;
  }
  const lines = text.split('\n');
  const short = lines.slice(0, LINES).join('\n').slice(0, CHARACTERS);
  const isLong = short.length < text.length;
  return (
    <div className="jp-AgentsRun-output">
      <pre aria-label={props.label}>{all ? text.slice(0, MOST) : short}</pre>
      {isLong && (
        <button
          className="jp-AgentsRun-link"
          aria-expanded={all}
          onClick={() => {
            folds.set(`all-${props.id}`, !all);
            setAll(!all);
          }}
        >
          {all ? trans.__('Show less') : trans._n('Show all, %1 line', 'Show all, %1 lines', lines.length)}
        </button>
      )}
    </div>
  );
}
