// What a view asks for beside the live topics: asked when it opens, again after a while and when something was changed.

import { setQuery } from "./router.js";

/** A view's `load(params, query, signal)` gives its data; `every_s` says how often it is asked again. */
export class Loader {
  #key = null;
  #data = null;
  #error = null;
  #asked = null;
  #timer = 0;
  #memory = new Map();
  #again = () => {};

  constructor(onChange) {
    this.onChange = onChange;
  }

  /** What is known for a view at a place by now; begins to ask when that is a new one. */
  of(view, place) {
    const key = place.path + location.search;
    if (key !== this.#key) this.#begin(view, place, key);
    return { data: this.#data, error: this.#error, memory: this.#remember(place.path), ask: setQuery, redraw: this.onChange };
  }

  /** Ask again now. */
  again() {
    this.#again();
  }

  #begin(view, place, key) {
    const isSame = this.#key?.split("?")[0] === place.path;
    this.#key = key;
    // The same view asking for something else keeps its old answer until the new one is there.
    if (!isSame) this.#data = null;
    this.#error = null;
    clearInterval(this.#timer);
    this.#asked?.abort();
    this.#again = () => {};
    if (!view.load) return;
    const query = Object.fromEntries(new URLSearchParams(location.search));
    this.#again = () => this.#ask(view, place.params, query, key);
    this.#again();
    if (view.every_s) this.#timer = setInterval(() => document.hidden || this.#again(), view.every_s * 1000);
  }

  async #ask(view, params, query, key) {
    this.#asked?.abort();
    const asked = (this.#asked = new AbortController());
    try {
      const data = await view.load(params, query, asked.signal);
      if (this.#key !== key) return;
      this.#data = data;
      this.#error = null;
    } catch (error) {
      if (error.name === "AbortError" || this.#key !== key) return;
      this.#error = error;
    }
    this.onChange();
  }

  /** Small things that a view remembers while the page is open: how many rows are shown, what is unfolded. */
  #remember(path) {
    return (name) => ({
      get: () => this.#memory.get(`${path} ${name}`),
      set: (value) => {
        this.#memory.set(`${path} ${name}`, value);
        this.onChange();
      },
    });
  }
}
