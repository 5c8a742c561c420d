/** The section "Runs" of the panel. */

import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import type { ReactElement } from 'react';

import { CommandIDs } from '../commands';
import { List, Section } from '../section';
import { statusWord } from '../status/words';
import type { IAgentsModel } from '../tokens';

export class RunsSection extends Section {
  constructor(
    private readonly model: IAgentsModel,
    private readonly commands: CommandRegistry,
    private readonly trans: TranslationBundle
  ) {
    super('runs', trans.__('Runs'));
  }

  protected override render(): ReactElement {
    const { trans, commands } = this;
    return (
      <List watched={this.model.runs} label={trans.__('Runs')} empty={trans.__('No runs yet.')} trans={trans}>
        {run => (
          <li key={run.id} className="jp-Agents-item">
            <button
              className="jp-Agents-name"
              onClick={() => {
                void commands.execute(CommandIDs.openRun, { runId: run.id });
              }}
            >
              {run.agent_id}: {run.prompt.slice(0, 80)}
            </button>
            <span className="jp-Agents-status" data-status={run.status}>
              {statusWord(run.status, trans)}
            </span>
          </li>
        )}
      </List>
    );
  }
}
