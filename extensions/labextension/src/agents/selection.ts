/** The commands of context menus: run an agent on what is selected in the file browser or in a notebook. */

import type { ICommandPalette } from '@jupyterlab/apputils';
import type { IFileBrowserFactory } from '@jupyterlab/filebrowser';
import type { INotebookTracker } from '@jupyterlab/notebook';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';

import { CommandIDs } from '../commands';
import { agentsIcon } from '../icons';
import { aboutCell, aboutFiles, errorOf } from './about';

export function addFileCommand(
  commands: CommandRegistry,
  browsers: IFileBrowserFactory,
  trans: TranslationBundle
): void {
  const selected = (): string[] =>
    Array.from(browsers.tracker.currentWidget?.selectedItems() ?? [], item => item.path);
  commands.addCommand(CommandIDs.runOnFiles, {
    label: trans.__('Run Agent on Selection…'),
    caption: trans.__('Have an agent do something with the selected files'),
    icon: agentsIcon,
    isVisible: () => selected().length > 0,
    execute: () => commands.execute(CommandIDs.startRun, { about: aboutFiles(selected(), trans) })
  });
}

export function addCellCommands(
  commands: CommandRegistry,
  notebooks: INotebookTracker,
  trans: TranslationBundle,
  palette: ICommandPalette | null
): void {
  const run = (withError: boolean): Promise<unknown> => {
    const panel = notebooks.currentWidget;
    const cell = notebooks.activeCell;
    if (!panel || !cell) {
      return Promise.resolve(null);
    }
    const isCode = cell.model.type === 'code';
    const about = aboutCell(
      {
        source: cell.model.sharedModel.getSource(),
        language: isCode ? (panel.sessionContext.kernelPreference.language ?? 'python') : 'markdown',
        path: panel.context.path,
        error: withError ? errorOf(cell.model) : null
      },
      trans
    );
    return commands.execute(CommandIDs.startRun, { about, trigger: 'browser' });
  };
  commands.addCommand(CommandIDs.runOnCell, {
    label: trans.__('Run Agent on Cell…'),
    caption: trans.__('Have an agent do something with the selected cell'),
    icon: args => (args['isPalette'] ? undefined : agentsIcon),
    isEnabled: () => notebooks.activeCell !== null,
    execute: () => run(false)
  });
  commands.addCommand(CommandIDs.runOnError, {
    label: trans.__('Run Agent on Error…'),
    caption: trans.__('Have an agent look at the error of the selected cell'),
    icon: args => (args['isPalette'] ? undefined : agentsIcon),
    isEnabled: () => errorOf(notebooks.activeCell?.model) !== null,
    isVisible: () => errorOf(notebooks.activeCell?.model) !== null,
    execute: () => run(true)
  });
  for (const command of [CommandIDs.runOnCell, CommandIDs.runOnError]) {
    palette?.addItem({ command, category: trans.__('Agents'), args: { isPalette: true } });
  }
}
