/** Below a run: say more to the agent. What succeeded is continued by a new run, what stopped is resumed. */

import { sendIcon } from './icons';
import type { ReactElement } from 'react';
import { useState } from 'react';

import type { Run } from '../types';
import { isFinal } from '../types';
import { useTools } from './parts';
import type { Thread } from './thread';

export function Composer(props: { thread: Thread; say: (text: string) => Promise<void> }): ReactElement {
  const { trans } = useTools();
  const [text, setText] = useState('');
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState('');
  const { run } = props.thread;
  const ready = run !== null && isFinal(run.status) && !busy && text.trim() !== '';
  const send = async (): Promise<void> => {
    setBusy(true);
    setProblem('');
    setText('');
    try {
      await props.say(text.trim());
    } catch (error) {
      setText(now => now || text);
      setProblem(error instanceof Error ? error.message : String(error));
    } finally {
      setBusy(false);
    }
  };
  return (
    <form
      className="jp-AgentsRun-composer"
      onSubmit={event => {
        event.preventDefault();
        if (ready) {
          void send();
        }
      }}
    >
      {problem && (
        <p className="jp-Agents-problem" role="alert">
          {problem}
        </p>
      )}
      <div>
        <textarea
          rows={Math.min(8, Math.max(1, text.split('\n').length))}
          value={text}
          aria-label={trans.__('Message to the agent')}
          placeholder={placeholder(run)}
          onChange={event => {
            setText(event.target.value);
          }}
          onKeyDown={event => {
            // Korean is written in steps: Enter then ends a syllable.
            if (event.key === 'Enter' && !event.shiftKey && !event.nativeEvent.isComposing) {
              event.preventDefault();
              if (ready) {
                void send();
              }
            }
          }}
        />
        <button type="submit" disabled={!ready} title={trans.__('Send (Enter)')}>
          <sendIcon.react tag="span" width="16px" height="16px" />
          <span>{trans.__('Send')}</span>
        </button>
      </div>
    </form>
  );

  function placeholder(now: Run | null): string {
    if (now === null || !isFinal(now.status)) {
      return trans.__('The agent is at work. Your message can be sent when it has ended.');
    }
    return now.status === 'succeeded'
      ? trans.__('Say more to the agent')
      : trans.__('Say how to go on; the agent remembers all so far');
  }
}
