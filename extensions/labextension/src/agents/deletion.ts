/** Agents are deleted at once, and can be had back: with their id, and with whom they were shared. */

import { Notification } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';

import type { IAgentsModel } from '../tokens';
import type { Agent, Share } from '../types';
import { specOf } from './draft';
import type { Sharing } from './sharing';

/** Delete an agent, and offer for so many seconds to undo it. Rejects when it cannot be deleted. */
export async function deleteAgent(
  model: IAgentsModel,
  sharing: Sharing,
  agent: Agent,
  seconds: number,
  trans: TranslationBundle,
  report: (error: unknown) => Promise<void>
): Promise<void> {
  const shares: readonly Share[] = sharing.available ? await sharing.shares(agent.id).catch(() => []) : [];
  await model.api.deleteAgent(agent.id, agent.revision);
  await model.agents.refresh();
  const restore = async (): Promise<void> => {
    try {
      await model.api.createAgent({ ...specOf(agent), id: agent.id });
      for (const { kind, name, access } of shares) {
        await sharing.share(agent.id, kind, name, access);
      }
    } catch (error) {
      await report(error);
    }
    await model.agents.refresh();
  };
  Notification.success(trans.__('%1 is deleted. Its runs and revisions stay.', agent.name), {
    autoClose: seconds * 1_000,
    actions: [
      {
        label: trans.__('Undo'),
        caption: trans.__('Have %1 again', agent.name),
        displayType: 'accent',
        callback: () => void restore()
      }
    ]
  });
}
