/** What is asked in dialogs: what to do, which agent, and with whom it is shared. */

import { Dialog } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';
import type { ReactElement } from 'react';
import { useEffect, useState } from 'react';

import type { Agent, Share, ShareAccess, ShareKind } from '../types';
import type { Sharing } from './sharing';

/** A dialog with a form in it: Enter is the form's, and Ctrl+Enter or ⌘+Enter is the main button. */
class FormDialog<T> extends Dialog<T> {
  override handleEvent(event: Event): void {
    const isEnter = event instanceof KeyboardEvent && event.type === 'keydown' && event.key === 'Enter';
    if (isEnter && event.target instanceof Element && event.target.closest('.jp-Dialog-body')) {
      if (event.ctrlKey || event.metaKey) {
        event.preventDefault();
        event.stopPropagation();
        this.resolve();
      }
      return;
    }
    super.handleEvent(event);
  }
}

/** An agent to run: one's own, or another's. */
export interface IChoice {
  id: string;
  owner: string | null;
  name: string;
}

class TaskBody extends ReactWidget implements Dialog.IBodyWidget<{ agent: IChoice; prompt: string }> {
  constructor(
    private readonly choices: readonly IChoice[],
    private readonly about: string,
    private readonly trans: TranslationBundle
  ) {
    super();
    this.addClass('jp-AgentsTask');
  }

  getValue(): { agent: IChoice; prompt: string } {
    return { agent: this.choices[this._chosen] as IChoice, prompt: this._prompt };
  }

  protected override render(): ReactElement {
    const { trans, choices } = this;
    return (
      <>
        {choices.length > 1 && (
          <label>
            {trans.__('Agent')}
            <select
              className="jp-mod-styled"
              onChange={event => {
                this._chosen = event.target.selectedIndex;
              }}
            >
              {choices.map(choice => (
                <option key={`${choice.owner ?? ''}/${choice.id}`}>
                  {choice.owner ? `${choice.owner}/${choice.name}` : choice.name}
                </option>
              ))}
            </select>
          </label>
        )}
        <label>
          {trans.__('What to do')}
          <textarea
            className="jp-mod-styled"
            rows={5}
            onChange={event => {
              this._prompt = event.target.value;
            }}
          />
        </label>
        {this.about && (
          <>
            <span id="jp-agents-about">{trans.__('It is also told:')}</span>
            <pre className="jp-AgentsTask-about" tabIndex={0} aria-labelledby="jp-agents-about">
              {this.about}
            </pre>
          </>
        )}
        <span className="jp-AgentsForm-help">{trans.__('Ctrl+Enter runs it.')}</span>
      </>
    );
  }

  private _prompt = '';
  private _chosen = 0;
}

/** Ask which of the agents shall do what; null when the person does not want it. */
export async function askForTask(
  choices: readonly IChoice[],
  about: string,
  trans: TranslationBundle
): Promise<{ agent: IChoice; prompt: string } | null> {
  const only = choices.length === 1 ? choices[0] : undefined;
  const dialog = new FormDialog({
    title: only ? trans.__('What shall %1 do?', only.name) : trans.__('Run an agent'),
    body: new TaskBody(choices, about, trans),
    focusNodeSelector: 'textarea',
    buttons: [
      Dialog.cancelButton({ label: trans.__('Cancel') }),
      Dialog.okButton({ label: trans.__('Run'), accept: true })
    ]
  });
  const answer = await dialog.launch();
  const value = answer.button.accept ? answer.value : null;
  return value && (value.prompt.trim() || about) ? value : null;
}

/** Ask whether to go on with something that is lost otherwise. */
export async function confirm(
  title: string,
  body: string,
  label: string,
  trans: TranslationBundle
): Promise<boolean> {
  const dialog = new Dialog({
    title,
    body,
    buttons: [Dialog.cancelButton({ label: trans.__('Cancel') }), Dialog.warnButton({ label })]
  });
  return (await dialog.launch()).button.accept;
}

class ShareBody extends ReactWidget {
  constructor(
    private readonly sharing: Sharing,
    private readonly agent: Agent,
    private readonly trans: TranslationBundle
  ) {
    super();
    this.addClass('jp-AgentsShare');
  }

