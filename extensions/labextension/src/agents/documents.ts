/** Forms, conversations and revisions as documents of the main area, there again after a reload. */

import type { ILabShell, ILabStatus, ILayoutRestorer, JupyterFrontEnd } from '@jupyterlab/application';
import { MainAreaWidget, WidgetTracker } from '@jupyterlab/apputils';
import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { TranslationBundle } from '@jupyterlab/translation';
import { ToolbarButton, historyIcon, runIcon, saveIcon } from '@jupyterlab/ui-components';
import { UUID } from '@lumino/coreutils';
import type { IDisposable } from '@lumino/disposable';
import type { Message } from '@lumino/messaging';
import type { Widget } from '@lumino/widgets';

import { CommandIDs } from '../commands';
import { agentsIcon } from '../icons';
import type { IAgentsModel } from '../tokens';
import type { Agent } from '../types';
import { Chat } from './chat';
import { Conversation } from './conversation';
import { confirm } from './dialogs';
import { AgentEditor } from './editor';
import { AgentForm } from './form';
import { Revisions } from './revisions';

/** A form that does not close over what was not saved. */
class FormDocument extends MainAreaWidget<AgentForm> {
  constructor(
    content: AgentForm,
    private readonly trans: TranslationBundle
  ) {
    super({ content });
  }

  protected override onCloseRequest(message: Message): void {
    if (!this.content.editor.dirty) {
      super.onCloseRequest(message);
      return;
    }
    const { trans } = this;
    void confirm(
      trans.__('Close without saving?'),
      trans.__('What you changed in “%1” is lost then.', this.title.label),
      trans.__('Close without saving'),
      trans
    ).then(sure => {
      if (sure && !this.isDisposed) {
        this.dispose();
      }
    });
  }
}

export class Documents {
  constructor(
    private readonly app: JupyterFrontEnd,
    private readonly model: IAgentsModel,
    private readonly rendermime: IRenderMimeRegistry,
    private readonly trans: TranslationBundle,
    labShell: ILabShell | null,
    private readonly status: ILabStatus | null
  ) {
    // The main area of Notebook 7 is its one document's.
    this._area = labShell ? 'main' : 'right';
    model.agents.changed.connect(this._onAgents, this);
  }

  restore(restorer: ILayoutRestorer): void {
    // By ids of their own: a layout is not saved anew when what it holds gets an agent or a conversation.
    void restorer.restore(this.forms, {
      command: CommandIDs.editAgent,
      args: ({ id, content }) => ({ agentId: content.editor.base?.id ?? '', key: id }),
      name: widget => widget.id
    });
    void restorer.restore(this.chats, {
      command: CommandIDs.converse,
      args: ({ id, content }) => ({ conversationId: content.chat.id ?? '', key: id }),
      name: widget => widget.id
    });
    void restorer.restore(this.revisions, {
      command: CommandIDs.showRevisions,
      args: ({ content }) => ({ agentId: content.agentId }),
      name: widget => widget.content.agentId
    });
  }

  /** The form of an agent, or an empty one; `key` is the document's id when it was open before. */
  async edit(agent: Agent | null, key: string | null = null): Promise<Widget> {
    const { trans } = this;
    let widget = agent && this.forms.find(one => one.content.editor.base?.id === agent.id);
    if (!widget) {
      const editor = new AgentEditor(this.model.api, agent, trans);
      const form: AgentForm = new AgentForm(editor, trans, () => this.save(form));
      form.id = `jp-agents-fields-${UUID.uuid4()}`;
      const document = (widget = new FormDocument(form, trans));
      this._dress(document, key ?? `jp-agents-form-${UUID.uuid4()}`);
      this._fillToolbar(document, editor, form);
      this._watch(document, editor);
      await this.forms.add(widget);
    }
    return this._show(widget);
  }

  async converse(conversationId: string | null, key: string | null = null): Promise<Widget> {
    let widget = conversationId ? this.chats.find(one => one.content.chat.id === conversationId) : undefined;
    if (!widget) {
      const chat = new Chat(this.model, conversationId);
      widget = new MainAreaWidget({
        content: new Conversation(chat, this.rendermime, this.app.commands, this.trans)
      });
      this._dress(widget, key ?? `jp-agents-chat-${UUID.uuid4()}`);
      widget.toolbar.hide();
      widget.title.label = this.trans.__('Agent conversation');
      const document = widget;
      let known = chat.id;
      chat.changed.connect(() => {
        if (chat.id !== known) {
          known = chat.id;
          void this.chats.save(document);
        }
      });
      await this.chats.add(widget);
    }
    return this._show(widget);
  }

