/* Images that are dropped, pasted or chosen; a folder is walked through. */

const NO_IMAGES = /\.(txt|csv|json|md|html?|xml|ya?ml|toml|log|zip|tar|gz|py|exe|docx?|xlsx?|pptx?|db)$/i;
const MOST = 2000;

/* [file, name] of what was dropped. */
export async function dropped(transfer) {
  const entries = [...transfer.items].map(item => item.webkitGetAsEntry && item.webkitGetAsEntry()).filter(Boolean);
  if (!entries.length) return named([...transfer.files]);
  const found = [];
  for (const entry of entries) await walk(entry, "", found);
  return images(found);
}
async function walk(entry, folder, found) {
  if (found.length >= MOST || entry.name.startsWith(".")) return;
  const name = folder + entry.name;
  if (entry.isFile) {
    found.push([await new Promise((resolve, reject) => entry.file(resolve, reject)), name]);
    return;
  }
  const reader = entry.createReader();
  for (;;) {  // a reader gives a hundred entries at a time
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return;
    for (const one of some) await walk(one, name + "/", found);
  }
}
export const named = files => images(files.map(file => [file, file.webkitRelativePath || file.name]));
function images(found) {
  const kept = found.filter(([file, name]) => file.size > 0 && !NO_IMAGES.test(name) && !/(^|\/)\./.test(name));
  return kept.map(([file, name]) => [file, labelled(name)]);
}
/* As the service takes names: relative, without control characters, not too long. */
const labelled = name => name.replace(/\p{Cc}|[\u2028\u2029]/gu, "_").slice(-200).replace(/^[/\\]+/, "").replace(/^([A-Za-z]):/, "$1_");
