/** Runs as documents of the main area, there again after a reload. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ILabShell, ILayoutRestorer } from '@jupyterlab/application';
import { MainAreaWidget, WidgetTracker, showErrorMessage } from '@jupyterlab/apputils';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { ITranslator } from '@jupyterlab/translation';
import { stopIcon, ToolbarButton } from '@jupyterlab/ui-components';

import { CommandIDs } from '../commands';
import { words } from '../i18n';
import { agentsIcon } from '../icons';
import { IAgentsModel } from '../tokens';
import { RunDocument } from './document';

export const runPlugin: JupyterFrontEndPlugin<void> = {
  id: '@jupyterhub-agents/labextension:run',
  description: 'Opens runs as documents.',
  autoStart: true,
  requires: [IAgentsModel, IRenderMimeRegistry, ITranslator],
  optional: [ILabShell, ILayoutRestorer],
  activate: (
    app: JupyterFrontEnd,
    model: IAgentsModel,
    rendermime: IRenderMimeRegistry,
    translator: ITranslator,
    labShell: ILabShell | null,
    restorer: ILayoutRestorer | null
  ): void => {
    const trans = words(translator);
    const { commands, shell } = app;
    const tracker = new WidgetTracker<MainAreaWidget<RunDocument>>({ namespace: 'agents-run' });
    // The main area of Notebook 7 is its one document's.
    const area = labShell ? 'main' : 'right';

    commands.addCommand(CommandIDs.openRun, {
      label: trans.__('Open Run'),
      execute: async args => {
        const runId = runIdOf(args['runId']);
        if (!runId) {
          return;
        }
        let widget = tracker.find(one => one.content.runId === runId);
        if (!widget) {
          const content = new RunDocument(model, runId, rendermime, trans);
          widget = new MainAreaWidget({ content });
          widget.id = `jp-agents-run-${runId}`;
          widget.title.icon = agentsIcon;
          widget.title.closable = true;
          widget.toolbar.node.setAttribute('aria-label', trans.__('Run'));
          widget.toolbar.addItem(
            'stop',
            new ToolbarButton({
              icon: stopIcon,
              label: trans.__('Stop'),
              tooltip: trans.__('Stop this run and all it started'),
              onClick: () => {
                void commands.execute(CommandIDs.cancelRun, { runId });
              }
            })
          );
          await tracker.add(widget);
        }
        if (!widget.isAttached) {
          shell.add(widget, area, { type: 'Agents Run' });
        }
        shell.activateById(widget.id);
        return widget;
      }
    });

    commands.addCommand(CommandIDs.cancelRun, {
      label: trans.__('Stop Run'),
      caption: trans.__('Stop this run and all it started'),
      isEnabled: () => tracker.currentWidget !== null,
      execute: async args => {
        const runId = runIdOf(args['runId']) ?? tracker.currentWidget?.content.runId;
        if (runId) {
          await model.api.cancelRun(runId).catch(report);
          await model.runs.refresh();
        }
      }
    });

    function report(error: unknown): Promise<void> {
      return showErrorMessage(
        trans.__('This did not work'),
        error instanceof Error ? error.message : String(error)
      );
    }

    if (restorer) {
      void restorer.restore(tracker, {
        command: CommandIDs.openRun,
        args: widget => ({ runId: widget.content.runId }),
        name: widget => widget.content.runId
      });
    }
  }
};

function runIdOf(value: unknown): string | null {
  return typeof value === 'string' && value ? value : null;
}
