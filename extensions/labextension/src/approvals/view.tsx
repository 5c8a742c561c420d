/** The inbox as it is seen. */

import { Time } from '@jupyterlab/coreutils';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import type { ReactElement } from 'react';
import { useEffect, useId, useRef, useState } from 'react';

import { CommandIDs } from '../commands';
import { useWatched } from '../react';
import type { IAgentsModel } from '../tokens';
import type { Approval } from '../types';
import type { Call, IDiffLine } from './call';
import { callOf, summaryOf } from './call';
import { Decide } from './decide';
import type { Inbox } from './inbox';

export interface IInboxProps {
  inbox: Inbox;
  model: IAgentsModel;
  commands: CommandRegistry;
  trans: TranslationBundle;
  /** What a file holds; null when that is not to be had. The path is absolute. */
  read: (path: string) => Promise<string | null>;
  /** Shows a call larger; null where there is nothing larger. */
  enlarge: (() => void) | null;
}

export function InboxView(props: IInboxProps): ReactElement {
  const { inbox, model, trans } = props;
  useWatched(model.approvals);
  const top = useRef<HTMLDivElement>(null);
  useEffect(() => {
    // Who went to the inbox before the call was here is led to it too.
    const isEmptyHanded = document.activeElement === top.current?.closest('.jp-AgentsInbox');
    if (inbox.takeFocus() || (isEmptyHanded && inbox.items.length > 0)) {
      const target = top.current?.querySelector<HTMLElement>('[aria-expanded="true"], .jp-Agents-note');
      target?.focus();
    }
  });
  const waits = model.approvals.value;
  return (
    <div ref={top}>
      <p className="jp-AgentsInbox-notice" role="status" hidden={!inbox.notice}>
        {inbox.notice}
      </p>
      {inbox.items.length ? (
        <ul className="jp-Agents-list" aria-label={trans.__('Approvals')}>
          {inbox.items.map(approval => (
            <Item key={approval.id} {...props} approval={approval} isCurrent={approval === inbox.current} />
          ))}
        </ul>
      ) : (
        <p className="jp-Agents-note" tabIndex={-1}>
          {waits
            ? trans.__('Nothing waits for you.')
            : (model.approvals.error?.message ?? trans.__('Loading …'))}
        </p>
      )}
    </div>
  );
}

function Item(props: IInboxProps & { approval: Approval; isCurrent: boolean }): ReactElement {
  const { approval, isCurrent, inbox, model, trans } = props;
  const body = useId();
  const agents = useWatched(model.agents);
  const call = callOf(approval);
  const agent = agents?.find(one => one.id === approval.agent_id)?.name ?? approval.agent_id;
  const isQuestion = call.kind === 'question';
  return (
    <li className="jp-AgentsInbox-item" data-current={isCurrent}>
      <button
        className="jp-AgentsInbox-head"
        aria-expanded={isCurrent}
        aria-controls={body}
        onClick={() => {
          inbox.select(approval.id);
        }}
      >
        <span className="jp-AgentsInbox-who">
          {isQuestion ? trans.__('%1 asks you', agent) : trans.__('%1 wants to use %2', agent, approval.tool)}
        </span>
        <time dateTime={approval.created_at} title={Time.format(approval.created_at)}>
          {Time.formatHuman(approval.created_at)}
        </time>
        {!isCurrent && <span className="jp-AgentsInbox-summary">{summaryOf(call)}</span>}
      </button>
      <div id={body} className="jp-AgentsInbox-body" hidden={!isCurrent}>
        {isCurrent && <Details {...props} call={call} />}
      </div>
    </li>
  );
}

