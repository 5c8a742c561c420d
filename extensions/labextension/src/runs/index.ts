/** The history of runs in the panel. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ITranslator } from '@jupyterlab/translation';

import { words } from '../i18n';
import { IAgentsModel, IAgentsSidebar } from '../tokens';
import { RunsSection } from './section';

export const runsPlugin: JupyterFrontEndPlugin<void> = {
  id: '@jupyterhub-agents/labextension:runs',
  description: 'Lists runs in the panel.',
  autoStart: true,
  requires: [IAgentsModel, IAgentsSidebar, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    model: IAgentsModel,
    sidebar: IAgentsSidebar,
    translator: ITranslator
  ): void => {
    sidebar.addSection(new RunsSection(model, app.commands, words(translator)), 30);
  }
};
