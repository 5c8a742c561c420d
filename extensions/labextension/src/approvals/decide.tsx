/** What a person can say to a tool call that waits: approve, deny with a word why, or answer. In the inbox and in a run. */

import type { TranslationBundle } from '@jupyterlab/translation';
import { CommandRegistry } from '@lumino/commands';
import type { ReactElement } from 'react';
import { useEffect, useId, useRef, useState } from 'react';

import { CommandIDs } from '../commands';
import type { IAgentsModel } from '../tokens';
import type { Approval } from '../types';
import type { IQuestion } from './call';
import { answerOf, callOf } from './call';
import type { Decision } from './inbox';
import { ruleWords } from './rules';

/** Takes the decision to the server, and knows how far it is. */
export interface IDecider {
  readonly isBusy: boolean;
  /** Whether the person writes why they deny. */
  readonly isDenying: boolean;
  setDenying(denying: boolean): void;
  decide(decision: Decision, message?: string): Promise<void>;
}

type Asked = Readonly<Pick<Approval, 'id' | 'tool' | 'input'>> & { readonly rules: readonly string[] };

interface IDecideProps {
  approval: Asked;
  decider: IDecider;
  /** Whose keys decide too; null where they do not. */
  commands: CommandRegistry | null;
  trans: TranslationBundle;
}

export function Decide(props: IDecideProps): ReactElement {
  const { approval, decider, trans } = props;
  const call = callOf(approval);
  return call.kind === 'question' ? (
    <Questions questions={call.questions} decider={decider} trans={trans} />
  ) : (
    <>
      <Rules rules={approval.rules} trans={trans} />
      <Actions {...props} />
    </>
  );
}

/** The same for one call that stands alone, such as in a run. What the server refuses stands below, in its own words. */
export function DecideAlone(props: {
  approval: Asked;
  model: IAgentsModel;
  trans: TranslationBundle;
  /** What the call is, for who does not see where the buttons stand. */
  label: string;
}): ReactElement {
  const { approval, model, trans } = props;
  const [isBusy, setBusy] = useState(false);
  const [isDenying, setDenying] = useState(false);
  const [problem, setProblem] = useState('');
  const place = useRef<HTMLDivElement>(null);
  const wasDenying = useRef(false);
  const isSent = useRef(false);
  useEffect(() => {
    if (wasDenying.current && !isDenying) {
      place.current?.querySelector<HTMLElement>('[data-decision="deny"]')?.focus();
    }
    wasDenying.current = isDenying;
  }, [isDenying]);
  const decide = async (decision: Decision, message = ''): Promise<void> => {
    if (isSent.current) {
      return;
    }
    isSent.current = true;
    setBusy(true);
    setProblem('');
    const said = message.trim();
    try {
      await model.api.decide(approval.id, { decision, ...(said ? { message: said } : {}) });
      // There is nothing more to say: the card changes with the event that is on its way.
    } catch (error) {
      isSent.current = false;
      setBusy(false);
      setProblem(error instanceof Error ? error.message : String(error));
    }
    // Also when somebody was faster.
    void model.approvals.refresh();
  };
  return (
    <div className="jp-AgentsDecide" role="group" aria-label={props.label} ref={place}>
      <Decide
        approval={approval}
        decider={{ isBusy, isDenying, setDenying, decide }}
        commands={null}
        trans={trans}
      />
      {problem && (
        <p className="jp-Agents-problem" role="alert">
          {problem}
        </p>
      )}
    </div>
  );
}

function Rules({ rules, trans }: { rules: readonly string[]; trans: TranslationBundle }): ReactElement {
  if (!rules.length) {
    return (
      <p className="jp-AgentsDecide-rules">
        {trans.__('Such calls are asked about each time: no rule describes them, or the site wants it so.')}
      </p>
    );
  }
  return (
    <div className="jp-AgentsDecide-rules">
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

function Actions(props: IDecideProps): ReactElement {
  const { approval, decider, commands, trans } = props;
  const deciding = decider.isBusy;
  if (decider.isDenying) {
    return <Denial decider={decider} trans={trans} />;
  }
  const approve = (scope: 'once' | 'run' | 'agent', text: string, title: string): ReactElement => (
    <button
      className="jp-AgentsDecide-button"
      data-decision={scope}
      disabled={deciding}
      title={title}
      onClick={() => void decider.decide(scope)}
    >
      {text} {commands && <Key commands={commands} command={CommandIDs.approve} scope={scope} />}
    </button>
  );
  return (
    <div className="jp-AgentsDecide-actions" role="group" aria-label={trans.__('Your decision')}>
      {approve('once', trans.__('Approve once'), trans.__('This call is made'))}
      {approval.rules.length > 0 && (
        <>
          {approve('run', trans.__('For this run'), trans.__('And such calls until this run ends'))}
          {approve(
            'agent',
            trans.__('Always for this agent'),
            trans.__('And such calls in every run of this agent, which gets a new revision')
          )}
        </>
      )}
      <button
        className="jp-AgentsDecide-button"
        data-decision="deny"
        disabled={deciding}
        title={trans.__('The call is not made; you can say why')}
        onClick={() => {
          decider.setDenying(true);
        }}
      >
        {trans.__('Deny …')} {commands && <Key commands={commands} command={CommandIDs.deny} />}
      </button>
    </div>
  );
}

/** Why the person denies, told to the agent. */
function Denial({ decider, trans }: Pick<IDecideProps, 'decider' | 'trans'>): ReactElement {
  const [text, setText] = useState('');
  const id = useId();
  const box = useRef<HTMLTextAreaElement>(null);
  useEffect(() => box.current?.focus(), []);
  const deny = (): void => {
    void decider.decide('deny', text);
  };
  return (
    <form
      className="jp-AgentsDecide-denial"
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
            decider.setDenying(false);
          }
        }}
      />
      <div className="jp-AgentsDecide-actions">
        <button className="jp-AgentsDecide-button" data-decision="deny" disabled={decider.isBusy}>
          {trans.__('Deny')}
        </button>
        <button
          type="button"
          className="jp-AgentsDecide-button"
          onClick={() => {
            decider.setDenying(false);
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
  decider: IDecider;
  trans: TranslationBundle;
}): ReactElement {
  const { questions, decider, trans } = props;
  const [chosen, setChosen] = useState<Record<number, string[]>>({});
  const [own, setOwn] = useState<Record<number, string>>({});
  const name = useId();
  const answers = questions.map((_, at) =>
    [...(chosen[at] ?? []), (own[at] ?? '').trim()].filter(Boolean).join(', ')
  );
  return (
    <form
      className="jp-AgentsDecide-questions"
      data-lm-suppress-shortcuts="true"
      onSubmit={event => {
        event.preventDefault();
        if (answers.every(Boolean)) {
          void decider.decide('once', answerOf(questions, answers));
        }
      }}
    >
      {questions.map((one, at) => (
        <fieldset key={at}>
          <legend>{one.question}</legend>
          {one.options.map(option => (
            <label key={option.label} className="jp-AgentsDecide-option">
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
            className="jp-AgentsDecide-own"
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
      <div className="jp-AgentsDecide-actions">
        <button
          className="jp-AgentsDecide-button"
          data-decision="once"
          disabled={decider.isBusy || !answers.every(Boolean)}
        >
          {trans.__('Answer')}
        </button>
        <button
          type="button"
          className="jp-AgentsDecide-button"
          disabled={decider.isBusy}
          onClick={() => void decider.decide('deny')}
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
