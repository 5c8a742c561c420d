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
  /** run/: go on with a run's session in the terminal; `{runId}`, or the current document's. */
  openTerminal: 'agents:open-run-terminal',
  /** run/: copy a run as Markdown: the current document's. */
  copyRun: 'agents:copy-run',

  /** agents/: make an agent by form. */
  createAgent: 'agents:create',
  /** agents/: edit an agent; `{agentId}`. */
  editAgent: 'agents:edit',
  /** agents/: save the form that is before the person. */
  saveAgent: 'agents:save',
  /** agents/: speak with the assistant about agents; `{conversationId?}`. */
  converse: 'agents:converse',
  /** agents/: a copy of an agent; `{agentId}`. */
  duplicateAgent: 'agents:duplicate',
  /** agents/: say with whom an agent is shared; `{agentId}`. */
  shareAgent: 'agents:share',
  /** agents/: an agent's revisions, and what changed between them; `{agentId}`. */
  showRevisions: 'agents:revisions',
  /** agents/: save an agent as a file; `{agentId, format?: 'md' | 'json'}`. */
  exportAgent: 'agents:export',
  /** agents/: make agents of files. */
  importAgents: 'agents:import',
  /** agents/: delete an agent, which can be undone; `{agentId}`. */
  deleteAgent: 'agents:delete',
  /** agents/: an agent of one's own, of one that somebody shares; `{agentId, agentOwner}`. */
  copyShared: 'agents:copy-shared',
  /** agents/: start a run; `{agentId?, agentOwner?, prompt?, about?, trigger?}`; asks for what is left out; `about` is
   * added to what the person says. Answers with the run. */
  startRun: 'agents:start-run',
  /** agents/: start a run about what is selected in the file browser. */
  runOnFiles: 'agents:run-on-files',
  /** agents/: start a run about the selected cell. */
  runOnCell: 'agents:run-on-cell',
  /** agents/: start a run about the error of the selected cell. */
  runOnError: 'agents:run-on-error',

  /** approvals/: show the inbox in the panel; `{approvalId?}`. */
  showApprovals: 'agents:show-approvals',
  /** approvals/: the inbox as a document; `{approvalId?}`. */
  openInbox: 'agents:open-inbox',
  /** approvals/: approve the call that the inbox in focus shows; `{scope?: 'once' | 'run' | 'agent'}`. */
  approve: 'agents:approve',
  /** approvals/: begin to deny it. */
  deny: 'agents:deny',
  nextApproval: 'agents:next-approval',
  previousApproval: 'agents:previous-approval',

  /** runs/: stop, or go on with, a run of the history; `{runId, status}`. */
  stopFromHistory: 'agents:history-stop',
  resumeFromHistory: 'agents:history-resume'
} as const;
