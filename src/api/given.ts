/** JSON has no `undefined` and the schemas add none: what is absent is left out, which their types do not tell. */
export type Given<T> = { [K in keyof T]: Exclude<T[K], undefined> };

/** Without the fields that are absent, for an absent field never changes anything. */
export function given<T extends object>(fields: T): Given<T> {
  const entries = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as Given<T>;
}
