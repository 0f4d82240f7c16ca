// A convolutional network that answers while a digit is drawn. No library, nothing from elsewhere.

function numbers({ data, scale }) { // 16-bit integers in base64, times a scale
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  return Float32Array.from(new Int16Array(bytes.buffer), (value) => value * scale);
}

// Each layer maps {channels, height, width, values} to the same; values are row by row.
const slide = (X, layer, channels, start, add, end) => {
  const [kh, kw] = layer.size, [sh, sw] = layer.stride, [ph, pw] = layer.padding;
  const height = Math.floor((X.height + 2 * ph - kh) / sh) + 1;
  const width = Math.floor((X.width + 2 * pw - kw) / sw) + 1;
  const values = new Float32Array(channels * height * width);
  for (let o = 0, at = 0; o < channels; o++)
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++, at++) {
        let sum = start(o);
        const inputs = layer.kind === "conv" ? X.channels : 1;
        for (let i = 0; i < inputs; i++) {
          const plane = (layer.kind === "conv" ? i : o) * X.height;
          for (let v = 0; v < kh; v++) {
            const row = y * sh + v - ph;
            if (row < 0 || row >= X.height) continue;
            for (let u = 0; u < kw; u++) {
              const column = x * sw + u - pw;
              if (column < 0 || column >= X.width) continue;
              sum = add(sum, X.values[(plane + row) * X.width + column], ((o * inputs + i) * kh + v) * kw + u);
            }
          }
        }
        values[at] = end(sum, kh * kw);
      }
  return { channels, height, width, values };
};
const each = (f) => (X) => ({ ...X, values: X.values.map(f) });
const LAYERS = {
  conv: (X, l) => slide(X, l, l.bias.length, (o) => l.bias[o], (s, v, k) => s + v * l.weight[k], (s) => s),
  avgpool: (X, l) => slide(X, l, X.channels, () => 0, (s, v) => s + v, (s, n) => s / n),
  maxpool: (X, l) => slide(X, l, X.channels, () => -Infinity, (s, v) => Math.max(s, v), (s) => s),
  sigmoid: each((v) => 1 / (1 + Math.exp(-v))),
  tanh: each(Math.tanh),
  relu: each((v) => Math.max(0, v)),
  flatten: (X) => ({ channels: X.values.length, height: 1, width: 1, values: X.values }),
  linear: (X, l) => {
    const values = l.bias.map((bias, o) => {
      let sum = bias;
      for (let i = 0, at = o * X.values.length; i < X.values.length; i++) sum += X.values[i] * l.weight[at + i];
      return sum;
    });
    return { channels: values.length, height: 1, width: 1, values };
  },
};

function unpack(net) {
  return net.map((layer) => (layer.weight ? { ...layer, weight: numbers(layer.weight), bias: numbers(layer.bias) } : layer));
}

function forward(net, X) { // the outputs of all layers
  return net.map((layer) => (X = LAYERS[layer.kind](X, layer)));
}

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
  const nets = model.nets.map(unpack), context = pad.getContext("2d", { willReadFrequently: true });
  const prepared = (pixels) => ({
    channels: 1, height: 28, width: 28, values: pixels.map((p) => (p - model.mean) / model.std),
  });
  root.scores = (pixels, which = 0) => Array.from(forward(nets[which], prepared(Float32Array.from(pixels))).pop().values);

  function answer(pixels) {
    paint(find("seen"), { channels: 1, height: 28, width: 28, values: pixels }, 1);
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

  function look() {
    const { data } = context.getImageData(0, 0, pad.width, pad.height);
    const ink = new Float32Array(pad.width * pad.height).map((_, i) => data[4 * i] / 255);
    const pixels = centred(ink, pad.width);
    if (pixels) answer(pixels);
  }

  function clear() {
    context.fillStyle = "black";
    context.fillRect(0, 0, pad.width, pad.height);
    Object.assign(context, { strokeStyle: "white", lineWidth: 18, lineCap: "round", lineJoin: "round" });
  }

  let last = null;
  const place = (event) => {
    const box = pad.getBoundingClientRect();
    return [((event.clientX - box.left) * pad.width) / box.width, ((event.clientY - box.top) * pad.height) / box.height];
  };
  const draw = (event) => {
    if (!last) return;
    const next = place(event);
    context.beginPath();
    context.moveTo(...last);
    context.lineTo(next[0] + 0.01, next[1]); // a canvas draws no line without length, but a tap is a dot
    context.stroke();
    last = next;
    look();
  };
  pad.addEventListener("pointerdown", (event) => {
    pad.setPointerCapture(event.pointerId);
    last = place(event);
    draw(event);
  });
  pad.addEventListener("pointermove", draw);
  for (const end of ["pointerup", "pointercancel"]) pad.addEventListener(end, () => (last = null));
  find("clear").addEventListener("click", clear);
  root.querySelectorAll(".d2l-live-presets button").forEach((button, i) => {
    const pixels = numbers(model.presets[i]);
    paint(button.firstElementChild, { channels: 1, height: 28, width: 28, values: pixels }, 1);
    button.addEventListener("click", () => {
      clear();
      context.imageSmoothingEnabled = false;
      context.drawImage(button.firstElementChild, 0, 0, pad.width, pad.height);
      answer(pixels);
    });
  });
  clear();
  root.querySelector(".d2l-live-presets button").click();
  find("still")?.remove();
  find("stage").hidden = false;
}
