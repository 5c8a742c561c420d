/** The form in which an agent is made and edited. */

import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget, UseSignal } from '@jupyterlab/ui-components';
import type { ReactElement } from 'react';

import { Arrival } from '../react';
import type { PermissionMode } from '../types';
import { Diff } from './diff';
import type { IDraft, Problems } from './draft';
import { lines, withRule } from './draft';
import type { AgentEditor } from './editor';
import { Field, Group } from './field';
import { Servers } from './servers';

/** Claude Code's own tools that people choose among (its documentation, "Tools available to Claude"). */
const TOOLS = [
  'Read',
  'Glob',
  'Grep',
  'Edit',
  'Write',
  'NotebookEdit',
  'Bash',
  'WebFetch',
  'WebSearch',
  'Agent',
  'Skill',
  'TodoWrite'
];
/** Aliases that Claude Code knows; any model's full name is taken too. */
const MODELS = ['sonnet', 'opus', 'haiku', 'inherit'];

/** How many to wait for at most until what is wrong is drawn. */
const FRAMES = 60;

export class AgentForm extends ReactWidget {
  constructor(
    readonly editor: AgentEditor,
    private readonly trans: TranslationBundle,
    private readonly save: () => Promise<void>
  ) {
    super();
    this.addClass('jp-AgentsForm');
    this.addClass('jp-Agents-document');
    this.node.tabIndex = -1;
  }

  override dispose(): void {
    if (!this.isDisposed) {
      this.editor.dispose();
      super.dispose();
    }
  }

  /** Go to the first field that is wrong. */
  async showProblem(): Promise<void> {
    await this.renderPromise;
    // React may take some frames more to draw what is wrong.
    const look = (frames: number) => {
      const place = this.node.querySelector<HTMLElement>('[data-wrong], [role="alert"]');
      if (!place && frames) {
        requestAnimationFrame(() => {
          look(frames - 1);
        });
        return;
      }
      const control = place?.querySelector<HTMLElement>('input, textarea, select');
      place?.scrollIntoView({ block: 'center' });
      (control ?? place)?.focus();
    };
    requestAnimationFrame(() => {
      look(FRAMES);
    });
  }

  protected override onActivateRequest(): void {
    (this.node.querySelector<HTMLElement>('input') ?? this.node).focus();
  }

  protected override render(): ReactElement {
    const { trans, editor } = this;
    return (
      <UseSignal signal={editor.changed}>
        {() => (
          <form
            noValidate
            aria-label={editor.base ? trans.__('Agent %1', editor.base.name) : trans.__('New agent')}
            onSubmit={event => {
              event.preventDefault();
              void this.save();
            }}
          >
            <Arrival at={this.node} to="input" />
            <Said editor={editor} trans={trans} />
            <Fields
              id={this.id}
              draft={editor.draft}
              problems={editor.problems}
              agentId={editor.base?.id ?? null}
              set={fields => {
                editor.set(fields);
              }}
              leave={field => {
                editor.leave(field);
              }}
              trans={trans}
            />
            <div className="jp-AgentsForm-buttons">
              <button type="submit" className="jp-mod-styled jp-mod-accept" disabled={editor.busy}>
                {editor.base ? trans.__('Save') : trans.__('Make agent')}
              </button>
              <span role="status">
                {editor.busy
                  ? trans.__('Saving …')
                  : editor.dirty
                    ? trans.__('Not saved yet.')
                    : editor.base && trans.__('Saved as revision %1.', editor.base.revision)}
              </span>
            </div>
          </form>
        )}
      </UseSignal>
    );
  }
}

/** What came of saving: that somebody was faster, or why it failed. */
function Said(props: { editor: AgentEditor; trans: TranslationBundle }): ReactElement | null {
  const { editor, trans } = props;
  if (editor.conflict) {
    const { theirs, comparison } = editor.conflict;
    return (
      <div className="jp-AgentsForm-said" role="alert" tabIndex={-1}>
        <strong>
          {trans.__('This agent was changed meanwhile: it is at revision %1 now.', theirs.revision)}
        </strong>
        <p>
          {trans.__(
            'What you wrote is kept until you choose. Fields that you did not change stay as they are there.'
          )}
        </p>
        <Diff text={comparison.diff} trans={trans} />
        <button
          type="button"
          className="jp-mod-styled jp-mod-warn"
          onClick={() => {
            void editor.overwrite();
          }}
        >
          {trans.__('Save mine over it')}
        </button>
        <button
          type="button"
          className="jp-mod-styled jp-mod-reject"
          onClick={() => {
            editor.reload();
          }}
        >
          {trans.__('Drop mine, load theirs')}
        </button>
      </div>
    );
  }
  return editor.error ? (
    <div className="jp-AgentsForm-said" role="alert" tabIndex={-1}>
      {editor.error}
    </div>
  ) : null;
}

