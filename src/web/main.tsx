/** The page's entry: draws the frame, then opens what the address says. */

import { render } from 'preact';
import { App } from './App.js';
import './style.css';
import { open } from './store.js';
import { applyTheme } from './theme.js';

applyTheme();
const root = document.getElementById('app')!;
root.replaceChildren();
render(<App />, root);
void open();
