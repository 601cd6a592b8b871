/**
 * The forms of messages that the exai daemon may have, too.
 *
 * @module
 */

import {
  adding,
  escaped,
  type Form,
  type Frame,
  type Json,
  poisoned,
} from "./transformations.ts";
import { FORMS } from "./forms.ts";

/** Whether it is the answer to a call or a list. */
function isResult({ op }: Json): boolean {
  return /^(call_tool|list_tools)_res$/.test(op);
}

const NULLS = { error: "null", result: "null", text: "null" };

const POISONED = poisoned((poison) => `{"op":"progress","data":${poison}}`);

/** The forms; those of frames are the same as for MCP. */
export const EXAI_FORMS: readonly Form[] = [
  ...FORMS.filter(({ exai }) => exai).map((form): Form => ({
    ...form,
    name: `${form.kind}: ${form.name}`,
    kind: "exai",
  })),
  {
    kind: "exai",
    name: "null members: error and text null beside a result",
    ...adding(isResult, NULLS),
  },
  {
    kind: "exai",
    name: "null members: with blanks",
    ...adding(isResult, NULLS, ["{ ", " : ", "\t,\n ", " }"]),
  },
  { kind: "exai", name: "escaped keys: op", ...escaped("op"), ...POISONED },
  {
    kind: "exai",
    name: "escaped keys: outputs",
    ...escaped("outputs"),
    ...POISONED,
  },
  {
    kind: "exai",
    name: "escaped keys: request_id at the end",
    ...escaped("request_id", true),
    ...POISONED,
  },
];

/** What makes frames of messages in the form of that name. Acknowledgements go with what comes after them. */
export function exaiFrames(name: string): (message: unknown) => Frame[] {
  const form = EXAI_FORMS.find((it) => it.name === name);
  if (form === undefined) throw new Error(`There is no form "${name}"`);
  const {
    write = (message: Json) => JSON.stringify(message),
    frames = (texts: string[]): Frame[] => texts,
  } = form;
  let waiting: Json[] = [];
  return (message: Json) => {
    waiting.push(message);
    if (message.op === "call_tool_ack") return [];
    const messages = waiting;
    waiting = [];
    const about = { method: message.op, isOwn: false };
    // Other text may stand beside answers only.
    const marked = messages.map((it) =>
      isResult(it) ? it : { ...it, method: it.op }
    );
    return frames(messages.map((it) => write(it, about)), marked);
  };
}
