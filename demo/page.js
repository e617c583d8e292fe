// The browser's part of an upload: ask for a URL, poll until it is there, PUT the file to S3, record it.

const byId = (id) => document.getElementById(id)
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

/** What a person is told; everything else that is thrown is a fault of this page. */
class Problem extends Error {}

// -- The sequence ---------------------------------------------------------------------------------------------------

/** What Civic OS's browser does: look at once, then every 500 ms, 20 times. */
const looks = 21
const betweenLooks = 500

const upload = async (card, file) => {
  let step = "request"
  let signedMs
  try {
    card.show({ step })
    const request = await api("POST", "/api/requests", { fileName: file.name, fileType: file.type })

    step = "sign"
    card.show({ step })
    const signed = await signedUrl(request.id, card)
    signedMs = signed.signedMs

    step = "upload"
    card.show({ step, signedMs, progress: 0 })
    await put(signed.url, file, (progress) => card.show({ step, signedMs, progress }))

    step = "done"
    await api("POST", `/api/requests/${request.id}/stored`, { fileSize: file.size })
    card.show({ step, signedMs, fileId: signed.fileId, type: file.type, finished: true })
    announce(`${file.name} is uploaded`)
  } catch (error) {
    if (!(error instanceof Problem)) console.error(error)
    const problem = error instanceof Problem ? error.message : `This page failed: ${error}`
    card.show({ step, signedMs, problem, again: () => upload(card, file) })
    announce(`${file.name}: ${problem}`)
  }
}

const signedUrl = async (id, card) => {
  for (let look = 1; look <= looks; look++) {
    const request = await api("GET", `/api/requests/${id}`)
    card.showJob(request.job)
    if (request.status === "completed") return request
    if (request.status === "failed") throw new Problem(`The worker refused: ${request.error}`)
    if (look < looks) await pause(betweenLooks)
  }
  const { worker } = await showDemo()
  throw new Problem(
    "Timeout: no URL after 10 seconds. " +
      (worker.running
        ? `Look at the job’s state here (available: nobody has claimed it) and at the worker’s log, ${worker.log}.`
        : `The worker is not running. Its log is ${worker.log}; start the demo again with npm run demo.`)
  )
}

/** Straight to S3. XMLHttpRequest, because fetch does not report the progress of an upload. */
const put = (url, file, onProgress) =>
  new Promise((resolve, reject) => {
    const to = new URL(url).host
    const xhr = new XMLHttpRequest()
    xhr.open("PUT", url)
    if (file.type !== "") xhr.setRequestHeader("Content-Type", file.type)
    xhr.upload.addEventListener("progress", ({ loaded, total }) => onProgress(total === 0 ? 1 : loaded / total))
    xhr.addEventListener("load", () => {
      if (xhr.status >= 200 && xhr.status < 300) return resolve()
      const said = /<Code>([^<]*)<\/Code>\s*<Message>([^<]*)</.exec(xhr.responseText)
      reject(new Problem(`S3 (${to}) refused the upload: ${xhr.status}${said ? ` ${said[1]}. ${said[2]}` : ""}`))
    })
    xhr.addEventListener("error", () => {
      reject(
        new Problem(`The file did not reach S3 at ${to}: it is not running, or the file cannot be read (a folder?).`)
      )
    })
    xhr.send(file)
  })

/** One call to the demo's server; what it answers to a fault is meant for the person at the page. */
const api = async (method, path, body) => {
  let response
  try {
    response = await fetch(path, {
      method,
      ...(body && { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) })
    })
  } catch {
    throw new Problem("The demo’s server does not answer. Is npm run demo still running?")
  }
  const answer = await response.json().catch(() => ({}))
  if (!response.ok) throw new Problem(answer.error ?? `The demo’s server answered ${response.status}`)
  return answer
}

// -- One file's card ------------------------------------------------------------------------------------------------

