/** A labelled control of a form, with its help and what is wrong with it, as a screen reader needs them. */

import type { ReactElement, ReactNode } from 'react';

/** What a control must have so that its help and its error are read with it. */
export interface IControl {
  id: string;
  'aria-describedby': string | undefined;
  'aria-invalid': boolean;
}

export function Field(props: {
  id: string;
  label: string;
  help?: ReactNode;
  problem?: string | undefined;
  children: (control: IControl) => ReactNode;
}): ReactElement {
  const { id, label, help, problem } = props;
  const described = [help ? `${id}-help` : '', problem ? `${id}-problem` : ''].filter(Boolean).join(' ');
  return (
    <div className="jp-AgentsForm-field" data-wrong={problem ? '' : undefined}>
      <label htmlFor={id}>{label}</label>
      {props.children({ id, 'aria-describedby': described || undefined, 'aria-invalid': Boolean(problem) })}
      <Notes id={id} help={help} problem={problem} />
    </div>
  );
}

/** As `Field`, for several controls. */
export function Group(props: {
  id: string;
  label: string;
  help?: ReactNode;
  problem?: string | undefined;
  children: ReactNode;
}): ReactElement {
  const { id, label, help, problem } = props;
  return (
    <fieldset
      className="jp-AgentsForm-field"
      data-wrong={problem ? '' : undefined}
      aria-describedby={problem ? `${id}-problem` : undefined}
      id={id}
      tabIndex={-1}
    >
      <legend>{label}</legend>
      {props.children}
      <Notes id={id} help={help} problem={problem} />
    </fieldset>
  );
}

function Notes(props: { id: string; help: ReactNode; problem: string | undefined }): ReactElement {
  return (
    <>
      {props.help && (
        <div className="jp-AgentsForm-help" id={`${props.id}-help`}>
          {props.help}
        </div>
      )}
      {props.problem && (
        <div className="jp-AgentsForm-problem" id={`${props.id}-problem`} role="alert">
          {props.problem}
        </div>
      )}
    </>
  );
}
