// The languages of the page. What services say is in sentences.js.

import { en } from "./words_en.js";
import { zh } from "./words_zh.js";

const WORDS = { en, zh };
const STORED = "lepton.language";

let chosen = localStorage.getItem(STORED) || (navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en");
if (!(chosen in WORDS)) chosen = "en";

export const language = () => chosen;
export const languages = () => Object.keys(WORDS);

export function setLanguage(name) {
  chosen = name;
  localStorage.setItem(STORED, name);
}

/** The words for a key, with {names} filled in; `n` chooses between "one | many" where the words have both. */
export function t(key, values = {}) {
  let words = WORDS[chosen][key] ?? key;
  if (words.includes(" | ")) words = words.split(" | ")[values.n === 1 ? 0 : 1];
  return words.replace(/\{(\w+)\}/g, (all, name) => (name in values ? String(values[name]) : all));
}

/** Like `t`, for words that come from a contract: its own name where there are none. */
export function word(prefix, name) {
  const key = `${prefix}.${name}`;
  return key in WORDS[chosen] ? WORDS[chosen][key] : name;
}
