/** Opens the files that an agent names in JupyterLab's editor. */

import { showErrorMessage } from '@jupyterlab/apputils';
import { PageConfig } from '@jupyterlab/coreutils';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';

/** The folder that JupyterLab shows, as the server's programs name it; the workspace's server puts it there. */
const ROOT = 'agentsFilesRoot';

export function filesRoot(): string {
  return PageConfig.getOption(ROOT);
}

/** What of an open document is looked at (JupyterLab's IDocumentWidget). */
interface IOpened {
  readonly context?: { readonly ready: Promise<void> };
}

/** A path of the workspace as JupyterLab has it, relative to `root`; null when it is not below that. */
export function relativePath(path: string, root: string): string | null {
  if (!path.startsWith('/')) {
    return null;
  }
  const folder = root.replace(/\/+$/, '');
  return path.startsWith(`${folder}/`) ? path.slice(folder.length + 1) : null;
}

export async function openFile(
  commands: CommandRegistry,
  trans: TranslationBundle,
  path: string,
  line?: number
): Promise<void> {
  const known = relativePath(path, filesRoot());
  try {
    if (known === null) {
      throw new Error(trans.__('%1 is outside of the folder that JupyterLab shows.', path));
    }
    const opened = (await commands.execute('docmanager:open', { path: known })) as IOpened | undefined;
    // Before the file is read there is one line.
    await opened?.context?.ready;
    if (line !== undefined && commands.hasCommand('fileeditor:go-to-line')) {
      await commands.execute('fileeditor:go-to-line', { line });
    }
  } catch (error) {
    await showErrorMessage(
      trans.__('The file cannot be opened'),
      error instanceof Error ? error.message : String(error)
    );
  }
}
