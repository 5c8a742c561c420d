/** A tool call as a card: what was called, with what, and what came of it. */

import type { ReactElement } from 'react';

import { QUESTION } from '../approvals/call';
import { DecideAlone } from '../approvals/decide';
import type { Block, IAsked, ICall, IHunk } from './blocks';
import { intendedHunks, isWaiting, textOf } from './blocks';
import { BlockView } from './block';
import { filesRoot, relativePath } from './files';
import { Fold, Output, useTools } from './parts';
import { DELEGATES, EDITS, fileOf, nameOf, summary } from './tools';

/** Lines of a change that a card shows before it is asked for the rest. */
const DIFF_LINES = 40;
/** Blocks of a subagent's work that are drawn, the newest. */
const INNER = 100;

type State = 'open' | 'waiting' | 'denied' | 'failed' | 'done';

export function Card(props: { call: ICall; ended: boolean }): ReactElement {
  const { call, ended } = props;
  const { trans } = useTools();
  const { name, server } = nameOf(call.tool);
  const state = stateOf(call);
  const file = fileOf(call);
  const line = summary(call);
  const words: Record<State, string> = {
    open: ended ? trans.__('did not end') : trans.__('at work'),
    waiting: trans.__('waits for you'),
    denied: trans.__('denied'),
    failed: trans.__('failed'),
    done: trans.__('done')
  };
  return (
    <section
      className="jp-AgentsRun-card"
      data-state={state === 'open' && ended ? 'ended' : state}
      data-tool={call.tool}
      aria-label={`${name}: ${words[state]}`}
    >
      <header>
        <span className="jp-AgentsRun-dot" aria-hidden="true" />
        <strong>{name}</strong>
        {server && <span className="jp-AgentsRun-dim">{trans.__('of %1', server)}</span>}
        {file ? <FileLink path={file} /> : call.tool !== 'Bash' && <code title={line}>{line}</code>}
        {call.tool === 'Bash' && typeof call.input['description'] === 'string' && (
          <span className="jp-AgentsRun-dim">{call.input['description']}</span>
        )}
        <span className="jp-AgentsRun-state">
          {state === 'done' ? seconds(call.time, call.result?.time) : words[state]}
        </span>
      </header>
      <Body call={call} ended={ended} />
      {call.approval && <Asked approval={call.approval} ended={ended} />}
    </section>
  );
}

function Body(props: { call: ICall; ended: boolean }): ReactElement | null {
  const { call } = props;
  const { trans } = useTools();
  const result = call.result && (
    <Output id={call.key} text={call.result.text} label={trans.__('Output of %1', nameOf(call.tool).name)} />
  );
  const isError = call.result?.isError === true;
  if (call.tool === 'Bash') {
    return (
      <>
        <pre className="jp-AgentsRun-command" aria-label={trans.__('Command')}>
          {textOf(call.input['command'])}
        </pre>
        {result}
      </>
    );
  }
  if (EDITS.has(call.tool)) {
    const hunks = call.result?.hunks.length ? call.result.hunks : intendedHunks(call);
    return (
      <>
        <Diff id={call.key} hunks={hunks} path={fileOf(call)} />
        {isError && result}
      </>
    );
  }
  if (DELEGATES.has(call.tool)) {
    const prompt = call.input['prompt'];
    return (
      <>
        {typeof prompt === 'string' && (
          <Fold id={`prompt-${call.key}`} summary={trans.__('What it was told')}>
            {() => <Output id={`prompt-${call.key}`} text={prompt} label={trans.__('What it was told')} />}
          </Fold>
        )}
        <Inner call={call} />
        {isError && result}
      </>
    );
  }
  if (call.tool === QUESTION && !call.result) {
    // While it waits, the form below has the question.
    return call.approval && isWaiting(call.approval) && !props.ended ? null : <Question input={call.input} />;
  }
  const isShort = !call.tool.startsWith('mcp__') && summary(call) !== '';
  return (
    <>
      {!isShort && Object.keys(call.input).length > 0 && (
        <Fold id={`input-${call.key}`} summary={trans.__('What it was given')}>
          {() => (
            <Output
              id={`input-${call.key}`}
              text={JSON.stringify(call.input, null, 2)}
              label={trans.__('What it was given')}
            />
          )}
        </Fold>
      )}
      {isError || !call.result?.text
        ? result
        : result && (
            <Fold id={`result-${call.key}`} summary={trans.__('What came back')}>
              {() => result}
            </Fold>
          )}
    </>
  );
}

/** What a subagent did, folded: its own steps are seldom what is looked for. */
function Inner(props: { call: ICall }): ReactElement | null {
  const { call } = props;
  const { trans } = useTools();
  if (!call.inner.length) {
    return null;
  }
  const left = call.inner.length - INNER;
  return (
    <Fold
      id={`inner-${call.key}`}
      className="jp-AgentsRun-inner"
      summary={trans._n('What it did, %1 step', 'What it did, %1 steps', call.inner.length)}
    >
      {() => (
        <div>
          {left > 0 && <p className="jp-AgentsRun-dim">{trans.__('%1 earlier steps are left out.', left)}</p>}
          {call.inner.slice(-INNER).map((block: Block) => (
            <BlockView key={block.key} block={block} ended={call.result !== null} />
          ))}
        </div>
      )}
    </Fold>
  );
}

