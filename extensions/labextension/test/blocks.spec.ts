import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { nullTranslator } from '@jupyterlab/translation';

import type { Block, ICall } from '../src/run/blocks';
import { isWaiting, story, waiting } from '../src/run/blocks';
import { relativePath } from '../src/run/files';
import { asMarkdown } from '../src/run/markdown';
import type { Run, RunEvent } from '../src/types';

interface IRecorded {
  run: Run;
  events: RunEvent[];
}

/** What a real server gave for a run of the real CLI: made by `python -m tests.browser.panel.record`. */
function recorded(name: string): IRecorded {
  return JSON.parse(readFileSync(join(__dirname, 'recorded', `${name}.json`), 'utf8')) as IRecorded;
}

function blocksOf({ run, events }: IRecorded): readonly Block[] {
  return story(run, events).blocks;
}

function callsOf(blocks: readonly Block[]): ICall[] {
  return blocks.filter(block => block.kind === 'call');
}

const trans = nullTranslator.load('');

test('a run is a prompt, words, thoughts, calls with their results, and an end', () => {
  const blocks = blocksOf(recorded('tools'));
  expect(blocks.map(block => block.kind)).toEqual([
    'prompt',
    'thinking',
    'text',
    ...Array<string>(7).fill('call'),
    'text',
    'status'
  ]);
  expect(blocks[0]).toMatchObject({ text: 'show your tools' });
  const calls = callsOf(blocks);
  expect(calls.map(call => call.tool)).toEqual(['Bash', 'Write', 'Read', 'Edit', 'Grep', 'Glob', 'Bash']);
  expect(calls[0]?.result).toMatchObject({ text: 'hello\nthere', isError: false });
  expect(calls[6]?.result).toMatchObject({ text: 'Exit code 3', isError: true });
  expect(new Set(blocks.map(block => block.key)).size).toBe(blocks.length);
});

test('a change of a file is told by lines', () => {
  const [write, edit] = callsOf(blocksOf(recorded('tools'))).filter(call => call.result?.hunks.length);
  expect(write?.result?.hunks).toEqual([
    { oldStart: 0, newStart: 1, lines: ['+def fib(n):', '+    return n'] }
  ]);
  expect(edit?.result?.hunks).toEqual([
    { oldStart: 1, newStart: 1, lines: [' def fib(n):', '-    return n', '+    return n * 2'] }
  ]);
});

test('what a subagent did is within its call', () => {
  const blocks = blocksOf(recorded('subagent'));
  const [call] = callsOf(blocks);
  expect(callsOf(blocks)).toHaveLength(1);
  expect(callsOf(call?.inner ?? []).map(inner => inner.input['command'])).toEqual(['echo seven']);
  expect(callsOf(call?.inner ?? [])[0]?.result?.text).toBe('seven');
});

test('a call that was asked about says what a person decided, and waits until then', () => {
  const { run, events } = recorded('approvals');
  const [allowed, denied] = callsOf(story(run, events).blocks);
  expect(allowed?.approval).toMatchObject({ decision: 'once', rules: ['Bash(touch allowed *)'] });
  expect(denied?.approval).toMatchObject({ decision: 'deny', message: 'Not that one.' });
  const asked = events.findIndex(event => event.type === 'approval') + 1;
  const before = story(run, events.slice(0, asked)).blocks;
  expect(waiting(before).map(one => one.input['command'])).toEqual(['touch allowed']);
  expect(waiting(story(run, events).blocks).filter(isWaiting)).toEqual([]);
});

test('a run that was resumed has both prompts, and says why it failed in between, once', () => {
  const blocks = blocksOf(recorded('resumed'));
  expect(blocks.map(block => block.kind)).toEqual(['prompt', 'status', 'prompt', 'text', 'status']);
  expect(blocks[1]).toMatchObject({ status: 'failed', error: { code: 'api_error_400' } });
  expect(blocks[2]).toMatchObject({ text: 'go on after that' });
});

test('the end of a run that is read first has the same blocks when the beginning has come', () => {
  const { run, events } = recorded('tools');
  const whole = story(run, events).blocks;
  for (let from = 1; from < events.length; from += 1) {
    const part = story(run, events.slice(from)).blocks;
    expect(whole.slice(whole.length - part.length).map(block => block.key)).toEqual(
      part.map(block => block.key)
    );
  }
});

test('a run is copied as Markdown', () => {
  const { run, events } = recorded('tools');
  const text = asMarkdown(run, story(run, events).blocks, trans);
  expect(text).toContain('> show your tools');
  expect(text).toContain('```sh\necho hello; echo there\n```\n\n```\nhello\nthere\n```');
  expect(text).toContain('```diff\n def fib(n):\n-    return n\n+    return n * 2\n```');
  expect(text.trimEnd().endsWith('See `fib.py`.')).toBe(true);
});

test('an MCP tool has its input and its answer', () => {
  const [call] = callsOf(blocksOf(recorded('mcp')));
  expect(call?.tool).toBe('mcp__agents__list_agents');
  expect(JSON.parse(call?.result?.text ?? '')).toMatchObject({
    agents: [{ id: 'assistant' }, { id: 'helper' }]
  });
});

test('a file is opened where JupyterLab has it, or not at all', () => {
  expect(relativePath('/home/ana/work/fib.py', '/home/ana')).toBe('work/fib.py');
  expect(relativePath('/home/ana/work/fib.py', '/home/ana/')).toBe('work/fib.py');
  expect(relativePath('/home/anabel/fib.py', '/home/ana')).toBeNull();
  expect(relativePath('fib.py', '/home/ana')).toBeNull();
});
