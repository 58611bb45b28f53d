/** Numbers for people. */

export const count = (n: number): string => Math.round(n).toLocaleString('en-US');

/** 4 MiB, 1.5 KiB. */
export function bytes(n: number): string {
  for (const [unit, size] of [['GiB', 2 ** 30], ['MiB', 2 ** 20], ['KiB', 1024]] as const) if (n >= size) return `${Number((n / size).toFixed(1))} ${unit}`;
  return `${n} B`;
}

/** `0x` digits with leading zeros and a separator each four, so that they stand one below the other. */
export const padded = (value: string, bits: number): string => value.replace(/^0x/, '').padStart(Math.ceil(bits / 4), '0');
