/** Agents that people share with each other: what the server keeps of it, and how it is asked. */

import { Watched } from '../model';
import { RequestError } from '../request';
import type { IAgentsModel, IWatched } from '../tokens';
import type { Agent, IPage, Run, RunCreate, Share, ShareAccess, SharedAgent, ShareKind } from '../types';

const INTERVAL = 30_000;

export class Sharing {
  constructor(private readonly model: IAgentsModel) {
    this._shared = new Watched('shared', () => this._fetch(), INTERVAL);
    this.shared = this._shared;
  }

  /** What others share with the person. */
  readonly shared: IWatched<readonly SharedAgent[]>;

  /** Whether this server shares at all; false until it has said so. */
  get available(): boolean {
    return this._available;
  }

  dispose(): void {
    this._shared.dispose();
  }

  async shares(agentId: string): Promise<Share[]> {
    return (await this.model.api.ask<IPage<Share>>(sharesPath(agentId))).items;
  }

  share(agentId: string, kind: ShareKind, name: string, access: ShareAccess): Promise<Share> {
    const path = `${sharesPath(agentId)}/${kind}/${encodeURIComponent(name)}`;
    return this.model.api.ask(path, { method: 'PUT', body: { access } });
  }

  unshare(agentId: string, kind: ShareKind, name: string): Promise<undefined> {
    return this.model.api.ask(`${sharesPath(agentId)}/${kind}/${encodeURIComponent(name)}`, {
      method: 'DELETE'
    });
  }

  run(owner: string, agentId: string, run: RunCreate): Promise<Run> {
    return this.model.api.ask(`${sharedPath(owner, agentId)}/runs`, {
      method: 'POST',
      body: { trigger: 'browser', ...run }
    });
  }

  copy(owner: string, agentId: string): Promise<Agent> {
    return this.model.api.ask(`${sharedPath(owner, agentId)}/copy`, { method: 'POST', body: {} });
  }

  private async _fetch(): Promise<readonly SharedAgent[]> {
    try {
      const page = await this.model.api.ask<IPage<SharedAgent>>('api/shared', { query: { limit: 1_000 } });
      this._available = true;
      return page.items;
    } catch (error) {
      if (error instanceof RequestError && error.status === 404) {
        this._available = false;
        return [];
      }
      throw error;
    }
  }

  private readonly _shared: Watched<readonly SharedAgent[]>;
  private _available = false;
}

function sharesPath(agentId: string): string {
  return `api/agents/${encodeURIComponent(agentId)}/shares`;
}

function sharedPath(owner: string, agentId: string): string {
  return `api/shared/${encodeURIComponent(owner)}/${encodeURIComponent(agentId)}`;
}
