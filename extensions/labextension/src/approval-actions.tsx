/** What a person can say to a tool call that waits, as buttons; used wherever such a call is shown. */

import type { TranslationBundle } from '@jupyterlab/translation';
import type { ReactElement } from 'react';
import { useState } from 'react';

import type { IAgentsModel } from './tokens';
import type { Approval, ApprovalDecision } from './types';

/** Claude Code's tool by which it asks the person something. */
export const QUESTION = 'AskUserQuestion';

/** Decide, and have every list that shows the approval know of it. Rejects with RequestError. */
export async function decide(
  model: IAgentsModel,
  approvalId: string,
  decision: ApprovalDecision
): Promise<Approval> {
  try {
    return await model.api.decide(approvalId, decision);
  } finally {
    // Also when somebody was faster.
    void model.approvals.refresh();
  }
}

/**
 * Buttons for one approval. What the server refuses stands below them, in its own words.
 *
 * @param props.label what the call is, for who does not see where the buttons stand.
 */
export function ApprovalActions(props: {
  approval: Pick<Approval, 'id' | 'tool' | 'input' | 'rules'>;
  model: IAgentsModel;
  trans: TranslationBundle;
  label?: string;
  onDecided?: (approval: Approval) => void;
}): ReactElement {
  const { approval, model, trans } = props;
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState('');
  const [message, setMessage] = useState('');
  const isQuestion = approval.tool === QUESTION;
  const say = async (decision: ApprovalDecision): Promise<void> => {
    setBusy(true);
    setProblem('');
    try {
      const decided = await decide(model, approval.id, decision);
      props.onDecided?.(decided);
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error));
    } finally {
      setBusy(false);
    }
  };
  const answer = (text: string): void => {
    void say({ decision: 'once', message: text });
  };
  const deny = (): void => {
    void say({ decision: 'deny', ...(message.trim() ? { message: message.trim() } : {}) });
  };
  const rules = approval.rules.join(', ');
  return (
    <div
      className="jp-Agents-decide"
      role="group"
      aria-label={props.label ?? trans.__('Decide about %1', approval.tool)}
    >
      <div className="jp-Agents-decideButtons">
        {isQuestion ? (
          <>
            {optionsOf(approval.input).map(option => (
              <button
                key={option}
                className="jp-Agents-action"
                disabled={busy}
                onClick={() => {
                  answer(option);
                }}
              >
                {option}
              </button>
            ))}
          </>
        ) : (
          <>
            <button
              className="jp-Agents-action jp-mod-primary"
              data-decision="once"
              disabled={busy}
              onClick={() => void say({ decision: 'once' })}
            >
              {trans.__('Approve once')}
            </button>
            {approval.rules.length > 0 && (
              <>
                <button
                  className="jp-Agents-action"
                  data-decision="run"
                  disabled={busy}
                  title={trans.__('Also what %1 describes, until this run ends', rules)}
                  onClick={() => void say({ decision: 'run' })}
                >
                  {trans.__('For this run')}
                </button>
                <button
                  className="jp-Agents-action"
                  data-decision="agent"
                  disabled={busy}
                  title={trans.__('Also what %1 describes, in all runs of this agent', rules)}
                  onClick={() => void say({ decision: 'agent' })}
                >
                  {trans.__('Always')}
                </button>
              </>
            )}
          </>
        )}
        <button className="jp-Agents-action jp-mod-warn" data-decision="deny" disabled={busy} onClick={deny}>
          {trans.__('Deny')}
        </button>
      </div>
      <input
        className="jp-Agents-decideMessage"
        type="text"
        value={message}
        disabled={busy}
        aria-label={isQuestion ? trans.__('Your answer') : trans.__('What to tell the agent when you deny')}
        placeholder={isQuestion ? trans.__('Your answer') : trans.__('Deny with a word why (optional)')}
        onChange={event => {
          setMessage(event.target.value);
        }}
        onKeyDown={event => {
          // Korean is written in steps: Enter then ends a syllable.
          if (event.key === 'Enter' && !event.nativeEvent.isComposing && message.trim()) {
            event.preventDefault();
            if (isQuestion) {
              answer(message.trim());
            } else {
              deny();
            }
          }
        }}
      />
      {problem && (
        <p className="jp-Agents-problem" role="alert">
          {problem}
        </p>
      )}
    </div>
  );
}

/** The answers that a question offers; none when it asks several things at once, which take words. */
function optionsOf(input: Readonly<Record<string, unknown>>): string[] {
  const questions = Array.isArray(input['questions']) ? (input['questions'] as unknown[]) : [];
  const [first] = questions as { options?: { label?: unknown }[] }[];
  if (questions.length !== 1 || !Array.isArray(first?.options)) {
    return [];
  }
  return first.options.map(option => option.label).filter(label => typeof label === 'string');
}
