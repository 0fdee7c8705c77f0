// A section of the runbooks, which are written in a little Markdown: paragraphs, lists, code between backquotes.
// Everything becomes text nodes, so that nothing in it is ever taken for more than text.

import { h } from "../core/dom.js";

const ITEM = "- ";

export const runbook = (markdown) => h("div", { class: "stack wrap runbook", "data-testid": "runbook" }, blocks(markdown).map(drawn));

/** Paragraphs are lines, lists are items of lines: an empty line ends either, a dash begins an item. */
function blocks(markdown) {
  const found = [];
  let open = null;
  for (const line of markdown.split("\n")) {
    if (line.startsWith(ITEM)) {
      open = [line.slice(ITEM.length)];
      if (found.at(-1)?.items) found.at(-1).items.push(open);
      else found.push({ items: [open] });
    } else if (!line.trim()) open = null;
    else if (open) open.push(line);
    else {
      open = [line];
      found.push({ lines: open });
    }
  }
  return found;
}

const drawn = ({ lines, items }) => (items ? h("ul", null, items.map((each) => h("li", null, spans(each)))) : h("p", null, spans(lines)));

/** Lines are joined by a space, and Chinese ones as they are; what stands between backquotes is code. */
function spans(lines) {
  const joined = lines.map((each) => each.trim()).reduce((all, each) => all + (isWide(all.at(-1)) && isWide(each[0]) ? "" : " ") + each);
  return joined.split("`").map((each, i) => (i % 2 ? h("code", null, each) : each));
}

const isWide = (letter) => letter > "\u2e7f";
