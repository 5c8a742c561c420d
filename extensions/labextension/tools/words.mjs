// Makes what JupyterLab reads of `locale/LANGUAGE/*.po`: one JSON file a language, in the Python package.
//
// JupyterLab's server looks for `locale/LANGUAGE/LC_MESSAGES/DOMAIN.json` beside the package that the entry point
// `jupyterlab.locale` names (jupyterlab_server, translation_utils.py), in the form of Jed 1.x.
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { po } from 'gettext-parser';

const DOMAIN = 'jupyterhub_agents';
const PLURALS = { ko_KR: 'nplurals=1; plural=0;' };
const CONTEXT_END = '\u0004';
const from = join(import.meta.dirname, '..', 'locale');
const into = join(import.meta.dirname, '..', '..', 'jupyterhub_agents', 'locale');

for (const language of readdirSync(from)) {
  const found = {
    '': { domain: DOMAIN, language: language.replace('_', '-'), plural_forms: PLURALS[language] }
  };
  for (const file of readdirSync(join(from, language)).sort()) {
    for (const [context, entries] of Object.entries(
      po.parse(readFileSync(join(from, language, file))).translations
    )) {
      for (const { msgid, msgid_plural, msgstr: said } of Object.values(entries)) {
        if (!msgid) continue;
        // JupyterLab takes a plural with one form for no translation (dcnpgettext asks for more than one): say it twice.
        const msgstr = msgid_plural && said.length === 1 ? [...said, ...said] : said;
        const key = context ? context + CONTEXT_END + msgid : msgid;
        if (key in found && String(found[key]) !== String(msgstr)) {
          throw new Error(`${language}: "${msgid}" is translated in two ways; give one a context (_p).`);
        }
        found[key] = msgstr;
      }
    }
  }
  const folder = join(into, language, 'LC_MESSAGES');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${DOMAIN}.json`), JSON.stringify(found, null, 1));
}
