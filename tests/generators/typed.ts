// What somebody writes against the generated types; `tsc` judges it.
import type { components, operations } from "./notify.js";

type Notification = components["schemas"]["Notification"];
type Answer = operations["postNotification"]["responses"][202]["content"]["application/json"];
type Refused = operations["postNotificationBatch"]["responses"][422]["content"]["application/problem+json"];

export const least: Notification = { to: { user: "42" } };
export const most: Notification = {
  to: { users: ["42"], room: "project:7", except_users: ["7"] },
  title: "Build failed",
  priority: "high",
  data: { build: 812 },
};
export const disconnect: components["schemas"]["Disconnect"] = {};
export const id = (answer: Answer): string => answer.id;
export const reasons = (refused: Refused): (string | undefined)[] =>
  refused.results?.map((result) => result.error?.code) ?? [refused.code];

// @ts-expect-error nobody: `to` is required
export const nobody: Notification = { title: "x" };
// @ts-expect-error a target is an object
export const text: Notification = { to: "42" };
// @ts-expect-error a user is a text
export const number: Notification = { to: { user: 42 } };