/** Questions of Claude's, as they are asked. */
function Question(props: { input: ICall['input'] }): ReactElement {
  const questions = Array.isArray(props.input['questions']) ? (props.input['questions'] as unknown[]) : [];
  return (
    <>
      {(questions as { question?: unknown }[]).map((question, at) => (
        <p key={at} className="jp-AgentsRun-question">
          {textOf(question.question)}
        </p>
      ))}
    </>
  );
}

/** What a person is asked, or what they said. */
export function Asked(props: { approval: IAsked; ended: boolean }): ReactElement | null {
  const { approval } = props;
  const { model, trans } = useTools();
  if (isWaiting(approval) && !props.ended) {
    return (
      <div className="jp-AgentsRun-asked">
        {approval.reason && <p className="jp-AgentsRun-dim">{approval.reason}</p>}
        <DecideAlone
          key={approval.id}
          approval={approval}
          model={model}
          trans={trans}
          label={trans.__('Decide about %1', nameOf(approval.tool).name)}
        />
      </div>
    );
  }
  const said = decisionWord(approval);
  return said ? (
    <p className="jp-AgentsRun-decided">{approval.message ? `${said}: ${approval.message}` : said}</p>
  ) : null;

  function decisionWord({ decision, tool }: IAsked): string {
    if (tool === QUESTION && decision !== null && decision !== 'deny') {
      return trans.__('Your answer');
    }
    switch (decision) {
      case 'once':
        return trans.__('Approved once');
      case 'run':
        return trans.__('Approved for this run');
      case 'agent':
        return trans.__('Always approved for this agent');
      case 'deny':
        return trans.__('Denied');
      case null:
        return trans.__('Nobody decided: the run ended before.');
    }
  }
}

/** A file's name that opens it. */
function FileLink(props: { path: string }): ReactElement {
  const { openFile, trans } = useTools();
  return (
    <button
      className="jp-AgentsRun-link jp-AgentsRun-file"
      title={trans.__('Open %1', props.path)}
      onClick={() => {
        openFile(props.path);
      }}
    >
      {relativePath(props.path, filesRoot()) ?? props.path}
    </button>
  );
}

/** A change of a file. A click on a line opens the file there; the file's name does so by keyboard. */
function Diff(props: { id: string; hunks: readonly IHunk[]; path: string | null }): ReactElement {
  const { openFile, trans } = useTools();
  const { path } = props;
  const rows = rowsOf(props.hunks);
  const isLong = rows.length > DIFF_LINES;
  const table = (lines: readonly IRow[]): ReactElement => (
    <pre
      className="jp-AgentsRun-diff"
      aria-label={trans.__('Changes')}
      onClick={event => {
        const line = (event.target as HTMLElement).closest<HTMLElement>('[data-line]')?.dataset['line'];
        // Who selects text means to copy it.
        if (path && line !== undefined && !document.getSelection()?.toString()) {
          openFile(path, Number(line) || undefined);
        }
      }}
    >
      {lines.map((row, at) => (
        <span key={at} data-mark={row.mark} data-line={row.line}>
          <span className="jp-AgentsRun-mark">{row.mark}</span>
          {row.text}
          {'\n'}
        </span>
      ))}
    </pre>
  );
  return (
    <>
      {table(rows.slice(0, DIFF_LINES))}
      {isLong && (
        <Fold id={`diff-${props.id}`} summary={trans.__('%1 more lines', rows.length - DIFF_LINES)}>
          {() => table(rows.slice(DIFF_LINES))}
        </Fold>
      )}
    </>
  );
}

interface IRow {
  readonly mark: string;
  readonly text: string;
  /** The line in the changed file; 0 when it is not known. */
  readonly line: number;
}

function rowsOf(hunks: readonly IHunk[]): IRow[] {
  const rows: IRow[] = [];
  hunks.forEach((hunk, at) => {
    if (at > 0) {
      rows.push({ mark: '', text: '⋯', line: hunk.newStart });
    }
    let line = hunk.newStart;
    for (const text of hunk.lines) {
      const mark = text.charAt(0);
      rows.push({ mark, text: text.slice(1), line });
      if (mark !== '-' && line > 0) {
        line += 1;
      }
    }
  });
  return rows;
}

function stateOf(call: ICall): State {
  if (call.approval && isWaiting(call.approval) && !call.result) {
    return 'waiting';
  }
  if (call.approval?.decision === 'deny') {
    return 'denied';
  }
  if (!call.result) {
    return 'open';
  }
  return call.result.isError ? 'failed' : 'done';
}

/** How long a call took, when that is worth a word. */
function seconds(from: string, to: string | undefined): string {
  const took = to === undefined ? 0 : (Date.parse(to) - Date.parse(from)) / 1_000;
  return took >= 1 ? `${took.toFixed(took < 10 ? 1 : 0)} s` : '';
}
