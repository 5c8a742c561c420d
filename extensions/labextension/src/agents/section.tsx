/** The section "Agents" of the panel. */

import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import type { ReactElement } from 'react';

import { CommandIDs } from '../commands';
import { List, Section } from '../section';
import type { IAgentsModel } from '../tokens';

export class AgentsSection extends Section {
  constructor(
    private readonly model: IAgentsModel,
    private readonly commands: CommandRegistry,
    private readonly trans: TranslationBundle
  ) {
    super('agents', trans.__('Agents'));
  }

  protected override render(): ReactElement {
    const { trans, commands } = this;
    return (
      <List
        watched={this.model.agents}
        label={trans.__('Agents')}
        empty={trans.__('No agents yet.')}
        trans={trans}
      >
        {agent => (
          <li key={agent.id} className="jp-Agents-item">
            <span className="jp-Agents-name" title={agent.description}>
              {agent.name}
            </span>
            <button
              className="jp-Agents-action"
              aria-label={trans.__('Run %1', agent.name)}
              onClick={() => {
                void commands.execute(CommandIDs.startRun, { agentId: agent.id });
              }}
            >
              {trans.__('Run')}
            </button>
          </li>
        )}
      </List>
    );
  }
}
