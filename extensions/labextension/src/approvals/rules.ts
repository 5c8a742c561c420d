/** Claude Code's permission rules in words (its documentation, "Permission rule syntax"). */

import type { TranslationBundle } from '@jupyterlab/translation';

/** What a rule allows; the rule itself where there are no words for it. */
export function ruleWords(rule: string, trans: TranslationBundle): string {
  const match = /^([^(]+)(?:\(([^]*)\))?$/.exec(rule);
  const tool = match?.[1] ?? rule;
  const what = match?.[2];
  if (what === undefined || what === '*') {
    const [, server, name] = /^mcp__(.+?)__(.+)$/.exec(tool) ?? [];
    return server && name
      ? trans.__('%1 of the server %2, whatever it is given', name, server)
      : trans.__('every use of %1', tool);
  }
  if (tool === 'Bash') {
    const start = /^(.*?)(?::\*| \*)$/.exec(what)?.[1];
    if (start !== undefined) {
      return trans.__('commands that begin with “%1”', start);
    }
    return what.includes('*') ? rule : trans.__('the command “%1”, exactly', what);
  }
  if (tool === 'Edit' || tool === 'Read') {
    const folder = /^\/?(\/.*)\/\*\*$/.exec(what)?.[1];
    if (folder !== undefined) {
      return tool === 'Edit'
        ? trans.__('changes to files in %1', folder)
        : trans.__('reading files in %1', folder);
    }
  }
  const domain = tool === 'WebFetch' ? /^domain:(.+)$/.exec(what)?.[1] : undefined;
  return domain === undefined ? rule : trans.__('pages of %1', domain);
}
