// Elements are made here and nowhere else. Data only ever becomes text nodes and attributes, never markup.

const SVG = "http://www.w3.org/2000/svg";
const SAFE_LINK = /^(\/(?!\/)|#|https?:\/\/)/;

/** An HTML element: h("a", {href: "/x", class: "y", onclick: f}, "text", child, [children], null). */
export function h(tag, props, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** The same for SVG. */
export function s(tag, props, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element[name] = value;
    else if (name === "href" && !SAFE_LINK.test(value)) continue;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    if (Array.isArray(child)) append(element, child);
    else element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

const HANDLERS = ["onclick", "oninput", "onchange", "onsubmit", "onkeydown", "onpointermove", "onpointerleave", "ontoggle"];
/** What a person has typed, opened or chosen since the last drawing stays. */
const KEPT = new Set(["open", "value"]);

/**
 * Make `old` look like `wanted` while keeping its nodes: focus, scrolling, selection and open details stay where they are.
 * Children are matched by `data-key`, else by place; what is inside an element with `data-keep` is its own business.
 */
export function morph(old, wanted) {
  if (old.nodeType !== wanted.nodeType || old.nodeName !== wanted.nodeName) {
    old.replaceWith(wanted);
    return wanted;
  }
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== wanted.data) old.data = wanted.data;
    return old;
  }
  morphAttributes(old, wanted);
  for (const name of HANDLERS) if (old[name] !== wanted[name]) old[name] = wanted[name];
  if (wanted.hasAttribute("data-keep")) {
    if (wanted.update) wanted.update(old);
    return old;
  }
  morphChildren(old, wanted);
  return old;
}

function morphAttributes(old, wanted) {
  for (const { name } of [...old.attributes]) {
    if (!wanted.hasAttribute(name) && !KEPT.has(name)) old.removeAttribute(name);
  }
  for (const { name, value } of [...wanted.attributes]) {
    if (old.getAttribute(name) !== value && !(KEPT.has(name) && old.hasAttribute(name))) old.setAttribute(name, value);
  }
}

function morphChildren(old, wanted) {
  const keyed = new Map();
  for (const child of old.childNodes) if (child.dataset?.key) keyed.set(child.dataset.key, child);
  let place = old.firstChild;
  for (const child of [...wanted.childNodes]) {
    const key = child.dataset?.key;
    const same = key ? keyed.get(key) : place && !place.dataset?.key ? place : null;
    if (!same) {
      old.insertBefore(child, place);
      if (child.mounted) child.mounted();
      continue;
    }
    if (same !== place) old.insertBefore(same, place);
    else place = place.nextSibling;
    keyed.delete(key);
    morph(same, child);
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}
