// Where files come from: the chooser, a drop anywhere on the page (folders too), a paste.

/**
 * @param {object} page
 * @param {HTMLInputElement} page.chooser  an `input type=file`
 * @param {(files: File[]) => void} page.onFiles
 * @param {(dragging: boolean) => void} page.onDrag  whether files hover over the page
 */
export function takeFiles({ chooser, onFiles, onDrag }) {
  /** @param {File[]} files */
  const take = (files) => files.length > 0 && onFiles(files);

  chooser.addEventListener("change", () => {
    take([...(chooser.files ?? [])]);
    chooser.value = ""; // so that choosing the same file again is a change
  });
  document.addEventListener("paste", (event) => take([...(event.clipboardData?.files ?? [])]));

  document.addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    onDrag(true);
  });
  document.addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) onDrag(false);
  });
  document.addEventListener("drop", async (event) => {
    if (!carriesFiles(event) || !event.dataTransfer) return;
    event.preventDefault();
    onDrag(false);
    take(await droppedFiles(event.dataTransfer));
  });
}

/**
 * @param {DragEvent} event
 * @returns {boolean}
 */
function carriesFiles({ dataTransfer }) {
  return dataTransfer?.types.includes("Files") ?? false;
}

/**
 * @param {DataTransfer} transfer
 * @returns {Promise<File[]>} the files, and those in the folders
 */
async function droppedFiles(transfer) {
  // The entries must be taken before the first await: after it the transfer is empty.
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.() ?? null);
  if (!entries.some((entry) => entry?.isDirectory)) return [...transfer.files];
  const found = await Promise.all(entries.map((entry) => (entry ? filesIn(entry) : [])));
  return found.flat();
}

/**
 * @param {FileSystemEntry} entry
 * @returns {Promise<File[]>} hidden files such as `.DS_Store` are left out
 */
async function filesIn(entry) {
  if (entry.name.startsWith(".")) return [];
  if (!entry.isDirectory) {
    const entryOfFile = /** @type {FileSystemFileEntry} */ (entry);
    return [await new Promise((resolve, reject) => entryOfFile.file(resolve, reject))];
  }
  const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
  const files = [];
  for (;;) {
    /** @type {FileSystemEntry[]} */
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) return files; // a reader gives a hundred at a time
    for (const each of some) files.push(...(await filesIn(each)));
  }
}
