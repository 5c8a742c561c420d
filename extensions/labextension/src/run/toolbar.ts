/** The toolbar of a run's document, and what can be done with a run in which state. */

import type { MainAreaWidget } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { LabIcon } from '@jupyterlab/ui-components';
import { ToolbarButton, copyIcon, runIcon, stopIcon, terminalIcon } from '@jupyterlab/ui-components';

import { CommandIDs } from '../commands';
import type { Run } from '../types';
import { isFinal } from '../types';
import type { RunDocument } from './document';

export function canStop(run: Run | null): boolean {
  return run !== null && !isFinal(run.status);
}

export function canResume(run: Run | null): boolean {
  return run !== null && isFinal(run.status) && run.status !== 'succeeded';
}

/** Whether the terminal can take the run's session over: it is at work nowhere else. */
export function hasSession(run: Run | null): boolean {
  return run !== null && isFinal(run.status);
}

export function fillToolbar(
  widget: MainAreaWidget<RunDocument>,
  trans: TranslationBundle,
  execute: (command: string) => void
): void {
  const { thread } = widget.content;
  const buttons: { name: string; can: () => boolean; button: ToolbarButton }[] = [];
  const add = (
    name: string,
    command: string,
    icon: LabIcon,
    label: string,
    tooltip: string,
    can: () => boolean
  ): void => {
    const button = new ToolbarButton({
      icon,
      label,
      tooltip,
      enabled: can(),
      onClick: () => {
        execute(command);
      }
    });
    widget.toolbar.addItem(name, button);
    buttons.push({ name, can, button });
  };
  add(
    'stop',
    CommandIDs.cancelRun,
    stopIcon,
    trans.__('Stop'),
    trans.__('Stop this run and all it started'),
    () => canStop(thread.run)
  );
  add(
    'resume',
    CommandIDs.resumeRun,
    runIcon,
    trans.__('Resume'),
    trans.__('Go on where this run stopped'),
    () => canResume(thread.run)
  );
  add(
    'terminal',
    CommandIDs.openTerminal,
    terminalIcon,
    trans.__('Open in terminal'),
    trans.__('Go on with this session in Claude Code’s own terminal'),
    () => hasSession(thread.run)
  );
  add(
    'copy',
    CommandIDs.copyRun,
    copyIcon,
    trans.__('Copy as Markdown'),
    trans.__('Copy all of this run as Markdown'),
    () => thread.isWhole
  );
  thread.changed.connect(() => {
    for (const { can, button } of buttons) {
      if (button.enabled !== can()) {
        button.enabled = can();
      }
    }
  });
}
