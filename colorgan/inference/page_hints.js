// The editor of color hints: <color-hints>, a photograph with places that have a color. It keeps the hints of each
// photograph with its changes, sends all of them after a change, and shows what Python answers: page_hints.py.
(() => {
  const STEP = 0.01, LARGE_STEP = 0.05; // of the keyboard, as shares of the photograph
  const CLICK = 6, REACH = {mouse: 11, pen: 14, touch: 22}; // pixels of the screen
  const MAX_UNDO = 200;
  const FIRST_COLOR = "#a05030";
  const photos = new Map(); // by key: {hints, selected, undo, tag, revision}
  let state = null; // the last answer
  let editor = null;

  const STYLE = `
    :host {display: flex; flex-direction: column; gap: 8px; color: var(--body-text-color); font: inherit}
    :host(:fullscreen) {background: var(--body-background-fill, white); padding: 8px; box-sizing: border-box}
    .stage {position: relative; margin: auto; width: 100%; touch-action: pinch-zoom}
    :host(:fullscreen) .stage {flex: 1; min-height: 0; width: 100% !important; aspect-ratio: auto !important}
    img, canvas {position: absolute; inset: 0; width: 100%; height: 100%}
    img {object-fit: contain}
    canvas {cursor: crosshair; touch-action: pinch-zoom}
    canvas:focus-visible {outline: 3px solid var(--color-accent, #f97316); outline-offset: 2px}
    .row {display: flex; flex-wrap: wrap; gap: 6px; align-items: center; min-height: 30px}
    #plausible {flex-wrap: nowrap; overflow-x: auto; padding: 4px; min-height: 34px} /* the photograph stays where it is */
    #plausible > * {flex: none}
    .row > span {min-width: 6.5em; opacity: .75; font-size: .85em}
    p {margin: 0; font-size: .85em; opacity: .75}
    label {display: inline-flex; gap: 4px; align-items: center}
    button, .button {font: inherit; font-size: .9em; padding: 3px 10px; border-radius: 6px; cursor: pointer;
      color: inherit; border: 1px solid var(--border-color-primary, #ccc); background: var(--button-secondary-background-fill, #eee)}
    button:disabled {opacity: .4; cursor: default}
    button:focus-visible, input:focus-visible {outline: 3px solid var(--color-accent, #f97316); outline-offset: 1px}
    .swatch {width: 28px; height: 28px; padding: 0; border: 1px solid #8888}
    .swatch[aria-pressed=true] {box-shadow: 0 0 0 2px var(--body-background-fill, white), 0 0 0 4px currentColor}
    input[type=color] {width: 44px; height: 28px; padding: 0; border: 1px solid #8888; border-radius: 6px}
    :host(:fullscreen) .row {flex-wrap: nowrap; overflow-x: auto; flex: none; padding: 4px}
    :host(:fullscreen) .row > * {flex: none}
    :host(:fullscreen) #help {display: none}
    #status {min-height: 1.5em}`;
  const CONTENT = `<style>${STYLE}</style>
    <div class="row"><span>Color</span><label><input type="color" value="${FIRST_COLOR}" aria-label="Color of the hint"></label>
      <label title="Drag draws hints along the way"><input type="checkbox" id="stroke"> Stroke</label>
      <label><input type="checkbox" id="markers" checked> Show markers</label></div>
    <div class="row" id="plausible" role="group" aria-label="Plausible colors at this place"><span>For this place</span></div>
    <div class="stage"><img alt="" draggable="false"><canvas tabindex="0" role="application" aria-describedby="help"
      aria-label="Photograph with color hints"></canvas></div>
    <p id="status" role="status"></p>
    <div class="row" id="palette" role="group" aria-label="Colors of the photograph"><span>Photograph</span></div>
    <div class="row" id="used" role="group" aria-label="Colors of the hints"><span>Hints</span></div>
    <div class="row"><button id="undo">Undo</button><button id="remove">Remove</button>
      <button id="clear">Remove all</button><button id="save">Save hints</button><button id="load">Load hints</button>
      <button id="full">Full screen</button><input type="file" accept=".json" hidden aria-label="File of hints"></div>
    <p id="help">Click adds a hint of this color, or selects one; drag moves it. With the keyboard, on the photograph:
      arrows move the cursor or the selected hint (Shift: farther), Enter adds a hint or ends its selection, N and P go
      through the hints, Delete removes, Ctrl+Z undoes.</p>`;

  const clamp = (value) => Math.min(1, Math.max(0, value));
  const round = (value) => Math.round(value * 1e5) / 1e5;
  const percent = (value) => `${Math.round(value * 100)} %`;
  const write = (hints, indent) => JSON.stringify({version: 1, hints}, null, indent);

  class ColorHints extends HTMLElement {
    connectedCallback() {
      editor = this;
      if (this.shadowRoot) return this.show();
      this.attachShadow({mode: "open"}).innerHTML = CONTENT;
      const find = (selector) => this.shadowRoot.querySelector(selector);
      Object.assign(this, {image: find("img"), canvas: find("canvas"), picker: find("[type=color]"), file: find("[type=file]")});
      this.limit = Number(this.getAttribute("limit"));
      this.spacing = Number(this.getAttribute("spacing"));
      this.color = FIRST_COLOR;
      this.cursor = null; // that of the keyboard
      this.gesture = null;
      this.sending = false;
      for (const [type, listener] of [["down", this.press], ["move", this.drag], ["up", this.release], ["cancel", this.cancel]])
        this.canvas.addEventListener(`pointer${type}`, listener.bind(this));
      this.canvas.addEventListener("keydown", (event) => this.type(event));
      for (const type of ["focus", "blur"]) this.canvas.addEventListener(type, () => this.draw());
      this.shadowRoot.addEventListener("keydown", (event) => {
        if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z") return;
        event.preventDefault();
        this.undo();
      });
      this.picker.addEventListener("input", () => this.choose(this.picker.value));
      find("#markers").addEventListener("change", () => this.draw());
      find("#undo").addEventListener("click", () => this.undo());
      find("#remove").addEventListener("click", () => this.remove());
      find("#clear").addEventListener("click", () => this.edit([], -1));
      find("#save").addEventListener("click", () => this.save());
      find("#load").addEventListener("click", () => this.file.click());
      this.file.addEventListener("change", () => this.load());
      find("#full").addEventListener("click", () => document.fullscreenElement ? document.exitFullscreen() : this.requestFullscreen());
      this.addEventListener("fullscreenchange", () => {
        find("#full").textContent = document.fullscreenElement ? "Leave full screen" : "Full screen";
      });
      this.image.addEventListener("load", () => this.fit());
      new ResizeObserver(() => this.draw()).observe(this.canvas);
      this.show();
    }

    get photo() { return photos.get(state?.key); }
    get hint() { return this.photo?.hints[this.photo.selected]; }
    get place() { return this.hint ?? this.cursor; }

    // From Python.

    show() {
      if (!state) return;
      const {key, src, revision} = state;
      const url = `${window.gradio_config.root}/gradio_api/file=${src.split("/").map(encodeURIComponent).join("/")}`;
      const next = new Image();
      next.src = url;
      next.decode().then(() => {
        if (state?.src !== src) return; // there is a newer one
        this.image.src = url;
        this.dataset.key = key;
        this.dataset.revision = revision;
        this.setAttribute("aria-busy", String(this.photo.revision !== revision));
      }, () => {}); // it was replaced and deleted
      this.list("palette", state.palette.map((color) => ["", color]));
      this.list("plausible", this.place ? state.plausible : []);
      // The last change may not have been sent before another photograph was shown.
      if (state.event === "show" && this.photo.revision !== revision) this.send();
      this.refresh();
    }

    fit() {
      const stage = this.canvas.parentElement, ratio = this.image.naturalWidth / this.image.naturalHeight;
      stage.style.aspectRatio = ratio;
      stage.style.width = `min(100%, ${ratio * 60}vh)`;
      this.draw();
    }

    // To Python: all hints, at most once for each frame of the screen.

    send(source = "", text = null) {
      this.photo.revision += 1;
      this.setAttribute("aria-busy", "true");
      this.loading = text === null ? this.loading : {source, text};
      if (this.sending) return;
      this.sending = true;
      requestAnimationFrame(() => {
        this.sending = false;
        const {source, text} = this.loading ?? {source: "", text: write(this.photo.hints)};
        this.loading = null;
        const place = this.place ? [this.place.x, this.place.y] : null;
        const message = {key: state.key, revision: this.photo.revision, place, source, hints: text};
        const box = document.querySelector("#color-hints-sent textarea, #color-hints-sent input");
        Object.getOwnPropertyDescriptor(Object.getPrototypeOf(box), "value").set.call(box, JSON.stringify(message));
        box.dispatchEvent(new Event("input", {bubbles: true}));
      });
    }

    // Changes.

    /** Replaces the hints. Changes in a row with an equal tag are undone together. */
    edit(hints, selected, tag = null) {
      const photo = this.photo;
      if (!photo) return;
      if (tag === null || tag !== photo.tag) {
        photo.undo.push({hints: photo.hints, selected: photo.selected});
        photo.undo.splice(0, photo.undo.length - MAX_UNDO);
      }
      Object.assign(photo, {hints, selected, tag});
      this.refresh();
      this.send();
    }

    add(place, tag = null) {
      if (!this.photo || this.photo.hints.length >= this.limit) return;
      const hint = {x: round(place.x), y: round(place.y), color: this.color};
      this.edit([...this.photo.hints, hint], this.photo.hints.length, tag);
    }

    change(values, tag) {
      const {hints, selected} = this.photo;
      this.edit(hints.with(selected, {...hints[selected], ...values}), selected, tag);
    }

    move(place, tag) { this.change({x: round(clamp(place.x)), y: round(clamp(place.y))}, tag); }

    remove() {
      if (!this.hint) return;
      this.cursor = {x: this.hint.x, y: this.hint.y};
      this.edit(this.photo.hints.toSpliced(this.photo.selected, 1), -1);
    }

    undo() {
      const last = this.photo?.undo.pop();
      if (!last) return;
      Object.assign(this.photo, last, {tag: null});
      this.refresh();
      this.send();
    }

    select(index) {
      this.photo.selected = index;
      this.photo.tag = null;
      if (this.hint) this.color = this.hint.color;
      this.refresh();
      this.send(); // for the colors of this place
    }

    choose(color) {
      this.color = color;
      if (this.hint) this.change({color}, `color ${this.photo.selected}`);
      else this.refresh();
    }

    save() {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([write(this.photo.hints, 1) + "\n"], {type: "application/json"}));
      link.download = `${state.name}.hints.json`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    }

    async load() {
      const [file] = this.file.files;
      if (!file || !this.photo) return;
      const text = await file.slice(0, Number(this.getAttribute("bytes")) + 1).text();
      this.file.value = "";
      this.send(file.name, text);
    }

    // The mouse, a pen or a finger.

    /** The photograph on the screen, without the empty space beside it. */
    area() {
      const box = this.image.getBoundingClientRect(), {naturalWidth, naturalHeight} = this.image;
      const scale = Math.min(box.width / naturalWidth, box.height / naturalHeight);
      const width = naturalWidth * scale, height = naturalHeight * scale;
      return {left: box.left + (box.width - width) / 2, top: box.top + (box.height - height) / 2, width, height};
    }

    at(event) {
      const {left, top, width, height} = this.area();
      return {x: (event.clientX - left) / width, y: (event.clientY - top) / height};
    }

    find(event) {
      const {left, top, width, height} = this.area();
      let best = -1, least = REACH[event.pointerType] ?? REACH.mouse;
      if (!this.shadowRoot.querySelector("#markers").checked) return best;
      this.photo.hints.forEach(({x, y}, index) => {
        const distance = Math.hypot(left + x * width - event.clientX, top + y * height - event.clientY);
        if (distance <= least) [best, least] = [index, distance];
      });
      return best;
    }

    press(event) {
      if (!this.photo || event.button !== 0 || !event.isPrimary) return;
      this.canvas.setPointerCapture(event.pointerId);
      const place = this.at(event), is_inside = place.x === clamp(place.x) && place.y === clamp(place.y);
      const is_stroke = this.shadowRoot.querySelector("#stroke").checked;
      const index = is_stroke ? -1 : this.find(event);
      const gesture = {x: event.clientX, y: event.clientY, place, is_inside, is_stroke, index, tag: {}};
      this.gesture = gesture;
      this.cursor = null;
      if (index >= 0) this.select(index);
      else if (is_stroke && is_inside) this.add(place, gesture.tag);
    }

    drag(event) {
      const gesture = this.gesture;
      if (!gesture || !event.isPrimary) return;
      gesture.has_moved ||= Math.hypot(event.clientX - gesture.x, event.clientY - gesture.y) > CLICK;
      if (!gesture.has_moved) return;
      if (gesture.index >= 0) this.move(this.at(event), gesture.tag);
      else if (gesture.is_stroke && gesture.is_inside) this.follow(gesture, this.at(event));
    }

    /** Adds hints from the last one of a stroke to a place, next to each other. */
    follow(gesture, {x, y}) {
      const {width, height} = this.area(), longer = Math.max(width, height);
      const across = (x - gesture.place.x) * width / longer, down = (y - gesture.place.y) * height / longer;
      const number = Math.floor(Math.hypot(across, down) / this.spacing), share = this.spacing / Math.hypot(across, down);
      const start = gesture.place;
      for (let n = 1; n <= number; n++) {
        gesture.place = {x: start.x + (x - start.x) * share * n, y: start.y + (y - start.y) * share * n};
        const {x: left, y: top} = gesture.place;
        if (left === clamp(left) && top === clamp(top)) this.add(gesture.place, gesture.tag);
      }
    }

    release(event) {
      const gesture = this.gesture;
      if (!gesture || !event.isPrimary) return;
      this.gesture = null;
      if (gesture.index < 0 && !gesture.is_stroke && gesture.is_inside && !gesture.has_moved) this.add(gesture.place);
    }

    cancel() {
      const gesture = this.gesture;
      this.gesture = null;
      if (gesture && this.photo?.tag === gesture.tag) this.undo(); // it became a pinch
    }

    // The keyboard.

    type(event) {
      const way = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
      const count = this.photo?.hints.length;
      if (count === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
      if (way) {
        const step = event.shiftKey ? LARGE_STEP : STEP, from = this.place ?? {x: 0.5, y: 0.5};
        const to = {x: clamp(from.x + way[0] * step), y: clamp(from.y + way[1] * step)};
        if (this.hint) this.move(to, `keys ${this.photo.selected}`);
        else this.point(to);
      } else if (event.key === "Enter" || event.key === " ") {
        if (!this.hint) this.add(this.cursor ?? {x: 0.5, y: 0.5});
        else this.point(this.hint);
      } else if (event.key === "Escape" && this.hint) this.point(this.hint);
      else if (event.key === "Delete" || event.key === "Backspace") this.remove();
      else if (count && "nNpP".includes(event.key)) {
        const step = event.key.toLowerCase() === "n" ? 1 : -1, from = this.photo.selected;
        this.select(from < 0 && step < 0 ? count - 1 : (from + step + count) % count);
      } else return;
      event.preventDefault();
    }

    /** Moves the cursor of the keyboard. No hint is selected then. */
    point({x, y}) {
      this.cursor = {x, y};
      this.select(-1);
    }

    // What is seen.

    list(id, colors) {
      const row = this.shadowRoot.getElementById(id), [label] = row.children;
      const shown = JSON.stringify(colors);
      if (row.dataset.shown === shown) return; // a focused one stays
      row.dataset.shown = shown;
      row.replaceChildren(label, ...colors.map(([name, color]) => {
        const button = document.createElement("button");
        button.className = "swatch";
        button.style.background = button.dataset.color = color;
        button.title = `${name} ${color}`.trim();
        button.setAttribute("aria-label", button.title);
        button.addEventListener("click", () => this.choose(color));
        return button;
      }));
    }

    refresh() {
      const {hints, selected, undo} = this.photo, find = (id) => this.shadowRoot.getElementById(id);
      this.picker.value = this.color;
      const used = [...new Set(hints.slice(-500).map((hint) => hint.color).reverse())].slice(0, 8);
      this.list("used", used.map((color) => ["", color]));
      for (const swatch of this.shadowRoot.querySelectorAll(".swatch"))
        swatch.setAttribute("aria-pressed", String(swatch.dataset.color === this.color));
      for (const [id, is_possible] of [["undo", undo.length], ["remove", this.hint], ["clear", hints.length], ["save", hints.length]]) {
        if (!is_possible && this.shadowRoot.activeElement === find(id)) this.canvas.focus();
        find(id).disabled = !is_possible;
      }
      const where = this.place ? `at ${percent(this.place.x)} from the left, ${percent(this.place.y)} from the top` : "";
      const count = hints.length === 1 ? "1 hint" : `${hints.length} hints`;
      const most = hints.length >= this.limit ? ", which is the limit" : "";
      find("status").textContent = this.hint ? `Hint ${selected + 1} of ${hints.length}: ${this.hint.color} ${where}`
        : this.cursor ? `Cursor ${where}; ${count}` : count + most;
      this.draw();
    }

    draw() {
      const {canvas} = this, ratio = window.devicePixelRatio, box = canvas.getBoundingClientRect();
      [canvas.width, canvas.height] = [box.width * ratio, box.height * ratio];
      if (!this.photo || !this.image.naturalWidth || !box.width) return;
      const context = canvas.getContext("2d"), {left, top, width, height} = this.area();
      context.scale(ratio, ratio);
      const to_screen = ({x, y}) => [left - box.left + x * width, top - box.top + y * height];
      const circle = (hint, radius, color) => {
        context.beginPath();
        context.arc(...to_screen(hint), radius, 0, 2 * Math.PI);
        context.fillStyle = color;
        context.fill();
      };
      const {hints} = this.photo, radius = hints.length > 200 ? 3 : 6;
      const are_shown = this.shadowRoot.querySelector("#markers").checked;
      for (const hint of are_shown ? hints : []) {
        circle(hint, radius + 2, "#000a");
        circle(hint, radius + 1, "white");
        circle(hint, radius, hint.color);
      }
      if (this.hint && are_shown) ["black", "white", "black", this.hint.color].forEach((color, n) => circle(this.hint, 12 - 2 * n, color));
      if (this.cursor && !this.hint && this.shadowRoot.activeElement === canvas) {
        const [x, y] = to_screen(this.cursor);
        for (const [color, line] of [["black", 4], ["white", 2]]) {
          Object.assign(context, {strokeStyle: color, lineWidth: line});
          context.beginPath();
          for (const [across, down] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
            context.moveTo(x + 4 * across, y + 4 * down);
            context.lineTo(x + 16 * across, y + 16 * down);
          }
          context.stroke();
        }
      }
    }
  }

  /** Takes an answer of Python, see `describe` in page_hints.py. */
  window.showColorHints = (text) => {
    if (!text) return;
    const answer = JSON.parse(text), {key, event, hints, revision} = answer;
    if (event !== "show" && state?.key !== key) return; // another photograph is shown by now
    if (state?.key !== key && editor) editor.cursor = null;
    if (event !== "show") answer.palette = state.palette;
    state = answer;
    if (!photos.has(key)) photos.set(key, {hints, selected: -1, undo: [], tag: null, revision});
    else if (event === "file") {
      const photo = photos.get(key);
      photo.undo.push({hints: photo.hints, selected: photo.selected});
      Object.assign(photo, {hints, selected: -1, tag: null});
    }
    editor?.show();
  };
  customElements.define("color-hints", ColorHints);
})();
