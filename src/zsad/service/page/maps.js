/* Anomaly maps: 16-bit PNG to numbers, and their drawing over photographs on one fixed scale. */

const ANCHORS = document.documentElement.dataset.scale.split(";").map(colour => colour.split(",").map(Number));
const STEPS = 256, LINE = [255, 214, 10], EDGE = [24, 27, 33];
const COLOURS = Array.from({ length: STEPS }, (_, step) => {
  const place = step / (STEPS - 1) * (ANCHORS.length - 1), low = Math.min(Math.floor(place), ANCHORS.length - 2);
  return [0, 1, 2].map(channel => ANCHORS[low][channel] + (place - low) * (ANCHORS[low + 1][channel] - ANCHORS[low][channel]));
});
export const SCALE = `linear-gradient(90deg, ${ANCHORS.map(colour => `rgb(${colour})`).join(",")})`;

export function bytesOf(base64) {
  return Uint8Array.from(atob(base64), letter => letter.charCodeAt(0));
}

/* A 16-bit grey PNG (not interlaced) as { rows, cols, values }: a canvas would keep 8 of the bits. */
export async function decodeMap(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), data = [];
  const cols = view.getUint32(16), rows = view.getUint32(20);
  for (let place = 8; place < bytes.length;) {
    const length = view.getUint32(place), kind = String.fromCharCode(...bytes.subarray(place + 4, place + 8));
    if (kind === "IDAT") data.push(bytes.subarray(place + 8, place + 8 + length));
    place += 12 + length;
  }
  const stream = new Blob(data).stream().pipeThrough(new DecompressionStream("deflate"));
  const lines = new Uint8Array(await new Response(stream).arrayBuffer()), width = 2 * cols;
  let above = new Uint8Array(width);
  const values = new Uint16Array(rows * cols);
  for (let row = 0; row < rows; row++) {
    const start = row * (width + 1), line = lines.subarray(start + 1, start + 1 + width);
    unfilter(lines[start], line, above);
    for (let col = 0; col < cols; col++) values[row * cols + col] = line[2 * col] << 8 | line[2 * col + 1];
    above = line;
  }
  return { rows, cols, values };
}
function unfilter(kind, line, above) {  // PNG, section 9; two bytes a pixel
  for (let place = 0; place < line.length; place++) {
    const left = place < 2 ? 0 : line[place - 2], up = above[place], corner = place < 2 ? 0 : above[place - 2];
    const guess = left + up - corner, near = [left, up, corner].map(value => Math.abs(guess - value));
    const paeth = near[0] <= near[1] && near[0] <= near[2] ? left : near[1] <= near[2] ? up : corner;
    line[place] += [0, left, up, (left + up) >> 1, paeth][kind];
  }
}

/* A photograph at most so large, upright; null where the browser does not know the format. */
export async function photograph(file, side) {
  let whole;
  try { whole = await createImageBitmap(file); } catch { return null; }
  const scale = Math.min(1, side / Math.max(whole.width, whole.height));
  if (scale === 1) return whole;
  const size = { resizeWidth: Math.max(1, Math.round(scale * whole.width)), resizeHeight: Math.max(1, Math.round(scale * whole.height)) };
  const small = await createImageBitmap(whole, { ...size, resizeQuality: "medium" });
  whole.close();
  return small;
}

/* Draw what is asked for on a canvas of a size that fits. */
export function draw(canvas, photo, map, { layer, opacity, outline }, side) {
  const [width, height] = photo ? [photo.width, photo.height] : map ? fitted(map.cols, map.rows, side) : [320, 240];
  canvas.width = width; canvas.height = height;
  const context = canvas.getContext("2d");
  if (photo) context.drawImage(photo, 0, 0); else context.fillStyle = "#777", context.fillRect(0, 0, width, height);
  if (!map || layer === "photo") return;
  if (layer === "heat" || layer === "both") {
    context.imageSmoothingQuality = "high";
    context.drawImage(heat(map, opacity), 0, 0, width, height);
  }
  if (layer === "outline" || layer === "both") outlines(context, map, outline, width, height);
}
function fitted(cols, rows, side) {
  const scale = side / Math.max(cols, rows);
  return [Math.max(1, Math.round(scale * cols)), Math.max(1, Math.round(scale * rows))];
}
function heat(map, opacity) {
  const canvas = new OffscreenCanvas(map.cols, map.rows), context = canvas.getContext("2d");
  const image = context.createImageData(map.cols, map.rows);
  for (let place = 0; place < map.values.length; place++) {
    const value = map.values[place] / 65535, colour = COLOURS[Math.round(value * (STEPS - 1))];
    image.data.set(colour, 4 * place);
    image.data[4 * place + 3] = 255 * opacity * value * value * (3 - 2 * value);  // a smooth step, as in reports
  }
  context.putImageData(image, 0, 0);
  return canvas;
}
/* A bright line with a dark edge along where the map crosses the threshold. */
function outlines(context, map, threshold, width, height) {
  const inside = new Uint8Array(width * height), level = 65535 * threshold, thick = Math.max(1, Math.round(Math.max(width, height) / 300));
  for (let row = 0; row < height; row++) {
    for (let col = 0; col < width; col++) {
      inside[row * width + col] = sampled(map, (row + .5) * map.rows / height - .5, (col + .5) * map.cols / width - .5) >= level;
    }
  }
  const image = context.getImageData(0, 0, width, height);
  const paint = (row, col, colour) => {
    if (row >= 0 && col >= 0 && row < height && col < width) image.data.set(colour, 4 * (row * width + col));
  };
  const borders = [];
  for (let row = 0; row < height; row++) {
    for (let col = 0; col < width; col++) {
      const place = row * width + col;
      if (inside[place] && (col + 1 < width && !inside[place + 1] || col > 0 && !inside[place - 1] ||
          row + 1 < height && !inside[place + width] || row > 0 && !inside[place - width])) borders.push([row, col]);
    }
  }
  for (const [reach, colour] of [[thick + 1, EDGE], [thick - 1, LINE]]) {
    for (const [row, col] of borders) {
      for (let down = -reach; down <= reach; down++) for (let right = -reach; right <= reach; right++) paint(row + down, col + right, colour);
    }
  }
  context.putImageData(image, 0, 0);
}
function sampled({ rows, cols, values }, row, col) {
  const top = Math.min(Math.max(Math.floor(row), 0), rows - 1), left = Math.min(Math.max(Math.floor(col), 0), cols - 1);
  const bottom = Math.min(top + 1, rows - 1), right = Math.min(left + 1, cols - 1);
  const down = Math.min(Math.max(row - top, 0), 1), across = Math.min(Math.max(col - left, 0), 1);
  const upper = values[top * cols + left] * (1 - across) + values[top * cols + right] * across;
  const lower = values[bottom * cols + left] * (1 - across) + values[bottom * cols + right] * across;
  return upper * (1 - down) + lower * down;
}
