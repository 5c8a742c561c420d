/** Agents in the panel: their list, and the commands to make, edit and run them. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, InputDialog } from '@jupyterlab/apputils';
import { ILauncher } from '@jupyterlab/launcher';
import { ITranslator } from '@jupyterlab/translation';

import { CommandIDs } from '../commands';
import { words } from '../i18n';
import { agentsIcon } from '../icons';
import { IAgentsModel, IAgentsSidebar } from '../tokens';
import type { Run, RunCreate } from '../types';
import { AgentsSection } from './section';

export const agentsPlugin: JupyterFrontEndPlugin<void> = {
  id: '@jupyterhub-agents/labextension:agents',
  description: 'Lists agents in the panel and starts them.',
  autoStart: true,
  requires: [IAgentsModel, IAgentsSidebar, ITranslator],
  optional: [ICommandPalette, ILauncher],
  activate: (
    app: JupyterFrontEnd,
    model: IAgentsModel,
    sidebar: IAgentsSidebar,
    translator: ITranslator,
    palette: ICommandPalette | null,
    launcher: ILauncher | null
  ): void => {
    const trans = words(translator);
    const { commands } = app;
    sidebar.addSection(new AgentsSection(model, commands, trans), 10);

    commands.addCommand(CommandIDs.startRun, {
      label: trans.__('Run Agent…'),
      caption: trans.__('Give an agent something to do'),
      icon: args => (args['isLauncher'] ? agentsIcon : undefined),
      execute: async args => {
        const agentId = textOf(args['agentId']) ?? (await askForAgent());
        const prompt = agentId && (textOf(args['prompt']) ?? (await askForPrompt(agentId)));
        if (!agentId || !prompt) {
          return null;
        }
        const trigger = (textOf(args['trigger']) ?? 'browser') as NonNullable<RunCreate['trigger']>;
        const run: Run = await model.api.startRun(agentId, { prompt, trigger });
        void model.runs.refresh();
        await commands.execute(CommandIDs.openRun, { runId: run.id });
        return run;
      }
    });
    palette?.addItem({ command: CommandIDs.startRun, category: trans.__('Agents') });
    launcher?.add({
      command: CommandIDs.startRun,
      category: trans.__('Agents'),
      args: { isLauncher: true },
      rank: 1
    });

    async function askForAgent(): Promise<string | null> {
      await model.agents.refresh();
      const agents = model.agents.value ?? [];
      const answer = await InputDialog.getItem({
        title: trans.__('Which agent?'),
        items: agents.map(agent => agent.id)
      });
      return answer.value;
    }

    async function askForPrompt(agentId: string): Promise<string | null> {
      const answer = await InputDialog.getText({
        title: trans.__('What shall %1 do?', agentId),
        okLabel: trans.__('Run')
      });
      return answer.value;
    }
  }
};

function textOf(value: unknown): string | null {
  return typeof value === 'string' && value ? value : null;
}
