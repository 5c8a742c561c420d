/** The section "Agents" of the panel. */

import type { TranslationBundle } from '@jupyterlab/translation';
import { addIcon, ellipsesIcon, runIcon } from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import { Menu } from '@lumino/widgets';
import type { ReactElement } from 'react';
import { useState } from 'react';

import { CommandIDs } from '../commands';
import { useWatched } from '../react';
import { Section } from '../section';
import { statusWord } from '../status/words';
import type { IAgentsModel } from '../tokens';
import type { Agent, SharedAgent } from '../types';
import { found, lastRun } from './list';
import type { Sharing } from './sharing';

interface IProps {
  model: IAgentsModel;
  sharing: Sharing;
  commands: CommandRegistry;
  trans: TranslationBundle;
}

export class AgentsSection extends Section {
  constructor(
    private readonly props: IProps,
    private readonly importFiles: (files: readonly File[]) => Promise<void>
  ) {
    super('agents', props.trans.__('Agents'));
    this.addClass('jp-AgentsList');
    // JupyterLab's own drags are Lumino's: a file from the person's computer is the browser's.
    this.node.addEventListener('dragover', event => {
      if (event.dataTransfer?.types.includes('Files')) {
        event.preventDefault();
        this.addClass('jp-mod-dropTarget');
      }
    });
    this.node.addEventListener('dragleave', () => {
      this.removeClass('jp-mod-dropTarget');
    });
    this.node.addEventListener('drop', event => {
      this.removeClass('jp-mod-dropTarget');
      if (event.dataTransfer?.files.length) {
        event.preventDefault();
        event.stopPropagation();
        void this.importFiles([...event.dataTransfer.files]);
      }
    });
  }

  protected override render(): ReactElement {
    return <View {...this.props} />;
  }
}

function View(props: IProps): ReactElement {
  const { model, sharing, commands, trans } = props;
  const [search, setSearch] = useState('');
  const agents = useWatched(model.agents);
  const shared = useWatched(sharing.shared) ?? [];
  // The list shows how an agent's last run went.
  useWatched(model.runs);
  const shown = found(agents ?? [], search);
  const others = shared.filter(one => found([one.agent], search).length);
  return (
    <>
      <div className="jp-AgentsList-bar">
        <input
          type="search"
          className="jp-mod-styled"
          value={search}
          placeholder={trans.__('Search agents')}
          aria-label={trans.__('Search agents')}
          onChange={event => {
            setSearch(event.target.value);
          }}
        />
        <button
          className="jp-AgentsList-icon"
          aria-haspopup="menu"
          aria-label={trans.__('New agent')}
          title={trans.__('New agent')}
          onClick={event => {
            openMenu(commands, event.currentTarget, [
              [CommandIDs.createAgent, {}],
              [CommandIDs.converse, {}],
              null,
              [CommandIDs.importAgents, {}]
            ]);
          }}
        >
          <addIcon.react tag="span" />
        </button>
      </div>
      {agents === null && (
        <p className="jp-Agents-note" role="status">
          {model.agents.error ? model.agents.error.message : trans.__('Loading …')}
        </p>
      )}
      {agents?.length === 0 && (
        <div className="jp-Agents-note">
          <p>{trans.__('No agents yet.')}</p>
          <button
            className="jp-mod-styled jp-mod-accept"
            onClick={() => void commands.execute(CommandIDs.converse)}
          >
            {trans.__('Say what you want')}
          </button>{' '}
          <button className="jp-mod-styled" onClick={() => void commands.execute(CommandIDs.createAgent)}>
            {trans.__('Fill in a form')}
          </button>
        </div>
      )}
      {agents !== null && search && !shown.length && !others.length && (
        <p className="jp-Agents-note" role="status">
          {trans.__('No agent has “%1” in its name or description.', search)}
        </p>
      )}
      {shown.length > 0 && (
        <ul className="jp-Agents-list" aria-label={trans.__('Agents')}>
          {shown.map(agent => (
            <OwnAgent key={agent.id} agent={agent} {...props} />
          ))}
        </ul>
      )}
      {others.length > 0 && (
        <>
          <h3 className="jp-AgentsList-group" id="jp-agents-shared">
            {trans.__('Shared with me')}
          </h3>
          <ul className="jp-Agents-list" aria-labelledby="jp-agents-shared">
            {others.map(one => (
              <OthersAgent key={`${one.agent.owner}/${one.agent.id}`} shared={one} {...props} />
            ))}
          </ul>
        </>
      )}
    </>
  );
}

