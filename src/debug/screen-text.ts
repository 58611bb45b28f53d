/**
 * A text screen as Unicode. The VGA's own characters are those of code page 437: the Unicode Consortium's mapping table CP437.TXT, and
 * for 0 to 31 and 127, which are control characters there, IBM's pictures.
 */

import type { Screen } from '../machine/screen.js';

const PICTURES = ' ☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼';
const ASCII = Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i)).join('');
const UPPER =
  'ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u00a0';

/** Character of each byte; 0 is a blank. */
export const CODE_PAGE_437: readonly string[] = [...`${PICTURES}${ASCII}⌂${UPPER}`];

/** The rows of a screen from top to bottom, each as long as the screen is wide. */
export const screenRows = ({ columns, rows, cells }: Screen): string[] =>
  Array.from({ length: rows }, (_, row) => Array.from({ length: columns }, (_, column) => CODE_PAGE_437[cells[2 * (row * columns + column)]!]).join(''));

/** What there is to say of a screen that shows nothing. */
export const UNTOUCHED = 'Nothing has been written to the screen yet.';
