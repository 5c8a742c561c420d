import { nullTranslator } from '@jupyterlab/translation';

import { answerOf, callOf, summaryOf, visible } from '../src/approvals/call';
import { ruleWords } from '../src/approvals/rules';

const trans = nullTranslator.load('');

test('a command is shown whole, and with all that it is given besides', () => {
  const call = callOf({
    tool: 'Bash',
    input: { command: 'make\n  all', description: 'Build', timeout: 9000, run_in_background: false }
  });
  expect(call).toEqual({
    kind: 'command',
    command: 'make\n  all',
    about: 'Build',
    rest: '{\n  "timeout": 9000\n}'
  });
  expect(summaryOf(call)).toBe('make all');
});

test('what cannot be seen in a command is written out', () => {
  expect(visible('rm \u202etxt.a\u200b b\u001b[2K\n\tc')).toBe('rm \\u202etxt.a\\u200b b\\u001b[2K\n\tc');
});

test('an edit is a difference by lines', () => {
  const call = callOf({
    tool: 'Edit',
    input: {
      file_path: '/h/a.py',
      old_string: 'one\ntwo\nthree\n',
      new_string: 'one\n2\nthree\n',
      replace_all: true
    }
  });
  expect(call).toEqual({
    kind: 'change',
    path: '/h/a.py',
    changes: [
      [
        { sign: ' ', text: 'one' },
        { sign: '-', text: 'two' },
        { sign: '+', text: '2' },
        { sign: ' ', text: 'three' }
      ]
    ],
    rest: '{\n  "replace_all": true\n}'
  });
});

test('a new file is all added, and an empty line is a line', () => {
  const call = callOf({ tool: 'Write', input: { file_path: '/h/new', content: 'a\n\nb\n' } });
  expect(call.kind === 'change' && call.changes[0]?.map(line => line.sign + line.text)).toEqual([
    '+a',
    '+',
    '+b'
  ]);
});

test('several edits of a file are several differences', () => {
  const edits = [
    { old_string: 'a', new_string: 'b' },
    { old_string: 'c', new_string: '' }
  ];
  const call = callOf({ tool: 'MultiEdit', input: { file_path: '/h/a', edits } });
  expect(
    call.kind === 'change' && call.changes.map(lines => lines.map(line => line.sign + line.text))
  ).toEqual([['-a', '+b'], ['-c']]);
});

test('another tool is shown as what it is given, and so is a known one that is given something strange', () => {
  expect(callOf({ tool: 'mcp__db__drop', input: { table: 'x' } })).toEqual({
    kind: 'other',
    text: '{\n  "table": "x"\n}'
  });
  expect(callOf({ tool: 'Bash', input: { command: ['rm'] } }).kind).toBe('other');
  expect(callOf({ tool: 'AskUserQuestion', input: { questions: 'none' } }).kind).toBe('other');
});

test('a question has its options, and answers to several stand beside what was asked', () => {
  const questions = [
    {
      question: 'Which disk?',
      header: 'Disk',
      options: [{ label: 'A', description: 'fast' }, { label: 'B' }]
    },
    { question: 'Which days?', header: 'Days', multiSelect: true, options: [] }
  ];
  const call = callOf({ tool: 'AskUserQuestion', input: { questions } });
  if (call.kind !== 'question') {
    throw new Error(call.kind);
  }
  expect(call.questions[0]).toEqual({
    question: 'Which disk?',
    header: 'Disk',
    many: false,
    options: [
      { label: 'A', description: 'fast' },
      { label: 'B', description: '' }
    ]
  });
  expect(answerOf(call.questions, ['A', 'Mon, Tue'])).toBe('Which disk? A\nWhich days? Mon, Tue');
  expect(answerOf(call.questions.slice(0, 1), ['A'])).toBe('A');
});

test.each([
  ['Bash(git push:*)', 'commands that begin with “git push”'],
  ['Bash(npm run *)', 'commands that begin with “npm run”'],
  ['Bash(ls -la)', 'the command “ls -la”, exactly'],
  ['Bash(git * main)', 'Bash(git * main)'],
  ['Bash', 'every use of Bash'],
  ['Edit(//home/ada/x/**)', 'changes to files in /home/ada/x'],
  ['Read(//data/**)', 'reading files in /data'],
  ['WebFetch(domain:example.com)', 'pages of example.com'],
  ['mcp__db__drop', 'drop of the server db, whatever it is given'],
  ['Strange(x)', 'Strange(x)']
])('a rule in words: %s', (rule, said) => {
  expect(ruleWords(rule, trans)).toBe(said);
});
