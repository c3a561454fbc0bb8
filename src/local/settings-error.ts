/** The settings were given wrongly; the message says which and what is allowed. */
export class SettingsError extends Error {
  override readonly name = "SettingsError";
}