const makeCard = ({ name, size, type, at = new Date() }) => {
  const card = byId("file").content.cloneNode(true).querySelector("li")
  const part = (selector) => card.querySelector(selector)
  const facts = [size === undefined ? undefined : bytes(size), type || undefined, when(at)]
  part(".name").textContent = name
  part(".facts").textContent = facts.filter(Boolean).join(" · ")
  part(".picture").textContent = extension(name)
  part("progress").setAttribute("aria-label", `Upload of ${name}`)

  let retry
  part(".again").addEventListener("click", () => retry())

  const show = ({ step, signedMs, progress, problem, again, fileId, type: stored, finished }) => {
    let phase = "past"
    for (const item of card.querySelectorAll(".steps li")) {
      const here = item.dataset.step === step
      if (here) phase = finished ? "past" : problem ? "broken" : "present"
      item.className = phase
      item.ariaCurrent = here && !finished ? "step" : null
      item.textContent = labels[item.dataset.step](phase, signedMs, progress)
      if (here) phase = "future"
    }
    part("progress").hidden = progress === undefined
    part("progress").value = progress ?? 0
    part(".problem").hidden = problem === undefined
    part(".problem").textContent = problem ?? ""
    part(".actions").hidden = fileId === undefined && again === undefined
    part(".open").hidden = part(".download").hidden = fileId === undefined
    part(".again").hidden = again === undefined
    retry = again
    if (fileId !== undefined) showFile(fileId, stored ?? "")
  }

  const showFile = (fileId, stored) => {
    part(".open").href = `/files/${fileId}`
    part(".open").ariaLabel = `Open ${name}`
    part(".download").href = `/files/${fileId}?download`
    part(".download").ariaLabel = `Download ${name}`
    if (!/^image\/(png|jpeg|gif|webp|avif|svg\+xml|bmp)$/.test(stored)) return
    const image = new Image()
    image.alt = ""
    image.addEventListener("load", () => part(".picture").replaceChildren(image))
    image.src = `/files/${fileId}`
  }

  const showJob = (job) => {
    const rows = job === null ? [["id", "not there"]] : jobRows(job)
    part(".job dl").replaceChildren(
      ...rows.flatMap(([column, value]) => {
        const [dt, dd] = [document.createElement("dt"), document.createElement("dd")]
        dt.textContent = column
        dd.textContent = value
        if (column === "state") dd.className = `state-${value}`
        return [dt, dd]
      })
    )
  }

  byId("none").hidden = true
  return { element: card, show, showJob }
}

/** What a step is called before it, in it (or broken off), and after it. */
const labels = {
  request: (phase) => (phase === "past" ? "Requested" : "Request"),
  sign: (phase, ms) => (phase === "past" ? `Signed${ms == null ? "" : ` in ${milliseconds(ms)}`}` : "Sign"),
  upload: (phase, _, progress) =>
    phase === "past" ? "Uploaded" : phase === "present" ? `Uploading ${Math.floor(progress * 100)} %` : "Upload",
  done: () => "Done"
}

/** The job's row: times after the first as what has passed since. */
const jobRows = (job) => {
  return [
    ["id", job.id],
    ["state", job.state],
    ["attempt", `${job.attempt} of ${job.max_attempts}`],
    ["created_at", clock(job.created_at)],
    ["attempted_at", job.attempted_at === null ? "–" : since(job.created_at, job.attempted_at)],
    ["finalized_at", job.finalized_at === null ? "–" : since(job.created_at, job.finalized_at)],
    ...(job.error === null ? [] : [["errors", job.error]])
  ]
}

// -- Words and numbers ----------------------------------------------------------------------------------------------

const number = (value, digits) => value.toLocaleString("en", { maximumFractionDigits: digits })

const milliseconds = (ms) => (ms < 1000 ? `${number(ms, ms < 20 ? 1 : 0)} ms` : `${number(ms / 1000, 1)} s`)

