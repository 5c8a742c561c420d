/** What waits for the person: the inbox in the panel and as a document, its keys, and how they are told. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ILabShell, ILayoutRestorer } from '@jupyterlab/application';
import { ICommandPalette, MainAreaWidget, WidgetTracker } from '@jupyterlab/apputils';
import { PageConfig } from '@jupyterlab/coreutils';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { ITranslator } from '@jupyterlab/translation';

import { CommandIDs } from '../commands';
import { words } from '../i18n';
import { agentsIcon } from '../icons';
import { IAgentsModel, IAgentsSidebar } from '../tokens';
import { QUESTION } from './call';
import type { Inbox } from './inbox';
import type { DesktopChoice } from './notify';
import { Notifier } from './notify';
import { InboxWidget } from './section';

const ID = '@jupyterhub-agents/labextension:approvals';
const DESKTOP = 'desktopNotifications';

export const approvalsPlugin: JupyterFrontEndPlugin<void> = {
  id: ID,
  description: 'The inbox of what waits for the person.',
  autoStart: true,
  requires: [IAgentsModel, IAgentsSidebar, ITranslator],
  optional: [ICommandPalette, ILabShell, ILayoutRestorer, ISettingRegistry],
  activate: (
    app: JupyterFrontEnd,
    model: IAgentsModel,
    sidebar: IAgentsSidebar,
    translator: ITranslator,
    palette: ICommandPalette | null,
    labShell: ILabShell | null,
    restorer: ILayoutRestorer | null,
    registry: ISettingRegistry | null
  ): void => {
    const trans = words(translator);
    const { commands, shell } = app;
    const category = trans.__('Agents');
    /** Only what the file browser could show: below the folder that it begins in. */
    const read = async (path: string): Promise<string | null> => {
      const root = `${PageConfig.getOption('serverRoot').replace(/\/$/, '')}/`;
      if (!path.startsWith(root)) {
        return null;
      }
      try {
        const options = { type: 'file', format: 'text', content: true } as const;
        const file = await app.serviceManager.contents.get(path.slice(root.length), options);
        return typeof file.content === 'string' ? file.content : null;
      } catch {
        return null;
      }
    };
    const section = new InboxWidget(model, commands, trans, read, 'panel');
    const tracker = new WidgetTracker<MainAreaWidget<InboxWidget>>({ namespace: 'agents-inbox' });
    sidebar.addSection(section, 20);

    commands.addCommand(CommandIDs.showApprovals, {
      label: trans.__('Show Approvals'),
      caption: trans.__('Show the tool calls that wait for you'),
      execute: args => {
        choose(section.inbox, args['approvalId']);
        sidebar.reveal(section);
      }
    });
    commands.addCommand(CommandIDs.openInbox, {
      label: trans.__('Open Approvals as a Document'),
      caption: trans.__('Show what waits for you in the main area, where there is more room'),
      execute: async args => {
        let widget = tracker.currentWidget;
        if (!widget || widget.isDisposed) {
          const content = new InboxWidget(model, commands, trans, read, 'document');
          widget = new MainAreaWidget({ content });
          widget.id = 'jp-agents-inbox-document';
          widget.title.icon = agentsIcon;
          widget.title.label = trans.__('Approvals');
          widget.title.closable = true;
          widget.toolbar.hide();
          await tracker.add(widget);
        }
        choose(widget.content.inbox, args['approvalId']);
        if (!widget.isAttached) {
          // The main area of Notebook 7 is its one document's.
          shell.add(widget, labShell ? 'main' : 'right', { type: 'Agents Approvals' });
        }
        shell.activateById(widget.id);
      }
    });
    for (const command of [CommandIDs.showApprovals, CommandIDs.openInbox]) {
      palette?.addItem({ command, category });
    }
    if (restorer) {
      void restorer.restore(tracker, { command: CommandIDs.openInbox, name: () => 'inbox' });
    }

    /** The inbox that the keys are for. */
    const focused = (): Inbox | null =>
      [section, tracker.currentWidget?.content].find(one => one?.hasFocus)?.inbox ?? null;
    const isEnabled = (): boolean => Boolean(focused()?.current);
    commands.addCommand(CommandIDs.approve, {
      label: args =>
        args['scope'] === 'agent'
          ? trans.__('Approve Always for This Agent')
          : args['scope'] === 'run'
            ? trans.__('Approve for This Run')
            : trans.__('Approve Once'),
      isEnabled,
      execute: async args => {
        const scope = args['scope'];
        const inbox = focused();
        // An answer takes words; a key has none.
        if (inbox?.current?.tool !== QUESTION) {
          await inbox?.decide(scope === 'agent' || scope === 'run' ? scope : 'once');
        }
      }
    });
    commands.addCommand(CommandIDs.deny, {
      label: trans.__('Deny'),
      isEnabled,
      execute: () => focused()?.setDenying(true)
    });
    commands.addCommand(CommandIDs.nextApproval, {
      label: trans.__('Next Approval'),
      isEnabled,
      execute: () => focused()?.move(1)
    });
    commands.addCommand(CommandIDs.previousApproval, {
      label: trans.__('Previous Approval'),
      isEnabled,
      execute: () => focused()?.move(-1)
    });
    // A key that is held down is one decision, not one for each call that comes next. Lumino listens at the document.
    window.addEventListener(
      'keydown',
      event => {
        if (event.repeat && /^[arl]$/i.test(event.key) && focused() && !isTyping(event.target)) {
          event.stopImmediatePropagation();
          event.preventDefault();
        }
      },
      { capture: true }
    );

    const badge = (): void => {
      const count = model.approvals.value?.length ?? 0;
      sidebar.setBadge(count, trans._n('%1 call waits for you', '%1 calls wait for you', count));
    };
    model.approvals.changed.connect(badge);
    badge();

    let desktop: DesktopChoice = 'ask';
    let settings: ISettingRegistry.ISettings | null = null;
    const readSettings = (): void => {
      const choice = settings?.get(DESKTOP).composite;
      desktop = choice === 'on' || choice === 'off' ? choice : 'ask';
    };
    void registry
      ?.load(ID)
      .then(loaded => {
        settings = loaded;
        loaded.changed.connect(readSettings);
        readSettings();
      })
      .catch((error: unknown) => {
        console.error('The settings of approvals could not be read; the usual ones hold.', error);
      });
    new Notifier(model, trans, {
      show: approvalId => {
        void commands.execute(CommandIDs.showApprovals, { approvalId });
      },
      isSeen: () => section.isVisible || (tracker.currentWidget?.isVisible ?? false),
      choice: () => desktop,
      choose: choice => {
        desktop = choice;
        void settings?.set(DESKTOP, choice);
      }
    });
  }
};

function choose(inbox: Inbox, approvalId: unknown): void {
  if (typeof approvalId === 'string') {
    inbox.select(approvalId);
  }
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.closest('[data-lm-suppress-shortcuts]') !== null;
}