  protected override render(): ReactElement {
    return <Shares sharing={this.sharing} agent={this.agent} trans={this.trans} />;
  }
}

/** Show with whom an agent is shared, until the person is done. */
export async function showSharing(sharing: Sharing, agent: Agent, trans: TranslationBundle): Promise<void> {
  const dialog = new FormDialog({
    title: trans.__('Share %1', agent.name),
    body: new ShareBody(sharing, agent, trans),
    focusNodeSelector: 'input',
    buttons: [Dialog.okButton({ label: trans.__('Done') })]
  });
  await dialog.launch();
}

function Shares(props: { sharing: Sharing; agent: Agent; trans: TranslationBundle }): ReactElement {
  const { sharing, agent, trans } = props;
  const [shares, setShares] = useState<readonly Share[] | null>(null);
  const [said, setSaid] = useState('');
  const [kind, setKind] = useState<ShareKind>('person');
  const [name, setName] = useState('');
  const [access, setAccess] = useState<ShareAccess>('use');

  const load = (): Promise<void> =>
    sharing.shares(agent.id).then(setShares, (error: unknown) => {
      setSaid(String(error instanceof Error ? error.message : error));
    });
  const change = async (what: Promise<Share | undefined>): Promise<void> => {
    setSaid('');
    try {
      const made = await what;
      setSaid(made?.notice ?? '');
      setName('');
    } catch (error) {
      setSaid(error instanceof Error ? error.message : String(error));
    }
    await load();
  };
  useEffect(() => {
    void load();
    // Of one agent, once.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, []);

  const may: Record<ShareAccess, string> = {
    use: trans.__('may run it'),
    copy: trans.__('may run and copy it')
  };
  return (
    <>
      <form
        className="jp-AgentsForm-row"
        onSubmit={event => {
          event.preventDefault();
          if (name.trim()) {
            void change(sharing.share(agent.id, kind, name.trim(), access));
          }
        }}
      >
        <select
          className="jp-mod-styled"
          aria-label={trans.__('With whom')}
          value={kind}
          onChange={event => {
            setKind(event.target.value as ShareKind);
          }}
        >
          <option value="person">{trans.__('Person')}</option>
          <option value="group">{trans.__('Group')}</option>
        </select>
        <input
          className="jp-mod-styled"
          aria-label={trans.__('Their name on the hub')}
          placeholder={trans.__('Their name on the hub')}
          value={name}
          onChange={event => {
            setName(event.target.value);
          }}
        />
        <select
          className="jp-mod-styled"
          aria-label={trans.__('What they may do')}
          value={access}
          onChange={event => {
            setAccess(event.target.value as ShareAccess);
          }}
        >
          <option value="use">{may.use}</option>
          <option value="copy">{may.copy}</option>
        </select>
        <button type="submit" className="jp-mod-styled jp-mod-accept">
          {trans.__('Share')}
        </button>
      </form>
      <p role="status" className={said ? 'jp-AgentsForm-problem' : ''}>
        {said}
      </p>
      {shares?.length === 0 && <p>{trans.__('It is shared with nobody.')}</p>}
      <ul className="jp-Agents-list" aria-label={trans.__('Shared with')}>
        {shares?.map(share => (
          <li key={`${share.kind}/${share.name}`} className="jp-Agents-item">
            <span className="jp-Agents-name">
              {share.kind === 'group' ? trans.__('Group %1', share.name) : share.name}
            </span>
            <span className="jp-Agents-status">{may[share.access]}</span>
            <button
              type="button"
              className="jp-mod-styled jp-mod-minimal"
              aria-label={trans.__('Share no more with %1', share.name)}
              onClick={() => {
                void change(sharing.unshare(agent.id, share.kind, share.name));
              }}
            >
              {trans.__('Remove')}
            </button>
          </li>
        ))}
      </ul>
      <p className="jp-AgentsForm-help">
        {trans.__(
          'They run it in their own workspace and on their own budget, and can read all of it, also its MCP servers’ secrets.'
        )}
      </p>
    </>
  );
}
