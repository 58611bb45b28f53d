/** Errors that are the user's: one line on standard error, exit status 2. Everything else is ours and shows where it happened. */

export const EXIT_USAGE = 2, EXIT_CANNOT_GO_ON = 3, EXIT_LIMIT = 124, EXIT_INTERRUPTED = 130;

export class UserError extends Error {}

/** A whole number from `min` to `max`, or a UserError that names the option. NaN is what yargs makes of other text. */
export function wholeNumber(value: number, option: string, min: number, max: number): number {
  if (!Number.isInteger(value) || value < min || value > max) throw new UserError(`${option}: a whole number from ${min} to ${max} is needed`);
  return value;
}

/** yargs makes a list of an option that is given twice. @param lists the options that may be repeated */
export function refuseRepeated(args: object, lists: readonly string[] = []): true {
  for (const [name, value] of Object.entries(args))
    if (Array.isArray(value) && name !== '_' && !lists.includes(name)) throw new UserError(`--${name} is given ${value.length} times; give it once`);
  return true;
}

/** The largest seed: seeds are 32-bit numbers. */
export const LARGEST_SEED = 0xffff_ffff;

/** What the operating system said, in words. */
export function reasonOf(error: unknown): string {
  const code = (error as { code?: string }).code;
  switch (code) {
    case 'ENOENT': return 'no such file or directory';
    case 'EACCES': case 'EPERM': return 'permission denied';
    case 'EISDIR': return 'it is a directory';
    case 'ENOTDIR': return 'a part of the path is not a directory';
    case 'EROFS': return 'the file system is read-only';
    case 'ENOSPC': return 'no space left';
    default: return (error as Error).message;
  }
}
