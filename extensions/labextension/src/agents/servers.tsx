/** The MCP servers of an agent, as a part of its form. */

import type { TranslationBundle } from '@jupyterlab/translation';
import type { ReactElement } from 'react';

import type { IServerDraft, ServerKind } from './draft';
import { NEW_SERVER } from './draft';
import { Field } from './field';

export function Servers(props: {
  id: string;
  servers: readonly IServerDraft[];
  onChange: (servers: readonly IServerDraft[]) => void;
  trans: TranslationBundle;
}): ReactElement {
  const { id, servers, onChange, trans } = props;
  const put = (at: number, fields: Partial<IServerDraft>): void => {
    onChange(servers.map((one, number) => (number === at ? { ...one, ...fields } : one)));
  };
  return (
    <>
      {servers.map((server, at) => (
        <Server
          key={at}
          id={`${id}-${at}`}
          server={server}
          trans={trans}
          onChange={fields => {
            put(at, fields);
          }}
          onRemove={() => {
            onChange(servers.filter((_, number) => number !== at));
          }}
        />
      ))}
      <button
        type="button"
        className="jp-mod-styled jp-mod-minimal"
        onClick={() => {
          onChange([...servers, NEW_SERVER]);
        }}
      >
        {trans.__('Add a server')}
      </button>
    </>
  );
}

function Server(props: {
  id: string;
  server: IServerDraft;
  onChange: (fields: Partial<IServerDraft>) => void;
  onRemove: () => void;
  trans: TranslationBundle;
}): ReactElement {
  const { id, server, onChange, trans } = props;
  const name = server.name || trans.__('new server');
  const text = (field: 'command' | 'url' | 'name', label: string, placeholder: string): ReactElement => (
    <Field id={`${id}-${field}`} label={label}>
      {control => (
        <input
          {...control}
          className="jp-mod-styled"
          value={server[field]}
          placeholder={placeholder}
          spellCheck={false}
          onChange={event => {
            onChange({ [field]: event.target.value });
          }}
        />
      )}
    </Field>
  );
  const area = (field: 'args' | 'pairs' | 'json', label: string, placeholder: string): ReactElement => (
    <Field id={`${id}-${field}`} label={label}>
      {control => (
        <textarea
          {...control}
          className="jp-mod-styled jp-AgentsForm-code"
          rows={Math.min(12, Math.max(2, server[field].split('\n').length))}
          value={server[field]}
          placeholder={placeholder}
          spellCheck={false}
          onChange={event => {
            onChange({ [field]: event.target.value });
          }}
        />
      )}
    </Field>
  );
  return (
    <div className="jp-AgentsForm-server" role="group" aria-label={trans.__('MCP server %1', name)}>
      <div className="jp-AgentsForm-row">
        {text('name', trans.__('Server name'), 'github')}
        <Field id={`${id}-kind`} label={trans.__('Kind')}>
          {control => (
            <select
              {...control}
              className="jp-mod-styled"
              value={server.kind}
              onChange={event => {
                onChange({ kind: event.target.value as ServerKind });
              }}
            >
              <option value="stdio">{trans.__('A program in the workspace')}</option>
              <option value="http">{trans.__('At an address (HTTP)')}</option>
              <option value="sse">{trans.__('At an address (SSE)')}</option>
              <option value="other">{trans.__('As JSON')}</option>
            </select>
          )}
        </Field>
        <button
          type="button"
          className="jp-mod-styled jp-mod-minimal"
          aria-label={trans.__('Remove the server %1', name)}
          onClick={props.onRemove}
        >
          {trans.__('Remove')}
        </button>
      </div>
      {server.kind === 'stdio' && (
        <>
          {text('command', trans.__('Command'), 'npx')}
          {area('args', trans.__('Arguments, one a line'), '-y\n@modelcontextprotocol/server-github')}
          {area('pairs', trans.__('Environment, one a line'), 'GITHUB_TOKEN=${GITHUB_TOKEN}')}
        </>
      )}
      {(server.kind === 'http' || server.kind === 'sse') && (
        <>
          {text('url', trans.__('Address'), 'https://example.org/mcp')}
          {area('pairs', trans.__('Headers, one a line'), 'Authorization=Bearer ${TOKEN}')}
        </>
      )}
      {server.kind === 'other' && area('json', trans.__('Definition'), '{}')}
    </div>
  );
}
