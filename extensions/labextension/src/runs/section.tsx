/** The section "Runs" of the panel: the history, with filters. */

import { Time } from '@jupyterlab/coreutils';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import { Menu } from '@lumino/widgets';
import type { ReactElement } from 'react';
import { useEffect, useState } from 'react';

import { plainWords } from '../budget/words';
import { CommandIDs } from '../commands';
import { useWatched } from '../react';
import { Section } from '../section';
import { statusWord } from '../status/words';
import type { IAgentsModel } from '../tokens';
import type { Run, RunStatus } from '../types';
import { RunHistory } from './history';
import { TRIGGERS, triggerWord } from './words';

const STATUSES: readonly RunStatus[] = [
  'queued',
  'running',
  'waiting',
  'succeeded',
  'failed',
  'cancelled',
  'interrupted'
];
/** Milliseconds after the last letter before what was typed is looked for. */
const TYPING = 250;

export class RunsSection extends Section {
  constructor(
    private readonly model: IAgentsModel,
    private readonly commands: CommandRegistry,
    private readonly trans: TranslationBundle
  ) {
    super('runs', trans.__('Runs'));
    this.addClass('jp-AgentsRuns');
    this.history = new RunHistory(model);
    this.history.changed.connect(() => {
      this.update();
    });
  }

  override dispose(): void {
    if (!this.isDisposed) {
      this.history.dispose();
      super.dispose();
    }
  }

  protected override render(): ReactElement {
    const { model, commands, trans, history } = this;
    return <History model={model} commands={commands} trans={trans} history={history} />;
  }

  readonly history: RunHistory;
}

interface IProps {
  model: IAgentsModel;
  commands: CommandRegistry;
  trans: TranslationBundle;
  history: RunHistory;
}

function History(props: IProps): ReactElement {
  const { model, trans, history } = props;
  const newest = useWatched(model.runs);
  if (newest === null) {
    return (
      <p className="jp-Agents-note" role="status">
        {model.runs.error ? model.runs.error.message : trans.__('Loading …')}
      </p>
    );
  }
  if (!newest.length) {
    return <p className="jp-Agents-note">{trans.__('No runs yet.')}</p>;
  }
  return (
    <>
      <Filters {...props} />
      {history.shown.length > 0 && (
        <ul className="jp-Agents-list" aria-label={trans.__('Runs')}>
          {history.shown.map(run => (
            <Row key={run.id} run={run} {...props} />
          ))}
        </ul>
      )}
      <p className="jp-Agents-note" role="status">
        {history.error ||
          (history.isLoading
            ? trans.__('Loading …')
            : history.isFiltered
              ? history.hasMore
                ? trans.__('%1 found so far; there are older runs.', history.shown.length)
                : trans.__('%1 found.', history.shown.length)
              : '')}
      </p>
      {history.hasMore && (
        <button
          className="jp-Agents-action jp-AgentsRuns-more"
          disabled={history.isLoading}
          onClick={() => void history.more()}
        >
          {trans.__('Load more')}
        </button>
      )}
    </>
  );
}

function Filters({ model, trans, history }: IProps): ReactElement {
  const agents = useWatched(model.agents) ?? [];
  const { filters } = history;
  const [text, setText] = useState(filters.text);
  useEffect(() => {
    const timer = setTimeout(() => {
      if (text !== history.filters.text) {
        void history.filter({ text });
      }
    }, TYPING);
    return () => {
      clearTimeout(timer);
    };
  }, [history, text]);
  const choice = (
    name: 'agent' | 'status' | 'trigger',
    label: string,
    options: readonly (readonly [string, string])[]
  ): ReactElement => (
    <select
      className="jp-mod-styled"
      aria-label={label}
      value={filters[name]}
      onChange={event => {
        void history.filter({ [name]: event.target.value });
      }}
    >
      <option value="">{label}</option>
      {options.map(([value, word]) => (
        <option key={value} value={value}>
          {word}
        </option>
      ))}
    </select>
  );
  return (
    <div className="jp-AgentsRuns-filters" role="search" aria-label={trans.__('Find runs')}>
      <input
        type="search"
        className="jp-mod-styled"
        aria-label={trans.__('Words of the prompt')}
        placeholder={trans.__('Words of the prompt')}
        value={text}
        onChange={event => {
          setText(event.target.value);
        }}
      />
      {choice(
        'agent',
        trans.__('Agent'),
        agents.map(agent => [agent.id, agent.name])
      )}
      {choice(
        'status',
        trans.__('Status'),
        STATUSES.map(status => [status, statusWord(status, trans)])
      )}
      {choice(
        'trigger',
        trans.__('Started'),
        TRIGGERS.map(trigger => [trigger, triggerWord(trigger, trans)])
      )}
      {history.isFiltered && (
        <button
          className="jp-Agents-action"
          onClick={() => {
            setText('');
            void history.clear();
          }}
        >
          {trans.__('Show all')}
        </button>
      )}
    </div>
  );
}

function Row({ run, model, commands, trans }: IProps & { run: Run }): ReactElement {
  const agents = useWatched(model.agents);
  const agent = agents?.find(one => one.id === run.agent_id)?.name ?? run.agent_id;
  const prompt = run.prompt.replace(/\s+/g, ' ').trim();
  const cost = run.usage.cost_usd;
  const open = (): void => {
    void commands.execute(CommandIDs.openRun, { runId: run.id });
  };
  const menu = (x: number, y: number): void => {
    const found = new Menu({ commands });
    const args = { runId: run.id, status: run.status };
    found.addItem({ command: CommandIDs.openRun, args });
    found.addItem({ command: CommandIDs.stopFromHistory, args });
    found.addItem({ command: CommandIDs.resumeFromHistory, args });
    found.aboutToClose.connect(() => {
      // After the chosen command has been called.
      requestAnimationFrame(() => {
        found.dispose();
      });
    });
    found.open(x, y);
  };
  return (
    <li
      className="jp-AgentsRuns-row"
      onContextMenu={event => {
        event.preventDefault();
        event.stopPropagation();
        menu(event.clientX, event.clientY);
      }}
    >
      <button className="jp-AgentsRuns-open" title={run.prompt.slice(0, 1000)} onClick={open}>
        <span className="jp-AgentsRuns-title">
          {agent}: {prompt.slice(0, 200)}
        </span>
        <span className="jp-AgentsRuns-facts">
          <span className="jp-Agents-status" data-status={run.status}>
            {statusWord(run.status, trans)}
          </span>
          {' · '}
          <time dateTime={run.created_at} title={Time.format(run.created_at)}>
            {Time.formatHuman(run.created_at)}
          </time>
          {' · '}
          {triggerWord(run.trigger, trans)}
          {cost > 0 && ` · $${cost.toFixed(cost < 0.1 ? 4 : 2)}`}
        </span>
        {run.error && <span className="jp-AgentsRuns-error">{plainWords(run.error.message)}</span>}
      </button>
      <button
        className="jp-AgentsRuns-menu"
        aria-label={trans.__('More for this run of %1', agent)}
        aria-haspopup="menu"
        onClick={event => {
          const place = event.currentTarget.getBoundingClientRect();
          menu(place.left, place.bottom);
        }}
      >
        ⋯
      </button>
    </li>
  );
}
