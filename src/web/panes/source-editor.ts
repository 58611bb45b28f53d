/** A read-only CodeMirror that shows a C file and marks one line. */

import { cpp } from '@codemirror/lang-cpp';
import { HighlightStyle, syntaxHighlighting } from '@codemirror/language';
import { Compartment, EditorState, RangeSet, StateEffect, StateField } from '@codemirror/state';
import { Decoration, type DecorationSet, EditorView, gutter, GutterMarker, keymap, lineNumbers } from '@codemirror/view';
import { tags } from '@lezer/highlight';

/** Colours come from the page's style sheet, so that light and dark need no second theme. */
const highlight = HighlightStyle.define([
  { tag: tags.comment, color: 'var(--syntax-comment)' },
  { tag: [tags.keyword, tags.controlKeyword, tags.definitionKeyword, tags.modifier, tags.operatorKeyword], color: 'var(--syntax-keyword)' },
  { tag: [tags.typeName, tags.standard(tags.typeName)], color: 'var(--syntax-type)' },
  { tag: [tags.string, tags.character], color: 'var(--syntax-string)' },
  { tag: [tags.number, tags.bool, tags.null], color: 'var(--syntax-number)' },
  { tag: [tags.processingInstruction, tags.meta, tags.macroName], color: 'var(--syntax-meta)' },
  { tag: tags.function(tags.definition(tags.variableName)), color: 'var(--syntax-function)' },
]);

const setLine = StateEffect.define<number>();
const currentLine = StateField.define<{ readonly lines: DecorationSet; readonly gutter: RangeSet<GutterMarker> }>({
  create: () => ({ lines: Decoration.none, gutter: RangeSet.empty }),
  update(value, transaction) {
    for (const effect of transaction.effects)
      if (effect.is(setLine)) {
        const { doc } = transaction.state;
        if (effect.value < 1 || effect.value > doc.lines) return { lines: Decoration.none, gutter: RangeSet.empty };
        const { from } = doc.line(effect.value);
        return { lines: Decoration.set([Decoration.line({ class: 'cm-current' }).range(from)]), gutter: RangeSet.of([new Arrow().range(from)]) };
      }
    return value;
  },
  provide: (field) => EditorView.decorations.from(field, (v) => v.lines),
});

class Arrow extends GutterMarker {
  override toDOM(): Node {
    return document.createTextNode('▶');
  }
}

export interface SourceEditor {
  show(file: string, text: string, line: number, dark: boolean): void;
  close(): void;
}

export function openEditor(parent: HTMLElement): SourceEditor {
  const language = new Compartment();
  let shown = '';
  const stateOf = (text: string): EditorState =>
    EditorState.create({
      doc: text,
      extensions: [
        lineNumbers(), gutter({ class: 'cm-arrow', markers: (v) => v.state.field(currentLine).gutter }), currentLine, language.of(cpp()), syntaxHighlighting(highlight),
        EditorState.readOnly.of(true), EditorView.contentAttributes.of({ 'aria-label': 'C source', 'aria-readonly': 'true', 'data-focus': '' }), keymap.of([]),
      ],
    });
  const editor = new EditorView({ parent, state: stateOf('') });
  return {
    show(file, text, line) {
      const key = `${file}\0${text.length}`;
      if (key !== shown) editor.setState(stateOf(text));
      shown = key;
      const { doc } = editor.state, at = doc.line(Math.max(1, Math.min(line, doc.lines))).from;
      editor.dispatch({ effects: [setLine.of(line), EditorView.scrollIntoView(at, { y: 'center' })] });
    },
    close: () => editor.destroy(),
  };
}
