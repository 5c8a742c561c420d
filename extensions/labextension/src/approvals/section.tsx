/** The section "Approvals" of the panel. */

import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import type { ReactElement } from 'react';

import { CommandIDs } from '../commands';
import { List, Section } from '../section';
import type { IAgentsModel } from '../tokens';

export class ApprovalsSection extends Section {
  constructor(
    private readonly model: IAgentsModel,
    private readonly commands: CommandRegistry,
    private readonly trans: TranslationBundle
  ) {
    super('approvals', trans.__('Approvals'));
  }

  protected override render(): ReactElement {
    const { trans, commands } = this;
    return (
      <List
        watched={this.model.approvals}
        label={trans.__('Approvals')}
        empty={trans.__('Nothing waits for you.')}
        trans={trans}
      >
        {approval => (
          <li key={approval.id} className="jp-Agents-item">
            <button
              className="jp-Agents-name"
              onClick={() => {
                void commands.execute(CommandIDs.openRun, { runId: approval.run_id });
              }}
            >
              {approval.agent_id}: {approval.tool}
            </button>
          </li>
        )}
      </List>
    );
  }
}
