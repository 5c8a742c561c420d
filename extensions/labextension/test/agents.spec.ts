import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ServerConnection } from '@jupyterlab/services';
import { nullTranslator } from '@jupyterlab/translation';

import { aboutCell, aboutFiles, errorOf, fenced } from '../src/agents/about';
import { diffLines } from '../src/agents/diff';
import { changes, draftOf, refused, withRule, written } from '../src/agents/draft';
import { AgentEditor } from '../src/agents/editor';
import { ofJson } from '../src/agents/files';
import { wrong } from '../src/agents/limits';
import { found, lastRun, recent } from '../src/agents/list';
import { AgentsApi } from '../src/api';
import type { Agent, AgentSpec, Run } from '../src/types';
import { until } from './until';

const trans = nullTranslator.load('');
const SPEC: AgentSpec = {
  name: 'Writer',
  description: 'Writes',
  instructions: 'Write.\n',
  model: 'haiku',
  tools: ['Read', 'Bash(git diff:*)'],
  disallowed_tools: ['WebFetch'],
  allowed_tools: ['Bash(ls:*)'],
  permission_mode: 'plan',
  mcp_servers: {
    local: { command: 'npx', args: ['-y', 'x'], env: { KEY: 'a=b' } },
    remote: { type: 'http', url: 'https://example.org', headers: { Authorization: 'Bearer x' } },
    strange: { type: 'http', url: 'https://example.org', timeout: 5 },
    multiline: { command: 'sh', args: ['-c', 'a\nb'] }
  },
  directory: 'here',
  max_turns: 3,
  max_budget_usd: 0.5,
  timeout_s: 90,
  front_matter: { color: 'blue' }
};
const AGENT: Agent = { ...SPEC, id: 'writer', owner: 'ada', revision: 1, created_at: '', updated_at: '' };

test('what the form shows of an agent is the same agent again', () => {
  expect(draftOf(SPEC).timeout).toBe('1.5');
  const { spec, problems } = written(draftOf(SPEC), SPEC, {}, trans);
  expect(problems).toEqual({});
  expect(spec).toEqual(SPEC);
  expect(changes(SPEC, spec)).toEqual({});
});

test('an MCP server that the form has no fields for is shown as JSON', () => {
  expect(draftOf(SPEC).servers.map(server => server.kind)).toEqual(['stdio', 'http', 'other', 'other']);
});

test('what is wrong is known by the limits of the server', () => {
  const limits = {
    name: { type: 'string', minLength: 1, maxLength: 5 },
    model: { anyOf: [{ type: 'string', pattern: '^[a-z]+$' }, { type: 'null' }] },
    tools: { anyOf: [{ type: 'array', maxItems: 1, items: { type: 'string' } }, { type: 'null' }] },
    max_turns: { anyOf: [{ type: 'integer', minimum: 1 }, { type: 'null' }] },
    timeout_s: { anyOf: [{ type: 'number', exclusiveMinimum: 0, maximum: 600 }, { type: 'null' }] },
    id: { anyOf: [{ type: 'string', pattern: '^[a-z]+$' }, { type: 'null' }] }
  };
  const draft = {
    ...draftOf(SPEC),
    name: '',
    model: 'NO',
    max_turns: '1.5',
    max_budget_usd: 'much',
    timeout: '11',
    id: 'Not An Id'
  };
  const { problems } = written(draft, null, limits, trans);
  expect(problems).toEqual({
    name: 'This cannot be empty.',
    model: 'This form is not taken.',
    tools: 'These are 2; at most 1 are taken.',
    max_turns: 'Give a whole number.',
    max_budget_usd: 'This is not a number.',
    timeout_s: 'Give a number of at most 10.',
    id: 'Take small letters, digits and “-”, such as code-reviewer.'
  });
  expect(wrong('😀😀', { maxLength: 2 }, trans)).toBeNull();
});

test.each([
  [{ name: '' }, 'Every server needs a name.'],
  [{ command: ' ' }, 'The server local needs a command.'],
  [{ pairs: 'no value' }, 'Write each line of local as NAME=value.'],
  [{ kind: 'other' as const, json: '[1]' }, 'The definition of local is no JSON object.'],
  [{ kind: 'http' as const }, 'The server local needs an address.'],
  [{ name: 'remote' }, 'The server remote is there twice.']
])('an MCP server with %j is refused', (fields, problem) => {
  const draft = draftOf(SPEC);
  const servers = draft.servers.map((server, at) => (at === 0 ? { ...server, ...fields } : server));
  expect(written({ ...draft, servers }, SPEC, {}, trans).problems.mcp_servers).toBe(problem);
});

test('what the server says is put beside the fields', () => {
  const told = refused("directory: '../x' is no folder; give another; tools.0: too long (it is 1); Else.");
  expect(told.problems).toEqual({
    directory: "'../x' is no folder; give another",
    tools: 'too long (it is 1); Else.'
  });
  expect(refused('The store is away.')).toEqual({ problems: {}, rest: 'The store is away.' });
});

test('a rule is there once or not', () => {
  expect(withRule('Read\nBash', 'Read', true)).toBe('Bash\nRead');
  expect(withRule('Read\nBash', 'Read', false)).toBe('Bash');
});

test('agents are found by every word of the search', () => {
  const agents = [AGENT, { ...AGENT, id: 'reader', name: 'Reader', description: 'Reads poems' }];
  expect(found(agents, 'poem READ').map(agent => agent.id)).toEqual(['reader']);
  expect(found(agents, ' ')).toHaveLength(2);
});

