/** The inbox as it is seen. */

import { Time } from '@jupyterlab/coreutils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { CommandRegistry } from '@lumino/commands';
import type { ReactElement } from 'react';
import { useEffect, useId, useRef, useState } from 'react';

import { CommandIDs } from '../commands';
import { useWatched } from '../react';
import type { IAgentsModel } from '../tokens';
import type { Approval } from '../types';
import type { Call, IDiffLine, IQuestion } from './call';
import { answerOf, callOf, summaryOf } from './call';
import type { Inbox } from './inbox';
import { ruleWords } from './rules';

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
    if (inbox.takeFocus()) {
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
        {isCurrent && <Details {...props} call={call} agent={agent} />}
      </div>
    </li>
  );
}

function Details(props: IInboxProps & { approval: Approval; call: Call; agent: string }): ReactElement {
  const { approval, call, agent, inbox, model, commands, trans } = props;
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
      {call.kind === 'question' ? (
        <Questions key={approval.id} questions={call.questions} inbox={inbox} trans={trans} />
      ) : (
        <>
          <Rules rules={approval.rules} trans={trans} />
          <Actions {...props} agent={agent} />
        </>
      )}
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

function Rules({ rules, trans }: { rules: readonly string[]; trans: TranslationBundle }): ReactElement {
  if (!rules.length) {
    return (
      <p className="jp-AgentsInbox-rules">
        {trans.__('Such calls are asked about each time: no rule describes them, or the site wants it so.')}
      </p>
    );
  }
  return (
    <div className="jp-AgentsInbox-rules">
      {trans.__('“For this run” and “Always” also allow:')}
      <ul>
        {rules.map(rule => (
          <li key={rule} title={rule}>
            {ruleWords(rule, trans)}
          </li>
        ))}
      </ul>
    </div>
  );
}

function Actions(props: IInboxProps & { approval: Approval; agent: string }): ReactElement {
  const { approval, inbox, commands, trans } = props;
  const deciding = inbox.isBusy;
  if (inbox.isDenying) {
    return <Denial {...props} />;
  }
  const approve = (scope: 'once' | 'run' | 'agent', text: string, title: string): ReactElement => (
    <button
      className="jp-AgentsInbox-button"
      data-decision={scope}
      disabled={deciding}
      title={title}
      onClick={() => void inbox.decide(scope)}
    >
      {text} <Key commands={commands} command={CommandIDs.approve} scope={scope} />
    </button>
  );
  return (
    <div className="jp-AgentsInbox-actions" role="group" aria-label={trans.__('Your decision')}>
      {approve('once', trans.__('Approve once'), trans.__('This call is made'))}
      {approval.rules.length > 0 && (
        <>
          {approve('run', trans.__('For this run'), trans.__('And such calls until this run ends'))}
          {approve(
            'agent',
            trans.__('Always for this agent'),
            trans.__('And such calls in every run of %1; the agent gets a new revision', props.agent)
          )}
        </>
      )}
      <button
        className="jp-AgentsInbox-button"
        data-decision="deny"
        disabled={deciding}
        title={trans.__('The call is not made; you can say why')}
        onClick={() => {
          inbox.setDenying(true);
        }}
      >
        {trans.__('Deny …')} <Key commands={commands} command={CommandIDs.deny} />
      </button>
    </div>
  );
}

/** Why the person denies, told to the agent. */
function Denial({ inbox, trans }: IInboxProps): ReactElement {
  const [text, setText] = useState('');
  const id = useId();
  const box = useRef<HTMLTextAreaElement>(null);
  useEffect(() => box.current?.focus(), []);
  const deny = (): void => {
    void inbox.decide('deny', text);
  };
  return (
    <form
      className="jp-AgentsInbox-denial"
      data-lm-suppress-shortcuts="true"
      onSubmit={event => {
        event.preventDefault();
        deny();
      }}
    >
      <label htmlFor={id}>{trans.__('What shall the agent know? (You may leave this empty.)')}</label>
      <textarea
        id={id}
        ref={box}
        rows={2}
        maxLength={10_000}
        value={text}
        onChange={event => {
          setText(event.target.value);
        }}
        onKeyDown={event => {
          // Korean is written in steps: Enter then ends a syllable.
          if (event.key === 'Enter' && !event.shiftKey && !event.nativeEvent.isComposing) {
            event.preventDefault();
            deny();
          } else if (event.key === 'Escape') {
            event.stopPropagation();
            inbox.setDenying(false);
          }
        }}
      />
      <div className="jp-AgentsInbox-actions">
        <button className="jp-AgentsInbox-button" data-decision="deny" disabled={inbox.isBusy}>
          {trans.__('Deny')}
        </button>
        <button
          type="button"
          className="jp-AgentsInbox-button"
          onClick={() => {
            inbox.setDenying(false);
          }}
        >
          {trans.__('Back')}
        </button>
      </div>
    </form>
  );
}

/** Questions with their options, and room for words of one's own. */
function Questions(props: {
  questions: readonly IQuestion[];
  inbox: Inbox;
  trans: TranslationBundle;
}): ReactElement {
  const { questions, inbox, trans } = props;
  const [chosen, setChosen] = useState<Record<number, string[]>>({});
  const [own, setOwn] = useState<Record<number, string>>({});
  const name = useId();
  const answers = questions.map((_, at) =>
    [...(chosen[at] ?? []), (own[at] ?? '').trim()].filter(Boolean).join(', ')
  );
  return (
    <form
      className="jp-AgentsInbox-questions"
      data-lm-suppress-shortcuts="true"
      onSubmit={event => {
        event.preventDefault();
        if (answers.every(Boolean)) {
          void inbox.decide('once', answerOf(questions, answers));
        }
      }}
    >
      {questions.map((one, at) => (
        <fieldset key={at}>
          <legend>{one.question}</legend>
          {one.options.map(option => (
            <label key={option.label} className="jp-AgentsInbox-option">
              <input
                type={one.many ? 'checkbox' : 'radio'}
                name={`${name}-${String(at)}`}
                checked={chosen[at]?.includes(option.label) ?? false}
                onChange={event => {
                  const others = one.many ? (chosen[at] ?? []).filter(label => label !== option.label) : [];
                  setChosen({ ...chosen, [at]: event.target.checked ? [...others, option.label] : others });
                }}
              />
              <span>
                {option.label}
                {option.description && <small>{option.description}</small>}
              </span>
            </label>
          ))}
          <input
            type="text"
            className="jp-AgentsInbox-own"
            aria-label={trans.__('In your own words: %1', one.question)}
            placeholder={trans.__('In your own words')}
            value={own[at] ?? ''}
            onChange={event => {
              setOwn({ ...own, [at]: event.target.value });
              if (!one.many) {
                setChosen({ ...chosen, [at]: [] });
              }
            }}
          />
        </fieldset>
      ))}
      <div className="jp-AgentsInbox-actions">
        <button
          className="jp-AgentsInbox-button"
          data-decision="once"
          disabled={inbox.isBusy || !answers.every(Boolean)}
        >
          {trans.__('Answer')}
        </button>
        <button
          type="button"
          className="jp-AgentsInbox-button"
          disabled={inbox.isBusy}
          onClick={() => void inbox.decide('deny')}
        >
          {trans.__('Do not answer')}
        </button>
      </div>
    </form>
  );
}

/** The key that does the same, as the person has set it. */
function Key(props: { commands: CommandRegistry; command: string; scope?: string }): ReactElement | null {
  const binding = props.commands.keyBindings.find(
    one => one.command === props.command && (props.scope === undefined || one.args['scope'] === props.scope)
  );
  const [first] = binding?.keys ?? [];
  return first ? <kbd aria-hidden="true">{CommandRegistry.formatKeystroke(first)}</kbd> : null;
}

function shortened(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim();
  return line.length > 120 ? `${line.slice(0, 119)}…` : line;
}
