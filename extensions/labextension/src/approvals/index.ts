/** What waits for the person: the inbox in the panel, and the number at its tab. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { ITranslator } from '@jupyterlab/translation';

import { CommandIDs } from '../commands';
import { words } from '../i18n';
import { IAgentsModel, IAgentsSidebar } from '../tokens';
import { ApprovalsSection } from './section';

export const approvalsPlugin: JupyterFrontEndPlugin<void> = {
  id: '@jupyterhub-agents/labextension:approvals',
  description: 'Lists what waits for the person in the panel.',
  autoStart: true,
  requires: [IAgentsModel, IAgentsSidebar, ITranslator],
  optional: [ICommandPalette],
  activate: (
    app: JupyterFrontEnd,
    model: IAgentsModel,
    sidebar: IAgentsSidebar,
    translator: ITranslator,
    palette: ICommandPalette | null
  ): void => {
    const trans = words(translator);
    const section = new ApprovalsSection(model, app.commands, trans);
    sidebar.addSection(section, 20);
    app.commands.addCommand(CommandIDs.showApprovals, {
      label: trans.__('Show Approvals'),
      caption: trans.__('Show the tool calls that wait for you'),
      execute: () => {
        sidebar.reveal(section);
      }
    });
    palette?.addItem({ command: CommandIDs.showApprovals, category: trans.__('Agents') });
    model.approvals.changed.connect(() => {
      const count = model.approvals.value?.length ?? 0;
      sidebar.setBadge(count, trans._n('%1 call waits for you', '%1 calls wait for you', count));
    });
  }
};
