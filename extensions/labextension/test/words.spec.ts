import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(__dirname, '..');
const STRING = String.raw`'((?:[^'\\]|\\.)*)'`;

/** Every string that the source gives to `__`, `_n` or `_p`; for `_n` the singular. */
function said(folder: string): Set<string> {
  const found = new Set<string>();
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true })) {
    if (entry.isFile() && /\.tsx?$/.test(entry.name)) {
      const source = readFileSync(join(entry.parentPath, entry.name), 'utf8');
      for (const match of source.matchAll(new RegExp(String.raw`\.(?:__|_n)\(\s*${STRING}`, 'g'))) {
        found.add(match[1] ?? '');
      }
      for (const match of source.matchAll(new RegExp(String.raw`\._n?p\(\s*${STRING},\s*${STRING}`, 'g'))) {
        found.add(match[2] ?? '');
      }
    }
  }
  return found;
}

/** The strings that have a translation. */
function translated(language: string): Set<string> {
  const found = new Set<string>();
  const folder = join(ROOT, 'locale', language);
  for (const file of readdirSync(folder)) {
    const text = readFileSync(join(folder, file), 'utf8');
    for (const match of text.matchAll(/^msgid "(.+)"\n(?:msgid_plural ".+"\n)?msgstr(?:\[0\])? "(.+)"$/gm)) {
      found.add(match[1] ?? '');
    }
  }
  return found;
}

const sources = said(join(ROOT, 'src'));

test.each(readdirSync(join(ROOT, 'locale')))(
  'every word of the panel is translated, and no other: %s',
  language => {
    expect(sources.size).toBeGreaterThan(20);
    const known = translated(language);
    expect([...sources].filter(text => !known.has(text))).toEqual([]);
    expect([...known].filter(text => !sources.has(text))).toEqual([]);
  }
);