function Fields(props: {
  id: string;
  draft: IDraft;
  problems: Problems;
  /** Null for a new agent. */
  agentId: string | null;
  set: (fields: Partial<IDraft>) => void;
  leave: (field: string) => void;
  trans: TranslationBundle;
}): ReactElement {
  const { id, draft, problems, set, leave, trans } = props;
  type Text = 'id' | 'name' | 'model' | 'directory' | 'max_turns' | 'max_budget_usd' | 'timeout';
  const input = (
    key: Text,
    label: string,
    help: string,
    more: {
      field?: keyof Problems;
      placeholder?: string;
      list?: string;
      inputMode?: 'decimal' | 'numeric';
    } = {}
  ): ReactElement => {
    const { field = key as keyof Problems, ...attributes } = more;
    return (
      <Field id={`${id}-${key}`} label={label} help={help} problem={problems[field]}>
        {control => (
          <input
            {...control}
            {...attributes}
            className="jp-mod-styled"
            value={draft[key]}
            autoComplete="off"
            spellCheck={key === 'name'}
            required={key === 'name'}
            onChange={event => {
              set({ [key]: event.target.value });
            }}
            onBlur={() => {
              leave(field);
            }}
          />
        )}
      </Field>
    );
  };
  const area = (
    key: 'description' | 'instructions' | 'allowed_tools' | 'disallowed_tools',
    label: string,
    help: string,
    rows: number,
    placeholder = ''
  ): ReactElement => (
    <Field id={`${id}-${key}`} label={label} help={help} problem={problems[key]}>
      {control => (
        <textarea
          {...control}
          className={`jp-mod-styled ${key === 'description' ? '' : 'jp-AgentsForm-code'}`}
          rows={rows}
          placeholder={placeholder}
          value={draft[key]}
          onChange={event => {
            set({ [key]: event.target.value });
          }}
          onBlur={() => {
            leave(key);
          }}
        />
      )}
    </Field>
  );
  const modes = permissionModes(trans);
  return (
    <>
      <h2>{trans.__('What it is')}</h2>
      {input('name', trans.__('Name'), trans.__('What people call it.'), {
        placeholder: trans.__('Code reviewer')
      })}
      {props.agentId === null &&
        input(
          'id',
          trans.__('Id'),
          trans.__('What programs call it, for good. Left empty, it is made of the name.'),
          { placeholder: 'code-reviewer' }
        )}
      {area('description', trans.__('Description'), trans.__('When to use it; Claude reads this too.'), 2)}
      {area(
        'instructions',
        trans.__('Instructions'),
        trans.__('What it shall do and how. They are added to Claude Code’s own.'),
        12,
        trans.__('You review Python code. Name each problem with its file and line.')
      )}
      {input(
        'model',
        trans.__('Model'),
        trans.__('A model’s name or alias. Left empty, it is Claude Code’s default.'),
        {
          list: `${id}-models`,
          placeholder: trans.__('default')
        }
      )}
      <datalist id={`${id}-models`}>
        {MODELS.map(model => (
          <option key={model} value={model} />
        ))}
      </datalist>

      <h2>{trans.__('What it may do')}</h2>
      <Field
        id={`${id}-mode`}
        label={trans.__('Permission mode')}
        help={modes.find(([mode]) => mode === draft.permission_mode)?.[2]}
        problem={problems.permission_mode}
      >
        {control => (
          <select
            {...control}
            className="jp-mod-styled"
            value={draft.permission_mode}
            onChange={event => {
              set({ permission_mode: event.target.value as PermissionMode });
            }}
          >
            {modes.map(([mode, label]) => (
              <option key={mode} value={mode}>
                {label}
              </option>
            ))}
          </select>
        )}
      </Field>
      {draft.permission_mode === 'bypassPermissions' && (
        <p className="jp-AgentsForm-warning" role="status">
          {trans.__(
            'It can then delete and send whatever you can, without a word. The site may refuse this mode.'
          )}
        </p>
      )}
      <Tools id={`${id}-tools`} draft={draft} problem={problems.tools} set={set} trans={trans} />
      <div className="jp-AgentsForm-row">
        {area(
          'allowed_tools',
          trans.__('Allowed without asking'),
          trans.__('Rules, one a line. What you allow always is added here.'),
          3,
          'Bash(git diff:*)'
        )}
        {area(
          'disallowed_tools',
          trans.__('Never allowed'),
          trans.__('Tools, or calls by pattern, that it never has; one a line.'),
          3,
          'WebFetch'
        )}
      </div>
      <Group
        id={`${id}-servers`}
        label={trans.__('MCP servers')}
        help={trans.__(
          'They give it more tools. Write ${NAME} in place of a secret: it is taken from the workspace’s environment.'
        )}
        problem={problems.mcp_servers}
      >
        <Servers
          id={`${id}-server`}
          servers={draft.servers}
          trans={trans}
          onChange={servers => {
            set({ servers });
          }}
        />
      </Group>

      <h2>{trans.__('How far it may go')}</h2>
      <div className="jp-AgentsForm-row">
        {input('max_turns', trans.__('Turns'), trans.__('That a run may take.'), {
          inputMode: 'numeric',
          placeholder: trans.__('no limit')
        })}
        {input('max_budget_usd', trans.__('US dollars'), trans.__('That a run may cost.'), {
          inputMode: 'decimal',
          placeholder: trans.__('no limit')
        })}
        {input('timeout', trans.__('Minutes'), trans.__('That a run may take, by the clock.'), {
          field: 'timeout_s',
          inputMode: 'decimal',
          placeholder: trans.__('no limit')
        })}
      </div>
      {input('directory', trans.__('Folder'), trans.__('Where it works, under your home.'), {
        placeholder: `agents/${props.agentId ?? 'ID'}`
      })}
    </>
  );
}

