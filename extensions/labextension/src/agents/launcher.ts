/** The launcher's tiles: a new agent, and those that ran last. */

import type { ILauncher } from '@jupyterlab/launcher';
import type { TranslationBundle } from '@jupyterlab/translation';
import { DisposableSet } from '@lumino/disposable';

import { CommandIDs } from '../commands';
import type { IAgentsModel } from '../tokens';
import { recent } from './list';

export class Tiles {
  constructor(
    private readonly launcher: ILauncher,
    private readonly model: IAgentsModel,
    private readonly trans: TranslationBundle
  ) {
    model.agents.changed.connect(this._update, this);
    model.runs.changed.connect(this._update, this);
    this._update();
  }

  /** How many agents, and how a new one is made. */
  set(most: number, newBy: string): void {
    this._most = most;
    this._newBy = newBy;
    this._update();
  }

  private _update(): void {
    const { agents, runs } = this.model;
    const shown = recent(agents.value ?? [], runs.value ?? [], this._most);
    const key = JSON.stringify([this._newBy, shown.map(agent => [agent.id, agent.name])]);
    if (key === this._key) {
      return;
    }
    this._key = key;
    this._tiles.dispose();
    this._tiles = new DisposableSet();
    const category = this.trans.__('Agents');
    const command = this._newBy === 'conversation' ? CommandIDs.converse : CommandIDs.createAgent;
    this._tiles.add(this.launcher.add({ command, category, args: { isLauncher: true }, rank: 0 }));
    shown.forEach((agent, at) => {
      this._tiles.add(
        this.launcher.add({
          command: CommandIDs.startRun,
          category,
          args: { isLauncher: true, agentId: agent.id },
          rank: at + 1
        })
      );
    });
  }

  private _tiles = new DisposableSet();
  private _most = 4;
  private _newBy = 'form';
  private _key = '';
}
