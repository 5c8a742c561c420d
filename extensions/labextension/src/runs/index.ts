/** The history of runs in the panel, and what can be done with one from there. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { showErrorMessage } from '@jupyterlab/apputils';
import { ITranslator } from '@jupyterlab/translation';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';

import { failureWords } from '../budget/words';
import { CommandIDs } from '../commands';
import { words } from '../i18n';
import { IAgentsModel, IAgentsSidebar } from '../tokens';
import type { Run, RunStatus } from '../types';
import { isFinal } from '../types';
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
    const trans = words(translator);
    const { commands } = app;
    sidebar.addSection(new RunsSection(model, commands, trans), 30);

    commands.addCommand(CommandIDs.stopFromHistory, {
      label: trans.__('Stop'),
      isEnabled: args => !isFinal(statusOf(args)),
      execute: args => attempt(() => model.api.cancelRun(runIdOf(args)))
    });
    commands.addCommand(CommandIDs.resumeFromHistory, {
      label: trans.__('Resume'),
      caption: trans.__('Go on where it stopped, in the same session'),
      isEnabled: args => isFinal(statusOf(args)) && statusOf(args) !== 'succeeded',
      execute: async args => {
        const runId = runIdOf(args);
        if (await attempt(() => model.api.resumeRun(runId))) {
          await commands.execute(CommandIDs.openRun, { runId });
        }
      }
    });

    async function attempt(ask: () => Promise<Run>): Promise<boolean> {
      try {
        await ask();
        return true;
      } catch (error) {
        const contact = model.budget.value?.contact ?? null;
        await showErrorMessage(trans.__('This did not work'), failureWords(error, contact, trans));
        return false;
      } finally {
        void model.runs.refresh();
      }
    }
  }
};

function runIdOf(args: ReadonlyPartialJSONObject): string {
  return args['runId'] as string;
}

function statusOf(args: ReadonlyPartialJSONObject): RunStatus {
  return args['status'] as RunStatus;
}