function Details(props: IInboxProps & { approval: Approval; call: Call }): ReactElement {
  const { approval, call, inbox, model, commands, trans } = props;
  const runs = useWatched(model.runs);
  const run = runs?.find(one => one.id === approval.run_id);
  const before = useReplaced(approval, props.read);
  return (
    <>
      <p className="jp-AgentsInbox-from">
        <span className="jp-AgentsInbox-prompt">
          {run ? trans.__('It was asked: “%1”', shortened(run.prompt)) : ''}
        </span>
        <button
          className="jp-AgentsInbox-link"
          onClick={() => {
            void commands.execute(CommandIDs.openRun, { runId: approval.run_id });
          }}
        >
          {trans.__('Open the run')}
        </button>
        {props.enlarge && call.kind !== 'question' && (
          <button className="jp-AgentsInbox-link" onClick={props.enlarge}>
            {trans.__('Show it larger')}
          </button>
        )}
      </p>
      {approval.reason && <p className="jp-AgentsInbox-reason">{approval.reason}</p>}
      {before !== null && (
        <p className="jp-AgentsInbox-reason">{trans.__('It replaces the file that is there.')}</p>
      )}
      <Shown call={before === null ? call : callOf(approval, before)} trans={trans} />
      <Decide key={approval.id} approval={approval} decider={inbox} commands={commands} trans={trans} />
    </>
  );
}

/** What the file holds that the call would replace. */
function useReplaced(approval: Approval, read: IInboxProps['read']): string | null {
  const [before, setBefore] = useState<string | null>(null);
  const path = approval.tool === 'Write' ? approval.input['file_path'] : null;
  useEffect(() => {
    let isAsking = true;
    if (typeof path === 'string') {
      void read(path).then(text => {
        if (isAsking) {
          setBefore(text);
        }
      });
    }
    return () => {
      isAsking = false;
    };
  }, [path, read]);
  return before;
}

function Shown({ call, trans }: { call: Call; trans: TranslationBundle }): ReactElement | null {
  switch (call.kind) {
    case 'command':
      return (
        <>
          {call.about && <p className="jp-AgentsInbox-about">{call.about}</p>}
          <pre
            className="jp-AgentsInbox-code"
            tabIndex={0}
            role="region"
            aria-label={trans.__('The command')}
          >
            {call.command}
          </pre>
          <Rest text={call.rest} trans={trans} />
        </>
      );
    case 'change':
      return (
        <>
          <p className="jp-AgentsInbox-path">{call.path}</p>
          <div className="jp-AgentsInbox-code" tabIndex={0} role="region" aria-label={trans.__('The change')}>
            {call.changes.map((lines, at) => (
              <pre key={at} className="jp-AgentsInbox-diff">
                {lines.map((line, number) => (
                  <DiffLine key={number} line={line} trans={trans} />
                ))}
              </pre>
            ))}
          </div>
          <Rest text={call.rest} trans={trans} />
        </>
      );
    case 'other':
      return (
        <pre
          className="jp-AgentsInbox-code"
          tabIndex={0}
          role="region"
          aria-label={trans.__('What it is given')}
        >
          {call.text}
        </pre>
      );
    case 'question':
      return null;
  }
}

const NAMES = { '+': 'added', '-': 'removed', ' ': 'same' } as const;

function DiffLine({ line, trans }: { line: IDiffLine; trans: TranslationBundle }): ReactElement {
  const Tag = line.sign === '+' ? 'ins' : line.sign === '-' ? 'del' : 'span';
  const spoken = line.sign === '+' ? trans.__('added:') : line.sign === '-' ? trans.__('removed:') : '';
  return (
    <Tag className="jp-AgentsInbox-line" data-line={NAMES[line.sign]}>
      {spoken && <span className="jp-Agents-spoken">{spoken}</span>}
      <span aria-hidden="true">{line.sign} </span>
      {line.text}
      {'\n'}
    </Tag>
  );
}

/** What else the call is given, such as that it stays in the background. */
function Rest({ text, trans }: { text: string; trans: TranslationBundle }): ReactElement | null {
  return text ? (
    <pre className="jp-AgentsInbox-rest" tabIndex={0} role="region" aria-label={trans.__('And with')}>
      {text}
    </pre>
  ) : null;
}

function shortened(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim();
  return line.length > 120 ? `${line.slice(0, 119)}…` : line;
}
