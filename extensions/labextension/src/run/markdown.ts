/** A run as Markdown, to be kept or sent. */

import type { TranslationBundle } from '@jupyterlab/translation';

import { statusWord } from '../status/words';
import type { Run } from '../types';
import type { Block, ICall } from './blocks';
import { intendedHunks, textOf } from './blocks';
import { EDITS, summary } from './tools';

export function asMarkdown(
  run: Pick<Run, 'agent_id'>,
  blocks: readonly Block[],
  trans: TranslationBundle
): string {
  const parts = blocks.map(block => ofBlock(block, trans)).filter(part => part);
  return [`# ${run.agent_id}`, ...parts].join('\n\n') + '\n';
}

function ofBlock(block: Block, trans: TranslationBundle): string {
  switch (block.kind) {
    case 'prompt':
      return quoted(block.text);
    case 'text':
      return block.text.trim();
    case 'thinking':
      return `<details><summary>${trans.__('Thinking')}</summary>\n\n${block.text.trim()}\n\n</details>`;
    case 'call':
      return ofCall(block, trans);
    case 'status':
      return block.error ? `**${statusWord(block.status, trans)}**: ${block.error.message}` : '';
    case 'asked':
    case 'notice':
      return '';
  }
}

function ofCall(call: ICall, trans: TranslationBundle): string {
  const title = `**${call.tool}** ${call.tool === 'Bash' ? '' : code(summary(call))}`.trim();
  const parts = [title];
  if (call.tool === 'Bash') {
    parts.push(fenced(textOf(call.input['command']), 'sh'));
  } else if (EDITS.has(call.tool)) {
    const hunks = call.result?.hunks.length ? call.result.hunks : intendedHunks(call);
    parts.push(fenced(hunks.flatMap(hunk => hunk.lines).join('\n'), 'diff'));
  }
  parts.push(...call.inner.map(block => ofBlock(block, trans)).filter(part => part));
  if (call.result?.text && !EDITS.has(call.tool)) {
    parts.push(fenced(call.result.text));
  }
  return parts.join('\n\n');
}

function code(text: string): string {
  return text && (text.includes('`') ? `\`\` ${text} \`\`` : `\`${text}\``);
}

function quoted(text: string): string {
  return text
    .trim()
    .split('\n')
    .map(line => `> ${line}`.trimEnd())
    .join('\n');
}

/** A fence longer than any in the text. */
function fenced(text: string, language = ''): string {
  const longest = Math.max(2, ...[...text.matchAll(/`{3,}/g)].map(match => match[0].length));
  const fence = '`'.repeat(longest + 1);
  return `${fence}${language}\n${text.replace(/\n$/, '')}\n${fence}`;
}