function Tools(props: {
  id: string;
  draft: IDraft;
  problem: string | undefined;
  set: (fields: Partial<IDraft>) => void;
  trans: TranslationBundle;
}): ReactElement {
  const { id, draft, set, trans } = props;
  const chosen = new Set(lines(draft.tools));
  return (
    <Group id={id} label={trans.__('Tools')} problem={props.problem}>
      <label className="jp-AgentsForm-choice">
        <input
          type="radio"
          name={id}
          checked={draft.allTools}
          onChange={() => {
            set({ allTools: true });
          }}
        />
        {trans.__('All')}
      </label>
      <label className="jp-AgentsForm-choice">
        <input
          type="radio"
          name={id}
          checked={!draft.allTools}
          onChange={() => {
            set({ allTools: false });
          }}
        />
        {trans.__('Only these')}
      </label>
      {!draft.allTools && (
        <>
          <div className="jp-AgentsForm-tools">
            {TOOLS.map(tool => (
              <label key={tool} className="jp-AgentsForm-choice">
                <input
                  type="checkbox"
                  checked={chosen.has(tool)}
                  onChange={event => {
                    set({ tools: withRule(draft.tools, tool, event.target.checked) });
                  }}
                />
                {tool}
              </label>
            ))}
          </div>
          <Field
            id={`${id}-rules`}
            label={trans.__('As rules, one a line')}
            help={trans.__('A rule with a pattern also allows the calls that match, without asking.')}
          >
            {control => (
              <textarea
                {...control}
                className="jp-mod-styled jp-AgentsForm-code"
                rows={4}
                placeholder="Bash(git diff:*)"
                spellCheck={false}
                value={draft.tools}
                onChange={event => {
                  set({ tools: event.target.value });
                }}
              />
            )}
          </Field>
        </>
      )}
    </Group>
  );
}

/** Claude Code's permission modes (its documentation, "Permission modes"), in words. */
function permissionModes(trans: TranslationBundle): [PermissionMode, string, string][] {
  return [
    [
      'default',
      trans.__('Ask me'),
      trans.__('It reads freely, and asks before it changes or runs something.')
    ],
    [
      'acceptEdits',
      trans.__('Edit files freely'),
      trans.__('It edits files in its folder without asking, and asks before it runs something.')
    ],
    ['plan', trans.__('Plan only'), trans.__('It looks and makes a plan, and changes nothing.')],
    [
      'auto',
      trans.__('Let Claude judge'),
      trans.__('Claude judges each call, and asks where it sees a risk.')
    ],
    [
      'dontAsk',
      trans.__('Never ask'),
      trans.__('What no rule allows is refused, without asking. For runs that nobody watches.')
    ],
    ['bypassPermissions', trans.__('Allow everything'), trans.__('Nothing is asked and nothing refused.')]
  ];
}
