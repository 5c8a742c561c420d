/** The item of the status bar: how many runs work, how many calls wait, and a budget that runs low. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { IStatusBar } from '@jupyterlab/statusbar';
import type { TranslationBundle } from '@jupyterlab/translation';
import { ITranslator } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';
import type { ReactElement } from 'react';

import { leftWords, levelOf, limitsOf } from '../budget/left';
import { CommandIDs } from '../commands';
import { words } from '../i18n';
import { useOnline, useWatched } from '../react';
import { IAgentsModel } from '../tokens';

function Status(props: { model: IAgentsModel; trans: TranslationBundle; show: () => void }): ReactElement {
  const { model, trans } = props;
  const runs = useWatched(model.runs) ?? [];
  const waiting = useWatched(model.approvals)?.length ?? 0;
  const online = useOnline(model);
  const budget = useWatched(model.budget);
  const working = runs.filter(run => run.status === 'queued' || run.status === 'running').length;
  const parts = [
    working || !waiting ? trans._n('%1 at work', '%1 at work', working) : '',
    waiting ? trans._n('%1 waits for you', '%1 wait for you', waiting) : ''
  ];
  const [least] = budget?.counted ? limitsOf(budget) : [];
  if (least && levelOf(least) !== 'fine') {
    parts.push(leftWords(least, trans));
  }
  const text = online
    ? trans.__('Agents: %1', parts.filter(Boolean).join(', '))
    : trans.__('Agents: no connection');
  return (
    <button
      className="jp-Agents-statusItem"
      data-waiting={waiting > 0}
      title={trans.__('Show Agents')}
      onClick={props.show}
    >
      {text}
    </button>
  );
}

export const statusPlugin: JupyterFrontEndPlugin<void> = {
  id: '@jupyterhub-agents/labextension:status',
  description: 'Says in the status bar how many runs work and how many calls wait.',
  autoStart: true,
  requires: [IAgentsModel, ITranslator],
  optional: [IStatusBar],
  activate: (
    app: JupyterFrontEnd,
    model: IAgentsModel,
    translator: ITranslator,
    statusBar: IStatusBar | null
  ): void => {
    const trans = words(translator);
    const show = (): void => {
      const waits = Boolean(model.approvals.value?.length);
      void app.commands.execute(waits ? CommandIDs.showApprovals : CommandIDs.showPanel);
    };
    statusBar?.registerStatusItem('@jupyterhub-agents/labextension:status', {
      item: ReactWidget.create(<Status model={model} trans={trans} show={show} />),
      align: 'right',
      rank: 900
    });
  }
};