const bytes = (size) => {
  const steps = [
    [1e9, "GB"],
    [1e6, "MB"],
    [1e3, "kB"]
  ]
  const [unit, name] = steps.find(([least]) => size >= least) ?? [1, size === 1 ? "byte" : "bytes"]
  return `${number(size / unit, unit === 1 ? 0 : 1)} ${name}`
}

const since = (from, to) => `+${milliseconds(instant(to) - instant(from))}`

/** Milliseconds, with the microseconds that PostgreSQL writes and Date drops. */
const instant = (timestamp) => Date.parse(timestamp) + Number(`0.${/\.\d{3}(\d+)/.exec(timestamp)?.[1] ?? 0}`)

const clock = (timestamp) =>
  `${new Date(timestamp).toLocaleTimeString("en-GB")}${/\.\d{1,3}/.exec(timestamp)?.[0] ?? ""}`

const when = (at) => {
  const day = at.toDateString() === new Date().toDateString() ? "" : `${at.toLocaleDateString("en-GB")} `
  return `${day}${at.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" })}`
}

const extension = (name) => /\.([A-Za-z0-9]{1,4})$/.exec(name)?.[1].toUpperCase() ?? "FILE"

const announce = (text) => {
  byId("announce").textContent = text
}

// -- The page -------------------------------------------------------------------------------------------------------

/** At most this many at once; the others wait for their turn. */
const lanes = 4
const waiting = []
let busy = 0

const next = () => {
  while (busy < lanes && waiting.length > 0) {
    busy += 1
    waiting
      .shift()()
      .finally(() => {
        busy -= 1
        next()
      })
  }
}

const add = (files) => {
  for (const file of files) {
    const card = makeCard(file)
    byId("files").prepend(card.element)
    waiting.push(() => upload(card, file))
  }
  if (files.length > 0) announce(files.length === 1 ? `${files[0].name} added` : `${files.length} files added`)
  next()
}

const showEarlier = async () => {
  const { files } = await api("GET", "/api/files")
  for (const file of files) {
    const card = makeCard({
      name: file.file_name,
      size: file.file_size ?? undefined,
      type: file.file_type,
      at: new Date(file.created_at)
    })
    byId("files").append(card.element)
    card.showJob(file.job)
    if (file.stored)
      card.show({ step: "done", signedMs: file.signedMs, finished: true, fileId: file.file_id, type: file.file_type })
    else if (file.status === "completed") card.show({ step: "upload", problem: "Signed, but never uploaded." })
    else card.show({ step: "sign", problem: file.error_message ?? "Not answered yet." })
  }
}

const showDemo = async () => {
  const demo = await api("GET", "/api/demo").catch((problem) => ({ problem }))
  const trouble = demo.problem?.message ?? demo.worker.problem
  byId("trouble").hidden = trouble === undefined
  // An alert is read out when its text changes: only then.
  if (byId("trouble").textContent !== (trouble ?? "")) byId("trouble").textContent = trouble ?? ""
  if (demo.problem !== undefined) return { worker: { running: true, log: "worker.log" } }
  byId("parts").textContent =
    `Real parts, all on this machine: PostgreSQL ${demo.postgres}, the worker (process ${demo.worker.pid}), and an S3 ` +
    `server at ${demo.s3} that checks every signature. Open and Download ask for a signed GET URL, good for one minute.`
  return demo
}

byId("choose").addEventListener("change", ({ target }) => {
  add([...target.files])
  target.value = ""
})

// Wherever the file is dropped: else the browser leaves the page to show it.
for (const type of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(type, (event) => {
    event.preventDefault()
    byId("drop").classList.toggle("over", type === "dragover")
    if (type === "drop") add([...event.dataTransfer.files])
  })
}

await Promise.all([
  showDemo(),
  showEarlier().catch((problem) => {
    byId("none").textContent = problem.message
  })
])
setInterval(() => document.hidden || showDemo(), 5_000)
