// What services say (summaries, reasons, verdicts, events) in the page's language. They say it in English, as text; a
// language has a table of the sentences that there are, with what is filled in: {name} is a word, {*name} any text, and
// {=name} a text that is said in the page's language, too. What no table knows stays as it was said.

import { language } from "./i18n.js";
import { zh } from "./sentences_zh.js";

const TABLES = { zh };
const MOST_KNOWN = 2000;
const LONGEST = 4000;
const DEEPEST = 6;
const MOST_NAMES = 20;
const ANY = /[*=]/;

const compiled = new Map();
let known = new Map();
let knownIn = "";

/** The text in the page's language. */
export function say(text) {
  const table = TABLES[language()];
  if (!table || !text || text.length > LONGEST) return text;
  if (knownIn !== language() || known.size > MOST_KNOWN) [known, knownIn] = [new Map(), language()];
  if (!known.has(text)) known.set(text, text.split("\n").map((line) => translated(line, patterns(language()), 0)).join("\n"));
  return known.get(text);
}

/** The sentences of a language; of those that fit, the one that says most of it itself is taken, so it stands first. Those
 *  that may begin with anything come last: they also fit what says "Over: " of them. */
function patterns(name) {
  if (!compiled.has(name)) {
    const found = Object.entries(TABLES[name]).map(([sentence, words]) => pattern(sentence, words));
    const isOpen = ({ literals }) => !literals[0];
    compiled.set(name, found.sort((a, b) => isOpen(a) - isOpen(b) || b.said - a.said));
  }
  return compiled.get(name);
}

function pattern(sentence, words) {
  const pieces = sentence.split(/\{([*=]?\w+)\}/);
  const literals = pieces.filter((each, i) => i % 2 === 0);
  return { literals, names: pieces.filter((each, i) => i % 2), words, said: literals.join("").length };
}

function translated(text, found, depth) {
  if (depth > DEEPEST) return text;
  for (const each of found) {
    const values = filledIn(text, each);
    if (values) return fill(each, values, found, depth);
  }
  return list(text.split(", "), found, depth + 1) ?? text;
}

/** Names in a row, where all of them are known. */
function list(parts, found, depth) {
  if (parts.length < 2 || parts.length > MOST_NAMES) return null;
  const words = parts.map((part) => translated(part, found, depth));
  return words.every((each, i) => each !== parts[i]) ? words.join("、") : null;
}

/** What stands between the literals, each found as early as it can be; null where they do not fit. No backtracking. */
function filledIn(text, { literals, names }) {
  const last = literals.at(-1);
  if (literals.length === 1) return text === last ? [] : null;
  const end = text.length - last.length;
  if (!text.startsWith(literals[0]) || !text.endsWith(last)) return null;
  const values = [];
  let from = literals[0].length;
  for (let i = 0; i < names.length; i += 1) {
    const at = i === names.length - 1 ? end : text.indexOf(literals[i + 1], from + 1);
    const value = text.slice(from, at);
    if (at <= from || at > end || (!ANY.test(names[i][0]) && value.includes(" "))) return null;
    values.push(value);
    from = at + literals[i + 1].length;
  }
  return values;
}

function fill({ names, words }, values, found, depth) {
  const filled = Object.fromEntries(names.map((name, i) =>
    [name.replace(ANY, ""), name.startsWith("=") ? translated(values[i], found, depth + 1) : values[i]]));
  return words.replace(/\{(\w+)\}/g, (all, name) => filled[name] ?? all);
}
