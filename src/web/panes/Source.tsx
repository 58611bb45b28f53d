/** The C source of whatever level runs, at the current line. The editor component is loaded when there is something to show. */

import { signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { Nothing, Pane } from '../Pane.js';
import { sources, view } from '../store.js';
import { dark } from '../theme.js';
import type { SourceEditor } from './source-editor.js';

const text = (): string | undefined => {
  const source = view.value?.source;
  return source === undefined ? undefined : (source.text ?? sources.value[source.file]);
};
const failed = signal<string | undefined>(undefined);

function Editor() {
  const host = useRef<HTMLDivElement>(null), editor = useRef<SourceEditor | undefined>(undefined);
  const source = view.value?.source, content = text() ?? '';
  useEffect(() => {
    let gone = false;
    import('./source-editor.js').then(
      ({ openEditor }) => {
        if (gone || host.current === null) return;
        editor.current = openEditor(host.current);
        update();
      },
      (e: Error) => (failed.value = e.message),
    );
    return () => {
      gone = true;
      editor.current?.close();
    };
  }, []);
  const update = (): void => {
    const now = view.value?.source;
    if (now !== undefined) editor.current?.show(now.file, text() ?? '', now.line, dark.value);
  };
  useEffect(update, [source?.file, source?.line, content, dark.value]);
  return <div class="editor" ref={host} />;
}

export function Source() {
  const { value: v } = view, source = v?.source;
  return (
    <Pane id="source" title="Source" note={source === undefined ? '' : <span class="mono" data-source={`${source.file}:${source.line}`}>{source.file}:{source.line}{(v?.place.inlinedIn ?? []).map((c) => ` in ${c.file}:${c.line}`)}</span>}>
      {failed.value === undefined ? null : <Nothing>The source view could not be loaded: {failed.value}</Nothing>}
      {source !== undefined && text() !== undefined ? <Editor /> : (
        <Nothing>{v === undefined ? 'Nothing runs yet.' : source === undefined ? 'No source is known for this code.' : `${source.file}: the file is not at hand.`}</Nothing>
      )}
    </Pane>
  );
}
