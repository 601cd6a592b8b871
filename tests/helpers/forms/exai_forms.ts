/**
 * The message forms that a test uses with the exai daemon.
 *
 * @module
 */

import {
  addMembers,
  escapeKey,
  type Frame,
  type Json,
  type MessageForm,
  withParserTrap,
} from "./form_helpers.ts";
import { MESSAGE_FORMS } from "./forms.ts";

/** Returns whether a message is the response to a call or a list request. */
function isExaiResult({ op }: Json): boolean {
  return /^(call_tool|list_tools)_res$/.test(op);
}

const NULL_MEMBERS = { error: "null", result: "null", text: "null" };

const EXAI_PARSER_TRAP = withParserTrap((trapText) =>
  `{"op":"progress","data":${trapText}}`
);

/** All forms. Those that only change frames are shared with MCP. */
export const EXAI_FORMS: readonly MessageForm[] = [
  ...MESSAGE_FORMS.filter(({ alsoExai }) => alsoExai).map((
    form,
  ): MessageForm => ({
    ...form,
    name: `${form.kind}: ${form.name}`,
    kind: "exai",
  })),
  {
    kind: "exai",
    name: "null members: error and text null beside a result",
    ...addMembers(isExaiResult, NULL_MEMBERS),
  },
  {
    kind: "exai",
    name: "null members: with blanks",
    ...addMembers(isExaiResult, NULL_MEMBERS, ["{ ", " : ", "\t,\n ", " }"]),
  },
  {
    kind: "exai",
    name: "escaped keys: op",
    ...escapeKey("op"),
    ...EXAI_PARSER_TRAP,
  },
  {
    kind: "exai",
    name: "escaped keys: outputs",
    ...escapeKey("outputs"),
    ...EXAI_PARSER_TRAP,
  },
  {
    kind: "exai",
    name: "escaped keys: request_id at the end",
    ...escapeKey("request_id", true),
    ...EXAI_PARSER_TRAP,
  },
];

/**
 * Returns a function that encodes messages as frames in a form. It holds back
 * an acknowledgement, and sends it with the next message.
 */
export function exaiFrameWriter(name: string): (message: unknown) => Frame[] {
  const form = EXAI_FORMS.find((it) => it.name === name);
  if (form === undefined) throw new Error(`There is no form "${name}"`);
  const {
    serialize = (message: Json) => JSON.stringify(message),
    frames = (texts: string[]): Frame[] => texts,
  } = form;
  let waiting: Json[] = [];
  return (message: Json) => {
    waiting.push(message);
    if (message.op === "call_tool_ack") return [];
    const messages = waiting;
    waiting = [];
    const about = { method: message.op, isOwn: false };
    // Forms recognize a response by a missing `method`, so the others get one.
    const marked = messages.map((it) =>
      isExaiResult(it) ? it : { ...it, method: it.op }
    );
    return frames(messages.map((it) => serialize(it, about)), marked);
  };
}
