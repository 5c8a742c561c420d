/** The Agents panel in the left sidebar, empty: others add its sections. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ILayoutRestorer } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { ITranslator } from '@jupyterlab/translation';
import { SidePanel, ToolbarButton, refreshIcon } from '@jupyterlab/ui-components';
import type { Widget } from '@lumino/widgets';
import { AccordionPanel, PanelLayout, Widget as LuminoWidget } from '@lumino/widgets';

import { MessageLoop } from '@lumino/messaging';
import { CommandIDs } from './commands';
import { words } from './i18n';
import { agentsIcon } from './icons';
import { IAgentsModel, IAgentsSidebar } from './tokens';

export class AgentsSidebar extends SidePanel implements IAgentsSidebar {
  constructor(
    private readonly showPanel: () => void,
    model: IAgentsModel,
    translator: ITranslator,
    private readonly trans: TranslationBundle
  ) {
    super({ translator });
    this.id = 'jp-agents-sidebar';
    this.addClass('jp-Agents');
    this.title.icon = agentsIcon;
    this.title.caption = trans.__('Agents');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', trans.__('Agents'));
    this.toolbar.addItem(
      'refresh',
      new ToolbarButton({
        icon: refreshIcon,
        tooltip: trans.__('Ask the server for everything again'),
        onClick: () => {
          void refreshAll(model);
        }
      })
    );
    this._offline = new LuminoWidget();
    this._offline.addClass('jp-Agents-offline');
    this._offline.node.setAttribute('role', 'status');
    this.header.addWidget(this._offline);
    model.onlineChanged.connect(this._onOnline, this);
    this._onOnline(model, model.online);
  }

  addSection(section: Widget, rank: number): void {
    const at = this._ranks.filter(other => other <= rank).length;
    this._ranks.splice(at, 0, rank);
    this.insertWidget(at, section);
    const { content } = this;
    if (content instanceof AccordionPanel) {
      // Lumino puts a new node last, whatever its place; keyboards and screen readers go by the order of the nodes.
      content.widgets.forEach((widget, number) => {
        content.node.append(...[content.titles[number], widget.node].filter(node => node !== undefined));
      });
    }
  }

  reveal(section: Widget): void {
    this.showPanel();
    // The panel's own activation goes to its first section: it is to be over before this one's.
    MessageLoop.flush();
    if (this.content instanceof AccordionPanel) {
      const at = this.content.widgets.indexOf(section);
      if (at >= 0) {
        this.content.expand(at);
        this.content.setRelativeSizes(this.content.widgets.map(one => (one === section ? 3 : 1)));
      }
    }
    section.activate();
  }

  setFooter(widget: Widget): void {
    this._footer?.dispose();
    this._footer = widget;
    widget.addClass('jp-Agents-footer');
    if (this.layout instanceof PanelLayout) {
      this.layout.addWidget(widget);
      // The sections have what is left of the height.
      const observer = new ResizeObserver(() => {
        MessageLoop.postMessage(this, LuminoWidget.ResizeMessage.UnknownSize);
      });
      observer.observe(widget.node);
      widget.disposed.connect(() => {
        observer.disconnect();
      });
    }
  }

  setBadge(count: number, label: string): void {
    this.title.dataset = count > 0 ? { 'agents-badge': count > 99 ? '99+' : String(count) } : {};
    this.title.caption = count > 0 ? `${this.trans.__('Agents')}: ${label}` : this.trans.__('Agents');
  }

  protected override onActivateRequest(): void {
    if (this.content instanceof AccordionPanel) {
      this.content.widgets[0]?.activate();
    }
  }

  private _onOnline(_: IAgentsModel, online: boolean): void {
    this._offline.setHidden(online);
    this._offline.node.textContent = online
      ? ''
      : this.trans.__('No connection to the server. What you see may be old; it goes on by itself.');
  }

  private _footer: Widget | null = null;
  private readonly _offline: Widget;
  private readonly _ranks: number[] = [];
}

function refreshAll(model: IAgentsModel): Promise<unknown> {
  return Promise.all(
    [model.agents, model.runs, model.approvals, model.health, model.budget].map(one => one.refresh())
  );
}

export const sidebarPlugin: JupyterFrontEndPlugin<IAgentsSidebar> = {
  id: '@jupyterhub-agents/labextension:sidebar',
  description: 'The Agents panel in the left sidebar.',
  autoStart: true,
  requires: [IAgentsModel, ITranslator],
  optional: [ICommandPalette, ILayoutRestorer],
  provides: IAgentsSidebar,
  activate: (
    app: JupyterFrontEnd,
    model: IAgentsModel,
    translator: ITranslator,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null
  ): IAgentsSidebar => {
    const trans = words(translator);
    const sidebar = new AgentsSidebar(
      () => {
        app.shell.activateById(sidebar.id);
      },
      model,
      translator,
      trans
    );
    app.shell.add(sidebar, 'left', { rank: 550, type: 'Agents' });
    restorer?.add(sidebar, sidebar.id);
    app.commands.addCommand(CommandIDs.showPanel, {
      label: trans.__('Show Agents'),
      caption: trans.__('Show agents, runs and approvals in the sidebar'),
      execute: () => {
        app.shell.activateById(sidebar.id);
      }
    });
    app.commands.addCommand(CommandIDs.refresh, {
      label: trans.__('Refresh Agents'),
      caption: trans.__('Ask the server for everything again'),
      execute: () => refreshAll(model)
    });
    for (const command of [CommandIDs.showPanel, CommandIDs.refresh]) {
      palette?.addItem({ command, category: trans.__('Agents') });
    }
    return sidebar;
  }
};
