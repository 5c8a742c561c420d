/** The runs of one conversation as they stand in a document: the one that was opened, earlier and later ones. */

import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import type { IAgentsModel } from '../tokens';
import type { Run } from '../types';
import type { Block, IAsked } from './blocks';
import { waiting } from './blocks';
import type { ILive } from './story';
import { RunStory } from './story';

export class Thread implements IDisposable {
  constructor(
    private readonly model: IAgentsModel,
    runId: string
  ) {
    this._stories = [this._open(runId)];
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** Counts the changes, for those who compare. */
  get version(): number {
    return this._version;
  }

  /** The newest run, which can be stopped and spoken to. */
  get current(): RunStory {
    return this._stories[this._stories.length - 1] as RunStory;
  }

  get run(): Run | null {
    return this.current.run;
  }

  /** All blocks, oldest first; keys are unique. Never changed in place. */
  get blocks(): readonly Block[] {
    return this._blocks;
  }

  get live(): readonly ILive[] {
    return this.current.live;
  }

  get waiting(): readonly IAsked[] {
    return waiting(this.current.story.blocks);
  }

  /** The run before the oldest one here; null when there is none, or it is not known yet. */
  get earlier(): string | null {
    return this._stories[0]?.run?.continues ?? null;
  }

  get isDisposed(): boolean {
    return this._disposed;
  }

  /** Whether the run is one of those here. */
  has(runId: string): boolean {
    return this._stories.some(story => story.runId === runId);
  }

  /** Whether all that was said in the runs here is here. */
  get isWhole(): boolean {
    return this._stories.every(story => story.isWhole);
  }

  /** Show the run before the oldest one here too. */
  showEarlier(): void {
    if (this.earlier) {
      this._stories.unshift(this._open(this.earlier));
      this._onStory();
    }
  }

  /** Go on with a run that continues the newest one. */
  goOn(run: Run): void {
    const story = this._open(run.id);
    this._stories.push(story);
    story.take(run);
    this._onStory();
  }

  dispose(): void {
    if (!this._disposed) {
      this._disposed = true;
      for (const story of this._stories) {
        story.dispose();
      }
      Signal.clearData(this);
    }
  }

  private _open(runId: string): RunStory {
    const story = new RunStory(this.model, runId);
    story.changed.connect(this._onStory, this);
    return story;
  }

  private _onStory(): void {
    const parts = this._stories.map(story => story.story.blocks);
    if (parts.length !== this._parts.length || parts.some((part, at) => part !== this._parts[at])) {
      this._parts = parts;
      const [only] = parts;
      this._blocks = parts.length === 1 && only ? only : parts.flatMap((part, at) => this._own(part, at));
    }
    this._version += 1;
    this._changed.emit();
  }

  /** The blocks of one run of several, with keys that no other has. */
  private _own(blocks: readonly Block[], at: number): Block[] {
    const id = this._stories[at]?.runId ?? '';
    return blocks.map(block => ({ ...block, key: `${id}-${block.key}` }));
  }

  private readonly _changed = new Signal<this, void>(this);
  private readonly _stories: RunStory[];
  private _parts: (readonly Block[])[] = [];
  private _blocks: readonly Block[] = [];
  private _version = 0;
  private _disposed = false;
}