function OwnAgent(props: IProps & { agent: Agent }): ReactElement {
  const { agent, model, sharing, commands, trans } = props;
  const run = lastRun(model.runs.value ?? [], agent.id);
  const args = { agentId: agent.id };
  const menu = (place: HTMLElement | { x: number; y: number }): void => {
    openMenu(commands, place, [
      [CommandIDs.startRun, args],
      [CommandIDs.editAgent, args],
      [CommandIDs.duplicateAgent, args],
      ...(sharing.available ? ([[CommandIDs.shareAgent, args]] as Entry[]) : []),
      [CommandIDs.showRevisions, args],
      null,
      [CommandIDs.exportAgent, { ...args, format: 'md' }],
      [CommandIDs.exportAgent, { ...args, format: 'json' }],
      null,
      [CommandIDs.deleteAgent, args]
    ]);
  };
  return (
    <li
      className="jp-Agents-item jp-AgentsList-item"
      onContextMenu={event => {
        event.preventDefault();
        event.stopPropagation();
        menu({ x: event.clientX, y: event.clientY });
      }}
    >
      <button
        className="jp-AgentsList-open"
        title={agent.description || agent.name}
        aria-label={trans.__('Edit %1', agent.name)}
        onClick={() => void commands.execute(CommandIDs.editAgent, args)}
      >
        <Words agent={agent} model={agent.model ?? trans.__('default model')} />
      </button>
      {run && (
        <button
          className="jp-Agents-status jp-AgentsList-status"
          data-status={run.status}
          aria-label={trans.__('Last run of %1: %2', agent.name, statusWord(run.status, trans))}
          title={run.prompt}
          onClick={() => void commands.execute(CommandIDs.openRun, { runId: run.id })}
        >
          {statusWord(run.status, trans)}
        </button>
      )}
      <button
        className="jp-AgentsList-icon"
        aria-label={trans.__('Run %1', agent.name)}
        title={trans.__('Run %1', agent.name)}
        onClick={() => void commands.execute(CommandIDs.startRun, args)}
      >
        <runIcon.react tag="span" />
      </button>
      <button
        className="jp-AgentsList-icon"
        aria-haspopup="menu"
        aria-label={trans.__('More about %1', agent.name)}
        title={trans.__('More about %1', agent.name)}
        onClick={event => {
          menu(event.currentTarget);
        }}
      >
        <ellipsesIcon.react tag="span" />
      </button>
    </li>
  );
}

function OthersAgent(props: IProps & { shared: SharedAgent }): ReactElement {
  const { shared, commands, trans } = props;
  const { agent } = shared;
  const args = { agentId: agent.id, agentOwner: agent.owner };
  return (
    <li className="jp-Agents-item jp-AgentsList-item">
      <div className="jp-AgentsList-open" title={agent.description || agent.name}>
        <Words agent={agent} model={trans.__('from %1', agent.owner)} />
      </div>
      {shared.access === 'copy' && (
        <button
          className="jp-Agents-action"
          aria-label={trans.__('Copy %1 of %2', agent.name, agent.owner)}
          onClick={() => void commands.execute(CommandIDs.copyShared, args)}
        >
          {trans.__('Copy')}
        </button>
      )}
      <button
        className="jp-AgentsList-icon"
        aria-label={trans.__('Run %1 of %2', agent.name, agent.owner)}
        title={trans.__('Run %1 of %2', agent.name, agent.owner)}
        onClick={() => void commands.execute(CommandIDs.startRun, args)}
      >
        <runIcon.react tag="span" />
      </button>
    </li>
  );
}

function Words(props: { agent: Agent; model: string }): ReactElement {
  const { agent } = props;
  return (
    <>
      <span className="jp-Agents-name">{agent.name}</span>
      <span className="jp-AgentsList-more">
        {[props.model, agent.description].filter(Boolean).join(' · ')}
      </span>
    </>
  );
}

type Entry = [command: string, args: Record<string, string>] | null;

/** A menu of commands below a button, or where the pointer is; null is a line between. */
function openMenu(
  commands: CommandRegistry,
  place: HTMLElement | { x: number; y: number },
  entries: readonly Entry[]
): void {
  const menu = new Menu({ commands });
  for (const entry of entries) {
    menu.addItem(entry ? { command: entry[0], args: { ...entry[1], isMenu: true } } : { type: 'separator' });
  }
  menu.aboutToClose.connect(() => {
    // The command begins after the menu has closed, and takes the focus where it wants.
    requestAnimationFrame(() => {
      menu.dispose();
    });
    if (place instanceof HTMLElement) {
      place.focus();
    }
  });
  if (place instanceof HTMLElement) {
    const box = place.getBoundingClientRect();
    menu.open(box.left, box.bottom);
  } else {
    menu.open(place.x, place.y);
  }
  menu.activeIndex = 0;
}