  async showRevisions(agentId: string): Promise<Widget> {
    let widget = this.revisions.find(one => one.content.agentId === agentId);
    if (!widget) {
      widget = new MainAreaWidget({ content: new Revisions(this.model, agentId, this.trans) });
      this._dress(widget, `jp-agents-revisions-${agentId}`);
      widget.toolbar.hide();
      widget.title.icon = historyIcon;
      widget.title.label = this.trans.__('Revisions of %1', agentId);
      await this.revisions.add(widget);
    }
    return this._show(widget);
  }

  /** Save the form that is before the person, or the one given. */
  async save(form: AgentForm | undefined = this.forms.currentWidget?.content): Promise<void> {
    if (form && !(await form.editor.save())) {
      await form.showProblem();
    }
  }

  /** Close what is open of an agent that is gone. */
  forget(agentId: string): void {
    this.revisions.find(one => one.content.agentId === agentId)?.dispose();
    this.forms.find(one => one.content.editor.base?.id === agentId)?.dispose();
  }

  private _dress(widget: MainAreaWidget, id: string): void {
    widget.id = id;
    widget.title.icon = agentsIcon;
    widget.title.closable = true;
    widget.toolbar.node.setAttribute('aria-label', this.trans.__('Agent'));
  }

  private _fillToolbar(document: FormDocument, editor: AgentEditor, form: AgentForm): void {
    const { trans } = this;
    const { commands } = this.app;
    const of = (command: string): (() => void) => {
      return () => {
        if (editor.base) {
          void commands.execute(command, { agentId: editor.base.id });
        }
      };
    };
    const buttons = {
      save: new ToolbarButton({
        icon: saveIcon,
        label: trans.__('Save'),
        tooltip: trans.__('Save the agent'),
        onClick: () => void this.save(form)
      }),
      run: new ToolbarButton({
        icon: runIcon,
        label: trans.__('Run…'),
        tooltip: trans.__('Give this agent something to do, as it was saved'),
        onClick: of(CommandIDs.startRun)
      }),
      revisions: new ToolbarButton({
        icon: historyIcon,
        label: trans.__('Revisions…'),
        tooltip: trans.__('What changed, and when'),
        onClick: of(CommandIDs.showRevisions)
      })
    };
    for (const [name, button] of Object.entries(buttons)) {
      document.toolbar.addItem(name, button);
    }
    const update = (): void => {
      buttons.run.setHidden(!editor.base);
      buttons.revisions.setHidden(!editor.base);
    };
    editor.changed.connect(update);
    update();
  }

  /** Title and marks follow what is in the form. */
  private _watch(document: FormDocument, editor: AgentEditor): void {
    let unsaved: IDisposable | null = null;
    const update = (): void => {
      const { title } = document;
      title.label = editor.draft.name || this.trans.__('New agent');
      title.className = editor.dirty ? 'jp-mod-dirty' : '';
      if (editor.dirty) {
        unsaved ??= this.status?.setDirty() ?? null;
      } else {
        unsaved?.dispose();
        unsaved = null;
      }
    };
    editor.changed.connect(update);
    editor.saved.connect(() => {
      void this.model.agents.refresh();
      void this.forms.save(document);
    });
    document.disposed.connect(() => {
      unsaved?.dispose();
    });
    update();
  }

  private _onAgents(): void {
    this.forms.forEach(({ content: { editor } }) => {
      const agent = this.model.agents.value?.find(one => one.id === editor.base?.id);
      if (agent) {
        editor.see(agent);
      }
    });
  }

  private _show(widget: Widget): Widget {
    if (!widget.isAttached) {
      this.app.shell.add(widget, this._area, { type: 'Agents' });
    }
    this.app.shell.activateById(widget.id);
    return widget;
  }

  readonly forms = new WidgetTracker<FormDocument>({ namespace: 'agents-form' });
  readonly chats = new WidgetTracker<MainAreaWidget<Conversation>>({ namespace: 'agents-chat' });
  readonly revisions = new WidgetTracker<MainAreaWidget<Revisions>>({ namespace: 'agents-revisions' });
  private readonly _area: string;
}
