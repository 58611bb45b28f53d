/**
 * Is a profile complete? Everything that building a machine reads from it, read once beforehand, so that a command can refuse a
 * profile before it starts anything.
 */

import { type ExtensionKind, extensionOf, extensionOptions, profileCpuid } from './extension.js';
import { platformFigures, type Profile } from './profile.js';
import { checkTiming } from './timing.js';

/**
 * Returns the virtualisation extension of a profile whose every part is there and well formed.
 * @throws ProfileError that names profile and figure
 */
export function checkProfile(profile: Profile): ExtensionKind {
  platformFigures(profile);
  const kind = extensionOf(profile);
  profileCpuid(profile, 1, kind);
  extensionOptions(kind, profile);
  checkTiming(profile, kind);
  return kind;
}
