/** The ids of the panel's commands. Each is registered by the folder that is named beside it. */

export const CommandIDs = {
  /** sidebar.ts: show the panel. */
  showPanel: 'agents:show-panel',
  /** sidebar.ts: ask the server for everything again. */
  refresh: 'agents:refresh',

  /** run/: open a run as a document; `{runId}`. */
  openRun: 'agents:open-run',
  /** run/: stop a run; `{runId}`, or the current document's. */
  cancelRun: 'agents:cancel-run',
  /** run/: go on with a run that stopped; `{runId, prompt?}`. */
  resumeRun: 'agents:resume-run',

  /** agents/: make an agent by form. */
  createAgent: 'agents:create',
  /** agents/: edit an agent; `{agentId}`. */
  editAgent: 'agents:edit',
  /** agents/: start a run; `{agentId?, prompt?, trigger?}`; asks for what is left out. Answers with the run. */
  startRun: 'agents:start-run',

  /** approvals/: show the inbox. */
  showApprovals: 'agents:show-approvals'
} as const;