test('what ran last is known of one’s own agents', () => {
  const runs = [
    { id: '4', agent_id: 'gone' },
    { id: '3', agent_id: 'writer', agent_owner: 'bob' },
    { id: '2', agent_id: 'reader' },
    { id: '1', agent_id: 'writer' }
  ] as unknown as Run[];
  const agents = [AGENT, { ...AGENT, id: 'reader' }];
  expect(lastRun(runs, 'writer')?.id).toBe('1');
  expect(recent(agents, runs, 5).map(agent => agent.id)).toEqual(['writer', 'reader']);
  expect(recent(agents, runs, 1)).toHaveLength(1);
});

test('a difference is told by lines', () => {
  const text = '--- revision 1\n+++ revision 2\n@@ -1,2 +1,2 @@\n same\n--- old\n+new\n@@ -9 +9 @@\n-x';
  expect(diffLines(text).map(line => [line.kind, line.text])).toEqual([
    ['same', 'same'],
    ['removed', '-- old'],
    ['added', 'new'],
    ['gap', '⋯'],
    ['removed', 'x']
  ]);
  expect(diffLines('')).toEqual([]);
});

test('an agent is told of files and cells as they are', () => {
  expect(aboutFiles(['a b.csv', 'RTC:data/c.csv'], trans)).toBe(
    'It is about these files:\n- ~/a b.csv\n- ~/data/c.csv'
  );
  const outputs = [
    { output_type: 'stream' },
    { output_type: 'error', ename: 'E', evalue: 'v', traceback: [] }
  ];
  const cell = {
    type: 'code',
    outputs: { length: 2, get: (at: number) => ({ toJSON: () => outputs[at] ?? {} }) }
  };
  expect(errorOf({ ...cell, type: 'markdown' })).toBeNull();
  const told = aboutCell(
    { source: 'print("```")', language: 'python', path: 'n.ipynb', error: errorOf(cell) },
    trans
  );
  expect(told).toContain('````python\nprint("```")\n````');
  expect(told).toContain('```\nE: v\n```');
  expect(fenced('x', '')).toBe('```\nx\n```');
});

test('of a file only what a person writes of an agent is sent', () => {
  expect(ofJson(JSON.stringify([AGENT]))).toEqual([{ ...SPEC, id: 'writer' }]);
  expect(() => ofJson('{')).toThrow(SyntaxError);
});

describe('an agent that is edited', () => {
  let server: Server;
  let stored: Agent;
  let api: AgentsApi;

  beforeEach(async () => {
    stored = AGENT;
    server = createServer((request, response) => {
      let text = '';
      request.on('data', part => (text += String(part)));
      request.on('end', () => {
        const [status, answer] = reply(request.method ?? '', request.url ?? '', text);
        response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(answer));
      });
    });
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    api = new AgentsApi(ServerConnection.makeSettings({ baseUrl: `http://127.0.0.1:${port}/` }));
  });

  afterEach(async () => {
    server.closeAllConnections();
    await new Promise(resolve => server.close(resolve));
  });

  /** One agent, as the workspace keeps it. */
  function reply(method: string, url: string, text: string): [number, unknown] {
    if (url.includes('openapi')) {
      return [404, { code: 'not_found', message: 'No.' }];
    }
    if (url.includes('/diff')) {
      return [200, { before: 1, after: 2, fields: [], diff: '@@\n+x' }];
    }
    if (method === 'PATCH') {
      const { revision, ...fields } = JSON.parse(text) as { revision: number } & Partial<Agent>;
      if (revision !== stored.revision) {
        return [409, { code: 'stale_revision', message: 'Stale.', current: stored.revision }];
      }
      stored = { ...stored, ...fields, revision: revision + 1 };
    }
    return [200, stored];
  }

  test('sends what was changed alone, and is clean then', async () => {
    const editor = new AgentEditor(api, AGENT, trans);
    expect(editor.dirty).toBe(false);
    editor.set({ description: 'Other' });
    expect(editor.dirty).toBe(true);
    stored = { ...stored, model: 'opus' };
    expect(await editor.save()).toMatchObject({ revision: 2, description: 'Other', model: 'opus' });
    expect([editor.dirty, editor.base?.revision]).toEqual([false, 2]);
    editor.dispose();
  });

  test('is not sent while something is wrong with it', async () => {
    const editor = new AgentEditor(api, AGENT, trans);
    editor.set({ max_turns: 'many' });
    expect(editor.problems).toEqual({});
    expect(await editor.save()).toBeNull();
    expect(editor.problems).toEqual({ max_turns: 'This is not a number.' });
    expect(stored.revision).toBe(1);
    editor.dispose();
  });

  test('follows what others save, unless something of the person’s would be lost', async () => {
    const editor = new AgentEditor(api, AGENT, trans);
    editor.see({ ...AGENT, revision: 2, name: 'Theirs' });
    expect(editor.draft.name).toBe('Theirs');
    editor.set({ name: 'Mine' });
    stored = { ...AGENT, revision: 3, name: 'Newer' };
    editor.see(stored);
    expect(editor.draft.name).toBe('Mine');
    expect(await editor.save()).toBeNull();
    await until(() => editor.conflict !== null);
    expect(await editor.overwrite()).toMatchObject({ name: 'Mine', revision: 4 });
    editor.dispose();
  });
});
