/** Words: English in the source, others in `locale/`. */

import type { ITranslator, TranslationBundle } from '@jupyterlab/translation';
import { nullTranslator } from '@jupyterlab/translation';

/** The domain of the panel's words, which is the name of the Python package that ships them. */
export const DOMAIN = 'jupyterhub_agents';

/** The panel's words in the person's language. */
export function words(translator?: ITranslator | null): TranslationBundle {
  return (translator ?? nullTranslator).load(DOMAIN);
}
