/** Runs as documents of the main area, there again after a reload. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ILabShell, ILayoutRestorer } from '@jupyterlab/application';
import {
  Clipboard,
  ICommandPalette,
  MainAreaWidget,
  Notification,
  WidgetTracker,
  showErrorMessage
} from '@jupyterlab/apputils';
import { URLExt } from '@jupyterlab/coreutils';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { ITranslator } from '@jupyterlab/translation';

import { CommandIDs } from '../commands';
import { words } from '../i18n';
import { agentsIcon } from '../icons';
import { IAgentsModel } from '../tokens';
import { RunDocument } from './document';
import { openFile } from './files';
import { canResume, canStop, fillToolbar, hasSession } from './toolbar';

/** jupyter-server-proxy's command to show what it proxies. */
const SHOW_PROXIED = 'server-proxy:open';

export const runPlugin: JupyterFrontEndPlugin<void> = {
  id: '@jupyterhub-agents/labextension:run',
  description: 'Opens runs as documents.',
  autoStart: true,
  requires: [IAgentsModel, IRenderMimeRegistry, ITranslator],
  optional: [ILabShell, ILayoutRestorer, ICommandPalette],
  activate: (
    app: JupyterFrontEnd,
    model: IAgentsModel,
    rendermime: IRenderMimeRegistry,
    translator: ITranslator,
    labShell: ILabShell | null,
    restorer: ILayoutRestorer | null,
    palette: ICommandPalette | null
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
        const widget = find(runId) ?? (await make(runId));
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
      isEnabled: args => Boolean(args['runId']) || canStop(current()?.thread.run ?? null),
      execute: async args => {
        const runId = runIdOf(args['runId']) ?? current()?.runId;
        if (runId) {
          await model.api.cancelRun(runId).catch(report);
          await model.runs.refresh();
        }
      }
    });

    commands.addCommand(CommandIDs.resumeRun, {
      label: trans.__('Resume Run'),
      caption: trans.__('Go on where this run stopped'),
      isEnabled: args => Boolean(args['runId']) || canResume(current()?.thread.run ?? null),
      execute: async args => {
        const runId = runIdOf(args['runId']) ?? current()?.runId;
        const prompt = typeof args['prompt'] === 'string' && args['prompt'] ? args['prompt'] : undefined;
        if (!runId) {
          return;
        }
        const shown = find(runId)?.content;
        const resumed = shown?.runId === runId ? shown.resume(prompt) : model.api.resumeRun(runId, prompt);
        await resumed.catch(report);
        await model.runs.refresh();
      }
    });

    commands.addCommand(CommandIDs.openTerminal, {
      label: trans.__('Open Run in Terminal'),
      caption: trans.__('Go on with this session in Claude Code’s own terminal'),
      isEnabled: args => Boolean(args['runId']) || hasSession(current()?.thread.run ?? null),
      execute: async args => {
        const runId = runIdOf(args['runId']) ?? current()?.runId;
        if (!runId) {
          return;
        }
        try {
          const { path } = await model.api.openTerminal(runId);
          const url = URLExt.join(app.serviceManager.serverSettings.baseUrl, path);
          if (commands.hasCommand(SHOW_PROXIED)) {
            const title = trans.__('Claude Code');
            await commands.execute(SHOW_PROXIED, {
              id: `agents-terminal-${runId}`,
              title,
              url,
              newBrowserTab: false
            });
          } else {
            window.open(url, '_blank', 'noopener');
          }
        } catch (error) {
          await report(error);
        }
      }
    });

    commands.addCommand(CommandIDs.copyRun, {
      label: trans.__('Copy Run as Markdown'),
      caption: trans.__('Copy all of this run as Markdown'),
      isEnabled: () => current()?.thread.isWhole ?? false,
      execute: () => {
        const shown = current();
        if (shown) {
          Clipboard.copyToSystem(shown.asMarkdown());
          Notification.success(trans.__('The run is copied as Markdown.'), { autoClose: 3_000 });
        }
      }
    });

    const category = trans.__('Agents');
    for (const command of [
      CommandIDs.cancelRun,
      CommandIDs.resumeRun,
      CommandIDs.openTerminal,
      CommandIDs.copyRun
    ]) {
      palette?.addItem({ command, category });
    }

    function current(): RunDocument | null {
      return tracker.currentWidget?.content ?? null;
    }

    function find(runId: string): MainAreaWidget<RunDocument> | undefined {
      return tracker.find(one => one.content.thread.has(runId));
    }

    async function make(runId: string): Promise<MainAreaWidget<RunDocument>> {
      const content = new RunDocument(model, runId, rendermime, trans, (path, line) => {
        void openFile(commands, trans, path, line);
      });
      const widget = new MainAreaWidget({ content });
      widget.id = `jp-agents-run-${runId}`;
      widget.title.icon = agentsIcon;
      widget.title.closable = true;
      widget.addClass('jp-AgentsRun-area');
      widget.toolbar.node.setAttribute('aria-label', trans.__('Run'));
      fillToolbar(widget, trans, command => {
        shell.activateById(widget.id);
        void commands.execute(command, command === CommandIDs.copyRun ? {} : { runId: content.runId });
      });
      content.thread.changed.connect(() => {
        commands.notifyCommandChanged();
      });
      content.runChanged.connect(() => {
        void tracker.save(widget);
      });
      await tracker.add(widget);
      return widget;
    }

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
