// A convolutional network that answers while a digit is drawn. No library, nothing from elsewhere.

function numbers({ data, scale }) { // 16-bit integers in base64, times a scale
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  return Float32Array.from(new Int16Array(bytes.buffer), (value) => value * scale);
}

// Each layer maps {channels, height, width, values} to the same; values are row by row.
function slide(X, layer, channels, border, answer) { // answer: of one window
  const [high, wide] = layer.size, [down, right] = layer.stride, [above, left] = layer.padding;
  const width = X.width + 2 * left, size = (X.height + 2 * above) * width;
  const input = new Float32Array(X.channels * size).fill(border);
  for (let c = 0, from = 0; c < X.channels; c++)
    for (let y = 0; y < X.height; y++, from += X.width)
      input.set(X.values.subarray(from, from + X.width), c * size + (above + y) * width + left);
  const Y = { channels, height: Math.floor((size / width - high) / down) + 1, width: Math.floor((width - wide) / right) + 1 };
  Y.values = new Float32Array(channels * Y.height * Y.width);
  for (let o = 0, at = 0; o < channels; o++)
    for (let y = 0; y < Y.height; y++)
      for (let x = 0; x < Y.width; x++) Y.values[at++] = answer(input, o, y * down * width + x * right, width, size);
  return Y;
}
// The inner loops of conv and linear call nothing and touch only typed arrays: that makes them fast.
function conv(X, layer) {
  const { weight, bias, size: [high, wide] } = layer, inputs = X.channels;
  return slide(X, layer, bias.length, 0, (input, o, corner, width, size) => {
    let sum = bias[o], k = o * inputs * high * wide;
    for (let i = 0; i < inputs; i++)
      for (let v = 0; v < high; v++)
        for (let u = 0, at = i * size + corner + v * width; u < wide; u++) sum += input[at++] * weight[k++];
    return sum;
  });
}
const pool = (start, add, end) => (X, layer) => {
  const [high, wide] = layer.size;
  return slide(X, layer, X.channels, start, (input, c, corner, width, size) => {
    let sum = start;
    for (let v = 0; v < high; v++)
      for (let u = 0; u < wide; u++) sum = add(sum, input[c * size + corner + v * width + u]);
    return end(sum, high * wide);
  });
};
function linear({ values: input }, { weight, bias }) {
  const values = bias.map((sum, o) => {
    for (let i = 0, k = o * input.length; i < input.length; i++) sum += input[i] * weight[k++];
    return sum;
  });
  return { channels: values.length, height: 1, width: 1, values };
}
const each = (f) => (X) => ({ ...X, values: X.values.map(f) });
const LAYERS = {
  conv, linear,
  avgpool: pool(0, (a, b) => a + b, (sum, n) => sum / n),
  maxpool: pool(-Infinity, (a, b) => Math.max(a, b), (highest) => highest),
  sigmoid: each((v) => 1 / (1 + Math.exp(-v))),
  tanh: each(Math.tanh),
  relu: each((v) => Math.max(0, v)),
  flatten: (X) => ({ channels: X.values.length, height: 1, width: 1, values: X.values }),
};
const unpack = (layer) => (layer.weight ? { ...layer, weight: numbers(layer.weight), bias: numbers(layer.bias) } : layer);
const forward = (net, X) => net.map((layer) => (X = LAYERS[layer.kind](X, layer))); // the outputs of all layers

function softmax(scores) {
  const highest = Math.max(...scores), powers = Array.from(scores, (s) => Math.exp(s - highest));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((p) => p / sum);
}

// As in MNIST: the ink fits into 20×20 pixels, its centre of mass is the middle of 28×28.
function centred(ink, side) {
  let left = side, right = -1, top = side, bottom = -1;
  for (let y = 0; y < side; y++)
    for (let x = 0; x < side; x++)
      if (ink[y * side + x] > 0.05) {
        left = Math.min(left, x); right = Math.max(right, x);
        top = Math.min(top, y); bottom = Math.max(bottom, y);
      }
  if (right < 0) return null;
  const factor = Math.max(right - left + 1, bottom - top + 1) / 20;
  const width = Math.ceil((right - left + 1) / factor), height = Math.ceil((bottom - top + 1) / factor);
  const small = new Float32Array(width * height);
  let mass = 0, meanX = 0, meanY = 0;
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) { // the mean of 4×4 samples in each pixel
      let sum = 0;
      for (let k = 0; k < 16; k++) {
        const column = Math.floor(left + (x + ((k % 4) + 0.5) / 4) * factor);
        const row = Math.floor(top + (y + (Math.floor(k / 4) + 0.5) / 4) * factor);
        if (column < side && row < side) sum += ink[row * side + column];
      }
      small[y * width + x] = sum / 16;
      mass += sum / 16; meanX += (x * sum) / 16; meanY += (y * sum) / 16;
    }
  const shiftX = Math.round(13.5 - meanX / mass), shiftY = Math.round(13.5 - meanY / mass);
  const pixels = new Float32Array(784);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const column = x + shiftX, row = y + shiftY;
      if (column >= 0 && column < 28 && row >= 0 && row < 28) pixels[row * 28 + column] = small[y * width + x];
    }
  return pixels;
}

