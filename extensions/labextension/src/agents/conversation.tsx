/** A conversation about agents as a document: a person says what they want, and it is made. */

import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget, UseSignal } from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import { Widget } from '@lumino/widgets';
import type { ReactElement } from 'react';
import { useEffect, useRef, useState } from 'react';

import { CommandIDs } from '../commands';
import { Arrival } from '../react';
import { statusWord } from '../status/words';
import type { Chat, ITurn } from './chat';

export class Conversation extends ReactWidget {
  constructor(
    readonly chat: Chat,
    private readonly rendermime: IRenderMimeRegistry,
    private readonly commands: CommandRegistry,
    private readonly trans: TranslationBundle
  ) {
    super();
    this.addClass('jp-AgentsChat');
    this.addClass('jp-Agents-document');
    this.node.tabIndex = -1;
  }

  override dispose(): void {
    if (!this.isDisposed) {
      this.chat.dispose();
      super.dispose();
    }
  }

  protected override onActivateRequest(): void {
    (this.node.querySelector<HTMLElement>('textarea') ?? this.node).focus();
  }

  protected override render(): ReactElement {
    const { chat, trans } = this;
    return (
      <UseSignal signal={chat.changed}>
        {() => (
          <>
            <Arrival at={this.node} to="textarea" />
            <Turns chat={chat} rendermime={this.rendermime} commands={this.commands} trans={trans} />
            {chat.offline && (
              <p className="jp-Agents-offline" role="status">
                {trans.__(
                  'The connection is lost. What you said is being done; it shows here when it is back.'
                )}
              </p>
            )}
            {chat.error && (
              <p className="jp-Agents-problem" role="alert">
                {chat.error}
              </p>
            )}
            <Entry chat={chat} trans={trans} />
          </>
        )}
      </UseSignal>
    );
  }
}

interface ITurnsProps {
  chat: Chat;
  rendermime: IRenderMimeRegistry;
  commands: CommandRegistry;
  trans: TranslationBundle;
}

function Turns(props: ITurnsProps): ReactElement {
  const { chat, trans } = props;
  const place = useRef<HTMLDivElement>(null);
  const last = chat.turns.at(-1);
  useEffect(() => {
    place.current?.scrollTo({ top: place.current.scrollHeight });
  }, [chat.turns.length, last?.text, last?.answer]);
  return (
    <div
      className="jp-AgentsChat-turns"
      ref={place}
      role="log"
      tabIndex={0}
      aria-label={trans.__('Conversation')}
    >
      {!chat.turns.length && (
        <div className="jp-AgentsChat-hello">
          <h2>{trans.__('What agent do you want?')}</h2>
          <p>
            {trans.__('Say it in plain words. The assistant makes it, and you can change it afterwards.')}
          </p>
        </div>
      )}
      {chat.turns.map(turn => (
        <Turn key={turn.runId} turn={turn} {...props} />
      ))}
    </div>
  );
}

function Turn(props: ITurnsProps & { turn: ITurn }): ReactElement {
  const { turn, trans, commands } = props;
  const made = turn.answer?.agentCreated;
  const shown = turn.answer?.component;
  const agentId = made?.id ?? (shown?.type === 'agent' ? shown.agentId : null);
  return (
    <>
      <div className="jp-AgentsChat-said">{turn.said}</div>
      <div className="jp-AgentsChat-answer" aria-busy={turn.isOpen}>
        {turn.answer ? (
          <Markdown text={turn.answer.text} rendermime={props.rendermime} />
        ) : (
          <div className="jp-AgentsChat-live">{turn.text || '…'}</div>
        )}
        {turn.answer === null && (
          <p className="jp-Agents-status" role="status">
            {statusWord(turn.status, trans)}{' '}
            {turn.status === 'waiting' && (
              <button
                className="jp-mod-styled jp-mod-minimal"
                onClick={() => void commands.execute(CommandIDs.showApprovals)}
              >
                {trans.__('Show Approvals')}
              </button>
            )}
          </p>
        )}
        {turn.answer?.error && <p role="alert">{turn.answer.error.message}</p>}
        {turn.answer?.notice && <p className="jp-Agents-status">{turn.answer.notice}</p>}
        {agentId && (
          <div
            className="jp-AgentsChat-made"
            role="group"
            aria-label={trans.__('Agent %1', made?.name ?? agentId)}
          >
            <span>{made ? trans.__('Made: %1', made.name) : trans.__('Agent %1', agentId)}</span>
            <button
              className="jp-mod-styled jp-mod-accept"
              onClick={() => void commands.execute(CommandIDs.startRun, { agentId })}
            >
              {trans.__('Run…')}
            </button>
            <button
              className="jp-mod-styled"
              onClick={() => void commands.execute(CommandIDs.editAgent, { agentId })}
            >
              {trans.__('Open the agent')}
            </button>
          </div>
        )}
        {shown?.type === 'run' && shown.runId && (
          <button
            className="jp-mod-styled"
            onClick={() => void commands.execute(CommandIDs.openRun, { runId: shown.runId })}
          >
            {trans.__('Open Run')}
          </button>
        )}
      </div>
    </>
  );
}

/** What the assistant says, by JupyterLab's own renderer, which lets no foreign HTML through. */
function Markdown(props: { text: string; rendermime: IRenderMimeRegistry }): ReactElement {
  const { text, rendermime } = props;
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const node = place.current;
    if (!node) {
      return;
    }
    const type = 'text/markdown';
    const renderer = rendermime.createRenderer(type);
    Widget.attach(renderer, node);
    void renderer.renderModel(rendermime.createModel({ data: { [type]: text } }));
    return () => {
      renderer.dispose();
    };
  }, [text, rendermime]);
  return <div ref={place} />;
}

function Entry(props: { chat: Chat; trans: TranslationBundle }): ReactElement {
  const { chat, trans } = props;
  const [text, setText] = useState('');
  const send = async (): Promise<void> => {
    const message = text.trim();
    if (message && (await chat.say(message))) {
      setText('');
    }
  };
  return (
    <form
      className="jp-AgentsChat-entry"
      onSubmit={event => {
        event.preventDefault();
        void send();
      }}
    >
      <textarea
        className="jp-mod-styled"
        rows={3}
        value={text}
        aria-label={trans.__('What you want')}
        placeholder={trans.__('An agent that reviews my Python files and names each problem')}
        onChange={event => {
          setText(event.target.value);
        }}
        onKeyDown={event => {
          // While a syllable is being composed, Enter is the input method's.
          if (event.key === 'Enter' && !event.shiftKey && !event.nativeEvent.isComposing) {
            event.preventDefault();
            void send();
          }
        }}
      />
      {chat.turns.some(turn => turn.isOpen) ? (
        <button type="button" className="jp-mod-styled jp-mod-warn" onClick={() => void chat.stop()}>
          {trans.__('Stop')}
        </button>
      ) : (
        <button type="submit" className="jp-mod-styled jp-mod-accept" disabled={chat.busy}>
          {trans.__('Send')}
        </button>
      )}
    </form>
  );
}
