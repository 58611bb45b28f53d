/** Errors that are the user's: one line on standard error, exit status 2. Everything else is ours and shows where it happened. */

export const EXIT_USAGE = 2, EXIT_CANNOT_GO_ON = 3, EXIT_LIMIT = 124, EXIT_INTERRUPTED = 130;

export class UserError extends Error {}

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