function paint(canvas, map, columns) { // maps side by side, from black (smallest) to white
  const { channels, height, width, values } = map, gap = 1;
  columns = Math.min(columns, channels);
  canvas.width = columns * (width + gap) - gap;
  canvas.height = Math.ceil(channels / columns) * (height + gap) - gap;
  const context = canvas.getContext("2d"), picture = context.createImageData(canvas.width, canvas.height);
  let low = Infinity, high = -Infinity;
  for (const v of values) { low = Math.min(low, v); high = Math.max(high, v); }
  for (let c = 0, at = 0; c < channels; c++)
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++, at++) {
        const row = Math.floor(c / columns) * (height + gap) + y, column = (c % columns) * (width + gap) + x;
        const grey = (255 * (values[at] - low)) / (high - low || 1);
        picture.data.set([grey, grey, grey, 255], 4 * (row * canvas.width + column));
      }
  context.putImageData(picture, 0, 0);
}

function live(root, model) {
  const find = (name) => root.querySelector(`.d2l-live-${name}`), pad = find("pad");
  const word = (key) => root.dataset.languages.split(" ").map((language) => model.words[key][language]).join(" ");
  for (const element of root.querySelectorAll("[data-word]")) element.textContent = word(element.dataset.word);
  for (const element of root.querySelectorAll("[data-label]"))
    element.setAttribute("aria-label", `${word(element.dataset.label)} ${element.dataset.of ?? ""}`.trim());
  const context = pad.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingEnabled = false; // of the examples
  const nets = model.nets.map((net) => net.map(unpack)), image = (values) => ({ channels: 1, height: 28, width: 28, values });
  const prepared = (pixels) => image(pixels.map((p) => (p - model.mean) / model.std));
  root.scores = (pixels, which = 0) => Array.from(forward(nets[which], prepared(Float32Array.from(pixels))).pop().values);

  function answer(pixels) {
    paint(find("seen"), image(pixels), 1);
    const words = nets.map((net, which) => {
      const outputs = forward(net, prepared(pixels)), shares = softmax(outputs.at(-1).values);
      const best = shares.indexOf(Math.max(...shares));
      root.querySelectorAll(`.d2l-live-bars-${which} meter`).forEach((meter, i) => (meter.value = shares[i]));
      if (which === 0) {
        const maps = outputs.filter((output, i) => output.height > 1 && net[i].kind !== "conv");
        root.querySelectorAll(".d2l-live-maps canvas").forEach((canvas, i) => paint(canvas, maps[i], 8));
      }
      return `${word(["after", "before"][which])}: ${model.classes[best]} (${shares[best].toFixed(2)})`;
    });
    find("answer").textContent = words.join(" · ");
  }

  let last = null, due = 0; // where the pen is; the frame of the screen for which an answer is wanted
  function look() {
    due = 0;
    const { data } = context.getImageData(0, 0, pad.width, pad.height);
    const ink = new Float32Array(pad.width * pad.height).map((_, i) => data[4 * i] / 255);
    const pixels = centred(ink, pad.width);
    if (pixels) answer(pixels);
  }

  function clear() {
    cancelAnimationFrame(due); due = 0;
    find("answer").textContent = "";
    for (const meter of root.querySelectorAll("meter")) meter.value = 0;
    for (const canvas of root.querySelectorAll(".d2l-live-seen, .d2l-live-maps canvas")) canvas.width += 0; // blank
    Object.assign(context, { fillStyle: "black", strokeStyle: "white", lineWidth: 18, lineCap: "round" });
    context.fillRect(0, 0, pad.width, pad.height);
  }

  const place = (event) => {
    const box = pad.getBoundingClientRect();
    return [((event.clientX - box.left) * pad.width) / box.width, ((event.clientY - box.top) * pad.height) / box.height];
  };
  const draw = (event) => {
    if (!last) return;
    const next = place(event);
    context.stroke(new Path2D(`M ${last} L ${next[0] + 0.01} ${next[1]}`)); // also for a tap, which has no length
    last = next;
    due ||= requestAnimationFrame(look); // so that a stroke's events do not pile up
  };
  pad.addEventListener("pointerdown", (event) => {
    pad.setPointerCapture(event.pointerId);
    last = place(event); draw(event);
  });
  pad.addEventListener("pointermove", draw);
  for (const end of ["pointerup", "pointercancel"]) pad.addEventListener(end, () => (last = null));
  find("clear").addEventListener("click", clear);
  root.querySelectorAll(".d2l-live-presets button").forEach((button, i) => {
    const pixels = numbers(model.presets[i]);
    paint(button.firstElementChild, image(pixels), 1);
    button.addEventListener("click", () => {
      clear();
      context.drawImage(button.firstElementChild, 0, 0, pad.width, pad.height);
      answer(pixels);
    });
  });
  clear();
  root.querySelector(".d2l-live-presets button").click();
  find("still")?.remove();
  find("stage").hidden = false;
}
