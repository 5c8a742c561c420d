/** Agents in the panel: their list, and the commands to make, edit and run them. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ILabShell, ILabStatus, ILayoutRestorer } from '@jupyterlab/application';
import { ICommandPalette, InputDialog, Notification, showErrorMessage } from '@jupyterlab/apputils';
import { IFileBrowserFactory } from '@jupyterlab/filebrowser';
import { ILauncher } from '@jupyterlab/launcher';
import { INotebookTracker } from '@jupyterlab/notebook';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { ITranslator } from '@jupyterlab/translation';

import { CommandIDs } from '../commands';
import { words } from '../i18n';
import { agentsIcon } from '../icons';
import { IAgentsModel, IAgentsSidebar } from '../tokens';
import type { Agent, Run, RunCreate } from '../types';
import { deleteAgent } from './deletion';
import type { IChoice } from './dialogs';
import { askForTask, showSharing } from './dialogs';
import { Documents } from './documents';
import { specOf } from './draft';
import { asJson, chooseFiles, importFile, save } from './files';
import { Tiles } from './launcher';
import { AgentsSection } from './section';
import { addCellCommands, addFileCommand } from './selection';
import { Sharing } from './sharing';

const ID = '@jupyterhub-agents/labextension:agents';

interface ISettings {
  newBy: string;
  recentAgents: number;
  undoSeconds: number;
}

export const agentsPlugin: JupyterFrontEndPlugin<void> = {
  id: ID,
  description: 'Lists agents in the panel, makes, changes, shares and starts them.',
  autoStart: true,
  requires: [IAgentsModel, IAgentsSidebar, IRenderMimeRegistry, ITranslator],
  optional: [
    ICommandPalette,
    ILauncher,
    ILabShell,
    ILabStatus,
    ILayoutRestorer,
    ISettingRegistry,
    IFileBrowserFactory,
    INotebookTracker
  ],
  activate: (
    app: JupyterFrontEnd,
    model: IAgentsModel,
    sidebar: IAgentsSidebar,
    rendermime: IRenderMimeRegistry,
    translator: ITranslator,
    palette: ICommandPalette | null,
    launcher: ILauncher | null,
    labShell: ILabShell | null,
    status: ILabStatus | null,
    restorer: ILayoutRestorer | null,
    registry: ISettingRegistry | null,
    browsers: IFileBrowserFactory | null,
    notebooks: INotebookTracker | null
  ): void => {
    const trans = words(translator);
    const { commands } = app;
    const { api } = model;
    const sharing = new Sharing(model);
    const documents = new Documents(app, model, rendermime, trans, labShell, status);
    const tiles = launcher && new Tiles(launcher, model, trans);
    const settings: ISettings = { newBy: 'form', recentAgents: 4, undoSeconds: 20 };
    if (registry) {
      void registry.load(ID).then(found => {
        const read = (): void => {
          Object.assign(settings, found.composite);
          tiles?.set(settings.recentAgents, settings.newBy);
        };
        found.changed.connect(read);
        read();
      }, console.error);
    }
    sidebar.addSection(new AgentsSection({ model, sharing, commands, trans }, importFiles), 10);

    commands.addCommand(CommandIDs.createAgent, {
      label: args =>
        args['isMenu']
          ? trans.__('By a form…')
          : args['isLauncher']
            ? trans.__('New agent')
            : trans.__('New Agent…'),
      caption: trans.__('Make an agent by filling in a form'),
      icon: args => (args['isLauncher'] ? agentsIcon : undefined),
      execute: () => documents.edit(null)
    });
    commands.addCommand(CommandIDs.converse, {
      label: args =>
        args['isMenu']
          ? trans.__('By saying what you want…')
          : args['isLauncher']
            ? trans.__('New agent')
            : trans.__('Speak About Agents…'),
      caption: trans.__('Say what agent you want, and have it made'),
      icon: args => (args['isLauncher'] ? agentsIcon : undefined),
      execute: args => documents.converse(textOf(args['conversationId']), textOf(args['key']))
    });
    commands.addCommand(CommandIDs.editAgent, {
      label: args => (args['isMenu'] ? trans.__('Edit') : trans.__('Edit Agent…')),
      execute: args =>
        attempt(async () => {
          const key = textOf(args['key']);
          const agentId = textOf(args['agentId']) ?? (key ? null : await askForAgent());
          if (key && !agentId) {
            return documents.edit(null, key);
          }
          // In the list it may be older than what is stored.
          return agentId && documents.edit(await api.agent(agentId), key);
        })
    });
    commands.addCommand(CommandIDs.saveAgent, {
      label: trans.__('Save Agent'),
      isEnabled: () => documents.forms.currentWidget !== null,
      execute: () => documents.save()
    });
    commands.addCommand(CommandIDs.duplicateAgent, {
      label: trans.__('Duplicate'),
      execute: args =>
        withAgent(args, async agent => {
          const copy = await api.createAgent({
            ...specOf(agent),
            name: trans.__('%1 (copy)', agent.name),
            id: null
          });
          await model.agents.refresh();
          return documents.edit(copy);
        })
    });
    commands.addCommand(CommandIDs.shareAgent, {
      label: trans.__('Share…'),
      execute: args => withAgent(args, agent => showSharing(sharing, agent, trans))
    });
    commands.addCommand(CommandIDs.showRevisions, {
      label: args => (args['isMenu'] ? trans.__('Revisions…') : trans.__('Agent Revisions…')),
      execute: async args => {
        const agentId = textOf(args['agentId']) ?? (await askForAgent());
        return agentId && documents.showRevisions(agentId);
      }
    });
    commands.addCommand(CommandIDs.exportAgent, {
      label: args =>
        args['format'] === 'json' ? trans.__('Export as JSON') : trans.__('Export as Subagent File'),
      caption: trans.__('Save the agent on your computer'),
      execute: args =>
        withAgent(args, async agent => {
          const file =
            args['format'] === 'json'
              ? { name: `${agent.id}.json`, text: asJson(agent) }
              : await api.subagentFile(agent.id);
          save(file.name, file.text);
        })
    });
    commands.addCommand(CommandIDs.importAgents, {
      label: args => (args['isMenu'] ? trans.__('From files…') : trans.__('Import Agents…')),
      caption: trans.__('Make agents of Claude Code’s subagent files (.md) or of JSON'),
      execute: async () => importFiles(await chooseFiles())
    });
    commands.addCommand(CommandIDs.deleteAgent, {
      label: trans.__('Delete'),
      execute: args =>
        withAgent(args, async agent => {
          await deleteAgent(model, sharing, agent, settings.undoSeconds, trans, report);
          documents.forget(agent.id);
        })
    });
    commands.addCommand(CommandIDs.copyShared, {
      label: trans.__('Copy'),
      caption: trans.__('Make an agent of your own of it'),
      execute: args =>
        attempt(async () => {
          const copy = await sharing.copy(textOf(args['agentOwner']) ?? '', textOf(args['agentId']) ?? '');
          await model.agents.refresh();
          return documents.edit(copy);
        })
    });
    commands.addCommand(CommandIDs.startRun, {
      label: args =>
        args['isLauncher']
          ? nameOf(args['agentId'])
          : args['isMenu']
            ? trans.__('Run…')
            : trans.__('Run Agent…'),
      caption: trans.__('Give an agent something to do'),
      icon: args => (args['isLauncher'] ? agentsIcon : undefined),
      execute: args => attempt(() => start(args))
    });
    if (browsers) {
      addFileCommand(commands, browsers, trans);
    }
    if (notebooks) {
      addCellCommands(commands, notebooks, trans, palette);
    }
    for (const command of [
      CommandIDs.createAgent,
      CommandIDs.converse,
      CommandIDs.startRun,
      CommandIDs.editAgent,
      CommandIDs.showRevisions,
      CommandIDs.importAgents,
      CommandIDs.saveAgent
    ]) {
      palette?.addItem({ command, category: trans.__('Agents') });
    }
    if (restorer) {
      documents.restore(restorer);
    }

    async function start(args: Record<string, unknown> | object): Promise<Run | null> {
      const given = args as Record<string, unknown>;
      const about = textOf(given['about']) ?? '';
      let prompt = textOf(given['prompt']);
      let agentId = textOf(given['agentId']);
      let owner = textOf(given['agentOwner']);
      if (!agentId || !prompt) {
        const known = await choices();
        const fitting = agentId ? known.filter(one => one.id === agentId && one.owner === owner) : known;
        if (!fitting.length) {
          await commands.execute(CommandIDs.showPanel);
          Notification.info(
            agentId
              ? trans.__('There is no agent %1.', agentId)
              : trans.__('There is no agent yet: make one first.')
          );
          return null;
        }
        const task = await askForTask(fitting, about, trans);
        if (!task) {
          return null;
        }
        agentId = task.agent.id;
        owner = task.agent.owner;
        prompt = task.prompt.trim();
      }
      const trigger = (textOf(given['trigger']) ?? 'browser') as NonNullable<RunCreate['trigger']>;
      const body: RunCreate = { prompt: [prompt, about].filter(Boolean).join('\n\n'), trigger };
      const run = await (owner ? sharing.run(owner, agentId, body) : api.startRun(agentId, body));
      void model.runs.refresh();
      await commands.execute(CommandIDs.openRun, { runId: run.id });
      return run;
    }

    /** All that can be run: first one's own. */
    async function choices(): Promise<IChoice[]> {
      await model.agents.refresh();
      const own = (model.agents.value ?? []).map(({ id, name }) => ({ id, name, owner: null }));
      const others = (sharing.shared.value ?? []).map(({ agent: { id, name, owner } }) => ({
        id,
        name,
        owner
      }));
      return [...own, ...others];
    }

    async function askForAgent(): Promise<string | null> {
      await model.agents.refresh();
      const agents = model.agents.value ?? [];
      const answer = await InputDialog.getItem({
        title: trans.__('Which agent?'),
        items: agents.map(agent => agent.id)
      });
      return answer.button.accept ? answer.value : null;
    }

    function nameOf(agentId: unknown): string {
      return model.agents.value?.find(agent => agent.id === agentId)?.name ?? trans.__('Run Agent…');
    }

    /** Do something with the newest revision of the agent that a command names. */
    function withAgent<T>(args: object, then: (agent: Agent) => Promise<T>): Promise<T | null> {
      return attempt(async () => {
        const agentId = textOf((args as Record<string, unknown>)['agentId']) ?? (await askForAgent());
        return agentId ? then(await api.agent(agentId)) : null;
      });
    }

    /** What fails is said, and not thrown at whoever ran the command. */
    async function attempt<T>(what: () => Promise<T>): Promise<T | null> {
      try {
        return await what();
      } catch (error) {
        await report(error);
        return null;
      }
    }

    function report(error: unknown): Promise<void> {
      return showErrorMessage(
        trans.__('This did not work'),
        error instanceof Error ? error.message : String(error)
      );
    }

    async function importFiles(files: readonly File[]): Promise<void> {
      for (const file of files) {
        const { made, error } = await importFile(api, file, trans.__('The file is too large.'));
        if (made.length) {
          const names = made.map(agent => agent.name).join(', ');
          Notification.success(trans.__('%1: made %2.', file.name, names), { autoClose: 5_000 });
        }
        if (error) {
          Notification.error(`${file.name}: ${error}`, { autoClose: false });
        }
      }
      if (files.length) {
        await model.agents.refresh();
      }
    }
  }
};

function textOf(value: unknown): string | null {
  return typeof value === 'string' && value ? value : null;
}
