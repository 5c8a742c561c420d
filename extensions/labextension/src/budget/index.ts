/** The budget: its meter at the foot of the panel, and a word when a run was refused. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';
import { ITranslator } from '@jupyterlab/translation';

import { CommandIDs } from '../commands';
import { words } from '../i18n';
import { IAgentsModel, IAgentsSidebar } from '../tokens';
import { isFinal } from '../types';
import { BudgetFooter } from './footer';
import { isRefused, shortWords } from './words';

export const budgetPlugin: JupyterFrontEndPlugin<void> = {
  id: '@jupyterhub-agents/labextension:budget',
  description: 'Shows what is left of the person’s budgets, and tells of runs that the site refused.',
  autoStart: true,
  requires: [IAgentsModel, IAgentsSidebar, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    model: IAgentsModel,
    sidebar: IAgentsSidebar,
    translator: ITranslator
  ): void => {
    const trans = words(translator);
    sidebar.setFooter(new BudgetFooter(model, trans));

    /** Runs that had ended when they were last seen; null before any were. */
    let ended: Set<string> | null = null;
    model.runs.changed.connect(() => {
      const runs = model.runs.value ?? [];
      const fresh = ended ? runs.filter(run => isFinal(run.status) && !ended?.has(run.id)) : [];
      ended = new Set(runs.filter(run => isFinal(run.status)).map(run => run.id));
      if (fresh.length) {
        void model.budget.refresh();
      }
      for (const run of fresh) {
        if (isRefused(run.error)) {
          Notification.error(shortWords(run.error?.message ?? ''), {
            autoClose: false,
            actions: [
              {
                label: trans.__('Open the run'),
                callback: () => {
                  void app.commands.execute(CommandIDs.openRun, { runId: run.id });
                }
              }
            ]
          });
        }
      }
    });
  }
};
