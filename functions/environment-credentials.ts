import { readCredentials } from "./settings.ts";

/** Stands in for the AWS SDK's module of this export: in Lambda the credentials lie in the environment and nowhere else. */
export const defaultProvider = () => async () => readCredentials();
