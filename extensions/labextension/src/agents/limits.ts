/** What the server takes as an agent, by the JSON schema in its OpenAPI document: known before anything is sent. */

import type { TranslationBundle } from '@jupyterlab/translation';

import type { AgentsApi } from '../api';
import type { AgentSpec } from '../types';

/** The words of JSON Schema that the server's models use. */
export interface ISchema {
  type?: string;
  minLength?: number;
  maxLength?: number;
  pattern?: string;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  maxItems?: number;
  maxProperties?: number;
  items?: ISchema;
  anyOf?: ISchema[];
}

/** The schema of each field; empty when the server did not say, and then only it judges. */
export type Limits = Readonly<Partial<Record<keyof AgentSpec | 'id', ISchema>>>;

interface IDocument {
  components: { schemas: { AgentCreate: { properties: Limits } } };
}

/** Ask the server for its limits. */
export async function fetchLimits(api: AgentsApi): Promise<Limits> {
  const document = await api.ask<IDocument>('api/agents-openapi.json');
  return document.components.schemas.AgentCreate.properties;
}

/** What is wrong with a value, for the person who wrote it; null when nothing is. */
export function wrong(value: unknown, schema: ISchema | undefined, trans: TranslationBundle): string | null {
  if (!schema || value === null || value === undefined) {
    return null;
  }
  const one = schema.anyOf?.find(other => other.type !== 'null') ?? schema;
  if (typeof value === 'string') {
    return wrongText(value, one, trans);
  }
  if (typeof value === 'number') {
    return wrongNumber(value, one, trans);
  }
  if (Array.isArray(value)) {
    if (one.maxItems !== undefined && value.length > one.maxItems) {
      return trans.__('These are %1; at most %2 are taken.', value.length, one.maxItems);
    }
    for (const item of value as unknown[]) {
      const problem = wrong(item, one.items, trans);
      if (problem) {
        return `${String(item)}: ${problem}`;
      }
    }
    return null;
  }
  const size = typeof value === 'object' ? Object.keys(value).length : 0;
  return one.maxProperties !== undefined && size > one.maxProperties
    ? trans.__('These are %1; at most %2 are taken.', size, one.maxProperties)
    : null;
}

function wrongText(value: string, schema: ISchema, trans: TranslationBundle): string | null {
  // The server counts code points.
  const length = Array.from(value).length;
  if (schema.minLength !== undefined && length < schema.minLength) {
    return trans.__('This cannot be empty.');
  }
  if (schema.maxLength !== undefined && length > schema.maxLength) {
    return trans.__('This has %1 characters; at most %2 are taken.', length, schema.maxLength);
  }
  return schema.pattern && !new RegExp(schema.pattern).test(value)
    ? trans.__('This form is not taken.')
    : null;
}

function wrongNumber(value: number, schema: ISchema, trans: TranslationBundle): string | null {
  if (schema.type === 'integer' && !Number.isInteger(value)) {
    return trans.__('Give a whole number.');
  }
  if (schema.exclusiveMinimum !== undefined && value <= schema.exclusiveMinimum) {
    return trans.__('Give a number above %1.', schema.exclusiveMinimum);
  }
  if (schema.minimum !== undefined && value < schema.minimum) {
    return trans.__('Give a number of at least %1.', schema.minimum);
  }
  return schema.maximum !== undefined && value > schema.maximum
    ? trans.__('Give a number of at most %1.', schema.maximum)
    : null;
}
