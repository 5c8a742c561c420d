/** The plugins of the panel, each in a file or folder of its own. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';

import { agentsPlugin } from './agents';
import { approvalsPlugin } from './approvals';
import { budgetPlugin } from './budget';
import { AgentsModel } from './model';
import { runPlugin } from './run';
import { runsPlugin } from './runs';
import { sidebarPlugin } from './sidebar';
import { statusPlugin } from './status';
import { IAgentsModel } from './tokens';

export * from './api';
export * from './commands';
export * from './events';
export * from './request';
export * from './tokens';
export * from './types';

const modelPlugin: JupyterFrontEndPlugin<IAgentsModel> = {
  id: '@jupyterhub-agents/labextension:model',
  description: 'Agents, runs and approvals of the person’s workspace, with signals.',
  autoStart: true,
  provides: IAgentsModel,
  activate: (app: JupyterFrontEnd) => new AgentsModel(app.serviceManager.serverSettings)
};

const plugins: JupyterFrontEndPlugin<unknown>[] = [
  modelPlugin,
  sidebarPlugin,
  agentsPlugin,
  approvalsPlugin,
  runsPlugin,
  runPlugin,
  budgetPlugin,
  statusPlugin
];

export default plugins;
