/** Which agents are shown, and what is known of each. */

import type { Agent, Run } from '../types';

/** Those whose name, id or description has every word of the search. */
export function found(agents: readonly Agent[], search: string): Agent[] {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  return agents.filter(agent => {
    const text = `${agent.name} ${agent.id} ${agent.description}`.toLowerCase();
    return words.every(word => text.includes(word));
  });
}

/** The newest run of an agent; `runs` are newest first. An agent of somebody else's with the same id is another. */
export function lastRun(runs: readonly Run[], agentId: string): Run | undefined {
  return runs.find(run => run.agent_id === agentId && !run.agent_owner);
}

/** The agents that ran last, newest first, at most `most`. */
export function recent(agents: readonly Agent[], runs: readonly Run[], most: number): Agent[] {
  const ids = new Set(runs.filter(run => lastRun(runs, run.agent_id)).map(run => run.agent_id));
  return [...ids]
    .map(id => agents.find(agent => agent.id === id))
    .filter(agent => agent !== undefined)
    .slice(0, most);
}
